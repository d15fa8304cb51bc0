"""Scores on photos that training never saw come in; the temperature and the `unsure` band go out."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

FEW = 100
"""From fewer photos than so many, probabilities cannot be calibrated; the temperature then stays near 1."""

ENOUGH = 500
"""So many photos speak for themselves; fewer are weighed against what is known of temperatures in general."""

SPREAD = 0.5
"""Standard deviation of the logarithm of temperatures in general, about 1."""

BOUNDS = (0.25, 20.0)
"""Temperatures beyond these are an accident of the photos: with every one of them right, the lower, the better."""

DOUBTFUL = 0.6
"""Up to this probability of the likeliest class a network that was calibrated on FEW photos is `unsure`, at least."""


@dataclass(frozen=True)
class Band:
    """Probabilities from `low` to `high` are reported as `unsure`: of cat, or of the likeliest of more than two classes.

    `decided_accuracy` and `unsure` are the two fractions measured on the photos that the band was chosen on.
    """

    low: float
    high: float
    decided_accuracy: float
    unsure: float


def temperature(scores: np.ndarray, labels: np.ndarray) -> float:
    """The divisor of the scores with the lowest log loss (Guo et al. 2017, "On Calibration"), within BOUNDS.

    Of fewer than ENOUGH photos the likeliest, given that the logarithm of temperatures is spread around 0.

    Args:
        scores: (n, classes) logits.
        labels: (n,) class indices.
    """
    photos = len(labels)
    weight = 1 / (2 * SPREAD**2 * photos) if photos < ENOUGH else 0.0

    def loss(log_t: float) -> float:
        return float(weight * log_t**2) + log_loss(scores / np.exp(log_t), labels)

    return float(np.exp(_lowest(loss, *np.log(BOUNDS))))


def log_loss(scores: np.ndarray, labels: np.ndarray) -> float:
    """The mean of minus the logarithm of the right class's probability, for (n, classes) logits and (n,) class indices."""
    return float((log_of_sum(scores) - scores[np.arange(len(labels)), labels]).mean())


def softmax(scores: np.ndarray) -> np.ndarray:
    """(n, classes) logits -> (n, classes) probabilities, 0..1."""
    return np.asarray(np.exp(scores - log_of_sum(scores)[:, None]))


def log_of_sum(scores: np.ndarray) -> np.ndarray:
    """(n, classes) logits -> (n,) the logarithms of the sums of their exponentials."""
    largest = scores.max(axis=1)
    return np.asarray(largest + np.log(np.exp(scores - largest[:, None]).sum(axis=1)))


def _lowest(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function with one valley is lowest, to a millionth of the range: golden-section search (Kiefer 1953)."""
    golden = (5**0.5 - 1) / 2
    left, right = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = function(left), function(right)
    for _ in range(30):
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - golden * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + golden * (high - low)
            at_right = function(right)
    return (low + high) / 2


def calibrated(scores: np.ndarray, labels: np.ndarray, decided: float, most_unsure: float) -> tuple[float, Band]:
    """The temperature and the `unsure` band, for two classes or more.

    Args:
        scores: (n, classes) logits.
        labels: (n,) class indices.
        decided: the accuracy to reach on the decided photos, 0..1.
        most_unsure: the largest fraction of photos that may be left unsure.
    """
    divisor = temperature(scores, labels)
    probabilities = softmax(scores / divisor)
    if scores.shape[1] == 2:
        band = unsure_band(probabilities[:, 0], labels == 0, decided, most_unsure)
    else:
        band = unsure_below(probabilities, labels, decided, most_unsure)
    band = cautious(band, probabilities.max(axis=1), probabilities.argmax(axis=1) == labels)
    return divisor, band


def warning(photos: int, band: Band) -> str:
    """What to say where there were only FEW photos to calibrate on; nothing where there were enough."""
    if photos >= FEW:
        return ""
    return (
        f"{photos} photos are too few to calibrate on, {FEW} would do: take probabilities with care; up to "
        f"{band.high:.2f} of the likeliest class the network is unsure"
    )


def cautious(band: Band, confidence: np.ndarray, right: np.ndarray) -> Band:
    """The band, widened to DOUBTFUL where it was chosen on FEW photos: that these were all right says little.

    Args:
        band: of two classes, around one half, or of more, from 0.
        confidence: (n,) probabilities of the likeliest class.
        right: (n,) bool, whether that is the photo's class.
    """
    if len(right) >= FEW or band.high >= DOUBTFUL:
        return band
    decided = confidence > DOUBTFUL
    accuracy = float(right[decided].mean()) if decided.any() else 0.0
    low = min(band.low, 1 - DOUBTFUL)
    return Band(low, DOUBTFUL, accuracy, float(1 - decided.mean()))


def unsure_band(cat: np.ndarray, is_cat: np.ndarray, decided: float, most_unsure: float) -> Band:
    """The narrowest band outside which the network is right often enough.

    Args:
        cat: (n,) probabilities of cat, 0..1.
        is_cat: (n,) bool.
        decided: the accuracy to reach on the decided photos, 0..1.
        most_unsure: the largest fraction of photos that may be left unsure; where `decided` cannot be reached within it,
            the band with the best accuracy within it is returned.
    """
    best = Band(0.5, 0.5, float(((cat > 0.5) == is_cat).mean()), 0.0)
    if best.decided_accuracy >= decided:
        return best
    for low in (percent / 100 for percent in range(1, 51)):
        for high in (percent / 100 for percent in range(50, 100)):
            answered = (cat < low) | (cat > high)
            unsure = 1 - answered.mean()
            if unsure > most_unsure or not answered.any():
                break  # a wider one leaves no fewer
            band = Band(low, high, float(((cat > 0.5) == is_cat)[answered].mean()), float(unsure))
            if _better(band, best, decided):
                best = band
    return best


def unsure_below(probabilities: np.ndarray, labels: np.ndarray, decided: float, most_unsure: float) -> Band:
    """As `unsure_band`, for more than two classes: the band from 0 to the lowest probability of the likeliest class that is
    decided. `probabilities` are (n, classes), 0..1, `labels` (n,) class indices.
    """
    likeliest, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    best = Band(0.0, 0.0, float(right.mean()), 0.0)
    for high in (percent / 100 for percent in range(1, 100)):
        answered = likeliest > high
        unsure = float(1 - answered.mean())
        if unsure > most_unsure or not answered.any():
            break
        band = Band(0.0, high, float(right[answered].mean()), unsure)
        if _better(band, best, decided):
            best = band
    return best


def _better(band: Band, best: Band, decided: float) -> bool:
    """Reaching the accuracy comes first, then leaving few unsure, then being narrow; short of it, accuracy alone counts."""
    reaches, reached = band.decided_accuracy >= decided, best.decided_accuracy >= decided
    if reaches and reached:
        return (band.unsure, band.high - band.low) < (best.unsure, best.high - best.low)
    return reaches or (not reached and band.decided_accuracy > best.decided_accuracy)
