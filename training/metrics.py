"""Probabilities and truths come in; figures with their 95 % intervals go out."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

Z = 1.959964  # the normal distribution's 97.5th percentile: 95 % lie within
RESAMPLES = 1000
BINS = 15


@dataclass(frozen=True)
class Figure:
    """A measured value with the ends of its 95 % interval and the number of photos it was measured on."""

    value: float
    low: float
    high: float
    count: int


def share(successes: int, count: int) -> Figure | None:
    """A fraction with its Wilson score interval (Wilson 1927); None of nothing."""
    if count == 0:
        return None
    p = successes / count
    centre = (p + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * np.sqrt(p * (1 - p) / count + Z**2 / (4 * count**2))
    return _figure(p, max(0.0, centre - half), min(1.0, centre + half), count)


def calibration_error(cat: np.ndarray, is_cat: np.ndarray) -> float:
    """Expected calibration error of the probability of cat: the mean distance between what was said and what came true,
    over BINS bins of equal width (Naeini et al. 2015).
    """
    bins = np.minimum((cat * BINS).astype(int), BINS - 1)
    gaps = [abs(cat[bins == b].sum() - is_cat[bins == b].sum()) for b in range(BINS)]
    return float(sum(gaps) / len(cat))


def bootstrap(measure: Callable[[np.ndarray, np.ndarray], float], cat: np.ndarray, is_cat: np.ndarray) -> Figure | None:
    """A measure with its percentile bootstrap interval (Efron 1979), the same for the same photos; None where the
    photos are all of one class.
    """
    if is_cat.all() or not is_cat.any():
        return None
    random = np.random.default_rng(0)
    values: list[float] = []
    while len(values) < RESAMPLES:
        rows = random.integers(0, len(cat), len(cat))
        if is_cat[rows].all() or not is_cat[rows].any():
            continue
        values.append(measure(cat[rows], is_cat[rows]))
    low, high = np.percentile(values, [2.5, 97.5])
    return _figure(measure(cat, is_cat), float(low), float(high), len(cat))


def figures(cat: np.ndarray, is_cat: np.ndarray, unsure: tuple[float, float]) -> dict[str, Figure | None]:
    """Everything that is measured on one set of photos.

    Args:
        cat: (n,) probabilities of cat, 0..1.
        is_cat: (n,) bool, the truth.
        unsure: the network's band; `decided_accuracy` is measured on the photos outside it.
    """
    said = cat > 0.5
    right = said == is_cat
    low, high = unsure
    decided = (cat < low) | (cat > high) if low < high else np.ones(len(cat), bool)
    return {
        "accuracy": share(int(right.sum()), len(right)),
        "recall": share(int(said[is_cat].sum()), int(is_cat.sum())),
        "false_alarm_rate": share(int(said[~is_cat].sum()), int((~is_cat).sum())),
        "roc_auc": bootstrap(lambda p, y: float(roc_auc_score(y, p)), cat, is_cat),
        "average_precision": bootstrap(lambda p, y: float(average_precision_score(y, p)), cat, is_cat),
        "calibration_error": bootstrap(calibration_error, cat, is_cat),
        "decided_accuracy": share(int(right[decided].sum()), int(decided.sum())),
        "unsure": share(int((~decided).sum()), len(decided)),
    }


def _figure(value: float, low: float, high: float, count: int) -> Figure:
    return Figure(round(float(value), 4), round(float(low), 4), round(float(high), 4), count)
