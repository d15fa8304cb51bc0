"""A photo's bytes and a stage come in; what muting each of its channels would do to the answer goes out.

Nothing is estimated: the network answers once for each channel (an ablation of units, as in Morcos et al. 2018). What lies
before the stage is computed once, and only the rest of the network for each channel.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from app.errors import InvalidRequest
from app.inference.decode import MAX_PIXELS, Photo
from app.inference.drawing.colours import as_picture
from app.inference.networks.contract import Contract, Stage
from app.inference.networks.engines.network import Network
from app.inference.networks.onnx.onnx_changes import FIRST
from app.inference.networks.rest import Rest, in_graph
from app.inference.predict import likeliest, read

MAX_PASSES = 64
"""The work of one question, in passes through the whole network. Near its end, that is enough for a thousand channels."""

MAX_CHANNELS = 2048
"""Channels of one answer."""


class Stopped(Exception):
    """Nobody waits for the answer any more."""


@dataclass(frozen=True)
class Effect:
    """What muting one channel does: `mean` is its mean magnitude for this photo, `probabilities` those without it, `change`
    the change of the answered class's probability.
    """

    channel: int
    mean: float
    probabilities: dict[str, float]
    change: float


@dataclass(frozen=True)
class Effects:
    """The `effects` of a stage's channels, the largest change first, and the answer with all channels.

    `channels` is how many channels the stage has; if there are fewer effects, those of the strongest channels were computed.
    """

    photo: Photo
    label: str
    probabilities: dict[str, float]
    channels: int
    effects: tuple[Effect, ...]


def effects(
    data: bytes,
    network: Network,
    stage: Stage,
    limit: int = MAX_CHANNELS,
    max_pixels: int = MAX_PIXELS,
    stopped: Callable[[], bool] = lambda: False,
) -> Effects:
    """Mute one channel of `stage` after the other, at most `limit` and as many as MAX_PASSES allows, the strongest ones.

    Raises InvalidRequest for the probabilities themselves, and what `decode` raises; Stopped once `stopped` says so.
    """
    check_stage(stage)
    photo, tensor = read(data, network, max_pixels)
    rest = Rest(network, stage)
    passed = network.run(tensor, [name for name in rest.needs if name != FIRST])
    inputs = {name: in_graph(tensor[0] if name == FIRST else passed.stages[name]) for name in rest.needs}
    before = network.contract.by_class(passed.probabilities)
    label = likeliest(before)
    means = np.abs(as_picture(passed.stages[stage.name])).mean(axis=(0, 1), dtype=np.float64)
    strongest = np.argsort(-means, kind="stable")[: min(limit, most_channels(network.contract, stage))]
    values = inputs[stage.name]
    found = []
    for channel in map(int, strongest):
        if stopped():
            raise Stopped
        after = before
        if means[channel]:  # muting what is 0 everywhere changes nothing
            original = values[0, channel].copy()
            values[0, channel] = 0
            after = network.contract.by_class(rest.run(inputs))
            values[0, channel] = original
        found.append(Effect(channel, float(means[channel]), after, after[label] - before[label]))
    found.sort(key=lambda effect: (-abs(effect.change), effect.channel))
    return Effects(photo, label, before, len(means), tuple(found))


def check_stage(stage: Stage) -> None:
    """Raise InvalidRequest for the probabilities, which are the answer itself."""
    if stage.kind == "probabilities":
        raise InvalidRequest("The probabilities are the answer itself; ask for a stage before them.")


def most_channels(contract: Contract, stage: Stage) -> int:
    """How many channels of `stage` MAX_PASSES allows: the fewer multiplications come after it, the more."""
    layers = (*contract.stages, *contract.inner)
    reached, found = {stage.name}, [stage]
    after = 0
    while found:
        found = [layer for layer in layers if layer.name not in reached and not reached.isdisjoint(layer.inputs)]
        reached.update(layer.name for layer in found)
        after += sum(map(_multiplications, found))
    whole = sum(map(_multiplications, layers))
    return min(MAX_CHANNELS, MAX_PASSES * whole // max(after, 1))


def _multiplications(stage: Stage) -> int:
    """About how many a stage takes: each weight is used at each position."""
    return stage.parameters * (math.prod(stage.shape[:2]) if len(stage.shape) == 3 else 1)
