"""A network that was taught learns from corrections, too: its judges are fitted anew."""

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from app.errors import InvalidRequest, NetworkError
from app.inference.decode import MAX_PIXELS
from app.inference.networks import contract, versions
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.predict import PredictOptions, predict
from app.learn.alone import LOCK
from app.learn.candidate import answered
from app.learn.learn import Limits, learn
from app.learn.reteaching import taught_before
from app.routes.own.teach import _remove
from app.teach import folder
from app.teach.jobs import Jobs
from app.teach.photos import File, look
from app.teach.teach import teach
from app.teach.twin import eyes
from tests.app.learn.camera import CAT, corrected, photos
from tests.conftest import sha256

CLASSES = ("fur", "other")
LIMITS = Limits(MAX_PIXELS, threads=2)


@pytest.fixture(scope="module")
def store(tmp_path_factory, photo_folder) -> Path:
    """A store's networks: `mine`, taught sharp photos of a cat and of other things."""
    networks = tmp_path_factory.mktemp("store") / "networks"
    start = OnnxNetwork(contract.load(CAT))
    classes = {
        name: [File(path.name, partial(Path.read_bytes, path)) for path in sorted((photo_folder / source).iterdir())[:12]]
        for name, source in zip(CLASSES, ("cat", "not_cat"), strict=True)
    }
    taught = teach(CLASSES, list(look(classes, start, MAX_PIXELS, 2, eyes(start.contract))))
    folder.write(taught, start.contract, networks / "mine")
    return networks


def served(networks: Path) -> dict[str, OnnxNetwork]:
    return versions.catalogue([networks], OnnxNetwork, {}).networks["mine"]


@pytest.fixture(scope="module")
def shown() -> dict[str, bytes]:
    """Blurred photos of the cat, by their digests."""
    return {corrected(photo, "other").sha256: photo for photo in photos(30, seed=4)}


def right(network: OnnxNetwork, blurred: list[bytes], label: int) -> float:
    return float(np.mean([answered(network, photo, MAX_PIXELS).argmax() == label for photo in blurred]))


@pytest.fixture(scope="module")
def wrong(store, shown) -> str:
    """The class that the network does not say of blurred photos."""
    said = right(served(store)["1.0.0"], list(shown.values()), 0)
    assert said < 0.2 or said > 0.8
    return CLASSES[0] if said < 0.2 else CLASSES[1]


@pytest.fixture(scope="module")
def outcome(store, shown, wrong):
    listed = [corrected(photo, wrong, "mine") for photo in shown.values()]
    return learn(served(store), listed, shown.__getitem__, store, LIMITS)


def test_it_becomes_right_about_what_was_corrected_and_forgets_nothing(outcome, store, wrong):
    assert outcome.why == ()
    [before] = outcome.candidate.held_out
    assert (before.name, before.photos) == ("taught before", 24)
    assert before.after >= before.before - 1
    network = served(store)["1.1.0"]
    assert right(network, photos(12, seed=11), CLASSES.index(wrong)) > 0.7


def test_the_version_lies_beside_the_one_that_was_taught(outcome, store):
    assert outcome.folder == store / "mine" / "1.1.0"
    assert list(served(store)) == ["1.1.0", "1.0.0"]
    assert {path.name for path in outcome.folder.iterdir()} == {
        *("model.onnx", "int8.onnx", "photos.npz", "contract.json", "metrics.json", "history.json")
    }


def test_its_twin_in_integers_has_learned_the_same_and_was_compared_on_the_corrections_too(outcome, wrong):
    known = contract.load(outcome.folder, "mine")
    compared = json.loads((outcome.folder / "contract.json").read_text())["int8"]["sets"]["cross-validation"]
    assert compared["photos"] == 24 + outcome.learned
    network = OnnxNetwork(known, "auto")
    for photo in photos(4, seed=11):
        own, twin = (predict(photo, network, PredictOptions("none", precision=one)) for one in ("float32", "int8"))
        assert twin.precision == "int8"
        assert twin.probabilities == pytest.approx(own.probabilities, abs=0.1)
        assert twin.distance == pytest.approx(own.distance, abs=0.06)


