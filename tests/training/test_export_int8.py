"""`training.export --int8`: what it writes, what it refuses, and that it then leaves the folder as it was."""

import json
import shutil
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from app.inference.decode import MAX_PIXELS
from app.inference.networks import contract
from app.inference.networks.contract import INT8_FILE
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.predict import PredictOptions, predict
from app.teach import agreement
from app.teach.folder import write
from app.teach.photos import File, look
from app.teach.teach import teach
from tests.conftest import ROOT, sha256
from tests.training.conftest import contents
from training import export as module
from training.errors import TrainingError, run
from training.tasks import integers


@pytest.fixture
def copy(model_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_dir / "tutorial", tmp_path / "tutorial"))


def test_the_contract_names_the_twin_and_how_it_was_compared(twin_dir, photo_folder):
    plain = json.loads((twin_dir / "tutorial" / "contract.json").read_text())
    assert plain["files"][INT8_FILE] == sha256((twin_dir / "tutorial" / INT8_FILE).read_bytes())
    known = plain["int8"]
    assert known["sets"]["crops"]["photos"] == len(list(photo_folder.glob("*/*")))
    assert known["sets"]["crops"]["right"] >= known["sets"]["crops"]["right_float"]
    assert 0 < known["calibrated_on"] < known["sets"]["crops"]["photos"]
    assert known["margin"] >= agreement.LEAST_MARGIN


def test_only_training_photos_set_the_ranges_and_the_others_are_compared_on(copy, photo_folder):
    known = integers.export(copy, photo_folder, {})["int8"]
    photos = len(list(photo_folder.glob("*/*")))
    assert list(known["sets"]) == [integers.HELD_OUT]
    assert known["calibrated_on"] + known["sets"][integers.HELD_OUT]["photos"] == photos


def test_the_same_photos_give_the_same_file(copy, twin_dir, photo_folder):
    integers.export(copy, photo_folder, {"crops": photo_folder})
    assert (copy / INT8_FILE).read_bytes() == (twin_dir / "tutorial" / INT8_FILE).read_bytes()


def test_a_twin_that_loses_an_answer_is_refused_and_the_one_before_stays(copy, photo_folder, monkeypatch):
    integers.export(copy, photo_folder, {})
    before = contents(copy)
    monkeypatch.setattr(contract.Contract, "settled", lambda *_: True)  # nothing is handed over
    monkeypatch.setattr(integers, "recipe", lambda *_: None)
    faithful = integers.twin

    def spoiled(model, seen, recipe, familiar):  # type: ignore[no-untyped-def]
        narrow = {
            name: type(one)(0.0, 1e-3, one.mean, np.clip(one.sample, 0, 1e-3), one.positions) for name, one in seen.items()
        }
        return faithful(model, narrow, stages=familiar)

    monkeypatch.setattr(integers, "twin", spoiled)
    with pytest.raises(TrainingError, match=r"nothing was written"):
        integers.export(copy, photo_folder, {"crops": photo_folder})
    assert contents(copy) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "crops=photos"], "--set goes with --int8"),
        (["--int8", "--set", "crops"], "must look like"),
        (["--int8", "--set", "crops=nowhere"], "nowhere is not a folder"),
    ],
)
def test_what_does_not_fit_is_one_line(copy, photo_folder, arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["export", str(copy), "--data", str(photo_folder), *arguments])
    before = contents(copy)
    with pytest.raises(SystemExit) as end:
        run(module.main)
    assert end.value.code
    assert message in str(end.value.code) + capsys.readouterr().err
    assert contents(copy) == before


def test_a_file_or_a_folder_without_a_network_is_refused(tmp_path, photo_folder):
    with pytest.raises(TrainingError, match=r"contract\.json cannot be read"):
        integers.export(tmp_path, photo_folder, {})


def test_a_set_of_which_nothing_can_be_read_is_named(copy, photo_folder, tmp_path):
    (tmp_path / "empty" / "cat").mkdir(parents=True)
    (tmp_path / "empty" / "cat" / "no photo.jpg").write_text("no photo")
    with pytest.raises(TrainingError, match="no photo of the set broken can be read"):
        integers.export(copy, photo_folder, {"broken": tmp_path / "empty"})


def test_a_network_that_was_taught_gets_one_that_knows_what_is_unfamiliar(tmp_path, photo_folder, cat_photo):
    start = OnnxNetwork(contract.load(ROOT / "model" / "cat"))
    classes = {
        name: [File(path.name, partial(Path.read_bytes, path)) for path in sorted((photo_folder / name).iterdir())[:5]]
        for name in ("cat", "not_cat")
    }
    folder = tmp_path / "mine"
    write(teach(tuple(classes), list(look(classes, start, MAX_PIXELS, threads=2))), start.contract, folder)
    integers.export(folder, photo_folder, {})
    network = OnnxNetwork(contract.load(folder), "int8")
    own, twin = (predict(cat_photo, network, PredictOptions("none", precision=one)) for one in ("float32", "int8"))
    assert (own.precision, twin.precision) == ("float32", "int8")
    assert twin.probabilities == pytest.approx(own.probabilities, abs=0.1)
    assert twin.distance == pytest.approx(own.distance, abs=0.05)
