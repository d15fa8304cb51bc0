"""What a network sees in a photo comes in; how far that is from all the photos that it was taught goes out."""

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np

WEIGHT = 0.5
"""Of the distance of deviations, beside that of levels: the best of those tried, see training/JOURNAL.md, trial 17."""

_ARRAYS = ("centre", "unit", "levels", "deviations")


@dataclass(frozen=True, eq=False)
class Familiarity:
    """What photos that were taught look like, and how far from them a photo is still familiar.

    - `stage`: whose means over all positions are compared
    - `limit`: a photo at a larger distance is `unfamiliar`
    - `centre`, `unit`: (channels,) float32, the mean of the means of all photos, and their variation
    - `levels`, `deviations`: (classes, channels) float32, the direction in which each class lies on average, from zero with
      the square roots of the means, and from the centre in those units
    """

    stage: str
    limit: float
    centre: np.ndarray
    unit: np.ndarray
    levels: np.ndarray
    deviations: np.ndarray

    def __eq__(self, other: object) -> bool:
        """Whether both say the same of every photo; so a reload recognises a network that it serves already."""
        return isinstance(other, Familiarity) and self.plain() == other.plain()

    __hash__ = None  # type: ignore[assignment]  # arrays have none

    def distance(self, values: np.ndarray) -> float:
        """That of one photo, from the values of the stage, (height, width, channels) or (channels,) float32."""
        means = values.mean(axis=tuple(range(values.ndim - 1)), dtype=np.float32)
        return float(self.distances(means[None])[0])

    def distances(self, means: np.ndarray) -> np.ndarray:
        """Those of photos, (n,), from their means, (n, channels): 0 for what looks as the photos of a class do on average, 1
        for what has nothing in common with any. It is one minus the cosine, of levels and of deviations, weighted by WEIGHT.
        """
        alike = levels(means) @ self.levels.T + WEIGHT * deviations(means, self.centre, self.unit) @ self.deviations.T
        return np.asarray(1 - alike.max(axis=1) / (1 + WEIGHT))

    def plain(self) -> dict[str, Any]:
        """As a contract has it: arrays are little-endian float32 in base64."""
        arrays = {name: base64.b64encode(getattr(self, name).astype("<f4").tobytes()).decode() for name in _ARRAYS}
        return {"stage": self.stage, "limit": self.limit, **arrays}


def read(plain: dict[str, Any], classes: int) -> Familiarity:
    """What a contract has. Raises ValueError, KeyError or TypeError for what does not fit that many classes."""
    centre, unit, *by_class = (np.frombuffer(base64.b64decode(plain[name], validate=True), "<f4") for name in _ARRAYS)
    shape = (classes, len(centre))
    known = Familiarity(plain["stage"], float(plain["limit"]), centre, unit, *(array.reshape(shape) for array in by_class))
    if (
        unit.shape != centre.shape
        or not (unit > 0).all()
        or not all(np.isfinite(getattr(known, name)).all() for name in _ARRAYS)
    ):
        raise ValueError("unfamiliar: its arrays do not fit")
    return known


def levels(means: np.ndarray) -> np.ndarray:
    """How much of each channel there is, (..., channels): the square roots of the means, at length 1. The root keeps the few
    strongest channels from deciding alone.
    """
    return directions(np.sqrt(np.maximum(means, 0)))


def deviations(means: np.ndarray, centre: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """By how much each channel differs from the photos that were taught, (..., channels), at length 1."""
    return directions((means - centre) / unit)


def directions(rows: np.ndarray) -> np.ndarray:
    """The rows, (..., n), at length 1; a row of zeros stays so."""
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1))
