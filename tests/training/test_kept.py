"""The network as it was after each epoch: kept on request, resumed, calibrated as the shipped one, exported."""

import hashlib
import json
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import keras
import numpy as np
import pytest

from app.inference.networks.contract import EPOCHS_FILE, load
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from tests.training.conftest import RECIPE
from tests.training.runs import history, learned, outcome, stop_after
from training.errors import TrainingError
from training.fitting.kept import row, set_row
from training.networks import build
from training.tasks.export import export
from training.tasks.train import train

EPOCHS = 2
KEEPING = replace(RECIPE, epochs=EPOCHS)


@pytest.fixture(scope="module")
def kept(photos, tmp_path_factory) -> Path:
    """The folder of a run that kept its epochs."""
    out = tmp_path_factory.mktemp("kept") / "tutorial"
    train(KEEPING, photos, out, keep_epochs=True)
    return out


@pytest.fixture(scope="module")
def exported(kept, photos, tmp_path_factory) -> Path:
    folder = Path(shutil.copytree(kept, tmp_path_factory.mktemp("exported") / "tutorial"))
    export(folder, photos, count=2)
    return folder


@pytest.fixture
def rows(kept) -> np.ndarray:
    return np.load(kept / EPOCHS_FILE)


def test_there_is_a_row_for_the_start_and_for_each_epoch_with_every_weight_in_two_bytes(rows, kept):
    parameters = keras.saving.load_model(kept / "model.keras").count_params()
    assert rows.shape == (EPOCHS + 1, parameters)
    assert rows.dtype == np.float16


def test_the_row_of_the_shipped_epoch_is_the_shipped_network_temperature_included(rows, kept):
    shipped = row(keras.saving.load_model(kept / "model.keras"))
    np.testing.assert_allclose(rows[history(kept)["shipped_epoch"]], shipped, rtol=2e-3, atol=1e-6)


def test_each_epoch_changed_the_weights(rows):
    kernels = rows[:, : 27 * 16].astype(np.float32)  # the first layer's filters
    assert all((np.abs(after - before) > 1e-6).any() for before, after in pairwise(kernels))


def test_the_start_is_random_kernels_and_biases_of_zero(rows, kept):
    network = build("tutorial")
    set_row(network, rows[0])
    for layer in network.layers:
        for weight in layer.weights:
            values = np.asarray(weight)
            if weight.name == "bias":
                assert not values.any()
            else:
                assert abs(values.mean()) < 0.2 * values.std()


def test_the_history_says_how_good_the_start_was_and_each_epochs_learning_rate(kept):
    known = history(kept)
    assert known["start"]["validation_loss"] > 0
    assert 0 <= known["start"]["validation_accuracy"] <= 1
    first, second = (epoch["learning_rate"] for epoch in known["epochs"])
    assert first == pytest.approx(KEEPING.learning_rate)  # so few batches have no warm-up
    assert 0 < second < first


def test_a_run_that_keeps_nothing_learns_the_same_and_leaves_no_file(photos, kept, tmp_path):
    train(KEEPING, photos, tmp_path / "plain")
    assert not (tmp_path / "plain" / EPOCHS_FILE).exists()
    assert learned(tmp_path / "plain") == learned(kept)


def test_a_run_that_was_stopped_and_resumed_keeps_every_epoch_as_one_that_was_not(monkeypatch, photos, rows, tmp_path):
    out = tmp_path / "tutorial"
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            train(KEEPING, photos, out, keep_epochs=True)
    train(KEEPING, photos, out, resume=True, keep_epochs=True)
    np.testing.assert_array_equal(np.load(out / EPOCHS_FILE), rows)
    assert "start" in history(out)


def test_resuming_cannot_begin_to_keep(monkeypatch, photos, tmp_path):
    out = tmp_path / "tutorial"
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            train(KEEPING, photos, out)
    with pytest.raises(TrainingError, match="did not keep epoch 0; resume it without --keep-epochs"):
        train(KEEPING, photos, out, resume=True, keep_epochs=True)


def test_training_anew_without_keeping_deletes_the_epochs_of_the_network_before(photos, kept, tmp_path):
    out = Path(shutil.copytree(kept, tmp_path / "tutorial"))
    train(replace(KEEPING, epochs=1), photos, out)
    assert not (out / EPOCHS_FILE).exists()


def test_a_network_that_does_not_begin_at_random_is_refused_before_anything_is_read(monkeypatch, capsys, tmp_path):
    command = ["--network", "cat", "--data", str(tmp_path), "--out", str(tmp_path / "out"), "--keep-epochs"]
    code, error = outcome(monkeypatch, capsys, *command)
    assert code == 1
    assert "--keep-epochs is for networks that begin at random" in error


def test_the_contract_lists_the_epochs_and_names_the_file(exported):
    contract = json.loads((exported / "contract.json").read_text())
    known = history(exported)
    assert [epoch["epoch"] for epoch in contract["epochs"]] == list(range(EPOCHS + 1))
    assert contract["epochs"][0]["accuracy"] == known["start"]["validation_accuracy"]
    assert contract["epochs"][1]["loss"] == known["epochs"][0]["validation_loss"]
    assert contract["shipped_epoch"] == known["shipped_epoch"]
    assert contract["files"][EPOCHS_FILE] == hashlib.sha256((exported / EPOCHS_FILE).read_bytes()).hexdigest()


@pytest.mark.parametrize("epoch", range(EPOCHS + 1))
def test_every_epoch_answers_as_keras_does_with_its_weights(exported, rows, epoch):
    tensor = np.random.default_rng(5).uniform(0, 255, (1, 100, 100, 3)).astype(np.float32)
    network = OnnxNetwork(load(exported)).at_epoch(epoch)
    passed = network.run(tensor, ["block1_conv", "scores"])
    keras_network = build("tutorial")
    set_row(keras_network, rows[epoch])
    tapped = keras.Model(keras_network.input, [keras_network.get_layer(name).output for name in passed.stages])
    for values, expected in zip(passed.stages.values(), tapped(tensor), strict=True):
        expected = np.asarray(expected)[0]
        within = (
            2e-3 if epoch == network.contract.shipped_epoch else 1e-4
        )  # the shipped one has more than two bytes a weight
        np.testing.assert_allclose(values, expected, rtol=0, atol=within * max(1, np.abs(expected).max()))


def test_the_epochs_of_another_network_are_refused(exported, rows, photos, tmp_path):
    folder = Path(shutil.copytree(exported, tmp_path / "tutorial"))
    np.save(folder / EPOCHS_FILE, rows[::-1])
    with pytest.raises(TrainingError, match="is of another network"):
        export(folder, photos, count=2)
