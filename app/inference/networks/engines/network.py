"""What every engine does: an input tensor comes in, a `ForwardPass`, probabilities and stages of one pass, goes out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from app.errors import InvalidRequest
from app.inference.networks.contract import Contract
from app.inference.networks.edits import Changes, Edit
from app.inference.networks.onnx.integer_layers import IntegerLayer


@dataclass(frozen=True)
class ForwardPass:
    """The result of one forward pass: `probabilities` (n,) float32, one for each class in the contract's order, and the
    requested `stages` by name, each (height, width, channels) or (n,) float32. `distance` is the photo's from those that
    were taught, None where the contract has no familiarity.
    """

    probabilities: np.ndarray
    stages: dict[str, np.ndarray]
    distance: float | None = None


class Twin(Protocol):
    """A twin in integers, see `integers.IntegerTwin`. `preferred` is whether it answers where nobody says which;
    `alone`, whether it does so even where the verdict is close, and the network is not asked.
    """

    sha256: str
    preferred: bool
    alone: bool

    def run(self, pixels: np.ndarray) -> ForwardPass:
        """Run one photo, (1, height, width, 3) uint8, through the twin."""

    def looked_at(self, pixels: np.ndarray, name: str) -> tuple[IntegerLayer, np.ndarray, np.ndarray] | None:
        """The stage or inner layer of that name in integers, and the bytes that it reads and writes for one photo, each
        (height, width, channels) uint8; None where the twin computes it in float.

        Raises NetworkError if the twin's file was overwritten.
        """

    def settles(self, result: ForwardPass) -> bool:
        """Whether the verdict is so clear that the network will give the same."""


class Network(Protocol):
    """A loaded network, or an edited one. Several threads may call `run` at once.

    `changes` are its edits; none in a network as it was loaded. `epoch` is the epoch of its training after which it was so,
    where one was asked for. `integers` is its twin, where it has one and that may answer for it.
    """

    contract: Contract
    sha256: str
    changes: Changes
    epoch: int | None
    integers: Twin | None

    def run(self, tensor: np.ndarray, stages: Iterable[str] = ()) -> ForwardPass:
        """Run one photo, (1, height, width, 3) float32 0..255, through the network."""

    def kernel(self, stage: str) -> np.ndarray:
        """A stage's kernel, float32: (height, width, inputs, filters) for a convolution, with 1 input if it is depthwise;
        (inputs, units) for a dense stage. Raises KeyError for a stage without one.
        """

    def bias(self, stage: str) -> np.ndarray:
        """A stage's bias, (n,) float32. Raises KeyError for a stage without one."""

    def scaling(self, stage: str) -> tuple[float, float]:
        """A rescaling stage's scale and offset. Raises KeyError for another kind of stage."""

    def slopes(self, stage: str) -> np.ndarray:
        """A PReLU's slopes below zero, float32, in the shape of its stage, with 1 for what shares a slope.

        Raises KeyError for another kind of stage.
        """

    def normalization(self, stage: str) -> tuple[np.ndarray, np.ndarray]:
        """A normalization's factor and shift, each (channels,) float32. Raises KeyError for another kind of stage."""

    def edited(self, wanted: Sequence[Edit]) -> "Network":
        """The network with those edits; itself where there are none.

        Raises InvalidRequest for what does not fit, and where the engine cannot do it. Its `run` raises InvalidRequest when
        the edits make numbers too large for float32.
        """

    def at_epoch(self, epoch: int) -> "Network":
        """The network as it was after that epoch of its training, 0 for the random start. Takes no time before it is used.

        Raises InvalidRequest for an epoch that was not kept, and where the engine cannot do it.
        """

    def with_weights(self, weights: Mapping[str, np.ndarray]) -> "Network":
        """The network with other weights, by name, such as `scores/kernel` and `scores/bias`; shaped as `kernel` and `bias`
        have them. Raises InvalidRequest where the engine cannot do it.
        """


def computed(contract: Contract, stages: Iterable[str]) -> list[str]:
    """What a pass has to compute, once each: `probabilities`, these stages, and the one that tells what is familiar."""
    known = contract.familiarity
    return list(dict.fromkeys(["probabilities", *stages, *([known.stage] if known else [])]))


def passed(contract: Contract, arrays: dict[str, np.ndarray]) -> ForwardPass:
    """The result of a pass that computed these stages."""
    known = contract.familiarity
    return ForwardPass(arrays["probabilities"], arrays, known.distance(arrays[known.stage]) if known else None)


def channels_last(output: np.ndarray) -> np.ndarray:
    """ONNX's (channels, height, width) as (height, width, channels), as people and Keras read it. A view, no copy."""
    return output.transpose(1, 2, 0) if output.ndim == 3 else output


def check_finite(arrays: dict[str, np.ndarray]) -> None:
    """Raise InvalidRequest when a stage of an edited network, by name, has numbers that are not finite."""
    for name, values in reversed(arrays.items()):  # the probabilities last: they follow from the stages
        if not np.isfinite(values).all():
            raise InvalidRequest(f"With these edits, numbers of stage {name} leave the range of float32; use smaller ones.")
