"""Answers of two versions to the same photos come in; whether the new one may take the old one's place goes out."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

CORRECTIONS = "corrections held out"
"""The set on which a new version must be better; on all others it must not be worse."""

DOUBT = 0.05
"""A loss that chance brings about less often than this counts as one, even in a small set."""

MOST_LOST = 0.002
"""Accuracy that may be lost over all sets together: 0.2 points."""


@dataclass(frozen=True)
class Comparison:
    """Two versions on one set of photos: how many of them each answered rightly, how many only the new one (`gained`), and
    how many only the old one (`lost`).
    """

    name: str
    photos: int
    before: int
    after: int
    gained: int
    lost: int

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
    return Comparison(name, len(labels), int(old.sum()), int(new.sum()), int((new & ~old).sum()), int((old & ~new).sum()))


def refusals(held_out: Sequence[Comparison], corrections: Comparison) -> list[str]:
    """Why the new version may not be served, as sentences; none if it may.

    Args:
        held_out: the sets that came with the network.
        corrections: those that the new version did not learn from.
    """
    why = []
    if corrections.after <= corrections.before:
        why.append(
            f"Of {corrections.photos} corrections that it did not learn from it answers {corrections.after} rightly; "
            f"the version that is served answers {corrections.before}."
        )
    why += [
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
