"""Training runs on small photos: complete, stopped, killed, repeated, refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.training.conftest import COUNTS, RECIPE, UNEVEN, contents
from training import train as module
from training.checkpoint import Checkpoints, State
from training.config import CLASSES, DENSE, RECIPES
from training.errors import TrainingError, run
from training.networks import build
from training.train import class_weights, compile_for, predict_scores, train

ROOT = Path(__file__).parents[2]
FAST = replace(DENSE, epochs=1, batch_size=64)


def weights(out: Path) -> list[np.ndarray]:
    return keras.saving.load_model(out / "model.keras", compile=False).get_weights()


def same(one: Path, other: Path) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


def history(out: Path) -> dict:
    return json.loads((out / "history.json").read_text())


def learned(out: Path) -> list[dict]:
    """The epochs of a run without the time they took."""
    return [{name: value for name, value in epoch.items() if name != "seconds"} for epoch in history(out)["epochs"]]


def stop_after(monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    """Press Ctrl-C when that epoch has been written."""

    def log(record, _folder):
        if record["epoch"] == epoch:
            raise KeyboardInterrupt

    monkeypatch.setattr(module.curves, "log", log)


@pytest.fixture(scope="module")
def unfinished(photos, tmp_path_factory) -> Path:
    """The folder of a run by FAST that was stopped after its first epoch of two."""
    out = tmp_path_factory.mktemp("unfinished") / "dense"
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            train(replace(FAST, epochs=2), photos, out)
    return out


@pytest.fixture
def own_unfinished(unfinished, tmp_path) -> Path:
    return Path(shutil.copytree(unfinished, tmp_path / "dense"))


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
    each = {split: {"cat": count, "not_cat": count} for split, count in COUNTS.items()}
    each["train"]["cat"] += UNEVEN
    assert history(trained)["photos"] == each | {"skipped": 0}


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
    found = {name: [logs.Tensors(name)] for name in logs.Tags()["tensors"]}
    assert {"loss", "validation_loss", "validation_accuracy"} <= set(found)
    assert [event.step for event in found["validation_loss"][0]] == [1, 2, 3]


def test_training_lowers_the_loss_on_photos_that_it_sees_again(photos, tmp_path):
    found = train(replace(RECIPE, epochs=6, patience=6), photos, tmp_path / "out")
    assert found["epochs"][-1]["loss"] < 0.8 * found["epochs"][0]["loss"]


# Repeating


def test_the_same_seed_gives_the_same_weights_bit_for_bit(photos, tmp_path):
    for name in ("one", "two"):
        train(FAST, photos, tmp_path / name)
    assert same(tmp_path / "one", tmp_path / "two")


def test_another_seed_gives_other_weights(photos, tmp_path):
    for name, seed in (("one", 1), ("two", 2)):
        train(replace(FAST, seed=seed), photos, tmp_path / name)
    assert not same(tmp_path / "one", tmp_path / "two")


# Stopping and going on


@pytest.fixture(scope="module")
def killed(photos, tmp_path_factory) -> Path:
    """The folder of a run that was killed with SIGKILL as soon as its first epoch had been written."""
    out = tmp_path_factory.mktemp("killed") / "tutorial"
    code = "import sys; from pathlib import Path; from training.config import Recipe; from training.train import train; "
    code += f"train({RECIPE!r}, Path(sys.argv[1]), Path(sys.argv[2]))"
    command = [sys.executable, "-c", code, str(photos), str(out)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while not (out / "checkpoints" / "state.json").exists():
            assert process.poll() is None, process.stderr.read().decode()
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL
    assert not (out / "model.keras").exists()
    return out


@pytest.fixture(scope="module")
def resumed(killed, photos, tmp_path_factory) -> tuple[Path, list[dict]]:
    """The killed run after --resume, and the epochs that it had when it was killed."""
    out = Path(shutil.copytree(killed, tmp_path_factory.mktemp("resumed") / "tutorial"))
    before = json.loads((out / "checkpoints" / "state.json").read_text())["epochs"]
    train(RECIPE, photos, out, resume=True)
    return out, before


def test_a_killed_run_has_kept_the_epochs_before_the_kill(resumed):
    _, before = resumed
    assert 1 <= len(before) < RECIPE.epochs


def test_a_resumed_run_keeps_the_epochs_before_the_kill_as_they_were(resumed):
    out, before = resumed
    assert history(out)["epochs"][: len(before)] == before


def test_a_run_that_was_killed_and_resumed_has_the_history_of_one_that_was_not(resumed, trained):
    assert learned(resumed[0]) == learned(trained)


def test_a_run_that_was_killed_and_resumed_has_the_weights_of_one_that_was_not(resumed, trained):
    assert same(resumed[0], trained)


def test_a_finished_run_leaves_no_checkpoints(resumed):
    assert not (resumed[0] / "checkpoints").exists()


def test_a_resumed_run_begins_with_the_next_epoch(own_unfinished, photos, capsys):
    train(replace(FAST, epochs=2), photos, own_unfinished, resume=True)
    said = capsys.readouterr().out
    assert "epoch 2 loss" in said
    assert "epoch 1 loss" not in said


def test_resuming_where_no_run_was_begins_one(photos, tmp_path):
    train(FAST, photos, tmp_path / "out", resume=True)
    assert len(history(tmp_path / "out")["epochs"]) == 1


def test_a_network_that_was_half_written_when_the_kill_came_is_written_anew(own_unfinished, photos):
    (own_unfinished / "checkpoints" / "epoch-0002.keras").write_bytes(b"PK half a file")
    train(replace(FAST, epochs=2), photos, own_unfinished, resume=True)
    assert len(history(own_unfinished)["epochs"]) == 2


def test_starting_again_over_an_unfinished_run_is_refused_and_says_how_to_go_on(own_unfinished, photos):
    with pytest.raises(TrainingError, match="--resume goes on") as error:
        train(replace(FAST, epochs=2), photos, own_unfinished)
    assert "\n" not in str(error.value)


def test_starting_again_over_an_unfinished_run_loses_nothing(own_unfinished, photos):
    before = contents(own_unfinished)
    with pytest.raises(TrainingError):
        train(replace(FAST, epochs=2), photos, own_unfinished)
    assert contents(own_unfinished) == before


def test_starting_again_is_refused_before_any_photo_is_read(own_unfinished, tmp_path):
    with pytest.raises(TrainingError, match="unfinished run"):
        train(replace(FAST, epochs=2), tmp_path / "no photos here", own_unfinished)


@pytest.mark.parametrize("change", [{"epochs": 3}, {"learning_rate": 0.1}, {"seed": 8}, {"zoom": (0.9, 1.1)}])
def test_resuming_with_another_recipe_is_refused(own_unfinished, photos, change):
    before = contents(own_unfinished)
    with pytest.raises(TrainingError, match="another recipe"):
        train(replace(FAST, **{"epochs": 2} | change), photos, own_unfinished, resume=True)
    assert contents(own_unfinished) == before


def test_resuming_on_other_photos_is_refused(own_unfinished, own_photos):
    before = contents(own_unfinished)
    Image.new("RGB", (20, 20), "red").save(own_photos / "cat" / "new.png")
    with pytest.raises(TrainingError, match="other photos"):
        train(replace(FAST, epochs=2), own_photos, own_unfinished, resume=True)
    assert contents(own_unfinished) == before


def test_a_run_is_resumed_after_its_photos_were_moved_elsewhere(own_unfinished, own_photos):
    train(replace(FAST, epochs=2), own_photos, own_unfinished, resume=True)
    assert (own_unfinished / "model.keras").exists()


def test_a_run_that_fails_keeps_the_network_that_was_there_before(trained, tmp_path):
    out = Path(shutil.copytree(trained, tmp_path / "tutorial"))
    before = contents(out)
    with pytest.raises(TrainingError):
        train(RECIPE, tmp_path / "nowhere", out)
    assert contents(out) == before


# Stopping early


@pytest.fixture(scope="module")
def stopped_early(photos, tmp_path_factory) -> tuple[Path, dict]:
    """A run whose steps are far too large, with a patience of one epoch, and a copy made before it was finished."""
    out = tmp_path_factory.mktemp("early") / "dense"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_calibrated", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(HASTY, photos, out)
    return out, json.loads((out / "checkpoints" / "state.json").read_text())


HASTY = replace(DENSE, epochs=12, batch_size=64, patience=1, learning_rate=0.5, warmup=0.0)


def test_training_ends_when_patience_does(stopped_early):
    losses = [epoch["validation_loss"] for epoch in stopped_early[1]["epochs"]]
    assert len(losses) < HASTY.epochs
    assert len(losses) - (losses.index(min(losses)) + 1) == HASTY.patience


def test_a_run_that_was_killed_after_its_early_stop_is_not_trained_further(stopped_early, photos, tmp_path):
    out, before = stopped_early
    out = Path(shutil.copytree(out, tmp_path / "dense"))
    train(HASTY, photos, out, resume=True)
    assert len(history(out)["epochs"]) == len(before["epochs"])


def test_the_checkpoints_hold_the_last_and_the_best_epoch_and_no_other(stopped_early):
    out, before = stopped_early
    losses = [epoch["validation_loss"] for epoch in before["epochs"]]
    kept = {losses.index(min(losses)) + 1, len(losses)}
    assert {path.name for path in (out / "checkpoints").iterdir()} == {
        "state.json",
        *(f"epoch-{number:04d}.keras" for number in kept),
    }


@pytest.mark.parametrize(("keep", "shipped"), [("best", 2), ("last", 3)])
def test_the_recipe_says_which_epoch_is_shipped(keep, shipped):
    epochs = [{"validation_loss": loss} for loss in (0.5, 0.3, 0.4)]
    assert State(asdict(replace(RECIPE, keep=keep)), "", epochs).shipped == shipped


def test_of_epochs_with_the_same_loss_the_first_is_the_best():
    assert State(asdict(RECIPE), "", [{"validation_loss": 0.3}] * 3).best == 1


def test_before_the_first_epoch_none_is_the_best():
    assert State(asdict(RECIPE), "").best == 0


def test_a_checkpoint_brings_back_the_weights_and_the_optimizers_moments(tmp_path):
    random = np.random.default_rng(0)
    network = build("dense", training=True)
    compile_for(network, FAST, 4)
    images, targets = random.uniform(0, 255, (8, 100, 100, 3)).astype(np.float32), np.eye(2, dtype=np.float32)[[0, 1] * 4]
    network.train_on_batch(images, targets)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(network, State(asdict(FAST), "", [{"validation_loss": 1.0}]))
    again = checkpoints.load(1)
    before, after = ([*one.weights, *one.optimizer.variables] for one in (network, again))
    assert len(before) > len(network.weights)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


# What goes into a step


@pytest.mark.parametrize("labels", [[0, 1], [0] * 9 + [1], [1] * 30 + [0] * 2])
def test_class_weights_let_all_classes_count_alike(labels):
    labels = np.array(labels)
    each = class_weights(labels)[labels]
    assert each[labels == 0].sum() == pytest.approx(each[labels == 1].sum())


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


def test_predicting_in_batches_leaves_out_no_photo():
    pixels = np.random.default_rng(0).integers(0, 256, (7, 100, 100, 3), dtype=np.uint8)
    network = build("dense")
    whole, parts = predict_scores(network, pixels), predict_scores(network, pixels, batch_size=3)
    assert parts == pytest.approx(whole, abs=1e-5)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_names_its_own_network(name):
    assert RECIPES[name].network == build(name).name == name


def test_the_networks_answer_in_the_order_of_the_classes():
    assert CLASSES == ("cat", "not_cat")


# The command line


def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit status and standard error of the command, as Python gives them to the shell."""
    monkeypatch.setattr(sys, "argv", ["train", *arguments])
    with pytest.raises(SystemExit) as stop:
        run(module.main)
    error = capsys.readouterr().err
    code = stop.value.code
    return (code, error) if isinstance(code, int) else (1, error + f"{code}\n")


