"""What photos look like to a network comes in; a judge for each class goes out.

A judge scores each position of a photo by a weighted sum of what the network sees there. The photo's score is the mean of
them, so fitting the judges is logistic regression on the means, a convex problem: the same photos give the same judges,
whatever they start from.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from app.teach.calibrate import log_loss, log_of_sum, softmax

PENALTIES = (0.05, 0.005, 0.0005)
"""Penalties to choose from; few photos need more of it."""

FOLDS = 5

STEPS = 300
"""Enough for L-BFGS to come to rest on thousands of photos."""

FAINTEST = 0.1
"""Share of the mean channel's variation that is added to each, or channels that hardly vary would count most."""

_TINY = 1e-12  # where nothing varies

_MEMORY = 10
"""Steps that L-BFGS remembers."""


@dataclass(frozen=True)
class Judges:
    """`kernel` (channels, classes) and `bias` (classes,) float64."""

    kernel: np.ndarray
    bias: np.ndarray

    def scores(self, means: np.ndarray) -> np.ndarray:
        """(n, channels) -> (n, classes) float64."""
        return np.asarray(means.astype(np.float64) @ self.kernel + self.bias)


def fit(means: np.ndarray, labels: np.ndarray, classes: int, penalty: float) -> Judges:
    """The judges with the lowest log loss, every class counting equally.

    Args:
        means: (n, views, channels) float32, the mean over all positions of what the network sees, in each view of a photo.
        labels: (n,) class indices.
        classes: how many there are.
        penalty: of the weights' squares, in `units`.
    """
    views, channels = means.shape[1:]
    centre, unit = means.mean(axis=(0, 1), dtype=np.float64), units(means)
    seen, labels = (means.reshape(-1, channels) - centre) / unit, np.repeat(labels, views)
    counts = np.bincount(labels, minlength=classes)
    weights = (1 / (classes * counts))[labels]
    targets = np.eye(classes)[labels]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        kernel, bias = flat[:-classes].reshape(channels, classes), flat[-classes:]
        scores = seen @ kernel + bias
        errors = weights[:, None] * (softmax(scores) - targets)
        value = weights @ (log_of_sum(scores) - scores[np.arange(len(labels)), labels]) + penalty / 2 * (kernel**2).sum()
        return float(value), np.concatenate([(seen.T @ errors + penalty * kernel).ravel(), errors.sum(axis=0)])

    flat = lowest(loss, np.zeros((channels + 1) * classes))
    kernel = flat[:-classes].reshape(channels, classes) / unit[:, None]
    return Judges(kernel, flat[-classes:] - centre @ kernel)


def units(means: np.ndarray) -> np.ndarray:
    """(channels,) float64: by how much each channel varies from photo to photo. Weights are penalised in these units, so
    that a channel which is faint and telling counts as much as a loud one.
    """
    return np.asarray(spread(means) * np.sqrt(means.shape[-1] / 10))


def spread(means: np.ndarray) -> np.ndarray:
    """(channels,) float64: each channel's standard deviation from photo to photo, and FAINTEST of the mean channel's."""
    each = means.std(axis=(0, 1), dtype=np.float64)
    return np.asarray(each + FAINTEST * each.mean() + _TINY)


def best_penalty(means: np.ndarray, labels: np.ndarray, folds: Sequence[np.ndarray], classes: int) -> float:
    """The penalty with the lowest log loss on photos that the judges have not seen."""

    def loss(penalty: float) -> float:
        return log_loss(unseen(without(means, labels, folds, classes, penalty), folds, means[:, 0]), labels)

    return min(PENALTIES, key=loss)


def without(
    means: np.ndarray, labels: np.ndarray, folds: Sequence[np.ndarray], classes: int, penalty: float
) -> list[Judges]:
    """For each fold the judges that were fitted without it."""
    rests = [np.setdiff1d(np.arange(len(labels)), held_out) for held_out in folds]
    return [fit(means[rest], labels[rest], classes, penalty) for rest in rests]


def unseen(fitted: Sequence[Judges], folds: Sequence[np.ndarray], looks: np.ndarray) -> np.ndarray:
    """The scores (n, classes) of what was seen in photos, `looks` (n, channels), by the judges that were fitted without the
    photo's fold.
    """
    scores = np.zeros((len(looks), fitted[0].kernel.shape[1]))
    for held_out, judges in zip(folds, fitted, strict=True):
        scores[held_out] = judges.scores(looks[held_out])
    return scores


def folded(labels: np.ndarray, groups: Sequence[int]) -> list[np.ndarray]:
    """FOLDS arrays of indices, or as few as the smallest class has groups; those of one group lie in one.

    Each class is dealt out evenly, its largest groups first. `groups` has a number for each photo, the same for photos that
    look alike. The order of the photos decides between groups of one size.
    """
    members: dict[tuple[int, int], list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault((int(labels[index]), group), []).append(index)
    by_class: dict[int, list[list[int]]] = {}
    for (label, _), indices in members.items():
        by_class.setdefault(label, []).append(indices)
    count = min(FOLDS, *(len(of_class) for of_class in by_class.values()))
    folds: list[list[int]] = [[] for _ in range(count)]
    for of_class in by_class.values():
        dealt = [0] * count
        for indices in sorted(of_class, key=len, reverse=True):
            fewest = min(range(count), key=lambda fold: (dealt[fold], len(folds[fold])))
            folds[fewest] += indices
            dealt[fewest] += len(indices)
    return [np.array(sorted(fold)) for fold in folds]


def lowest(function: Callable[[np.ndarray], tuple[float, np.ndarray]], start: np.ndarray) -> np.ndarray:
    """Where a convex function is lowest, by L-BFGS (Liu and Nocedal 1989) with steps that are halved until they descend.

    `function` has for a point its value and its gradient.
    """
    point = start
    value, gradient = function(point)
    moves: list[tuple[np.ndarray, np.ndarray]] = []
    for _ in range(STEPS):
        direction = _direction(gradient, moves)
        slope = float(direction @ gradient)
        step = 1.0 if moves else min(1.0, 1.0 / (np.abs(gradient).sum() or 1.0))
        while True:
            moved = point + step * direction
            value_there, gradient_there = function(moved)
            if value_there <= value + 1e-4 * step * slope or step < 1e-12:
                break
            step /= 2
        if (bend := (moved - point, gradient_there - gradient))[0] @ bend[1] > 0:
            moves = [*moves, bend][-_MEMORY:]
        descent = value - value_there
        if descent > 0:
            point, value, gradient = moved, value_there, gradient_there
        if descent <= 1e-10 * max(1.0, abs(value)):
            break
    return point


def _direction(gradient: np.ndarray, moves: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Minus the inverse Hessian, as the last moves show it, times the gradient: L-BFGS' two loops."""
    direction = -gradient
    shares = []
    for move, change in reversed(moves):
        share = (move @ direction) / (move @ change)
        direction = direction - share * change
        shares.append(share)
    if moves:
        move, change = moves[-1]
        direction = direction * ((move @ change) / (change @ change))
    for (move, change), share in zip(moves, reversed(shares), strict=True):
        direction = direction + (share - (change @ direction) / (move @ change)) * move
    return direction
