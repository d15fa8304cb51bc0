"""Corrected photos and a memory come in; how a network changes to be right about them, and to forget nothing, goes out.

Only what the network looks for at each position changes: the kernel and the bias of `likeness`. The change is found by
logistic regression, with the network's own log odds as offset, on the corrections and on photos that the network learned
from; under a penalty, the mean square of what the change does to the log odds of the latter. So it goes along directions in
which the corrected photos differ from all of them. That is convex: the same photos give the same change.
"""

from dataclasses import dataclass

import numpy as np

from app.learn.memory import LEARNED, Memory
from app.teach.judges import lowest

HOLDS = (2.0, 6.0, 18.0)
"""What the mean square of the change to log odds of remembered photos counts, beside the mean loss on the corrections: from
bold to careful.
"""

REMEMBERED = 3.0
"""What the mean loss on remembered photos counts."""

BEYOND = 0.1
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
    known = memory.of(LEARNED)
    centre = known.seen.mean(axis=0, dtype=np.float64)
    variances, directions = np.linalg.eigh(np.cov(known.seen, rowvar=False, bias=True))
    whitening = directions / np.sqrt(np.maximum(variances, 0) + BEYOND * variances.mean())
    views = seen.shape[1]
    corrections = _Photos(
        seen.reshape(-1, seen.shape[-1]), scores.reshape(-1, 2), np.repeat(labels, views), centre, whitening
    )
    others = _Photos(known.seen, known.scores, known.labels, centre, whitening)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        value, slopes = corrections.loss(flat)
        kept, slopes_kept = others.loss(flat)
        return (
            value + REMEMBERED * kept + hold / 2 * float((flat**2).sum()),
            slopes + REMEMBERED * slopes_kept + hold * flat,
        )

    flat = lowest(loss, np.zeros(whitening.shape[1] + 1))
    kernel = whitening @ flat[:-1]
    return Change(kernel, float(flat[-1] - centre @ kernel))


class _Photos:
    """Photos whose log odds change; in whitened directions, in which remembered photos vary by one."""

    def __init__(
        self, seen: np.ndarray, scores: np.ndarray, labels: np.ndarray, centre: np.ndarray, whitening: np.ndarray
    ) -> None:
        self._rows = (seen.astype(np.float64) - centre) @ whitening
        self._offsets, self._signs = log_odds(scores), np.where(labels == 0, -1.0, 1.0)

    def loss(self, flat: np.ndarray) -> tuple[float, np.ndarray]:
        """The mean loss, and its gradient, for a change: weights, and the bias at the end."""
        wrong = self._signs * (self._offsets + self._rows @ flat[:-1] + flat[-1])
        slopes = self._signs * np.exp(-np.logaddexp(0, -wrong)) / len(wrong)
        return float(np.logaddexp(0, wrong).mean()), np.append(slopes @ self._rows, slopes.sum())


def log_odds(scores: np.ndarray) -> np.ndarray:
    """(n, 2) scores -> (n,) float64, of the first class."""
    return np.asarray(scores[:, 0].astype(np.float64) - scores[:, 1])
