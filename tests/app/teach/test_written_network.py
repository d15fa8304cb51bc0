"""The folder of a network that was taught holds what was fitted, and says of it what is true."""

import errno
import hashlib
import io
import json
import os
import shutil
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from app.errors import NetworkError
from app.inference.networks.contract import Contract, load
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.networks.onnx import onnx_file
from app.schemas.own.teach import TaughtMetrics
from app.teach import folder
from app.teach.calibrate import softmax
from app.teach.photos import Seen, Skipped
from app.teach.teach import Taught, teach
from tests.conftest import ROOT

CLASSES = ("ann", "bob", "кот")
CHANNELS = 1280
BEHIND = ["evidence", "pooled", "scores", "probabilities"]


@pytest.fixture(scope="module")
def cat() -> Contract:
    return load(ROOT / "model" / "cat")


def seen(count: int) -> list[Seen]:
    """So many photos of three classes in turn, as `cat` and its twin might see them. Two of them look alike."""
    random = np.random.default_rng(0)
    usual = random.uniform(0, 2, (3, CHANNELS))
    made: list[Seen] = []
    for number in range(count):
        means = np.maximum(0, usual[number % 3] + random.normal(0, 0.3, (2, CHANNELS))).astype(np.float32)
        integers = None if number % 10 == 9 else means[0] + random.normal(0, 1e-3, CHANNELS).astype(np.float32)
        looks = random.random(256) > 0.5 if number != 3 else made[0].looks
        name = f"{CLASSES[number % 3]}/{number}.jpg"
        made.append(Seen(name, number % 3, hashlib.sha256(str(number).encode()).hexdigest(), looks, means, integers))
    return made


@pytest.fixture(scope="module")
def taught() -> Taught:
    """Of one photo of Ann Bob is said, as it shows him, and one file is no photo."""
    *others, last = seen(62)
    wrong = replace(last, name="ann/61.jpg", label=0)
    return teach(CLASSES, [Skipped("ann/notes.jpg", "It is no photo."), *others, wrong])


@pytest.fixture
def written(taught, cat, tmp_path) -> Path:
    folder.write(taught, cat, tmp_path / "mine")
    return tmp_path / "mine"


def said(written: Path, name: str) -> dict:
    return json.loads((written / f"{name}.json").read_text(encoding="utf-8"))


def judged(taught: Taught, head: np.ndarray) -> np.ndarray:
    """The probabilities of the classes for what a network saw, (height, width, channels)."""
    return softmax(taught.judges.scores(head.mean(axis=(0, 1))[None]) / taught.temperature)[0]


def test_the_network_computes_what_was_fitted_to_what_the_first_one_sees(written, taught, cat):
    image = np.random.default_rng(1).uniform(0, 255, (1, *cat.input_shape)).astype(np.float32)
    contract = load(written)
    mine = OnnxNetwork(contract).run(image, [stage.name for stage in contract.stages]).stages
    assert {name: values.shape for name, values in mine.items()} == {stage.name: stage.shape for stage in contract.stages}
    known = OnnxNetwork(cat).run(image, ["head"]).stages["head"]
    assert mine["head"] == pytest.approx(known, abs=1e-4)
    assert mine["evidence"].mean(axis=(0, 1)) == pytest.approx(mine["pooled"], abs=1e-4)
    assert mine["scores"] == pytest.approx(mine["pooled"] / taught.temperature, abs=1e-4)
    assert mine["probabilities"] == pytest.approx(judged(taught, known), abs=1e-4)


def test_its_twin_has_the_same_judges(written, taught):
    image = np.random.default_rng(1).integers(0, 255, (1, *load(written).input_shape)).astype(np.uint8)
    twin = onnxruntime.InferenceSession(written / "int8.onnx", providers=["CPUExecutionProvider"])
    probabilities, head = twin.run(["probabilities", "head"], {"image": image})
    assert probabilities[0] == pytest.approx(judged(taught, head[0].transpose(1, 2, 0)), abs=1e-4)


def test_without_a_twin_it_says_so_and_promises_none(taught, cat, tmp_path):
    folder.write(replace(taught, compared=None), cat, tmp_path / "mine")
    assert "int8" not in said(tmp_path / "mine", "contract")
    assert load(tmp_path / "mine").files.keys() == {"model.onnx", "photos.npz"}
    assert not (tmp_path / "mine" / "int8.onnx").exists()
    twin = said(tmp_path / "mine", "metrics")["cross_validation"]["int8"]
    assert twin == {"refused": "it was not kept what integers see in its photos", "sets": {}}