def test_where_it_was_not_kept_what_integers_see_the_next_version_answers_in_float(store, shown, wrong, tmp_path):
    """As of networks that were taught before networks had twins, and got theirs from training.export."""
    copy = Path(shutil.copytree(store / "mine", tmp_path / "mine", ignore=shutil.ignore_patterns("1.1.0")))
    plain = json.loads((copy / "contract.json").read_text())
    with np.load(copy / folder.PHOTOS) as kept:
        np.savez(copy / folder.PHOTOS, **{name: kept[name] for name in kept.files if name not in ("integers", "rows")})
    plain["files"][folder.PHOTOS] = sha256((copy / folder.PHOTOS).read_bytes())
    (copy / "contract.json").write_text(json.dumps(plain))
    listed = [corrected(photo, wrong, "mine") for photo in list(shown.values())[:10]]
    candidate = learn(served(tmp_path), listed, shown.__getitem__, tmp_path, LIMITS, dry_run=True).candidate
    assert "int8" not in candidate.contract
    assert candidate.metrics["cross_validation"]["int8"]["refused"] == "it was not kept what integers see in its photos"


def test_it_says_what_cross_validation_says_of_all_that_it_was_taught(outcome):
    metrics = json.loads((outcome.folder / "metrics.json").read_text())
    assert (metrics["network"], metrics["version"]) == ("mine", "1.1.0")
    assert metrics["cross_validation"]["photos"] == 24 + outcome.learned
    assert [one["name"] for one in metrics["compared"]] == ["taught before", "corrections held out"]


def test_the_next_version_learns_from_what_was_seen_in_the_corrections(outcome):
    seen, scores = taught_before(contract.load(outcome.folder, "mine"))
    assert len(seen) == len(scores) == 24 + outcome.learned
    assert all(photo.looks.shape == (256,) for photo in seen)


def test_corrections_of_a_class_that_it_does_not_know_are_too_few(store, shown):
    listed = [corrected(photo, "dog", "mine") for photo in shown.values()]
    with pytest.raises(InvalidRequest, match=r"There are 0 corrections of mine.*dog is no class of mine"):
        learn(served(store), listed, shown.__getitem__, store, LIMITS)


def test_damaged_photos_are_refused(store, tmp_path):
    known = contract.load(store / "mine", "mine")
    (store / "mine" / folder.PHOTOS).rename(tmp_path / folder.PHOTOS)
    try:
        with pytest.raises(NetworkError, match=r"photos\.npz cannot be read"):
            taught_before(known)
    finally:
        (tmp_path / folder.PHOTOS).rename(store / "mine" / folder.PHOTOS)


@pytest.mark.parametrize("when", ["while photos are looked at", "before it is written"])
def test_a_network_that_is_deleted_meanwhile_does_not_come_back(store, shown, wrong, tmp_path, monkeypatch, when):
    jobs = Jobs(tmp_path, {})
    shutil.copytree(store / "mine", jobs.networks / "mine")
    listed = [corrected(photo, wrong, "mine") for photo in shown.values()]
    known = served(jobs.networks)

    def looked(count: int) -> None:
        if count == len(listed) and when.startswith("while"):
            _remove(jobs, "mine")

    def nothing_refused(*_: object) -> list[str]:
        if when.startswith("before"):
            _remove(jobs, "mine")
        return []

    monkeypatch.setattr("app.learn.learn.refusals", nothing_refused)
    with pytest.raises(NetworkError):
        learn(known, listed, shown.__getitem__, jobs.networks, LIMITS, done=looked)
    assert [path.name for path in jobs.networks.iterdir()] == [LOCK]
