"""Ctrl-C: what the command that was stopped says, and how it continues."""

import shlex
import signal
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.training.runs import outcome


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("resume", [(), ("--resume",)], ids=["a new run", "a resumed run"])
def test_ctrl_c_ends_the_command_as_the_shell_expects_and_says_how_to_continue(
    monkeypatch, capsys, photos, tmp_path, resume
):
    monkeypatch.setattr("training.tasks.train.train", interrupted)
    typed = ("--network", "dense", "--data", str(photos), "--out", str(tmp_path / "my cat"))
    code, error = outcome(monkeypatch, capsys, *typed, *resume)
    command = shlex.join([sys.orig_argv[0], "-m", "training.train", *typed, "--resume"])
    assert (code, error) == (130, f"\nstopped; continue with: {command}\n")


def test_ctrl_c_in_a_run_that_cannot_be_continued_says_only_that_it_stopped(monkeypatch, capsys, photos, tmp_path):
    monkeypatch.setattr("training.transfer.transfer.transfer", interrupted)
    typed = ("--network", "cat", "--classes", "not_cat", "cat", "--data", str(photos), "--out", str(tmp_path / "mine"))
    assert outcome(monkeypatch, capsys, *typed) == (130, "\nstopped\n")


def heed_ctrl_c() -> None:
    """A shell that starts the tests in the background has them, and what they start, ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_a_run_that_was_stopped_continues_with_the_command_it_names(photos, tmp_path):
    """Ctrl-C after the first epoch, in a log file; oneDNN is on, of which TensorFlow would log a line."""
    out = tmp_path / "my network"
    command = [sys.executable, "-m", "training.train", "--network", "dense", "--data", str(photos), "--out", str(out)]
    run = subprocess.Popen(
        [*command, "--epochs", "8"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,
    )
    for line in run.stdout:
        if line.startswith("epoch 1 loss "):
            break
    run.send_signal(signal.SIGINT)
    _, error = run.communicate()
    assert run.returncode == 130
    *told, last = error.splitlines()
    assert [line for line in told if line] == ["reading photos: 76 of 76"]
    stopped, named = last.split(": ", 1)
    assert stopped == "stopped; continue with"
    assert shlex.split(named) == [*command, "--epochs", "8", "--resume"]
    again = subprocess.run(named, shell=True, cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.returncode in (0, 3), again.stderr  # 3: it may be guessing
    assert "epoch 1 loss" not in again.stdout
    assert (out / "model.keras").is_file()
