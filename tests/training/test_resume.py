"""Training runs that were stopped, killed, or that stopped early, and how they are resumed."""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.conftest import RECIPE, contents
from tests.training.runs import FAST, ROOT, history, learned, same, stop_after
from training.config import DENSE
from training.errors import TrainingError
from training.fitting.checkpoint import Checkpoints, State
from training.fitting.fit import compile_for
from training.networks import build
from training.tasks import train as module
from training.tasks.train import train


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
def unfinished_copy(unfinished, tmp_path) -> Path:
    return Path(shutil.copytree(unfinished, tmp_path / "dense"))


# Stopping and resuming


@pytest.fixture(scope="module")
def killed(photos, tmp_path_factory) -> Path:
    """The folder of a run that was killed with SIGKILL as soon as its first epoch had been written."""
    out = tmp_path_factory.mktemp("killed") / "tutorial"
    code = (
        "import sys; from pathlib import Path; from training.config import Recipe; from training.tasks.train import train; "
    )
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


def test_a_killed_run_keeps_the_epochs_before_the_kill(resumed):
    _, before = resumed
    assert 1 <= len(before) < RECIPE.epochs


def test_a_resumed_run_keeps_the_epochs_before_the_kill_as_they_were(resumed):
    out, before = resumed
    assert history(out)["epochs"][: len(before)] == before


def test_a_run_that_was_killed_and_resumed_has_the_history_of_an_uninterrupted_one(resumed, trained):
    assert learned(resumed[0]) == learned(trained)


def test_a_run_that_was_killed_and_resumed_has_the_weights_of_an_uninterrupted_one(resumed, trained):
    assert same(resumed[0], trained)


def test_a_finished_run_leaves_no_checkpoints(resumed):
    assert not (resumed[0] / "checkpoints").exists()


def test_a_resumed_run_begins_with_the_next_epoch(unfinished_copy, photos, capsys):
    train(replace(FAST, epochs=2), photos, unfinished_copy, resume=True)
    stdout = capsys.readouterr().out
    assert "epoch 2 loss" in stdout
    assert "epoch 1 loss" not in stdout


def test_resuming_without_an_earlier_run_starts_one(photos, tmp_path):
    train(FAST, photos, tmp_path / "out", resume=True)
    assert len(history(tmp_path / "out")["epochs"]) == 1


def test_a_network_that_was_half_written_when_the_run_was_killed_is_written_again(unfinished_copy, photos):
    (unfinished_copy / "checkpoints" / "epoch-0002.keras").write_bytes(b"PK half a file")
    train(replace(FAST, epochs=2), photos, unfinished_copy, resume=True)
    assert len(history(unfinished_copy)["epochs"]) == 2


def test_starting_again_over_an_unfinished_run_is_refused_and_says_how_to_resume(unfinished_copy, photos):
    with pytest.raises(TrainingError, match="--resume continues it") as error:
        train(replace(FAST, epochs=2), photos, unfinished_copy)
    assert "\n" not in str(error.value)


def test_starting_again_over_an_unfinished_run_loses_nothing(unfinished_copy, photos):
    before = contents(unfinished_copy)
    with pytest.raises(TrainingError):
        train(replace(FAST, epochs=2), photos, unfinished_copy)
    assert contents(unfinished_copy) == before


def test_starting_again_is_refused_before_any_photo_is_read(unfinished_copy, tmp_path):
    with pytest.raises(TrainingError, match="unfinished run"):
        train(replace(FAST, epochs=2), tmp_path / "no photos here", unfinished_copy)


@pytest.mark.parametrize("change", [{"epochs": 3}, {"learning_rate": 0.1}, {"seed": 8}, {"zoom": (0.9, 1.1)}])
def test_resuming_with_another_recipe_is_refused(unfinished_copy, photos, change):
    before = contents(unfinished_copy)
    with pytest.raises(TrainingError, match="another recipe"):
        train(replace(FAST, **{"epochs": 2} | change), photos, unfinished_copy, resume=True)
    assert contents(unfinished_copy) == before


def test_resuming_on_other_photos_is_refused(unfinished_copy, photos_copy):
    before = contents(unfinished_copy)
    Image.new("RGB", (20, 20), "red").save(photos_copy / "cat" / "new.png")
    with pytest.raises(TrainingError, match="other photos"):
        train(replace(FAST, epochs=2), photos_copy, unfinished_copy, resume=True)
    assert contents(unfinished_copy) == before


def test_a_run_is_resumed_after_its_photos_were_moved_elsewhere(unfinished_copy, photos_copy):
    train(replace(FAST, epochs=2), photos_copy, unfinished_copy, resume=True)
    assert (unfinished_copy / "model.keras").exists()


def test_a_run_that_fails_keeps_the_previous_network(trained, tmp_path):
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


def test_training_ends_when_the_patience_is_exhausted(stopped_early):
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
    expected = {losses.index(min(losses)) + 1, len(losses)}
    assert {path.name for path in (out / "checkpoints").iterdir()} == {
        "state.json",
        *(f"epoch-{number:04d}.keras" for number in expected),
    }


@pytest.mark.parametrize(("keep", "shipped"), [("best", 2), ("last", 3)])
def test_the_recipe_says_which_epoch_is_shipped(keep, shipped):
    epochs = [{"validation_loss": loss} for loss in (0.5, 0.3, 0.4)]
    assert State(asdict(replace(RECIPE, keep=keep)), "", epochs).shipped == shipped


def test_the_first_of_epochs_with_the_same_loss_is_the_best():
    assert State(asdict(RECIPE), "", [{"validation_loss": 0.3}] * 3).best == 1


def test_before_the_first_epoch_none_is_the_best():
    assert State(asdict(RECIPE), "").best == 0


def test_a_checkpoint_restores_the_weights_and_the_optimizers_moments(tmp_path):
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
