"""One number of a feature map comes in; the arithmetic behind it, recomputed in float64, goes out.

The network computed the number in float32, many at a time, in its own order. Here NumPy computes it from the same inputs,
weights and bias, following the definition of the step, so that both results can be compared.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.inference.explain import receptive_field
from app.inference.explain.receptive_field import Box
from app.inference.explain.resizing import sampled
from app.inference.networks.activations import activate
from app.inference.networks.contract import Stage
from app.inference.networks.engines.network import Network

Position = tuple[int, int, int]
"""(row, column, channel) of a unit; row and column are 0 in a stage without a picture."""


@dataclass(frozen=True)
class Audit:
    """The arithmetic of one unit.

    `value` is the result in float64, `computed` the network's own. `window` is the part of the input stage that the unit
    sees, padding included; `receptive_field` is the part of the network's input picture, clipped at its edges. `steps` holds
    the intermediate results, by kind of stage; arrays are float64, and those that cover the window are (height, width,
    inputs) with 0 for padding:

    - convolution, depthwise_convolution: `patch`, `kernel`, `products`, `channel_sums` (inputs,), `products_sum`, `bias`,
      `sum` of both, and `largest_term`, the largest magnitude that was added
    - pooling: `patch`, without padding; for "max" `maximum`, `maximum_at` (row, column in the input stage); for
      "average" `sum`, `count` and `largest_term`; for "log_mean_exp" `exponentials` of the patch minus its maximum, their
      `mean`, `maximum` and `largest_term`
    - relu, activation, padding, cropping: `patch`; for "prelu" also the unit's `slope` below zero
    - resizing: `patch`, the cells around the unit's centre, `kernel`, the share of each, and `largest_term`
    - normalization: `patch`, all channels of the position, their `mean` and `variance`, `epsilon`, the channel's `scale` and
      `offset`, and `largest_term`
    - concatenation: `source`, the (row, column, channel) that it comes from, and `chosen`, the input's index
    - rescaling: `patch`, `scale`, `offset`
    - add, multiplication: `terms`, one for each input stage, and `largest_term`
    - flatten: `source`, the (row, column, channel) that it comes from
    - dense: `contributions` (see `Contribution`), the largest first, `others` (how many more) and `others_sum`,
      `largest_term`, `products_sum`, `bias`, `sum`
    - probabilities: `terms` (the scores), `exponentials` of the scores minus the largest, and their `total`
    - any that an edit mutes: `muted`, True; the value is then 0, whatever the steps come to
    """

    stage: Stage
    position: Position
    value: float
    computed: float
    window: Box
    receptive_field: Box
    steps: dict[str, Any]

    @property
    def difference(self) -> float:
        """The absolute difference between the network's number and the one computed here."""
        return abs(self.value - self.computed)

    @property
    def relative_difference(self) -> float:
        """The difference as a fraction of the value, or of the largest term if a sum almost cancels out.

        In float32, the sum of 5 and -4.999999 has one significant digit where its terms have seven.
        """
        magnitude = max(abs(self.value), self.steps.get("largest_term", 0.0))
        return self.difference / magnitude if self.difference else 0.0


@dataclass(frozen=True)
class Contribution:
    """What input number `index` adds to a fully connected unit: `product` = `value` x `weight`.

    `position` is the input's position in the flattened picture, or None if there was no picture.
    """

    index: int
    position: Position | None
    value: float
    weight: float
    product: float


def audit(network: Network, stage: Stage, values: Mapping[str, np.ndarray], position: Position, contributions: int) -> Audit:
    """Recompute one unit of `stage`.

    Args:
        network: the network, whose weights are read.
        stage: a stage or inner layer of its contract.
        values: the values of the stage and of its inputs in one pass, float32, (height, width, channels) or (n,); under
            "image" the network's input picture.
        position: the unit's position.
        contributions: how many inputs of a fully connected unit to list.
    """
    row, column, channel = position
    contract = network.contract
    inputs = [_picture(values[name]).astype(np.float64) for name in stage.inputs]
    box = receptive_field.seen(contract, stage, row, column)
    seen = receptive_field.pixels(contract, stage, row, column)
    if stage.kind == "flatten":  # each unit sees one number, although the stage sees everything
        source = _unravelled(channel, inputs[0].shape)
        before = contract.stage(stage.inputs[0])
        box = Box(source[0], source[1], source[0] + 1, source[1] + 1)
        seen = receptive_field.pixels(contract, before, *source[:2]) if before else box
    unit = _Unit(network, stage, inputs, position, box, contributions)
    value, steps = _STEPS[stage.kind](unit)
    if network.changes.mutes(stage.name, channel):
        value, steps["muted"] = 0.0, True
    return Audit(
        stage=stage,
        position=position,
        value=value,
        computed=float(_picture(values[stage.name])[position]),
        window=box,
        receptive_field=seen,
        steps=steps,
    )


