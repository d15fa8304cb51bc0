"""Checkpoints after each epoch, from which an interrupted run continues exactly: at most one epoch is lost.

checkpoints/state.json        the progress so far, replaced atomically once the files it names are complete
checkpoints/epoch-0007.keras  network and optimizer after the last epoch
checkpoints/epoch-0005.keras  the best epoch, where that is another
checkpoints/scenes-1-*.npy    scenes that later epochs reuse, see `training.fitting.views`
checkpoints/weights-0007.npy  where they are kept, see `training.fitting.kept`
"""

import json
import os
import platform
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from app.inference.networks.contract import EPOCHS_FILE
from training import outputs
from training.config import Recipe
from training.errors import TrainingError, reason
from training.fitting import kept
from training.outputs import replace


@dataclass
class State:
    """Everything but the weights: the recipe, the photos' fingerprint, a record for each epoch, the state of each dropout
    layer's random generator, which Keras saves nowhere, and how good the network was at the start, where that is kept.
    """

    recipe: dict[str, Any]
    data: str
    epochs: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    dropout: dict[str, list[int]] = field(default_factory=dict)
    start: dict[str, float] = field(default_factory=dict)

    @property
    def best(self) -> int:
        """The number of the epoch with the lowest validation loss, counted from 1; 0 before the first."""
        return min(range(len(self.epochs)), key=lambda i: self.epochs[i]["validation_loss"], default=-1) + 1

    @property
    def shipped(self) -> int:
        """The number of the epoch whose weights the recipe ships."""
        return self.best if self.recipe["keep"] == "best" else len(self.epochs)


class Checkpoints:
    """The folder `checkpoints` below a network's folder."""

    def __init__(self, out: Path) -> None:
        self.folder = outputs.checkpoints(out)

    def begin(self, recipe: Recipe, data: str, resume: bool) -> State:
        """A new state, or with `resume` that of the interrupted run.

        Raises TrainingError for an unfinished run without `resume`, or one with another recipe or other photos.
        """
        path = self.folder / "state.json"
        if not path.exists():
            self.remove()  # leftovers of a run that did not finish its first epoch
            return State(_plain(recipe), data)
        if not resume:
            outputs.check_unfinished(self.folder.parent)
        state = State(**json.loads(path.read_text()))
        if state.recipe != _plain(recipe):
            raise TrainingError(f"the run in {self.folder} has another recipe than this command; remove it to start over")
        if state.data != data:
            raise TrainingError(f"the run in {self.folder} used other photos than this command; remove it to start over")
        return state

    def load(self, epoch: int) -> keras.Model:
        """The network, with its weights and its optimizer's moments, as it was after that epoch."""
        return keras.saving.load_model(self._file(epoch))

    def resume(self, state: State) -> keras.Model:
        """The network after the last epoch, with the dropout layers' random generators as they were."""
        model = self.load(len(state.epochs))
        for layer in _dropouts(model):
            layer.seed_generator.state.assign(state.dropout[layer.name])
        return model

    def save(self, model: keras.Model, state: State) -> None:
        """Write the network, then the state that names it, then remove all epochs but the last and the best.

        Raises TrainingError where they cannot be written; the epoch before is then kept.
        """
        last = len(state.epochs)
        state.dropout = {layer.name: np.asarray(layer.seed_generator.state).tolist() for layer in _dropouts(model)}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            model.save(self._file(last))
            replace(self.folder / "state.json", json.dumps(asdict(state), indent=1))
        except OSError as error:
            with suppress(OSError):
                self._file(last).unlink()
            kept = f"; the checkpoint of epoch {last - 1} is kept" if last > 1 else ""
            raise TrainingError(f"epoch {last} cannot be saved in {self.folder}: {reason(error)}{kept}") from error
        for file in self.folder.glob("epoch-*.keras"):
            if file not in (self._file(last), self._file(state.best)):
                file.unlink()

    def remove(self) -> None:
        """Delete the folder, once the finished network is saved elsewhere."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:04d}.keras"


def ship(network: keras.Model, history: dict[str, Any], out: Path, epochs: np.ndarray | None = None) -> None:
    """Write a finished network to the folder `out`, as model.keras, and then how it was trained, as history.json.

    `epochs` are the rows of `training.fitting.kept`; without, those of a network that was there before are deleted.
    """
    out.mkdir(parents=True, exist_ok=True)
    if epochs is None:
        (out / EPOCHS_FILE).unlink(missing_ok=True)
    else:
        kept.write(epochs, out)
    part = out / "part.keras"
    network.save(part)
    os.replace(part, out / "model.keras")
    replace(out / "history.json", json.dumps(history, indent=1) + "\n")


def machine() -> str:
    """What a network is trained on, for its history."""
    return f"{os.cpu_count()} cores, {platform.machine()}, Keras {keras.__version__} on {keras.backend.backend()}"


def _dropouts(model: keras.Model) -> list[keras.layers.Dropout]:
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]


def _plain(recipe: Recipe) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(asdict(recipe)))
    return plain
