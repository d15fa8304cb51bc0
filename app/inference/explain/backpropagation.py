"""The values of one forward pass and the right class come in; the gradient of the loss by every weight goes out, in float64.

Backpropagation (Rumelhart, Hinton and Williams 1986): from the loss back, stage by stage, each turns the gradient by its
output into those by its weights and by its input.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from app.errors import InvalidRequest
from app.inference.explain.receptive_field import Window, consumers_first, window
from app.inference.networks.contract import Contract, Stage
from app.inference.networks.engines.network import Network

ACCEPTED = "convolutions, plain or with ReLU, max pooling, ReLU, flatten, dense and probabilities"
"""What is differentiated, in words."""


def gradients(network: Network, values: Mapping[str, np.ndarray], truth: int) -> dict[str, np.ndarray]:
    """The gradient of the cross-entropy by every kernel and bias, float64, by name, such as `scores/kernel` and
    `scores/bias`, shaped as `Network.kernel` and `Network.bias` have them.

    Args:
        network: the network, whose weights are read.
        values: of every stage that `needed` names in one pass, float32; under "image" the network's input picture.
        truth: the index of the right class.

    Raises InvalidRequest as `check` does.
    """
    contract = network.contract
    check(contract)
    last = contract.stages[-1]
    by_scores = softmax(values[last.inputs[0]])
    by_scores[truth] -= 1
    by_output = {last.inputs[0]: by_scores}
    found: dict[str, np.ndarray] = {}
    for name in consumers_first(contract, last)[1:]:
        stage = contract.stage(name)
        assert stage is not None  # a contract's inputs are its own layers
        [source] = stage.inputs
        passed = _BACKWARD[stage.kind](_Passing(network, stage, values[source], values[name], by_output.pop(name)))
        found |= {f"{name}/{kind}": gradient for kind, gradient in passed.by_weights.items()}
        by_output[source] = by_output[source] + passed.by_input if source in by_output else passed.by_input
    return found


def needed(contract: Contract) -> list[str]:
    """The stages and inner layers whose values `gradients` reads."""
    return consumers_first(contract, contract.stages[-1])


def check(contract: Contract) -> None:
    """Raise InvalidRequest for a network with a stage that is not differentiated."""
    for name in reversed(needed(contract)):
        stage = contract.stage(name)
        assert stage is not None  # see gradients
        detail = {"convolution": stage.activation, "pooling": stage.operation}.get(stage.kind)
        if (stage.kind, detail) not in _DIFFERENTIATED:
            kind = f"{stage.kind} ({detail})" if detail else stage.kind
            raise InvalidRequest(
                f"Stage {name} of network {contract.network} is of kind {kind}; backpropagation is shown for {ACCEPTED}."
            )


def softmax(scores: np.ndarray) -> np.ndarray:
    """The probabilities, (n,) float64, of scores."""
    exponentials = np.exp(scores.astype(np.float64) - scores.max())
    return np.asarray(exponentials / exponentials.sum())


def cross_entropy(scores: np.ndarray, truth: int) -> float:
    """-ln of the probability of class `truth`: finite for finite scores, (n,), even where float32 has 0 for it."""
    above = scores.astype(np.float64) - scores.max()
    return float(np.log(np.exp(above).sum()) - above[truth])


@dataclass(frozen=True)
class _Passing:
    """What one stage needs: its `input` and `output` in the forward pass, and the gradient `by_output`, float64."""

    network: Network
    stage: Stage
    input: np.ndarray
    output: np.ndarray
    by_output: np.ndarray


@dataclass(frozen=True)
class _Passed:
    """What comes out of a stage on the way back: the gradients by its input, and by its "kernel" and "bias"."""

    by_input: np.ndarray
    by_weights: dict[str, np.ndarray] = field(default_factory=dict)


def _convolution(passing: _Passing) -> _Passed:
    """Each weight meets the gradient of every position, times what it was multiplied by there."""
    by_sums = passing.by_output * (passing.output > 0) if passing.stage.activation == "relu" else passing.by_output
    kernel = passing.network.kernel(passing.stage.name).astype(np.float64)
    cells = _Cells(passing)
    by_kernel = np.tensordot(cells.windows(0.0), by_sums, axes=([0, 1], [0, 1])).transpose(1, 2, 0, 3)
    by_padded = np.zeros(cells.padded_shape)
    for row, column in np.ndindex(kernel.shape[:2]):
        by_padded[cells.under(row, column)] += by_sums @ kernel[row, column].T
    return _Passed(cells.inside(by_padded), _with_bias(passing, by_kernel, by_sums.sum(axis=(0, 1))))


def _pooling(passing: _Passing) -> _Passed:
    """Only the largest cell of a window made the output; among equal ones TensorFlow takes the first, row by row."""
    cells = _Cells(passing)
    windows = cells.windows(-np.inf)
    rows, columns, channels = np.indices(windows.shape[:3])
    first = windows.reshape(*windows.shape[:3], -1).argmax(axis=3)
    row, column = np.divmod(first, cells.window.size[1])
    row += rows * cells.window.step[0]
    column += columns * cells.window.step[1]
    by_padded = np.zeros(cells.padded_shape)
    np.add.at(by_padded, (row, column, channels), passing.by_output.reshape(first.shape))
    return _Passed(cells.inside(by_padded))


def _relu(passing: _Passing) -> _Passed:
    return _Passed(passing.by_output * (passing.output > 0))


def _flatten(passing: _Passing) -> _Passed:
    return _Passed(passing.by_output.reshape(passing.input.shape))


def _dense(passing: _Passing) -> _Passed:
    kernel = passing.network.kernel(passing.stage.name).astype(np.float64)
    by_kernel = np.outer(passing.input.astype(np.float64), passing.by_output)
    return _Passed(kernel @ passing.by_output, _with_bias(passing, by_kernel, passing.by_output))


def _with_bias(passing: _Passing, by_kernel: np.ndarray, by_bias: np.ndarray) -> dict[str, np.ndarray]:
    """The gradients by the weights; there is none by the bias in a stage without biases."""
    has_bias = passing.network.contract.has_bias(passing.stage)
    return {"kernel": by_kernel, "bias": by_bias} if has_bias else {"kernel": by_kernel}


class _Cells:
    """The cells of a stage's input picture under its window, padding included."""

    def __init__(self, passing: _Passing) -> None:
        self._picture = passing.input
        self._rows, self._columns = passing.stage.shape[:2] if len(passing.stage.shape) == 3 else (1, 1)
        self.window: Window = window(passing.network.contract, passing.stage)
        end = self.window.box(self._rows - 1, self._columns - 1)
        (self._top, self._left), (height, width, channels) = self.window.offset, passing.input.shape
        self.padded_shape = max(end.bottom, height) - self._top, max(end.right, width) - self._left, channels

    def inside(self, padded: np.ndarray) -> np.ndarray:
        """The part of a padded picture that is no padding. A view."""
        height, width, _ = self._picture.shape
        return padded[-self._top : height - self._top, -self._left : width - self._left]

    def windows(self, padding: float) -> np.ndarray:
        """What every unit sees, (rows, columns, channels, height, width) float64, a view of a padded picture."""
        padded = np.full(self.padded_shape, padding)
        self.inside(padded)[:] = self._picture
        every = sliding_window_view(padded, self.window.size, axis=(0, 1))
        return np.asarray(every[self.under(0, 0)])

    def under(self, row: int, column: int) -> tuple[slice, slice]:
        """The cells of a padded picture that weight (`row`, `column`) of the window meets, one for each unit."""
        down, along = (max(step, 1) for step in self.window.step)  # 0 where one unit sees the whole picture
        return (
            slice(row, row + (self._rows - 1) * down + 1, down),
            slice(column, column + (self._columns - 1) * along + 1, along),
        )


_BACKWARD: dict[str, Callable[[_Passing], _Passed]] = {
    "convolution": _convolution,
    "pooling": _pooling,
    "relu": _relu,
    "flatten": _flatten,
    "dense": _dense,
}

_DIFFERENTIATED = {
    ("convolution", None),
    ("convolution", "relu"),
    ("pooling", "max"),
    ("relu", None),
    ("flatten", None),
    ("dense", None),
    ("probabilities", None),
}