@dataclass(frozen=True)
class _Unit:
    """What every kind of step needs; `inputs` are float64 pictures, `box` is the window."""

    network: Network
    stage: Stage
    inputs: list[np.ndarray]
    position: Position
    box: Box
    contributions: int

    @property
    def channel(self) -> int:
        return self.position[2]

    def patch(self, channel: int | None = None) -> np.ndarray:
        """The window's inputs, (height, width, inputs), or one channel of them; 0 beyond the picture's edges."""
        picture = self.inputs[0] if channel is None else self.inputs[0][:, :, channel : channel + 1]
        inside = self.box.clipped(*picture.shape[:2])
        patch = np.zeros((self.box.bottom - self.box.top, self.box.right - self.box.left, picture.shape[2]))
        rows = slice(inside.top - self.box.top, inside.bottom - self.box.top)
        columns = slice(inside.left - self.box.left, inside.right - self.box.left)
        patch[rows, columns] = picture[inside.top : inside.bottom, inside.left : inside.right]
        return patch

    def bias(self) -> float:
        """The unit's bias; 0 in a layer without biases."""
        try:
            return float(self.network.bias(self.stage.name)[self.channel])
        except KeyError:
            return 0.0


Result = tuple[float, dict[str, Any]]


def _convolution(unit: _Unit) -> Result:
    kernel = unit.network.kernel(unit.stage.name)
    depthwise = unit.stage.kind == "depthwise_convolution"  # every channel has its own filters, usually one
    filters_each = kernel.shape[3] // unit.inputs[0].shape[2] if depthwise else 0
    patch = unit.patch(unit.channel // filters_each if depthwise else None)
    kernel = kernel[:, :, :, unit.channel].astype(np.float64)
    products = patch * kernel + 0.0  # no negative zeros
    bias = unit.bias()
    total = float(products.sum()) + bias
    return _activated(total, unit.stage.activation), {
        "patch": patch,
        "kernel": kernel,
        "products": products,
        "channel_sums": products.sum(axis=(0, 1)),
        "largest_term": max(float(np.abs(products).max()), abs(bias)),
        "products_sum": float(products.sum()),
        "bias": bias,
        "sum": total,
    }


def _activated(total: float, activation: str | None) -> float:
    """ReLU clips below 0; ReLU6 clips above 6 as well (Krizhevsky 2010)."""
    if activation is None:
        return total
    return min(max(0.0, total), {"relu": float("inf"), "relu6": 6.0}[activation])


def _pooling(unit: _Unit) -> Result:
    inside = unit.box.clipped(*unit.inputs[0].shape[:2])
    patch = unit.inputs[0][inside.top : inside.bottom, inside.left : inside.right, unit.channel : unit.channel + 1]
    highest = float(patch.max())
    if unit.stage.operation == "max":
        row, column, _ = _unravelled(int(patch.argmax()), patch.shape)
        return highest, {"patch": patch, "maximum": highest, "maximum_at": (inside.top + row, inside.left + column)}
    if unit.stage.operation == "average":
        largest = float(np.abs(patch).max()) / patch.size
        return float(patch.mean()), {"patch": patch, "sum": float(patch.sum()), "count": patch.size, "largest_term": largest}
    exponentials = np.exp(patch - highest)  # minus the maximum, so that nothing overflows; added back below
    mean = float(exponentials.mean())
    steps = {"patch": patch, "exponentials": exponentials, "mean": mean, "maximum": highest}
    return highest + float(np.log(mean)), steps | {"largest_term": max(abs(highest), abs(float(np.log(mean))))}


def _relu(unit: _Unit) -> Result:
    value = float(unit.inputs[0][unit.position])
    return _activated(value, "relu"), {"patch": np.array([[[value]]])}


def _elementwise(unit: _Unit) -> Result:
    value = float(unit.inputs[0][unit.position])
    assert unit.stage.operation
    steps: dict[str, Any] = {"patch": np.array([[[value]]])}
    slope = unit.stage.slope
    if unit.stage.operation == "prelu":
        shape = unit.inputs[0].shape
        slope = float(np.broadcast_to(_picture(unit.network.slopes(unit.stage.name)), shape)[unit.position])
        steps["slope"] = slope
    return activate(unit.stage.operation, value, slope), steps


def _resizing(unit: _Unit) -> Result:
    """The mean of up to four cells, each counted by how near it is; for "nearest" there is one."""
    (row, column, channel), picture, stage = unit.position, unit.inputs[0], unit.stage
    top, bottom, down = sampled(row, picture.shape[0], stage.shape[0], stage.operation)
    left, right, along = sampled(column, picture.shape[1], stage.shape[1], stage.operation)
    rows = np.array([1 - down, down] if bottom > top else [1.0])
    columns = np.array([1 - along, along] if right > left else [1.0])
    patch = picture[top : bottom + 1, left : right + 1, channel : channel + 1]
    kernel = np.outer(rows, columns)[:, :, np.newaxis]
    return float((patch * kernel).sum()), {"patch": patch, "kernel": kernel, "largest_term": float(np.abs(patch).max())}


def _normalization(unit: _Unit) -> Result:
    """Layer normalisation (Ba et al. 2016): over the channels of one position."""
    row, column, channel = unit.position
    values = unit.inputs[0][row, column]
    gamma, beta = (float(weights[channel]) for weights in unit.network.normalization(unit.stage.name))
    mean, variance, epsilon = float(values.mean()), float(values.var()), float(unit.stage.epsilon or 0.0)
    deviation = float(np.sqrt(variance + epsilon))
    factor = gamma / deviation
    steps = {"patch": values[np.newaxis, np.newaxis], "mean": mean, "variance": variance, "epsilon": epsilon}
    largest = max(float(np.abs(values).max()) * abs(factor), abs(beta))
    return (values[channel] - mean) * factor + beta, steps | {"scale": gamma, "offset": beta, "largest_term": largest}


def _padding(unit: _Unit) -> Result:
    patch = unit.patch(unit.channel)
    return float(patch[0, 0, 0]), {"patch": patch}


def _concatenation(unit: _Unit) -> Result:
    row, column, channel = unit.position
    chosen = 0
    while channel >= unit.inputs[chosen].shape[2]:
        channel, chosen = channel - unit.inputs[chosen].shape[2], chosen + 1
    source = (row, column, channel)
    return float(unit.inputs[chosen][source]), {"source": source, "chosen": chosen}


def _rescaling(unit: _Unit) -> Result:
    value = float(unit.inputs[0][unit.position])
    scale, offset = unit.network.scaling(unit.stage.name)
    return value * scale + offset, {"patch": np.array([[[value]]]), "scale": scale, "offset": offset}


def _add(unit: _Unit) -> Result:
    terms = np.array([picture[unit.position] for picture in unit.inputs])
    return float(terms.sum()), {"terms": terms, "largest_term": float(np.abs(terms).max())}


def _multiplication(unit: _Unit) -> Result:
    row, column, channel = unit.position
    terms = np.array(
        [picture[min(row, len(picture) - 1), min(column, picture.shape[1] - 1), channel] for picture in unit.inputs]
    )
    return float(terms.prod()), {"terms": terms}  # a picture of one pixel multiplies every position


def _flatten(unit: _Unit) -> Result:
    source = _unravelled(unit.channel, unit.inputs[0].shape)
    return float(unit.inputs[0][source]), {"source": source}


def _dense(unit: _Unit) -> Result:
    inputs = unit.inputs[0].ravel()
    weights = unit.network.kernel(unit.stage.name)[:, unit.channel].astype(np.float64)
    products = inputs * weights
    largest = np.argsort(-np.abs(products), kind="stable")[: unit.contributions]
    picture = receptive_field.flattened(unit.network.contract, unit.stage)
    listed = tuple(
        Contribution(
            index=int(index),
            position=_unravelled(int(index), picture) if picture else None,
            value=float(inputs[index]),
            weight=float(weights[index]),
            product=float(products[index]),
        )
        for index in largest
    )
    bias = unit.bias()
    total = float(products.sum()) + bias
    return total, {
        "contributions": listed,
        "others": len(products) - len(listed),
        "others_sum": float(np.delete(products, largest).sum()),
        "largest_term": max(float(np.abs(products).max()), abs(bias)),
        "products_sum": float(products.sum()),
        "bias": bias,
        "sum": total,
    }


def _softmax(unit: _Unit) -> Result:
    scores = unit.inputs[0].ravel()
    exponentials = np.exp(scores - scores.max())
    total = float(exponentials.sum())
    return float(exponentials[unit.channel]) / total, {"terms": scores, "exponentials": exponentials, "total": total}


_STEPS: dict[str, Callable[[_Unit], Result]] = {
    "convolution": _convolution,
    "depthwise_convolution": _convolution,
    "pooling": _pooling,
    "relu": _relu,
    "activation": _elementwise,
    "padding": _padding,
    "cropping": _padding,
    "resizing": _resizing,
    "normalization": _normalization,
    "concatenation": _concatenation,
    "rescaling": _rescaling,
    "add": _add,
    "multiplication": _multiplication,
    "flatten": _flatten,
    "dense": _dense,
    "probabilities": _softmax,
}


def _picture(values: np.ndarray) -> np.ndarray:
    """(n,) as a picture of one pixel with n channels; pictures unchanged."""
    return values if values.ndim == 3 else values.reshape(1, 1, -1)


def _unravelled(index: int, shape: tuple[int, ...]) -> Position:
    row, column, channel = np.unravel_index(index, shape)
    return int(row), int(column), int(channel)
