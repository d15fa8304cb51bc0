"""A network in training comes in after each epoch; the weights that it would be shipped with are kept, two bytes each.

checkpoints/weights-0003.npy  while training: the weights after epoch 3; of epoch 0, those that it began with
epochs.npy                    (epochs + 1, parameters) float16, a row for each

A row holds the folded network's weights as `keras.Model.get_weights` lists them, each in C order: for each stage that has
any, its kernel, then its bias.
"""

from pathlib import Path

import keras
import numpy as np

from app.inference.networks.contract import EPOCHS_FILE
from training.errors import TrainingError, reason
from training.fitting.fold import fold


class KeptEpochs:
    """The weights after each epoch of one run, in the folder of its checkpoints."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, network: keras.Model, epoch: int) -> None:
        """Write the weights after `epoch`. Raises TrainingError where they cannot be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _save(row(fold(network)), self._file(epoch))
        except OSError as error:
            raise TrainingError(f"the weights of epoch {epoch} cannot be kept in {self.folder}: {reason(error)}") from error

    def check(self, epochs: int) -> None:
        """Raise TrainingError unless a run with that many epochs behind it has kept them all."""
        missing = [epoch for epoch in range(epochs + 1) if not self._file(epoch).exists()]
        if epochs and missing:
            raise TrainingError(
                f"the run in {self.folder} did not keep epoch {missing[0]}; resume it without --keep-epochs, or remove it"
            )

    def all(self, network: keras.Model, epochs: int, temperature: float, offset: float) -> np.ndarray:
        """The rows of epochs 0 to `epochs`, calibrated as the shipped network is; `network` is one of its shape."""
        rows = []
        for epoch in range(epochs + 1):
            set_row(network, np.load(self._file(epoch)))
            rows.append(row(fold(network, temperature, offset)))
        return np.stack(rows)

    def _file(self, epoch: int) -> Path:
        return self.folder / f"weights-{epoch:04d}.npy"


def row(network: keras.Model) -> np.ndarray:
    """A network's weights, (parameters,) float16."""
    return np.concatenate([values.ravel() for values in network.get_weights()]).astype(np.float16)


def set_row(network: keras.Model, values: np.ndarray) -> None:
    """Give the network the weights of a row."""
    weights, position = [], 0
    for before in network.get_weights():
        weights.append(values[position : position + before.size].reshape(before.shape).astype(np.float32))
        position += before.size
    network.set_weights(weights)


def write(rows: np.ndarray, folder: Path) -> None:
    """Write `folder`/epochs.npy, whole or not at all."""
    _save(rows, folder / EPOCHS_FILE)


def _save(values: np.ndarray, path: Path) -> None:
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        np.save(file, values)
    part.replace(path)
