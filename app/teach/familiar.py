"""What a network sees in the photos of some classes comes in; what is familiar to it, and from where on not, goes out."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from app.inference import familiarity
from app.inference.familiarity import Familiarity
from app.inference.networks.onnx.other_classes import LAST
from app.teach.judges import spread

MOST_UNFAMILIAR = 0.05
"""The largest share of the photos that were taught that may be unfamiliar to judges which have not seen them."""


def fit(means: np.ndarray, labels: np.ndarray, folds: Sequence[np.ndarray], classes: int) -> tuple[Familiarity, np.ndarray]:
    """What the photos look like, with the limit that leaves at most MOST_UNFAMILIAR of them unfamiliar; and each photo's
    distance, (n,), from the photos outside its fold.

    Args:
        means: (n, views, channels) float32; the first view is the photo as it is.
        labels: (n,) class indices.
        folds: indices of photos, a fold each; every photo is in one.
        classes: how many there are.
    """
    distances = unseen(means, labels, folds, classes, means[:, 0])
    return replace(known(means, labels, classes), limit=limit(distances)), distances


def unseen(
    means: np.ndarray, labels: np.ndarray, folds: Sequence[np.ndarray], classes: int, looks: np.ndarray
) -> np.ndarray:
    """The distance of what was seen in each photo, `looks` (n, channels), from the photos outside its fold, (n,)."""
    distances = np.zeros(len(labels))
    for held_out in folds:
        rest = np.setdiff1d(np.arange(len(labels)), held_out)
        distances[held_out] = known(means[rest], labels[rest], classes).distances(looks[held_out])
    return distances


def limit(distances: np.ndarray) -> float:
    """The smallest distance that at most MOST_UNFAMILIAR of them exceed; of fewer than 20, the largest."""
    return float(np.sort(distances)[-1 - int(MOST_UNFAMILIAR * len(distances))])


def known(means: np.ndarray, labels: np.ndarray, classes: int) -> Familiarity:
    """What the photos look like; every distance is within the limit."""
    centre, unit = means.mean(axis=(0, 1)), spread(means).astype(np.float32)
    levels, deviations = familiarity.levels(means), familiarity.deviations(means, centre, unit)

    def by_class(looks: np.ndarray) -> np.ndarray:
        return familiarity.directions(np.stack([looks[labels == label].mean(axis=(0, 1)) for label in range(classes)]))

    return Familiarity(LAST, np.inf, centre, unit, by_class(levels), by_class(deviations))
