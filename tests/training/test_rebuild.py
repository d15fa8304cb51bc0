"""Keras gets the network that the service taught, and answers as it does."""

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from app.inference.decode import MAX_PIXELS, decode
from app.inference.networks import contract
from app.inference.networks.engines.keras_engine import KerasNetwork
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.tensor import to_tensor
from app.teach.folder import write
from app.teach.photos import File, look
from app.teach.teach import teach
from tests.conftest import CHELSEA, ROOT, sha256
from tests.training.conftest import contents
from training.errors import TrainingError
from training.tasks.rebuild import rebuild


@pytest.fixture(scope="module")
def taught(tmp_path_factory, photo_folder) -> Path:
    """The folder of a network that was taught from five photos of each class."""
    start = OnnxNetwork(contract.load(ROOT / "model" / "cat"))
    classes = {
        name: [File(path.name, partial(Path.read_bytes, path)) for path in sorted((photo_folder / name).iterdir())[:5]]
        for name in ("cat", "not_cat")
    }
    folder = tmp_path_factory.mktemp("rebuild") / "mine"
    write(teach(tuple(classes), list(look(classes, start, MAX_PIXELS, threads=2))), start.contract, folder)
    return folder


@pytest.fixture(scope="module")
def rebuilt(taught, photo_folder) -> Path:
    rebuild(taught, photo_folder, count=3)
    return taught


def test_keras_answers_as_the_network_that_was_taught_at_every_stage(rebuilt):
    known = contract.load(rebuilt)
    tensor = to_tensor(decode(CHELSEA.read_bytes()).image, *known.input_shape[:2])
    names = [stage.name for stage in known.stages]
    ours, theirs = OnnxNetwork(known).run(tensor, names), KerasNetwork(known).run(tensor, names)
    assert theirs.probabilities == pytest.approx(ours.probabilities, abs=1e-4)
    assert theirs.distance == pytest.approx(ours.distance, abs=1e-4)
    assert known.familiarity
    assert 0 < ours.distance < 1
    for name in names:
        scale = max(1.0, np.abs(ours.stages[name]).max())
        assert np.abs(theirs.stages[name] - ours.stages[name]).max() / scale <= 1e-4, name


def test_the_contract_names_the_file_and_how_far_both_agree(rebuilt):
    plain = json.loads((rebuilt / "contract.json").read_text())
    assert plain["files"]["model.keras"] == sha256((rebuilt / "model.keras").read_bytes())
    assert plain["files"]["model.onnx"] == sha256((rebuilt / "model.onnx").read_bytes())
    assert plain["parity"]["photos"] == 3
    assert plain["parity"]["largest_difference"] <= plain["parity"]["tolerance"] == 1e-4


def test_one_that_keras_would_answer_differently_is_refused_and_nothing_is_written(
    taught, photo_folder, tmp_path, monkeypatch
):
    folder = tmp_path / "mine"
    shutil.copytree(taught, folder, ignore=shutil.ignore_patterns("*.keras"))
    before = contents(folder)
    read = rebuild.__globals__["onnx_file"].read

    def other(model: bytes) -> dict[str, np.ndarray]:
        weights = read(model)
        return weights | {"evidence/kernel": weights["evidence/kernel"] * 1.01}

    monkeypatch.setattr("training.tasks.rebuild.onnx_file.read", other)
    with pytest.raises(TrainingError, match=r"at stage (evidence|pooled|scores); nothing was written"):
        rebuild(folder, photo_folder, count=1)
    assert contents(folder) == before


def test_a_network_that_was_not_taught_is_refused(photo_folder):
    with pytest.raises(TrainingError, match="was not taught by the service"):
        rebuild(ROOT / "model" / "tutorial", photo_folder, count=1)
