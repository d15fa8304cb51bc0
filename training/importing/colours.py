"""Colours before a network's first layer: `preprocess_input` and its like, written as calculations, become one stage.

Whatever swaps, scales and shifts channels is a matrix and a shift (n, channels) -> (n, channels): BGR for RGB, a mean and a
deviation for each colour, all of it together. It is kept as such until a layer wants numbers.
"""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from training.errors import TrainingError
from training.importing.plain_layers import PlainLayers, Tensor


@dataclass(frozen=True)
class Colours:
    """`tensor` (n, height, width, channels) times `matrix` (channels, k), plus `shift` (k,); `plane` says that the last axis
    was taken away, which leaves one channel of shape (n, height, width).
    """

    tensor: Tensor
    matrix: np.ndarray
    shift: np.ndarray
    plane: bool = False

    @classmethod
    def of(cls, x: "Tensor | Colours") -> "Colours":
        """A picture as it is."""
        return x if isinstance(x, Colours) else cls(x, np.eye(x.shape[-1]), np.zeros(x.shape[-1]))

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The picture's."""
        shape: tuple[int | None, ...] = tuple(self.tensor.shape[:-1])
        return shape if self.plane else (*shape, len(self.shift))

    def scaled(self, factor: Any, shift: Any) -> "Colours":
        """Each channel times `factor` plus `shift`, each one number or (k,)."""
        return Colours(self.tensor, self.matrix * factor, self.shift * factor + shift, self.plane)

    def applied(self, values: np.ndarray) -> np.ndarray:
        """What it makes of the values of `tensor`, (n, height, width, channels) float64."""
        changed: np.ndarray = values.astype(np.float64) @ self.matrix + self.shift
        return changed


PREPROCESSED: dict[str, tuple[np.ndarray, np.ndarray]] = {
    "tf": (np.eye(3) / 127.5, -np.ones(3)),
    "torch": (
        np.diag(1 / (255 * np.array([0.229, 0.224, 0.225]))),
        -np.array([0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225],
    ),
    "caffe": (np.eye(3)[:, ::-1], -np.array([103.939, 116.779, 123.68])),
}
"""The three ways of `keras.applications.*.preprocess_input`, as a matrix and a shift of colours from 0 to 255."""


def preprocessing(way: str | None = None, scale: Any = 1.0, offset: Any = 0.0) -> Colours:
    """What is done to RGB from 0 to 255 outside of a network: one of PREPROCESSED, or a scale and an offset, each a number
    or one for each colour. Its `tensor` is None.
    """
    matrix, shift = PREPROCESSED[way] if way else (np.eye(3), np.zeros(3))
    return Colours(None, matrix, shift).scaled(np.asarray(scale, np.float64), np.asarray(offset, np.float64))


def calculated(operation: Any, arguments: list[Any]) -> Colours | None:
    """A calculation on colours; None where it is none: between two pictures, or one that mixes positions.

    `arguments` are tensors or Colours, lists of them, and constants.
    """
    kind = type(operation).__name__
    if kind in ("Stack", "Concatenate"):
        return _joined(operation, arguments[0], planes=kind == "Stack")
    tensors = [one for one in arguments if not _constant(one)]
    if len(tensors) != 1 or len(tensors[0].shape) not in (3, 4) or not arguments:
        return None
    x = Colours.of(tensors[0])
    if kind == "Cast":
        return x
    if kind == "GetItem":
        return _picked(x, arguments[1])
    if len(arguments) != 2:
        return None
    first = _constant(arguments[0])
    number = np.asarray(keras.ops.convert_to_numpy(arguments[0 if first else 1]), np.float64)
    if number.size not in (1, len(x.shift)) or (number.size > 1 and number.shape[-1] != number.size):
        return None
    number = number.ravel()
    if kind == "Add":
        return x.scaled(1, number)
    if kind == "Subtract":
        return x.scaled(-1, number) if first else x.scaled(1, -number)
    if kind == "Multiply":
        return x.scaled(number, 0)
    if kind in ("TrueDivide", "Divide") and not first and number.all():
        return x.scaled(1 / number, 0)
    return None


def _constant(value: Any) -> bool:
    return not isinstance(value, Colours | keras.KerasTensor)


def _picked(x: Colours, key: Any) -> Colours | None:
    """Some channels of all positions, as x[..., ::-1] and x[..., 2] are."""
    parts = list(key) if isinstance(key, list | tuple) else [key]
    everything = slice(None)
    before = parts[:-1]
    if x.plane or not (before == [Ellipsis] or before == [everything] * 3):
        return None
    last = parts[-1]
    if isinstance(last, slice):
        return Colours(x.tensor, x.matrix[:, last], x.shift[last])
    one = range(len(x.shift))[int(last)]
    return Colours(x.tensor, x.matrix[:, [one]], x.shift[[one]], plane=True)


def _joined(operation: Any, parts: Any, planes: bool) -> Colours | None:
    """Channels of one picture side by side, in any order."""
    if not isinstance(parts, list | tuple) or not all(isinstance(part, Colours) and part.plane is planes for part in parts):
        return None
    if operation.axis not in (-1, 3) or any(part.tensor is not parts[0].tensor for part in parts):
        return None
    matrix = np.concatenate([part.matrix for part in parts], axis=1)
    return Colours(parts[0].tensor, matrix, np.concatenate([part.shift for part in parts]))


def as_stage(rewriting: PlainLayers, name: str, x: Colours) -> Tensor:
    """The picture that the colours make: a rescaling where all are alike, a factor for each, or a mixture of them."""
    if x.plane:
        raise TrainingError(f"the calculation {name} leaves one channel without its axis, which cannot be shown here")
    channels, count = x.matrix.shape
    if channels == count and not (x.matrix - np.diag(np.diag(x.matrix))).any():
        factor = np.diag(x.matrix)
        if np.ptp(factor) == np.ptp(x.shift) == 0:
            if (factor[0], x.shift[0]) == (1, 0):
                return x.tensor
            return rewriting.add(layers.Rescaling(float(factor[0]), float(x.shift[0]), name=rewriting.named(name)), x.tensor)
        return rewriting.channelwise(name, x.tensor, factor, x.shift)
    mixed = layers.Conv2D(count, 1, name=rewriting.named(name))
    return rewriting.add(mixed, x.tensor, [x.matrix[None, None], x.shift])
