"""Where a network's weights come from, if not from its own file: its training's epochs, or arrays that are given.

Every source has them by name, `block1_conv/kernel`, shaped as ONNX has them: a convolution's kernel is (filters, inputs,
height, width), a fully connected one's (inputs, units), a bias (n,), all float32.
"""

import io
import math
import mmap
from collections.abc import Collection, Mapping
from typing import Protocol

import numpy as np

from app.errors import NetworkError
from app.inference.networks.contract import EPOCHS_FILE, Contract
from app.inference.networks.held_file import HeldFile


class Weights(Protocol):
    """A source of weights."""

    @property
    def names(self) -> Collection[str]:
        """Those of the arrays that differ from the network's own."""

    def weight(self, name: str) -> np.ndarray:
        """The array of that name. Raises KeyError for an unknown one."""


class GivenWeights:
    """Some arrays, shaped as `Network.kernel` and `Network.bias` have them, in the place of those of `others`."""

    def __init__(self, given: Mapping[str, np.ndarray], others: Weights) -> None:
        self._given, self._others = given, others
        self.names = {*given, *others.names}

    def weight(self, name: str) -> np.ndarray:
        """See Weights.weight."""
        return filters_first(self._given[name]) if name in self._given else self._others.weight(name)


class EpochsFile:
    """The file epochs.npy of a network: its weights after each epoch of its training, float16. Threads may share it.

    Raises NetworkError when it cannot be opened. What is in it is checked on first use, which takes as long as a photo.
    """

    def __init__(self, contract: Contract) -> None:
        path = contract.folder / EPOCHS_FILE
        try:
            self._file = HeldFile(path, contract.files[EPOCHS_FILE])
        except OSError as error:
            raise NetworkError(f"{path} cannot be read: {error.strerror}") from error
        self._spans = _spans(contract)
        self._shape = len(contract.epochs), sum(math.prod(shape) for _, shape in self._spans.values())
        self._first = 0
        self.names: Collection[str] = self._spans.keys()

    def read(self, epoch: int, name: str) -> np.ndarray:
        """One array after an epoch, shaped as Keras has it, float32.

        Raises KeyError for an unknown name, and NetworkError if the file was overwritten or does not fit the contract.
        """
        first, shape = self._spans[name]
        with self._file.map() as mapped:
            position = (self._first or self._checked(mapped)) + 2 * (self._shape[1] * epoch + first)
            values = mapped[position : position + 2 * math.prod(shape)]
        return np.frombuffer(values, np.float16).reshape(shape).astype(np.float32)

    def _checked(self, mapped: mmap.mmap) -> int:
        """Where the first row begins."""
        start = io.BytesIO(mapped[:1024])
        try:
            np.lib.format.read_magic(start)
            shape, _, kind = np.lib.format.read_array_header_1_0(start)
        except ValueError as error:
            raise NetworkError(f"{self._file.path} is not an array: {error}") from error
        if shape != self._shape or kind != np.float16:
            raise NetworkError(f"{self._file.path} holds {shape} {kind}, its contract asks for {self._shape} float16")
        self._first = start.tell()
        return self._first


class EpochWeights:
    """All weights of a network after one epoch of its training. They are read anew each time, which takes no memory."""

    def __init__(self, file: EpochsFile, epoch: int) -> None:
        self._file, self._epoch = file, epoch
        self.names = file.names

    def weight(self, name: str) -> np.ndarray:
        """See Weights.weight."""
        return filters_first(self._file.read(self._epoch, name))


def filters_first(weights: np.ndarray) -> np.ndarray:
    """Weights as Keras has them, (height, width, inputs, filters), as ONNX has them; others unchanged."""
    return np.ascontiguousarray(weights.transpose(3, 2, 0, 1)) if weights.ndim == 4 else weights


def filters_last(weights: np.ndarray) -> np.ndarray:
    """The reverse: ONNX's (filters, inputs, height, width) as (height, width, inputs, filters). A view."""
    return weights.transpose(2, 3, 1, 0) if weights.ndim == 4 else weights


def _spans(contract: Contract) -> dict[str, tuple[int, tuple[int, ...]]]:
    """For the name of each array, its first number in a row of epochs.npy, and its shape as Keras has it."""
    spans: dict[str, tuple[int, tuple[int, ...]]] = {}
    position = 0
    for stage in contract.stages:
        if not stage.parameters:
            continue
        units = stage.shape[-1]
        arrays = {"kernel": (*contract.filter_shape(stage), units)} | (
            {"bias": (units,)} if contract.has_bias(stage) else {}
        )
        for name, shape in arrays.items():
            spans[f"{stage.name}/{name}"] = position, shape
            position += math.prod(shape)
    return spans
