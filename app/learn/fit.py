"""Corrected photos and a memory come in; how a network changes to be right about them, and to forget nothing, goes out.

Only what the network looks for at each position changes: the kernel and the bias of `likeness`. The change is found by
logistic regression on the corrections, with the network's own log odds as offset, under a penalty: the mean square of what
the change does to the log odds of photos like those that the network learned from. So it goes along directions in which the
corrected photos differ from all of them. That is convex: the same photos give the same change.
"""

from dataclasses import dataclass

import numpy as np

from app.learn.memory import Memory
from app.teach.judges import lowest

HOLDS = (6.0, 12.0, 24.0)
"""What the mean square of the change to log odds of remembered photos counts, beside the mean loss on the corrections: from
bold to careful.
"""

BEYOND = 0.05
"""Variance that every direction has at least, as a share of the mean direction's: a memory of some thousand photos knows
little of directions in which these hardly differ.
"""


@dataclass(frozen=True)
class Change:
    """By how much the log odds of the first class change: `kernel` (channels,) times what was seen, plus `bias`; float64."""

    kernel: np.ndarray
    bias: float

    def __call__(self, seen: np.ndarray) -> np.ndarray:
        """(n, channels) -> (n,) float64."""
        return np.asarray(seen.astype(np.float64) @ self.kernel + self.bias)


def fit(seen: np.ndarray, scores: np.ndarray, labels: np.ndarray, memory: Memory, hold: float = HOLDS[0]) -> Change:
    """The change with the lowest loss.

    Args:
        seen: (n, views, channels), what was seen in corrected photos.
        scores: (n, views, 2), the network's.
        labels: (n,) class indices.
        memory: of the same network.
        hold: one of HOLDS.
    """
    variances, directions = np.linalg.eigh(memory.covariance)
    whitening = directions / np.sqrt(np.maximum(variances, 0) + BEYOND * variances.mean())
    rows = (seen.reshape(-1, seen.shape[-1]).astype(np.float64) - memory.mean) @ whitening
    offsets = log_odds(scores.reshape(-1, 2))
    signs = np.where(np.repeat(labels, seen.shape[1]) == 0, -1.0, 1.0)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        wrong = signs * (offsets + rows @ flat[:-1] + flat[-1])
        slopes = signs * np.exp(-np.logaddexp(0, -wrong)) / len(rows)
        value = np.logaddexp(0, wrong).mean() + hold / 2 * (flat**2).sum()
        return float(value), np.append(rows.T @ slopes, slopes.sum()) + hold * flat

    flat = lowest(loss, np.zeros(rows.shape[1] + 1))
    kernel = whitening @ flat[:-1]
    return Change(kernel, float(flat[-1] - memory.mean @ kernel))


def log_odds(scores: np.ndarray) -> np.ndarray:
    """(n, 2) scores -> (n,) float64, of the first class."""
    return np.asarray(scores[:, 0].astype(np.float64) - scores[:, 1])
