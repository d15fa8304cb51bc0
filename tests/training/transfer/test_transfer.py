"""From photos of three classes to an exported network that starts from the shipped convolutions."""

import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import skimage.data
from PIL import Image
from scipy.special import softmax

from app.inference.networks.contract import load
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.predict import PredictOptions, predict
from tests.training.runs import history
from training import train as module
from training.config import CAT
from training.data import dataset
from training.errors import TrainingError, run
from training.networks import cat
from training.tasks.export import export
from training.transfer import transfer as transfer_module
from training.transfer.judges import fit
from training.transfer.transfer import SHIPPED, SIDE, features, fill, start, transfer

CLASSES = ("astronaut", "chelsea", "coffee")


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Eight crops of each of three pictures."""
    folder = tmp_path_factory.mktemp("transfer") / "photos"
    random = np.random.default_rng(3)
    for name in CLASSES:
        image = Image.open(Path(skimage.data.__file__).parent / f"{name}.png").convert("RGB")
        (folder / name).mkdir(parents=True)
        for number in range(8):
            x, y = random.integers(0, image.width - 200), random.integers(0, image.height - 200)
            image.crop((x, y, x + 200, y + 200)).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def transferred(photos, tmp_path_factory) -> Path:
    """The folder of the network, exported."""
    out = tmp_path_factory.mktemp("transferred") / "pictures"
    arguments = ["--network", "cat", "--data", str(photos), "--out", str(out), "--classes", *CLASSES, "--version", "1.2.0"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train", *arguments])
        module.main()
    export(out, photos, 3)
    return out


def test_the_convolutions_are_the_shipped_ones(transferred):
    ours, shipped = (keras.saving.load_model(file, compile=False) for file in (transferred / "model.keras", SHIPPED))
    for layer in ours.layers:
        if layer.get_weights() and layer.name not in ("evidence", "scores"):
            pairs = zip(layer.get_weights(), shipped.get_layer(layer.name).get_weights(), strict=True)
            assert all(np.array_equal(a, b) for a, b in pairs)


def test_it_recognises_the_pictures(transferred, photos):
    network = OnnxNetwork(load(transferred))
    for name in CLASSES:
        assert predict((photos / name / "7.png").read_bytes(), network, PredictOptions("none")).label in (name, "unsure")


def test_its_contract_has_the_classes_and_the_version(transferred):
    contract = load(transferred)
    assert (contract.classes, contract.version) == (CLASSES, "1.2.0")


def test_it_has_a_judge_for_each_class_at_each_place(transferred):
    shapes = {stage.name: stage.shape for stage in load(transferred).stages}
    assert (shapes["evidence"], shapes["pooled"], shapes["scores"]) == ((7, 7, 3), (3,), (3,))


def test_the_heatmap_is_there(transferred, photos):
    options = PredictOptions("none", heatmap=True)
    answer = predict((photos / "chelsea" / "0.png").read_bytes(), OnnxNetwork(load(transferred)), options)
    assert answer.heatmap is not None


def test_the_history_tells_how_it_was_validated(transferred):
    known = history(transferred)["validation"]
    assert known["how"] == "5-fold cross-validation"
    assert known["photos"] == 24
    assert known["guess"] < known["low"] <= known["accuracy"] <= known["high"]


def test_few_photos_leave_it_unsure_below_a_probability(transferred):
    assert load(transferred).unsure == (0.0, 0.6)


def test_the_network_scores_as_its_judges_do(photos):
    splits, _, _ = dataset.load(photos, SIDE, 1.0, CLASSES)
    network, split = start(3), splits["train"]
    seen = features(network, split.pixels)
    fitted = fit(seen, split.labels, 3, 0.05)
    fill(network, fitted, 2.0)
    answers = np.asarray(network(split.pixels.astype(np.float32), training=False))
    assert answers == pytest.approx(softmax(fitted.scores(seen) / 2, axis=1), abs=5e-3)


def test_more_photos_are_split_instead(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer_module, "FEW", 10)
    known = transfer(replace(CAT, classes=CLASSES), photos, tmp_path / "out")["validation"]
    assert (known["how"], known["photos"]) == ("validation split", 3)


def test_two_classes_have_two_judges():
    assert cat.build(side=64, judges=2).get_layer("evidence").output.shape[1:] == (2, 2, 2)


def test_without_judges_the_network_is_the_shipped_one():
    assert cat.build(side=64).get_layer("evidence").output.shape[1:] == (2, 2, 1)


def test_a_missing_shipped_network_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(transfer_module, "SHIPPED", tmp_path / "model.keras")
    with pytest.raises(TrainingError, match="is missing"):
        start(3)


@pytest.mark.parametrize("option", [("--epochs", "3"), ("--learning-rate", "0.1")], ids=" ".join)
def test_settings_that_mean_nothing_here_are_refused(monkeypatch, capsys, option):
    arguments = ["--network", "cat", "--data", "nowhere", "--out", "nothing", "--classes", "a", "b", *option]
    monkeypatch.setattr(sys, "argv", ["train", *arguments])
    with pytest.raises(SystemExit) as stop:
        run(module.main)
    assert f"{option[0]} means nothing" in str(stop.value.code)
