"""A run's place after each whole epoch, so that one that was stopped can go on: at most one epoch is ever lost.

checkpoints/state.json        what was trained so far, replaced in one step after the files it names are whole
checkpoints/epoch-0007.keras  network and optimizer after the last epoch
checkpoints/epoch-0005.keras  the best epoch, where that is another
checkpoints/scenes-1-*.npy    scenes that later epochs read again, see `training.views`
"""

import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from training.config import Recipe
from training.errors import TrainingError


@dataclass
class State:
    """Everything but the weights: which recipe on which photos, one record an epoch, and where each dropout layer's
    random numbers stand, which Keras does not save.
    """

    recipe: dict[str, Any]
    data: str
    epochs: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    dropout: dict[str, list[int]] = field(default_factory=dict)

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
        self.folder = out / "checkpoints"

    def begin(self, recipe: Recipe, data: str, resume: bool) -> State:
        """A new state, or with `resume` the one that was left behind.

        Raises TrainingError when there is an unfinished run and `resume` does not say what to do with it, or when it was
        of another recipe or other photos.
        """
        path = self.folder / "state.json"
        if not path.exists():
            self.remove()  # what was left by a run that did not finish its first epoch
            return State(_plain(recipe), data)
        if not resume:
            raise TrainingError(
                f"an unfinished run lies in {self.folder}; --resume goes on with it, removing it starts anew"
            )
        state = State(**json.loads(path.read_text()))
        if state.recipe != _plain(recipe):
            raise TrainingError(f"the run in {self.folder} has another recipe than this command; remove it to start anew")
        if state.data != data:
            raise TrainingError(f"the run in {self.folder} was on other photos than this command; remove it to start anew")
        return state

    def load(self, epoch: int) -> keras.Model:
        """The network, with its weights and its optimizer's moments, as it was after that epoch."""
        return keras.saving.load_model(self._file(epoch))

    def resume(self, state: State) -> keras.Model:
        """The network after the last epoch, with dropout's random numbers where they stood."""
        model = self.load(len(state.epochs))
        for layer in _dropouts(model):
            layer.seed_generator.state.assign(state.dropout[layer.name])
        return model

    def save(self, model: keras.Model, state: State) -> None:
        """Write the network, then the state that names it, then remove what neither last nor best epoch needs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        last = len(state.epochs)
        model.save(self._file(last))
        state.dropout = {layer.name: np.asarray(layer.seed_generator.state).tolist() for layer in _dropouts(model)}
        replace(self.folder / "state.json", json.dumps(asdict(state), indent=1))
        for file in self.folder.glob("epoch-*.keras"):
            if file not in (self._file(last), self._file(state.best)):
                file.unlink()

    def remove(self) -> None:
        """The run is finished and its network is saved elsewhere."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:04d}.keras"


def replace(path: Path, text: str) -> None:
    """Write a text file so that whoever reads it sees the old one or the new one, and never a part."""
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    os.replace(part, path)


def _dropouts(model: keras.Model) -> list[keras.layers.Dropout]:
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]


def _plain(recipe: Recipe) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(asdict(recipe)))
    return plain