GOOD = ("--network", "dense", "--data", "nowhere", "--out", "nothing")


def test_a_missing_folder_is_one_line_on_stderr_and_a_failure(tmp_path):
    """The whole command, so that no library adds a line of its own."""
    command = [sys.executable, "-m", "training.train", "--network", "dense", "--data", "nowhere", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"PYTHONWARNINGS": "default"})
    assert done.returncode == 1
    assert done.stderr == "error: nowhere is not a folder; it should hold the folders cat and not_cat\n"


def test_a_missing_folder_leaves_nothing_behind(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    said(monkeypatch, capsys, *GOOD)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "option",
    [("--epochs", "0"), ("--epochs", "-3"), ("--batch-size", "0"), ("--patience", "0"), ("--learning-rate", "0")],
    ids=" ".join,
)
def test_a_number_that_must_be_above_zero_is_one_line_and_a_failure(monkeypatch, capsys, option):
    code, error = said(monkeypatch, capsys, *GOOD, *option)
    assert (code, error.count("\n")) == (1, 1)
    assert "must be above zero" in error


def test_a_learning_rate_that_is_no_number_is_refused(monkeypatch, capsys):
    _, error = said(monkeypatch, capsys, *GOOD, "--learning-rate", "nan")
    assert "learning rate" in error


def test_a_negative_seed_is_one_line_and_a_failure(monkeypatch, capsys):
    code, error = said(monkeypatch, capsys, *GOOD, "--seed", "-1")
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
    code, error = said(monkeypatch, capsys, *arguments)
    assert (code, error.count("\n")) == (2, 1)
    assert named in error


def test_an_unknown_network_is_answered_with_the_known_ones(monkeypatch, capsys):
    _, error = said(monkeypatch, capsys, "--network", "mobilenet", *GOOD[2:])
    assert all(name in error.splitlines()[-1] for name in RECIPES)


def test_ctrl_c_ends_the_command_as_the_shell_expects(monkeypatch, capsys):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "train", interrupted)
    assert said(monkeypatch, capsys, *GOOD) == (130, "\nstopped\n")


def test_options_replace_what_the_recipe_says_and_nothing_else(monkeypatch):
    asked = []
    monkeypatch.setattr(module, "train", lambda *arguments: asked.append(arguments))
    monkeypatch.setattr(sys, "argv", ["train", *GOOD, "--epochs", "2", "--learning-rate", "0.25", "--resume"])
    module.main()
    assert asked == [(replace(DENSE, epochs=2, learning_rate=0.25), Path("nowhere"), Path("nothing"), True)]