def test_its_stages_are_those_of_the_first_up_to_the_head_and_those_of_the_judges(written, cat):
    """`rivals`, `likeness` and `doubt` belong to the judges of `cat`, and so does the layer inside them."""
    contract = load(written)
    last = cat.stages.index(cat.stage("head"))
    assert contract.stages[:-4] == cat.stages[: last + 1]
    assert contract.inner == tuple(layer for layer in cat.inner if layer.name != "rivals_scores")
    assert said(written, "contract")["stages"][-4:] == [
        {
            "name": "evidence",
            "kind": "convolution",
            "shape": [12, 12, 3],
            "inputs": ["head"],
            "parameters": 3 * 1280 + 3,
            "kernel": [1, 1],
            "stride": [1, 1],
            "padding": "valid",
        },
        {
            "name": "pooled",
            "kind": "pooling",
            "shape": [3],
            "inputs": ["evidence"],
            "parameters": 0,
            "operation": "average",
        },
        {"name": "scores", "kind": "dense", "shape": [3], "inputs": ["pooled"], "parameters": 3 * 3 + 3},
        {"name": "probabilities", "kind": "probabilities", "shape": [3], "inputs": ["scores"], "parameters": 0},
    ]


def test_its_parameters_are_the_numbers_in_its_file(written):
    weights = onnx_file.read((written / "model.onnx").read_bytes())
    trained = sum(values.size for name, values in weights.items() if name.endswith(("/kernel", "/bias")))
    assert load(written).parameters == trained


def test_its_contract_says_what_it_is_and_what_it_began_from(written, taught, cat):
    contract, first = said(written, "contract"), said(cat.folder, "contract")
    assert (contract["network"], contract["architecture"], contract["version"]) == ("mine", "cat", "1.0.0")
    assert contract["classes"] == ["ann", "bob", "кот"]
    assert (contract["input"], contract["axes"]) == (first["input"], first["axes"])
    assert contract["unsure"] == {"low": taught.band.low, "high": taught.band.high}
    assert load(written).familiarity == taught.familiarity
    assert contract["started_from"] == {"network": "cat", "version": "2.0.0", "sha256": cat.files["model.onnx"]}
    sets = contract["int8"].pop("sets")
    assert contract["int8"] == asdict(load(written).int8)
    assert sets == said(written, "metrics")["cross_validation"]["int8"]["sets"]


def test_its_files_are_named_with_their_digests(written):
    contract = load(written)
    assert set(contract.files) == {"model.onnx", "int8.onnx", "photos.npz"}
    for name in contract.files:
        assert contract.verified(name) == written / name
    assert sorted(path.name for path in written.iterdir()) == sorted(
        [*contract.files, "contract.json", "metrics.json", "history.json"]
    )


def test_its_metrics_are_the_figures_of_cross_validation(written, taught):
    metrics = said(written, "metrics")
    figures = metrics.pop("cross_validation")
    assert metrics == {
        "network": "mine",
        "version": "1.0.0",
        "sha256": hashlib.sha256((written / "model.onnx").read_bytes()).hexdigest(),
        "sets": {},
    }
    TaughtMetrics.model_validate(figures)
    assert figures["accuracy"]["value"] == pytest.approx(61 / 62, abs=1e-4)
    assert figures["recall"].keys() == set(CLASSES)
    assert figures["recall"]["ann"]["value"] == pytest.approx(21 / 22, abs=1e-4)
    assert (figures["photos"], figures["alike"], figures["folds"]) == (62, 1, 5)
    assert figures["confusion"] == [[21, 1, 0], [0, 20, 0], [0, 0, 20]]
    [mistake] = figures["mistakes"]
    assert mistake.pop("probability") > 0.5
    assert mistake == {"name": "ann/61.jpg", "shows": "ann", "said": "bob"}
    assert figures["decided_accuracy"] == taught.band.decided_accuracy
    assert figures["unsure"] == taught.band.unsure
    assert figures["unfamiliar"] == {
        "own": asdict(taught.unfamiliar),
        "limit": pytest.approx(taught.familiarity.limit, abs=5e-5),
    }
    assert figures["unfamiliar"]["limit"] == round(figures["unfamiliar"]["limit"], 4)
    assert figures["int8"]["refused"] is None
    assert figures["warnings"] == list(taught.warnings) != []


