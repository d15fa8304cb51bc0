"""Answers of two versions to the same photos come in; whether the new one may take the old one's place goes out."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

from app.teach.calibrate import log_of_sum
from app.teach.figures import Z

CORRECTIONS = "corrections held out"
"""The set on which a new version must be better; on all others it must not be worse."""

DOUBT = 0.05
"""A loss that chance brings about less often than this counts as one, even in a small set."""

NOTICED = 0.02
"""By how much the mean log loss has to fall at least, so that somebody notices: from a probability of 0.90 to 0.92."""

MOST_LOST = 0.002
"""Accuracy that may be lost over all sets together: 0.2 points."""


@dataclass(frozen=True)
class Comparison:
    """Two versions on one set of photos: how many of them each answered rightly, how many only the new one (`gained`), and
    how many only the old one (`lost`).

    `relief` is by how much the mean log loss falls, and `least_relief` the lower end of its 95 % interval, over the photos.
    """

    name: str
    photos: int
    before: int
    after: int
    gained: int
    lost: int
    relief: float = 0.0
    least_relief: float = 0.0

    @property
    def better(self) -> bool:
        """Whether the new version answers more photos rightly; or as many, and is surer of the right class beyond chance:
        what was right and `unsure` is to become certain.
        """
        return self.after > self.before or (self.after == self.before and self.least_relief > NOTICED)

    @property
    def chance(self) -> float:
        """How often versions that are equally good would lose as many of the photos that only one of them answers rightly,
        or more: the exact, one-sided form of McNemar's test (1947).
        """
        decisive = self.gained + self.lost
        return float(sum(comb(decisive, lost) for lost in range(self.lost, decisive + 1)) / 2**decisive)


def compare(name: str, before: np.ndarray, after: np.ndarray, labels: np.ndarray) -> Comparison:
    """Two versions on one set: (n, classes) scores of each, and (n,) class indices."""
    old, new = before.argmax(axis=1) == labels, after.argmax(axis=1) == labels
    relief = _losses(before, labels) - _losses(after, labels)
    half = Z * float(relief.std(ddof=1) / np.sqrt(len(relief))) if len(relief) > 1 else float(abs(relief.mean()))
    return Comparison(
        name=name,
        photos=len(labels),
        before=int(old.sum()),
        after=int(new.sum()),
        gained=int((new & ~old).sum()),
        lost=int((old & ~new).sum()),
        relief=round(float(relief.mean()), 4),
        least_relief=round(float(relief.mean()) - half, 4),
    )


def _losses(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Minus the logarithm of the right class's probability, (n,)."""
    scores = scores.astype(np.float64)
    return np.asarray(log_of_sum(scores) - scores[np.arange(len(labels)), labels])


def refusals(held_out: Sequence[Comparison], corrections: Comparison) -> list[str]:
    """Why the new version may not be served, as sentences; none if it may.

    Args:
        held_out: the sets that came with the network.
        corrections: those that the new version did not learn from.
    """
    why = []
    if not corrections.better:
        why.append(
            f"Of {corrections.photos} corrections that it did not learn from it answers {corrections.after} rightly; "
            f"the version that is served answers {corrections.before}, and the new one is not surer of the right class."
        )
    return why + forgotten(held_out)


def forgotten(held_out: Sequence[Comparison]) -> list[str]:
    """What the new version is worse at, as sentences; none if it forgets nothing."""
    why = [
        f"Of {one.photos} photos of {one.name} it answers {one.after} rightly; the version that is served answers "
        f"{one.before}. Chance brings such a loss about in {one.chance:.1%} of cases."
        for one in held_out
        if one.after < one.before and one.chance < DOUBT
    ]
    photos, lost = sum(one.photos for one in held_out), sum(one.before - one.after for one in held_out)
    if lost > MOST_LOST * photos:
        why.append(
            f"Of all {photos} photos of the held-out sets it answers {lost} fewer rightly; {MOST_LOST:.1%} may be lost."
        )
    return why
