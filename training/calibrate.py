"""Scores on photos that training never saw come in; the temperature and the `unsure` band go out."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax


@dataclass(frozen=True)
class Band:
    """Probabilities from `low` to `high` are answered `unsure`: of cat, or of the likeliest of more than two classes.

    `decided_accuracy` and `unsure` are the two fractions measured on the photos that the band was chosen on.
    """

    low: float
    high: float
    decided_accuracy: float
    unsure: float


def temperature(scores: np.ndarray, labels: np.ndarray) -> float:
    """The number that scores are divided by for the lowest log loss (Guo et al. 2017, "On Calibration").

    Args:
        scores: (n, classes) logits.
        labels: (n,) class indices.
    """

    def loss(log_t: float) -> float:
        return float(-log_softmax(scores / np.exp(log_t), axis=1)[np.arange(len(labels)), labels].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))


def unsure_band(cat: np.ndarray, is_cat: np.ndarray, decided: float, most_unsure: float) -> Band:
    """The narrowest band that leaves the decided photos right often enough.

    Args:
        cat: (n,) probabilities of cat, 0..1.
        is_cat: (n,) bool.
        decided: the accuracy that the decided photos should have, 0..1.
        most_unsure: the largest fraction of photos that may be left unsure; where `decided` cannot be had within it,
            the band with the best accuracy within it is returned.
    """
    best = Band(0.5, 0.5, float(((cat > 0.5) == is_cat).mean()), 0.0)
    if best.decided_accuracy >= decided:
        return best
    for low in (place / 100 for place in range(1, 51)):
        for high in (place / 100 for place in range(50, 100)):
            kept = (cat < low) | (cat > high)
            unsure = 1 - kept.mean()
            if unsure > most_unsure or not kept.any():
                continue
            band = Band(low, high, float(((cat > 0.5) == is_cat)[kept].mean()), float(unsure))
            if _better(band, best, decided):
                best = band
    return best


def unsure_below(probabilities: np.ndarray, labels: np.ndarray, decided: float, most_unsure: float) -> Band:
    """As `unsure_band`, for more than two classes: the band from 0 to the lowest probability of the likeliest class that is
    decided. `probabilities` are (n, classes), 0..1, `labels` (n,) class indices.
    """
    likeliest, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    best = Band(0.0, 0.0, float(right.mean()), 0.0)
    for high in (place / 100 for place in range(1, 100)):
        kept = likeliest > high
        unsure = float(1 - kept.mean())
        if best.decided_accuracy >= decided or unsure > most_unsure or not kept.any():
            break
        band = Band(0.0, high, float(right[kept].mean()), unsure)
        if _better(band, best, decided):
            best = band
    return best


def _better(band: Band, best: Band, decided: float) -> bool:
    """Reaching the accuracy comes first, then leaving few unsure, then being narrow; short of it, accuracy alone counts."""
    reaches, reached = band.decided_accuracy >= decided, best.decided_accuracy >= decided
    if reaches and reached:
        return (band.unsure, band.high - band.low) < (best.unsure, best.high - best.low)
    return reaches or (not reached and band.decided_accuracy > best.decided_accuracy)
