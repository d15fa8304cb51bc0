"""What was taught gets a twin in integers where both agree, and none, with the reason, where they do not."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from app.errors import NetworkError
from app.inference.networks.contract import Contract, load
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.networks.onnx.other_classes import LAST, last_of
from app.inference.tensor import to_tensor
from app.teach import twin as twin_module
from app.teach.calibrate import Band
from app.teach.folder import write
from app.teach.photos import MOST_COMPARED, Seen, compared
from app.teach.teach import Compared, Taught, teach
from app.teach.twin import SET, Twin, compare, eyes, said
from tests.app.teach.test_teach import CLASSES, photos
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def cat() -> Contract:
    return load(ROOT / "model" / "cat")


def off(seen: list[Seen], by: float, every: int = 1) -> list[Seen]:
    """The photos, with what integers see in them: it differs in some photos in the channel that tells the classes apart."""
    random = np.random.default_rng(1)
    made = []
    for number, photo in enumerate(seen):
        integers = photo.means[0] + random.normal(0, 1e-3, photo.means.shape[1]).astype(np.float32)
        integers[0] += by * (number % every == 0)
        made.append(replace(photo, integers=integers))
    return made


def twin(seen: list[Seen], start: Contract) -> Twin:
    return compare(teach(CLASSES, seen), start)


def test_where_both_agree_the_contract_says_how_far(cat):
    made = twin(off(photos(), by=0.0), cat)
    assert made.contract["times_as_fast"] == cat.int8.times_as_fast
    assert 0.3 <= made.contract["margin"] < 1
    assert 0.03 <= made.contract["near"] < 0.1
    assert made.contract["sets"] == made.sets
    assert (made.sets[SET]["photos"], made.sets[SET]["right"], made.sets[SET]["changed"]) == (60, 60, 0)
    assert said(made.plain()).startswith("Its twin in integers changes 0 verdicts of 60, and leaves ")


def test_a_twin_that_says_something_else_is_refused(cat):
    made = twin(off(photos(), by=-40.0, every=15), cat)
    assert made.contract is None
    assert said(made.plain()).startswith("It answers in float only: integers ")
    assert made.sets[SET]["opposite_alone"] > 1


def test_a_twin_that_is_refused_is_not_written_and_the_reason_stands_in_the_metrics(cat, tmp_path):
    made = write(teach(CLASSES, off(photos(), by=-40.0, every=15)), cat, tmp_path / "mine")
    contract, metrics = (json.loads((tmp_path / "mine" / f"{name}.json").read_text()) for name in ("contract", "metrics"))
    assert "int8" not in contract
    assert contract["files"].keys() == {"model.onnx", "photos.npz"}
    assert not (tmp_path / "mine" / "int8.onnx").exists()
    assert metrics["cross_validation"]["int8"]["refused"] == made.why != ""


def test_a_twin_that_would_leave_most_photos_to_the_network_is_not_worth_it(cat):
    made = twin(off(photos(apart=2.0), by=0.0), cat)
    assert made.contract is None
    assert "would be left to the network, so integers would save too little time" in made.why
    assert made.sets[SET]["handed_over"] > 20


def test_without_the_twin_of_the_network_that_it_starts_from_there_is_none(cat):
    alone = replace(cat, int8=None)
    assert eyes(alone) is None
    made = twin(off(photos(), by=0.0), alone)
    assert made == Twin(None, {}, "cat 2.0.0, from which it was taught, has no twin in integers")


def test_a_twin_of_another_kind_is_named():
    with pytest.raises(NetworkError, match="computes no head"):
        last_of((ROOT / "model" / "tutorial" / "model.onnx").read_bytes())


@pytest.mark.parametrize("known", [0, 29])
def test_without_what_integers_see_in_most_photos_there_is_none(cat, known):
    given = off(photos(), by=0.0)[:known] + photos()[known:]
    assert twin(given, cat) == Twin(None, {}, "it was not kept what integers see in its photos")


def test_half_of_the_photos_are_enough(cat):
    assert twin(off(photos(), by=0.0)[:30] + photos()[30:], cat).sets[SET]["photos"] == 30


def test_of_many_photos_half_of_those_that_are_compared_are_enough(cat, monkeypatch):
    monkeypatch.setattr(twin_module, "MOST_COMPARED", 40)
    assert twin(off(photos(), by=0.0)[:20] + photos()[20:], cat).sets[SET]["photos"] == 20
    assert twin(off(photos(), by=0.0)[:19] + photos()[19:], cat).sets == {}


def test_of_many_photos_some_are_compared_always_the_same(cat):
    digests = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(4000)]
    assert all(compared(digest, MOST_COMPARED) for digest in digests)
    chosen = [digest for digest in digests if compared(digest, len(digests))]
    assert 0.85 * MOST_COMPARED < len(chosen) < 1.15 * MOST_COMPARED


def test_a_twins_eyes_see_nearly_what_the_network_sees(cat, cat_image: Image.Image):
    tensor = to_tensor(cat_image, *cat.input_shape[:2])
    seen = eyes(cat)(tensor)
    expected = OnnxNetwork(cat).run(tensor, [LAST]).stages[LAST].mean(axis=(0, 1))
    assert (seen.shape, seen.dtype) == (expected.shape, np.float32)
    assert np.corrcoef(seen, expected)[0, 1] > 0.99
    assert 0.95 < seen.mean() / expected.mean() < 1.05


@pytest.fixture(scope="module")
def pets() -> Taught:
    """Three classes, and forty photos in which the network and its twin see nearly the same: their log odds differ by 0.1
    and their distances by 0.002, up in every other photo and down in the rest.

    So the margin is 0.6, and distances of 0.188 to 0.212 are near to the limit of 0.2. Two verdicts are close: in photo 37
    the log odds of the likeliest class are 1.35 and 1.25, less than 0.6 above those of the upper end of the band, 0.847; and
    in photo 38 the distance is 0.209 and 0.211. In photo 36 the twin's log odds are 1.45, and in 39 its distance is 0.213:
    that is far enough.
    """
    up = np.tile([1, -1], 20)
    odds = np.array([4.0] * 36 + [1.35, 1.35, 4.0, 4.0])
    distances = np.array([0.1] * 38 + [0.209, 0.215])
    likeliest = 1 / (1 + np.exp(-np.stack([odds, odds + 0.1 * up])))
    labels = np.arange(40) // 2 % 3
    probabilities = np.zeros((2, 40, 3))
    probabilities[:, np.arange(40), (labels + 2) % 3] = (1 - likeliest) * 1e-6
    probabilities[:, np.arange(40), (labels + 1) % 3] = (1 - likeliest) * (1 - 1e-6)
    probabilities[:, np.arange(40), labels] = likeliest
    taught = teach(CLASSES, photos(count=20))
    seen = tuple(replace(photo, label=int(label)) for photo, label in zip(taught.photos, labels, strict=True))
    return replace(
        taught,
        classes=("ann", "bob", "cy"),
        photos=seen,
        temperature=2.0,
        band=Band(0.0, 0.7, 1.0, 0.0),
        familiarity=replace(taught.familiarity, limit=0.2),
        compared=Compared(
            np.arange(40),
            np.zeros((40, 20), np.float16),
            2.0 * np.log(probabilities),
            np.stack([distances, distances + 0.002 * up]),
        ),
    )


AGREED = {
    "photos": 40,
    "right_float": 40,
    "right": 40,
    "changed": 0,
    "handed_over": 2,
    "right_alone": 40,
    "changed_alone": 0,
    "opposite_alone": 0,
}


def test_close_verdicts_are_those_near_the_limits_of_what_was_taught(pets, cat):
    made = compare(pets, cat)
    known = {"margin": 0.6, "times_as_fast": 2.06, "near": 0.06}
    assert made == Twin({**known, "sets": {SET: AGREED}}, {SET: AGREED})
    assert made.plain() == {"refused": None, "sets": {SET: AGREED}}
    assert said(made.plain()) == "Its twin in integers changes 0 verdicts of 40, and leaves 2 of these photos to it."


def test_photos_are_compared_with_what_they_show(pets, cat):
    """All but the first ten photos, in another order."""
    rows = np.random.default_rng(0).permutation(np.arange(10, 40))
    known = pets.compared
    some = Compared(rows, known.means[rows], known.scores[:, rows], known.distances[:, rows])
    sets = compare(replace(pets, compared=some), cat).sets
    assert sets == {SET: AGREED | dict.fromkeys(("photos", "right_float", "right", "right_alone"), 30)}


def handed_over(pets: Taught, count: int) -> Taught:
    """So many more photos, the first ones, look like two classes equally."""
    known = pets.compared
    scores = known.scores.copy()
    scores[:, :count, :2] = np.array([1e-3, -1e-3])
    scores[:, :count, 2] = -100
    seen = tuple(replace(photo, label=0) if row < count else photo for row, photo in enumerate(pets.photos))
    return replace(pets, photos=seen, compared=replace(known, scores=scores))


@pytest.mark.parametrize(
    ("times_as_fast", "most"),
    [
        (4.0, 20),  # 1 / 4 + 20 / 40 is 0.75, and at most 1 / 1.3, 0.769, is worth it
        (None, 10),  # 1 / 2 + 10 / 40 is as much
        (1.4, 2),  # 1 / 1.4 + 2 / 40 is 0.764
    ],
)
def test_a_twin_is_worth_it_where_it_saves_a_fourth_of_the_time(pets, cat, times_as_fast, most):
    start = replace(cat, int8=replace(cat.int8, times_as_fast=times_as_fast))
    made = compare(handed_over(pets, most - 2), start)
    assert made.contract["times_as_fast"] == times_as_fast
    assert made.sets[SET]["handed_over"] == most
    refused = compare(handed_over(pets, most - 1), start)
    assert refused.contract is None
    assert refused.sets[SET]["handed_over"] == most + 1
    assert refused.why == (f"of 40 photos, {most + 1} would be left to the network, so integers would save too little time")
    assert refused.plain() == {"refused": refused.why, "sets": refused.sets}
    assert said(refused.plain()) == f"It answers in float only: {refused.why}."


def test_what_is_exactly_worth_it_is(pets, cat):
    """A twin that is 1.3 times as fast and leaves nothing to the network."""
    known = pets.compared
    clear = Compared(np.arange(36), known.means[:36], known.scores[:, :36], known.distances[:, :36])
    made = compare(replace(pets, compared=clear), replace(cat, int8=replace(cat.int8, times_as_fast=1.3)))
    assert (made.why, made.sets[SET]["handed_over"]) == ("", 0)
