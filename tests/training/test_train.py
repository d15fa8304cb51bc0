"""Training runs on small photos: what they leave behind, repeated runs, the command line."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import keras
import numpy as np
import pytest
import skimage.data
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from app.inference.networks.contract import load
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.predict import PredictOptions, predict
from tests.training.conftest import COUNTS, RECIPE, UNEVEN
from tests.training.runs import FAST, LEARNED, ROOT, history, outcome, same
from training import train as module
from training.config import CLASSES, DENSE, RECIPES
from training.errors import run
from training.fitting.fit import averaged, blend, compile_for, predict_scores
from training.fitting.views import class_weights
from training.networks import build
from training.tasks.export import export
from training.tasks.train import train

# What a run leaves behind


def test_a_finished_run_leaves_the_network_its_history_its_curves_and_its_logs(trained):
    assert {path.name for path in trained.iterdir()} == {"model.keras", "history.json", "learning_curves.png", "logs"}


def test_the_network_is_the_plain_one(trained):
    model = keras.saving.load_model(trained / "model.keras", compile=False)
    assert [layer.get_config() for layer in model.layers] == [layer.get_config() for layer in build("tutorial").layers]


def test_the_network_answers_with_probabilities(trained):
    model = keras.saving.load_model(trained / "model.keras", compile=False)
    answers = predict_scores(model, np.random.default_rng(0).integers(0, 256, (5, 100, 100, 3), dtype=np.uint8))
    assert answers.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_the_history_has_every_epoch(trained):
    assert [epoch["epoch"] for epoch in history(trained)["epochs"]] == [1, 2, 3]


def test_every_epoch_has_finite_losses_and_an_accuracy(trained):
    for epoch in history(trained)["epochs"]:
        assert np.isfinite([epoch["loss"], epoch["validation_loss"]]).all()
        assert 0 <= epoch["validation_accuracy"] <= 1


def test_the_history_holds_the_whole_recipe(trained):
    assert history(trained)["recipe"] == json.loads(json.dumps(asdict(RECIPE)))


def test_the_history_counts_the_photos_of_each_split(trained):
    expected = {split: {"cat": count, "not_cat": count} for split, count in COUNTS.items()}
    expected["train"]["cat"] += UNEVEN
    assert history(trained)["photos"] == expected | {"skipped": 0}


def test_the_best_epoch_is_the_one_with_the_lowest_validation_loss(trained):
    losses = [epoch["validation_loss"] for epoch in history(trained)["epochs"]]
    assert history(trained)["best_epoch"] == losses.index(min(losses)) + 1


def test_the_band_was_chosen_on_the_calibration_photos(trained):
    calibration = history(trained)["calibration"]
    assert calibration["count"] == 2 * COUNTS["calibration"]
    assert 0 < calibration["band"]["low"] <= 0.5 <= calibration["band"]["high"] < 1


def test_the_learning_curves_are_a_png(trained):
    with Image.open(trained / "learning_curves.png") as picture:
        picture.load()
        assert (picture.format, picture.width > 500) == ("PNG", True)


def test_tensorboard_reads_every_epoch_from_the_logs(trained):
    logs = EventAccumulator(str(trained / "logs"))
    logs.Reload()
    tensors = {name: [logs.Tensors(name)] for name in logs.Tags()["tensors"]}
    assert {"loss", "validation_loss", "validation_accuracy"} <= set(tensors)
    assert [event.step for event in tensors["validation_loss"][0]] == [1, 2, 3]


def test_training_lowers_the_loss_on_photos_that_it_sees_again(photos, tmp_path):
    history = train(replace(RECIPE, epochs=6, patience=6), photos, tmp_path / "out")
    assert history["epochs"][-1]["loss"] < 0.8 * history["epochs"][0]["loss"]


# Repeating


def test_the_same_seed_gives_the_same_weights_bit_for_bit(photos, tmp_path):
    for name in ("one", "two"):
        train(FAST, photos, tmp_path / name)
    assert same(tmp_path / "one", tmp_path / "two")


def test_another_seed_gives_other_weights(photos, tmp_path):
    for name, seed in (("one", 1), ("two", 2)):
        train(replace(FAST, seed=seed), photos, tmp_path / name)
    assert not same(tmp_path / "one", tmp_path / "two")


# What goes into a step


@pytest.mark.parametrize("labels", [[0, 1], [0] * 9 + [1], [1] * 30 + [0] * 2])
def test_class_weights_let_all_classes_count_equally(labels):
    labels = np.array(labels)
    weights = class_weights(labels)[labels]
    assert weights[labels == 0].sum() == pytest.approx(weights[labels == 1].sum())


def test_class_weights_are_one_on_average():
    labels = np.array([0] * 9 + [1])
    assert class_weights(labels)[labels].mean() == pytest.approx(1)


def test_the_rarer_class_weighs_more_by_as_much_as_it_is_rarer():
    heavy = class_weights(np.array([0] * 30 + [1] * 10))
    assert heavy.tolist() == pytest.approx([40 / 60, 40 / 20])


def test_the_learning_rate_warms_up_and_then_falls_to_nothing():
    network = build("dense", training=True)
    compile_for(network, replace(FAST, epochs=10, learning_rate=0.01, warmup=0.1), batches=10)
    rate = network.optimizer._learning_rate
    rates = [float(rate(step)) for step in (0, 10, 55, 100)]
    assert rates == pytest.approx([0.0005, 0.01, 0.005, 0], abs=1e-6)


def test_predicting_in_batches_omits_no_photo():
    pixels = np.random.default_rng(0).integers(0, 256, (7, 100, 100, 3), dtype=np.uint8)
    network = build("dense")
    whole, parts = predict_scores(network, pixels), predict_scores(network, pixels, batch_size=3)
    assert parts == pytest.approx(whole, rel=1e-5, abs=1e-4)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_names_its_own_network(name):
    assert RECIPES[name].network == build(name).name == name


def test_the_networks_answer_in_the_order_of_the_classes():
    assert CLASSES == ("cat", "not_cat")


# The command line


GOOD = ("--network", "dense", "--data", "nowhere", "--out", "nothing")


def test_a_missing_folder_is_reported_in_one_line_on_stderr_and_fails(tmp_path):
    """The whole command, so that no library adds a line of its own."""
    args = [sys.executable, "-m", "training.train", "--network", "dense", "--data", "nowhere", "--out", str(tmp_path)]
    result = subprocess.run(args, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"PYTHONWARNINGS": "default"})
    assert result.returncode == 1
    assert result.stderr == "error: nowhere is not a folder; it should hold the folders cat and not_cat\n"


def test_a_missing_folder_leaves_nothing_behind(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    outcome(monkeypatch, capsys, *GOOD)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "option",
    [("--epochs", "0"), ("--epochs", "-3"), ("--batch-size", "0"), ("--patience", "0"), ("--learning-rate", "0")],
    ids=" ".join,
)
def test_a_number_that_must_be_above_zero_is_reported_in_one_line_and_fails(monkeypatch, capsys, option):
    code, error = outcome(monkeypatch, capsys, *GOOD, *option)
    assert (code, error.count("\n")) == (1, 1)
    assert "must be above zero" in error


def test_a_learning_rate_that_is_not_a_number_is_refused(monkeypatch, capsys):
    _, error = outcome(monkeypatch, capsys, *GOOD, "--learning-rate", "nan")
    assert "learning rate" in error


def test_a_negative_seed_is_reported_in_one_line_and_fails(monkeypatch, capsys):
    code, error = outcome(monkeypatch, capsys, *GOOD, "--seed", "-1")
    assert (code, error.count("\n")) == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--network", "mobilenet", *GOOD[2:]), "mobilenet"),
        ((*GOOD, "--epoch-count", "3"), "--epoch-count"),
        ((*GOOD, "--epochs", "many"), "many"),
        (GOOD[:4], "--out"),
    ],
    ids=["unknown network", "unknown option", "no number", "no folder to write to"],
)
def test_a_mistyped_command_names_the_mistake_on_one_line_and_fails(monkeypatch, capsys, arguments, named):
    code, error = outcome(monkeypatch, capsys, *arguments)
    assert (code, error.count("\n")) == (2, 1)
    assert named in error


def test_an_unknown_network_is_answered_with_the_known_ones(monkeypatch, capsys):
    _, error = outcome(monkeypatch, capsys, "--network", "mobilenet", *GOOD[2:])
    assert all(name in error.splitlines()[-1] for name in RECIPES)


def test_options_replace_their_part_of_the_recipe_and_nothing_else(monkeypatch, photos, tmp_path):
    calls = []
    monkeypatch.setattr("training.tasks.train.train", lambda *arguments: calls.append(arguments) or LEARNED)
    typed = ("--network", "dense", "--data", str(photos), "--out", str(tmp_path / "nothing"))
    monkeypatch.setattr(sys, "argv", ["train", *typed, "--epochs", "2", "--learning-rate", "0.25", "--resume"])
    module.main()
    expected = (replace(DENSE, epochs=2, learning_rate=0.25), photos, tmp_path / "nothing", True)
    assert calls[0][:4] == expected


# Between the initial network and the trained one


def networks() -> tuple[keras.Model, keras.Model]:
    before, after = (keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]) for _ in range(2))
    before.set_weights([np.zeros((3, 2)), np.zeros(2)])
    after.set_weights([np.full((3, 2), 10.0), np.full(2, 5.0)])
    return before, after


@pytest.mark.parametrize(("share", "kernel", "bias"), [(1.0, 10.0, 5.0), (0.6, 6.0, 3.0), (0.0, 0.0, 0.0)])
def test_a_blend_takes_its_share_of_every_weight(share, kernel, bias):
    before, after = networks()
    blend(after, before.get_weights(), share)
    assert after.get_weights()[0] == pytest.approx(kernel)
    assert after.get_weights()[1] == pytest.approx(bias)


def test_the_running_average_of_the_weights_is_used_only_inside_the_block():
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    network.compile(keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.5), "mse")
    seen = []
    for step in range(3):
        network.train_on_batch(np.ones((4, 3), np.float32), np.full((4, 2), float(step)))
        seen.append(network.get_weights()[0])
    expected = seen[0] * 0.25 + seen[1] * 0.25 + seen[2] * 0.5
    with averaged(network):
        assert network.get_weights()[0] == pytest.approx(expected, rel=1e-5)
    assert network.get_weights()[0] == pytest.approx(seen[2])


def test_validating_on_the_running_average_leaves_every_weight_as_it_was():
    """Keras' SwapEMAWeights fails this: it swaps by adding and subtracting, and so changes the last bits."""
    keras.utils.set_random_seed(1)
    network = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16), keras.layers.Dense(1)])
    network.compile(keras.optimizers.AdamW(0.01, use_ema=True, ema_momentum=0.9), "mse")
    random = np.random.default_rng(0)
    for _ in range(20):
        network.train_on_batch(random.normal(size=(64, 8)).astype(np.float32), random.normal(size=(64, 1)))
    before = network.get_weights()
    with averaged(network):
        pass
    assert all(np.array_equal(a, b) for a, b in zip(before, network.get_weights(), strict=True))


