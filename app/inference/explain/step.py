"""A photo's bytes and the right class come in; one step of gradient descent on it, shown for one filter, goes out.

All weights move at once, each against its gradient, as they do for every batch of photos in training. Nothing is stored.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from app.errors import InvalidRequest
from app.inference.decode import MAX_PIXELS, Photo
from app.inference.explain.backpropagation import check as check_kinds
from app.inference.explain.backpropagation import cross_entropy, gradients, needed
from app.inference.explain.explain import INPUT, check_unit
from app.inference.networks.contract import Contract, Stage
from app.inference.networks.engines.network import ForwardPass, Network
from app.inference.predict import read

COLOURS = 255
"""Training counts colours from 0 to 1, so its weights on them are 255 times those here, and their gradients a 255th."""

TRIED = tuple(10.0**-power for power in range(7))
"""Learning rates that are tried, from 1 to a millionth."""

ENOUGH = 0.5
"""How much of the fall that the gradient predicts must happen (Armijo 1966)."""


@dataclass(frozen=True)
class Moved:
    """Weights `before` the step, their `gradient`, and those `after` it, float64 arrays of one shape."""

    before: np.ndarray
    gradient: np.ndarray
    after: np.ndarray


@dataclass(frozen=True)
class Moment:
    """The network's answer to the photo before or after the step. `loss` is -ln of the right class's probability."""

    loss: float
    probabilities: dict[str, float]


@dataclass(frozen=True)
class Step:
    """One step. `size` is the learning rate as training counts it; `learning_rate` is what the gradient of `kernel` is
    multiplied by, `size` / 255² where the filter reads colours. The bias moves by `size` times its gradient; it is None in a
    stage without biases.

    `kernel` holds the filter, (height, width, inputs), or a fully connected unit's weights, (inputs,); `bias` arrays of ().
    """

    photo: Photo
    size: float
    learning_rate: float
    before: Moment
    after: Moment
    kernel: Moved
    bias: Moved | None


def take_step(
    data: bytes,
    network: Network,
    stage: Stage,
    channel: int,
    truth: str,
    learning_rate: float | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Step:
    """Take one step on the photo, for which class `truth` is right.

    Without `learning_rate`, it is the first of TRIED after which the loss falls by at least half of what the gradient
    predicts; the last one if none does.

    Raises InvalidRequest as `check` does, where the engine cannot change weights, and when the step makes numbers too large
    for float32; and what `decode` raises.
    """
    check(network.contract, stage.name, channel, truth)
    photo, tensor = read(data, network, max_pixels)
    passed = network.run(tensor, needed(network.contract))
    right = network.contract.classes.index(truth)
    slopes = gradients(network, {INPUT: tensor[0], **passed.stages}, right)
    moving = _Moving(network, slopes)
    before = _moment(network, passed, right)
    for size in TRIED if learning_rate is None else (learning_rate,):
        after = _after(network, moving, size, tensor, right)
        if before.loss - after.loss >= ENOUGH * moving.predicted(size):
            break
    if not math.isfinite(after.loss):
        raise InvalidRequest(f"A step of {size:g} makes numbers too large for float32; use a smaller learning_rate.")
    kernel, bias = f"{stage.name}/kernel", f"{stage.name}/bias"
    return Step(
        photo=photo,
        size=size,
        learning_rate=moving.rate(kernel, size),
        before=before,
        after=after,
        kernel=moving.shown(kernel, channel, size),
        bias=moving.shown(bias, channel, size) if bias in slopes else None,
    )


def check(contract: Contract, name: str, channel: int, truth: str) -> Stage:
    """The stage of that name. Raises InvalidRequest if there is none, or no such channel, or no weights in it; for a class
    that the network does not know; and for a network of which not every stage is differentiated.
    """
    stage = check_unit(contract, name, (0, 0, channel))
    check_kinds(contract)
    if not stage.parameters:
        weighted = ", ".join(stage.name for stage in contract.stages if stage.parameters)
        raise InvalidRequest(f"Stage {name} is of kind {stage.kind}, which has no weights; those that have are {weighted}.")
    if truth not in contract.classes:
        known = ", ".join(contract.classes)
        raise InvalidRequest(f"Network {contract.network} has no class {truth[:80]!r}; truth is one of {known}.")
    return stage


class _Moving:
    """All weights of a network, by name, and their gradients."""

    def __init__(self, network: Network, slopes: dict[str, np.ndarray]) -> None:
        self._network, self._slopes = network, slopes

    def rate(self, name: str, size: float) -> float:
        """What an array's gradient is multiplied by in a step of that size."""
        stage, kind = name.rsplit("/", 1)
        return size / COLOURS**2 if kind == "kernel" and _reads_colours(self._network.contract, stage) else size

    def predicted(self, size: float) -> float:
        """How far the loss would fall if it were as straight as its gradient says."""
        return float(sum(self.rate(name, size) * np.square(slope).sum() for name, slope in self._slopes.items()))

    def after(self, size: float) -> Iterator[tuple[str, np.ndarray]]:
        """All weights after a step of that size, float32, perhaps infinite."""
        for name, slope in self._slopes.items():
            with np.errstate(over="ignore"):
                yield name, (self._weights(name) - self.rate(name, size) * slope).astype(np.float32)

    def shown(self, name: str, channel: int, size: float) -> Moved:
        """What the step does to one filter or bias."""
        before, slope = self._weights(name)[..., channel], self._slopes[name][..., channel]
        return Moved(before, slope, before - self.rate(name, size) * slope)

    def _weights(self, name: str) -> np.ndarray:
        stage, kind = name.rsplit("/", 1)
        weights = self._network.kernel(stage) if kind == "kernel" else self._network.bias(stage)
        return weights.astype(np.float64)


def _after(network: Network, moving: _Moving, size: float, tensor: np.ndarray, right: int) -> Moment:
    """The answer after a step of that size; its loss is not finite where numbers leave the range of float32."""
    moved = network.with_weights(dict(moving.after(size)))
    return _moment(network, moved.run(tensor, [_scores(network.contract)]), right)


def _moment(network: Network, passed: ForwardPass, right: int) -> Moment:
    scores = passed.stages[_scores(network.contract)]
    loss = cross_entropy(scores, right) if np.isfinite(scores).all() else math.inf
    return Moment(loss, network.contract.by_class(passed.probabilities))


def _scores(contract: Contract) -> str:
    """The stage of which the probabilities are the softmax."""
    return contract.stages[-1].inputs[0]


def _reads_colours(contract: Contract, name: str) -> bool:
    """Whether no other weights lie between the image and that stage."""
    while name != INPUT:
        stage = contract.stage(name)
        assert stage is not None  # a contract's inputs are its own layers
        [name] = stage.inputs
        before = contract.stage(name)
        if before is not None and before.parameters:
            return False
    return True
