"""One number of a feature map comes in; the arithmetic that it is the result of goes out, worked out again in float64.

The network computed the number in float32, many at a time, in an order of its own. Here the same inputs, weights and bias
are taken one by one with NumPy, from the definition of the step, and the result is set beside the network's own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.inference import geometry
from app.inference.activations import activated
from app.inference.contract import Stage
from app.inference.geometry import Box
from app.inference.network import Network

Place = tuple[int, int, int]
"""(row, column, channel) of a unit; row and column are 0 in a stage without a picture."""


@dataclass(frozen=True)
class Audit:
    """The arithmetic of one unit.

    `value` is what float64 makes of it, `computed` what the network did. `window` is what the unit sees of the stage it
    computes from, padding included, and `receptive_field` what it sees of the network's input picture, which is cut off at
    that picture's edges. `steps` holds what lies between, by the stage's kind; arrays are float64, and those that cover the
    window are (height, width, inputs) with 0 for padding:

    - convolution, depthwise_convolution: `patch`, `kernel`, `products`, `channel_sums` (inputs,), `products_sum`, `bias`,
      `sum` of both, and `largest_term`, the largest magnitude that was added
    - pooling: `patch`, without padding; and for "max" `maximum`, `maximum_at` (row, column of the stage before); for
      "average" `sum`, `count` and `largest_term`; for "log_mean_exp" `exponentials` of the patch less its maximum, their
      `mean`, `maximum` and `largest_term`
    - relu, activation, padding: `patch`
    - concatenation: `source`, the (row, column, channel) of the input whose number this is, and `chosen`, that input's place
    - rescaling: `patch`, `scale`, `offset`
    - add, multiplication: `terms`, one for each input stage, and `largest_term`
    - flatten: `source`, the (row, column, channel) whose number this is
    - dense: `contributions` (see `Contribution`), the largest first, `others` (how many more) and `others_sum`,
      `largest_term`, `products_sum`, `bias`, `sum`
    - probabilities: `terms` (the scores), `exponentials` of the scores less the largest of them, and their `total`
    """

    stage: Stage
    place: Place
    value: float
    computed: float
    window: Box
    receptive_field: Box
    steps: dict[str, Any]

    @property
    def difference(self) -> float:
        """How far the network's number lies from the one worked out here."""
        return abs(self.value - self.computed)

    @property
    def relative_difference(self) -> float:
        """The difference as a fraction of the value, or of the largest term of a sum that has almost cancelled out.

        A sum of 5 and -4.999999 keeps, in float32, one digit of the seven that its terms had.
        """
        magnitude = max(abs(self.value), self.steps.get("largest_term", 0.0))
        return self.difference / magnitude if self.difference else 0.0


@dataclass(frozen=True)
class Contribution:
    """What input number `index` adds to a fully connected unit: `product` = `value` x `weight`.

    `place` is where the input lies in the picture that was flattened, or None where there was none.
    """

    index: int
    place: Place | None
    value: float
    weight: float
    product: float


def audit(network: Network, stage: Stage, values: Mapping[str, np.ndarray], place: Place, contributions: int) -> Audit:
    """Work out one unit of `stage` again.

    Args:
        network: whose weights are used.
        stage: one of its contract.
        values: what one pass gave to the stage and to its inputs, float32, (height, width, channels) or (n,); under
            "image" the network's input picture.
        place: of the unit.
        contributions: how many inputs of a fully connected unit are told one by one.
    """
    row, column, channel = place
    contract = network.contract
    inputs = [_picture(values[name]).astype(np.float64) for name in stage.inputs]
    box, seen = geometry.window(contract, stage).box(row, column), geometry.pixels(contract, stage, row, column)
    if stage.kind == "flatten":  # each of its units sees one number, though all of them together see everything
        source = _unravelled(channel, inputs[0].shape)
        before = contract.stage(stage.inputs[0])
        box = Box(source[0], source[1], source[0] + 1, source[1] + 1)
        seen = geometry.pixels(contract, before, *source[:2]) if before else box
    unit = _Unit(network, stage, inputs, place, box, contributions)
    value, steps = _STEPS[stage.kind](unit)
    return Audit(
        stage=stage,
        place=place,
        value=value,
        computed=float(_picture(values[stage.name])[place]),
        window=box,
        receptive_field=seen,
        steps=steps,
    )


