"""What tests of training runs share: stopping one, and comparing what two have learned."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from training.config import DENSE
from training.errors import run
from training.tasks import train as module
from training.train import main

ROOT = Path(__file__).parents[2]
FAST = replace(DENSE, epochs=1, batch_size=64)
LEARNED = {"validation": {"photos": 100, "accuracy": 0.9, "low": 0.8, "high": 0.95, "guess": 0.5}}
"""What `train` returns of a network that has learned."""


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

    monkeypatch.setattr(module.learning_curves, "log", log)


def outcome(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit status and standard error of the command, as Python gives them to the shell."""
    monkeypatch.setattr(sys, "argv", ["train", *arguments])
    with pytest.raises(SystemExit) as stop:
        run(main)
    error = capsys.readouterr().err
    code = stop.value.code
    return (code, error) if isinstance(code, int) else (1, error + f"{code}\n")
