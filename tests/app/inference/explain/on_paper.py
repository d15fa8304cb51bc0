"""Networks on paper: a stage or two with weights simple enough to calculate by hand."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from app.inference.explain.audit import Audit, audit
from app.inference.networks.contract import Contract, Stage
from app.inference.networks.edits import Changes


@dataclass
class Tiny:
    """A network on paper: its contract and its weights, by stage."""

    contract: Contract
    kernels: dict[str, np.ndarray] = field(default_factory=dict)
    biases: dict[str, np.ndarray] = field(default_factory=dict)
    scalings: dict[str, tuple[float, float]] = field(default_factory=dict)
    changes: Changes = field(default_factory=Changes)

    def kernel(self, stage: str) -> np.ndarray:
        return self.kernels[stage]

    def bias(self, stage: str) -> np.ndarray:
        return self.biases[stage]

    def scaling(self, stage: str) -> tuple[float, float]:
        return self.scalings[stage]


def contract(height: int, width: int, channels: int, *stages: Stage) -> Contract:
    return Contract("tiny", "0", ("cat", "not_cat"), (height, width, channels), (0.5, 0.5), 0, stages, {}, Path())


def audited(
    stage: Stage,
    image: np.ndarray,
    position: tuple[int, int, int],
    computed: float = 0.0,
    contributions: int = 12,
    before: tuple[Stage, ...] = (),
    values: dict[str, np.ndarray] | None = None,
    **weights: object,
) -> Audit:
    """The audit of a unit for which the network supposedly computed `computed`."""
    stage_values = np.full(stage.shape, computed, np.float32)
    picture = np.asarray(image, np.float32)
    everything = contract(*(picture.shape if picture.ndim == 3 else (1, 1, picture.size)), *before, stage)
    network = Tiny(everything, **{name: {stage.name: value} for name, value in weights.items()})
    return audit(network, stage, {"image": picture, **(values or {}), stage.name: stage_values}, position, contributions)


# Two channels: the first counts from 1 to 9, the second is one everywhere.
#
#     1 2 3     1 1 1
#     4 5 6     1 1 1
#     7 8 9     1 1 1
NINE = np.stack([np.arange(1, 10).reshape(3, 3), np.ones((3, 3))], axis=-1).astype(np.float32)


# One filter: on the first channel it counts as well, on the second every weight is -1.
FILTER = np.stack([np.arange(1, 10).reshape(3, 3), -np.ones((3, 3))], axis=-1)[..., np.newaxis].astype(np.float32)


def convolution(activation: str | None = None, padding: str = "same", size: int = 3) -> Stage:
    return Stage("conv", "convolution", (size, size, 1), ("image",), 0, (3, 3), (1, 1), padding, activation)


def pooling(operation: str, shape=(2, 2, 1), kernel=(2, 2), stride=(2, 2), padding="valid") -> Stage:
    return Stage("pool", "pooling", shape, ("image",), 0, kernel, stride, padding, operation=operation)


FOUR_BY_FOUR = np.array([[1, 9, 2, 3], [4, 5, 8, 8], [-7, -2, 0, 0], [-5, -3, 0, 1]]).reshape(4, 4, 1)