@dataclass(frozen=True)
class _Unit:
    """What each kind of step needs to know: `inputs` are pictures, float64, `box` the window."""

    network: Network
    stage: Stage
    inputs: list[np.ndarray]
    place: Place
    box: Box
    contributions: int

    @property
    def channel(self) -> int:
        return self.place[2]

    def patch(self, channel: int | None = None) -> np.ndarray:
        """The window's inputs, (height, width, inputs), of one channel if it is named; 0 beyond the picture's edges."""
        picture = self.inputs[0] if channel is None else self.inputs[0][:, :, channel : channel + 1]
        inside = self.box.clipped(*picture.shape[:2])
        patch = np.zeros((self.box.bottom - self.box.top, self.box.right - self.box.left, picture.shape[2]))
        rows = slice(inside.top - self.box.top, inside.bottom - self.box.top)
        columns = slice(inside.left - self.box.left, inside.right - self.box.left)
        patch[rows, columns] = picture[inside.top : inside.bottom, inside.left : inside.right]
        return patch

    def bias(self) -> float:
        """The trained number that is added to the unit's sum, 0 in a layer without."""
        try:
            return float(self.network.bias(self.stage.name)[self.channel])
        except KeyError:
            return 0.0


Result = tuple[float, dict[str, Any]]


def _convolution(unit: _Unit) -> Result:
    kernel = unit.network.kernel(unit.stage.name)
    depthwise = unit.stage.kind == "depthwise_convolution"  # every channel has filters of its own, usually one
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
    """ReLU is 0 for everything below it; ReLU6 stops at 6 as well (Krizhevsky 2010)."""
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
    exponentials = np.exp(patch - highest)  # less the largest, as everybody does: nothing overflows, and it is added again
    mean = float(exponentials.mean())
    steps = {"patch": patch, "exponentials": exponentials, "mean": mean, "maximum": highest}
    return highest + float(np.log(mean)), steps | {"largest_term": max(abs(highest), abs(float(np.log(mean))))}


def _relu(unit: _Unit) -> Result:
    value = float(unit.inputs[0][unit.place])
    return _activated(value, "relu"), {"patch": np.array([[[value]]])}


def _elementwise(unit: _Unit) -> Result:
    value = float(unit.inputs[0][unit.place])
    assert unit.stage.operation
    return activated(unit.stage.operation, value, unit.stage.slope), {"patch": np.array([[[value]]])}


def _padding(unit: _Unit) -> Result:
    patch = unit.patch(unit.channel)
    return float(patch[0, 0, 0]), {"patch": patch}


def _concatenation(unit: _Unit) -> Result:
    row, column, channel = unit.place
    chosen = 0
    while channel >= unit.inputs[chosen].shape[2]:
        channel, chosen = channel - unit.inputs[chosen].shape[2], chosen + 1
    source = (row, column, channel)
    return float(unit.inputs[chosen][source]), {"source": source, "chosen": chosen}


def _rescaling(unit: _Unit) -> Result:
    value = float(unit.inputs[0][unit.place])
    scale, offset = unit.network.scaling(unit.stage.name)
    return value * scale + offset, {"patch": np.array([[[value]]]), "scale": scale, "offset": offset}


def _add(unit: _Unit) -> Result:
    terms = np.array([picture[unit.place] for picture in unit.inputs])
    return float(terms.sum()), {"terms": terms, "largest_term": float(np.abs(terms).max())}


def _multiplication(unit: _Unit) -> Result:
    row, column, channel = unit.place
    terms = np.array(
        [picture[min(row, len(picture) - 1), min(column, picture.shape[1] - 1), channel] for picture in unit.inputs]
    )
    return float(terms.prod()), {"terms": terms}  # a picture of one pixel multiplies every place


def _flatten(unit: _Unit) -> Result:
    source = _unravelled(unit.channel, unit.inputs[0].shape)
    return float(unit.inputs[0][source]), {"source": source}


def _dense(unit: _Unit) -> Result:
    inputs = unit.inputs[0].ravel()
    weights = unit.network.kernel(unit.stage.name)[:, unit.channel].astype(np.float64)
    products = inputs * weights
    largest = np.argsort(-np.abs(products), kind="stable")[: unit.contributions]
    before = unit.network.contract.stage(unit.stage.inputs[0])
    picture = geometry.shape_of(unit.network.contract, before.inputs[0]) if before and before.kind == "flatten" else None
    told = tuple(
        Contribution(
            index=int(index),
            place=_unravelled(int(index), picture) if picture else None,
            value=float(inputs[index]),
            weight=float(weights[index]),
            product=float(products[index]),
        )
        for index in largest
    )
    bias = unit.bias()
    total = float(products.sum()) + bias
    return total, {
        "contributions": told,
        "others": len(products) - len(told),
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
    "concatenation": _concatenation,
    "rescaling": _rescaling,
    "add": _add,
    "multiplication": _multiplication,
    "flatten": _flatten,
    "dense": _dense,
    "probabilities": _softmax,
}


def _picture(values: np.ndarray) -> np.ndarray:
    """(n,) as a picture of one place with n channels; pictures as they are."""
    return values if values.ndim == 3 else values.reshape(1, 1, -1)


def _unravelled(index: int, shape: tuple[int, ...]) -> Place:
    row, column, channel = np.unravel_index(index, shape)
    return int(row), int(column), int(channel)
