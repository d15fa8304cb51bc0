"""Features at each position of photos come in; a judge for each class goes out, which scores each position.

The scores of the positions are pooled as in `training.networks.cat`, by the logarithm of the mean of their exponentials, so
that the score of a photo shows on a map where it comes from. The judges are fitted by L-BFGS (Liu and Nocedal 1989) under a
penalty on the squares of their weights: on frozen features that is logistic regression, and takes seconds.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax
from sklearn.model_selection import StratifiedGroupKFold

from training.networks.pretrained import SHARPNESS

PENALTIES = (0.05, 0.005)
"""Penalties to choose from; few photos need more of it."""

FOLDS = 5
MEAN_STEPS, STEPS = 200, 10
"""Steps of L-BFGS on the means of the features, and then on the features of all positions."""

PORTION = 64
"""Photos whose features become float32 at a time."""

KEPT_BYTES = 1 << 30
"""Up to so many bytes, features become float32 once and not anew in each step: the conversion takes longer than the sums."""


@dataclass(frozen=True)
class Judges:
    """`kernel` (channels, classes) and `bias` (classes,) float64."""

    kernel: np.ndarray
    bias: np.ndarray

    def scores(self, features: np.ndarray) -> np.ndarray:
        """(n, height, width, channels) float16 -> (n, classes) float64."""
        parts = [_pooled(_positions(part, self.kernel, self.bias)) for part in _portions(features)]
        return np.concatenate(parts)


def fit(features: np.ndarray, labels: np.ndarray, classes: int, penalty: float) -> Judges:
    """The judges with the lowest log loss, every class counting equally.

    They are first fitted to the features' means, which takes no time and is nearly right, and then to the positions.

    Args:
        features: (n, height, width, channels) float16.
        labels: (n,) class indices.
        classes: how many there are.
        penalty: of the weights' squares.
    """
    nothing = Judges(np.zeros((features.shape[-1], classes)), np.zeros(classes))
    start = _nearest(means(features), labels, nothing, penalty, MEAN_STEPS)
    return start if features.shape[1:3] == (1, 1) else _nearest(features, labels, start, penalty, STEPS)


def means(features: np.ndarray) -> np.ndarray:
    """(n, height, width, channels) -> (n, 1, 1, channels) float16."""
    return np.asarray(features.mean(axis=(1, 2), keepdims=True, dtype=np.float32), np.float16)


def _nearest(features: np.ndarray, labels: np.ndarray, start: Judges, penalty: float, steps: int) -> Judges:
    """The judges after so many steps of L-BFGS."""
    classes = len(start.bias)
    channels = features.shape[-1]
    if features.size * np.dtype(np.float32).itemsize <= KEPT_BYTES:
        features = features.astype(np.float32)
    counts = np.bincount(labels, minlength=classes)
    weights = (1 / (classes * counts))[labels]
    targets = np.eye(classes)[labels]

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        kernel, bias = parameters[:-classes].reshape(channels, classes), parameters[-classes:]
        total = penalty / 2 * float((kernel**2).sum())
        slope, slope_of_bias = penalty * kernel, np.zeros(classes)
        for first, part in zip(range(0, len(labels), PORTION), _portions(features), strict=True):
            rows = slice(first, first + PORTION)
            positions = _positions(part, kernel, bias)
            scores = _pooled(positions)
            total -= float(weights[rows] @ (targets[rows] * (scores - logsumexp(scores, axis=1, keepdims=True))).sum(axis=1))
            error = weights[rows, None] * (softmax(scores, axis=1) - targets[rows])
            by_position = softmax(SHARPNESS * positions, axis=1) * error[:, None]
            slope += part.reshape(-1, channels).T @ by_position.reshape(-1, classes).astype(np.float32)
            slope_of_bias += error.sum(axis=0)
        return total, np.concatenate([slope.ravel(), slope_of_bias])

    flat = np.concatenate([start.kernel.ravel(), start.bias])
    best = minimize(loss, flat, jac=True, method="L-BFGS-B", options={"maxiter": steps}).x
    return Judges(best[:-classes].reshape(channels, classes), best[-classes:])


def folds(labels: np.ndarray, groups: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows to fit on and rows to measure on, FOLDS times or as often as the rarest class allows; each row is measured once.

    Photos of one group, which look alike, are on one side.
    """
    count = min(FOLDS, int(np.bincount(labels).min()))
    split = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    return list(split.split(np.zeros(len(labels)), labels, groups))


def out_of_fold(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, classes: int, seed: int, penalty: float
) -> np.ndarray:
    """The scores (n, classes) of each photo by judges that were fitted without it."""
    scores = np.zeros((len(labels), classes))
    for rest, held_out in folds(labels, groups, seed):
        scores[held_out] = fit(features[rest], labels[rest], classes, penalty).scores(features[held_out])
    return scores


def _portions(features: np.ndarray) -> Iterator[np.ndarray]:
    """(n, positions, channels) float32, PORTION photos at a time."""
    flat = features.reshape(len(features), -1, features.shape[-1])
    for start in range(0, len(flat), PORTION):
        yield flat[start : start + PORTION].astype(np.float32, copy=False)


def _positions(portion: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """(n, positions, classes) float64: what the judges say about each position."""
    return np.asarray(portion @ kernel.astype(np.float32) + bias, np.float64)


def _pooled(positions: np.ndarray) -> np.ndarray:
    """(n, classes): the score of each photo."""
    count = np.log(positions.shape[1])
    return np.asarray((logsumexp(SHARPNESS * positions, axis=1) - count) / SHARPNESS)