def test_its_history_says_how_it_came_to_be(written, taught, cat):
    digests = sorted(hashlib.sha256(str(number).encode()).hexdigest() for number in range(62))
    assert said(written, "history") == {
        "version": "1.0.0",
        "network": "cat",
        "classes": ["ann", "bob", "кот"],
        "started_from": {"network": "cat", "version": "2.0.0", "sha256": cat.files["model.onnx"]},
        "penalty": taught.penalty,
        "photos": {"ann": 22, "bob": 20, "кот": 20, "skipped": 1},
        "photos_sha256": hashlib.sha256("".join(digests).encode()).hexdigest(),
        "calibration": {"temperature": round(taught.temperature, 4), "count": 62, "band": asdict(taught.band)},
        "validation": {
            "how": "5-fold cross-validation",
            "photos": 62,
            "accuracy": taught.accuracy.value,
            "low": taught.accuracy.low,
            "high": taught.accuracy.high,
        },
        "epochs": [],
    }


def test_its_judges_can_be_fitted_again_from_what_was_seen_in_the_photos(written, taught):
    with np.load(written / "photos.npz") as seen:
        kept = dict(seen)
    order = sorted(range(62), key=lambda number: hashlib.sha256(str(number).encode()).hexdigest())
    assert [photo.decode() for photo in kept["sha256"]] == [photo.sha256 for photo in taught.photos]
    assert kept["labels"].dtype == np.int64
    assert kept["labels"].tolist() == [0 if number == 61 else number % 3 for number in order]
    looks = np.unpackbits(kept["looks"], axis=1).astype(bool)
    again = [
        Seen(str(row), int(kept["labels"][row]), taught.photos[row].sha256, looks[row], kept["means"][row])
        for row in range(62)
    ]
    found = teach(CLASSES, again)
    assert np.array_equal(found.judges.kernel, taught.judges.kernel)
    assert found.alike == taught.alike
    assert np.array_equal(kept["scores"], taught.unseen)
    assert kept["rows"].tolist() == [row for row, number in enumerate(order) if number % 10 != 9]
    assert np.array_equal(kept["integers"], taught.compared.means)


def test_photos_that_integers_did_not_see_are_kept_without_them(taught):
    with np.load(io.BytesIO(folder.seen_in(replace(taught, compared=None)))) as seen:
        assert set(seen) == {"means", "labels", "sha256", "looks", "scores"}


def test_what_is_kept_of_the_photos_does_not_say_when(written):
    with zipfile.ZipFile(written / "photos.npz") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_others_may_read_it_and_names_stand_in_it_as_they_are_written(written):
    assert written.stat().st_mode & 0o777 == 0o755
    for name in ("contract", "metrics", "history"):
        text = (written / f"{name}.json").read_bytes().decode()
        assert "кот" in text
        assert text.startswith('{\n "')
        assert text.endswith("}\n")


@pytest.mark.parametrize("within", ["job", None])
def test_until_it_is_whole_it_lies_in_a_hidden_folder(taught, cat, tmp_path, monkeypatch, within):
    """What app.teach.jobs takes away where the process has ended."""
    (tmp_path / "job").mkdir()
    moves, original = [], os.rename

    def rename(part: Path, into: Path) -> None:
        moves.append((part, {path.name for path in part.iterdir()}, into.exists()))
        original(part, into)

    monkeypatch.setattr(os, "rename", rename)
    into = tmp_path / "networks" / "taught here" / "mine"
    folder.write(taught, cat, into, within and tmp_path / within)
    [(part, names, there)] = moves
    assert part.parent == (tmp_path / within if within else into.parent)
    assert part.match(".teaching-*")
    assert names == {path.name for path in into.iterdir()}
    assert not there
    assert not part.exists()


def test_a_name_that_is_taken_is_refused_before_anything_is_done(tmp_path, taught, cat):
    (tmp_path / "mine").write_text("something")
    with pytest.raises(NetworkError) as refused:
        folder.write(taught, replace(cat, files={}), tmp_path / "mine")
    assert str(refused.value) == f"{tmp_path / 'mine'} holds something already; choose another name, or delete it first"


def test_a_part_that_was_taken_away_meanwhile_does_not_hide_why_it_failed(tmp_path, monkeypatch):
    def full(path: Path, data: bytes) -> None:
        shutil.rmtree(path.parent)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(NetworkError, match="mine cannot be written: No space left on device"):
        folder.put(tmp_path / "mine", {}, {"model.onnx": b"model"}, {}, tmp_path, ".part-")


@pytest.mark.parametrize("missing", ["head", *BEHIND])
def test_without_one_of_these_stages_nothing_can_be_taught_to_a_network(cat, missing):
    needed = [cat.stage(name) for name in ("head", *BEHIND)]
    folder.check_start(replace(cat, stages=tuple(needed)))
    with pytest.raises(NetworkError) as refused:
        folder.check_start(replace(cat, network="mine", stages=tuple(stage for stage in needed if stage.name != missing)))
    assert str(refused.value) == "teaching starts from the network cat; mine has no stages head and evidence"