def test_without_a_running_average_nothing_changes_inside_the_block():
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    network.compile(keras.optimizers.SGD(0.5), "mse")
    weights = network.get_weights()[0]
    with averaged(network):
        assert network.get_weights()[0] == pytest.approx(weights)


def test_other_classes_train_export_and_answer(tmp_path):
    """Three classes, from the command line to an answer."""
    photos = tmp_path / "three"
    for name in ("chelsea.png", "astronaut.png", "coffee.png"):
        image = Image.open(Path(skimage.data.__file__).parent / name).convert("RGB")
        (photos / name[:-4]).mkdir(parents=True)
        for number in range(150):
            crop = image.crop((number, number // 2, number + 150, number // 2 + 150)).resize((60, 60))
            crop.save(photos / name[:-4] / f"{number}.png")
    classes = ("astronaut", "chelsea", "coffee")
    out = tmp_path / "model" / "three"
    command = [sys.executable, "-m", "training.train", "--network", "tutorial", "--data", photos, "--out", out]
    subprocess.run(
        [*command, "--classes", *classes, "--epochs", "3", "--batch-size", "16"], check=True, capture_output=True, cwd=ROOT
    )
    export(out, photos, 6)
    network = OnnxNetwork(load(out))
    assert network.contract.classes == classes
    history = json.loads((out / "history.json").read_text())
    assert set(history["photos"]["train"]) == set(classes)
    assert 0 <= network.contract.unsure[0] <= network.contract.unsure[1] < 1
    right = [
        predict((photos / name / "7.png").read_bytes(), network, PredictOptions("none")).label == name for name in classes
    ]
    assert sum(right) >= 2, "three epochs tell three pictures apart"


@pytest.mark.parametrize(
    ("network", "classes", "message"),
    [
        ("cat", ("a",), "two or more"),
        ("dense", ("a",), "two or more"),
        ("dense", ("a", "../b"), "cannot be a class"),
    ],
)
def test_impossible_classes_are_refused(tmp_path, monkeypatch, network, classes, message):
    arguments = ["--network", network, "--data", str(tmp_path), "--out", str(tmp_path / "out"), "--classes", *classes]
    monkeypatch.setattr(sys, "argv", ["train", *arguments])
    with pytest.raises(SystemExit) as error:
        run(module.main)
    assert message in error.value.code
