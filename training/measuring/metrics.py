"""Metrics of probabilities against the truth, each with its 95 % interval."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import rankdata

from app.teach.figures import Figure, figure, share

RESAMPLES = 1000
BINS = 15


def calibration_error(cat: np.ndarray, is_cat: np.ndarray) -> float:
    """Expected calibration error of the probability of cat: the mean distance between confidence and frequency,
    over BINS bins of equal width (Naeini et al. 2015).
    """
    bins = np.minimum((cat * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, weights=cat - is_cat)
    return float(np.abs(gaps).sum() / len(cat))


def roc_auc(cat: np.ndarray, is_cat: np.ndarray) -> float:
    """The area under the ROC curve: how often a cat has the higher probability, ties counting half (Hanley and McNeil 1982).

    scikit-learn's takes a hundred times as long, most of it to check its arguments, and a bootstrap asks a thousand times.
    """
    cats = int(is_cat.sum())
    return float((rankdata(cat)[is_cat].sum() - cats * (cats + 1) / 2) / (cats * (len(cat) - cats)))


def average_precision(cat: np.ndarray, is_cat: np.ndarray) -> float:
    """The mean precision over the recalls that thresholds reach, as scikit-learn defines it: no interpolation."""
    order = np.argsort(-cat, kind="stable")
    found = np.cumsum(is_cat[order])
    last = np.append(np.diff(cat[order]) != 0, True).nonzero()[0]  # of photos with one probability, which come together
    return float((np.diff(found[last], prepend=0) * found[last] / (last + 1)).sum() / found[-1])


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
    return figure(measure(cat, is_cat), float(low), float(high), len(cat))


def figures(cat: np.ndarray, is_cat: np.ndarray, unsure: tuple[float, float]) -> dict[str, Figure | None]:
    """All metrics of one set of photos.

    Args:
        cat: (n,) probabilities of cat, 0..1.
        is_cat: (n,) bool, the truth.
        unsure: the network's band; `decided_accuracy` is measured on the photos outside it.
    """
    predicted = cat > 0.5
    right = predicted == is_cat
    low, high = unsure
    decided = (cat < low) | (cat > high) if low < high else np.ones(len(cat), bool)
    return {
        "accuracy": share(int(right.sum()), len(right)),
        "recall": share(int(predicted[is_cat].sum()), int(is_cat.sum())),
        "false_alarm_rate": share(int(predicted[~is_cat].sum()), int((~is_cat).sum())),
        "roc_auc": bootstrap(roc_auc, cat, is_cat),
        "average_precision": bootstrap(average_precision, cat, is_cat),
        "calibration_error": bootstrap(calibration_error, cat, is_cat),
        "decided_accuracy": share(int(right[decided].sum()), int(decided.sum())),
        "unsure": share(int((~decided).sum()), len(decided)),
    }


def class_figures(probabilities: np.ndarray, labels: np.ndarray, unsure: tuple[float, float]) -> dict[str, Figure | None]:
    """The metrics of `figures` for more than two classes.

    Recall is the mean of the classes' recalls; the areas are means over the classes, each against the others, and None
    unless every class is there; there is no false-alarm rate. The calibration error is that of the likeliest class.

    Args:
        probabilities: (n, k), 0..1.
        labels: (n,) class indices, the truth.
        unsure: the network's band of probabilities of the likeliest class.
    """
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    right = predicted == labels
    low, high = unsure
    decided = (confidence < low) | (confidence > high) if low < high else np.ones(len(labels), bool)
    present = np.unique(labels)
    one_hot = np.eye(probabilities.shape[1], dtype=bool)[labels]
    complete = len(present) == probabilities.shape[1]
    return {
        "accuracy": share(int(right.sum()), len(right)),
        "recall": _resampled(lambda rows: _mean_recall(right[rows], labels[rows]), len(labels)),
        "false_alarm_rate": None,
        "roc_auc": _macro(roc_auc, probabilities, one_hot) if complete else None,
        "average_precision": _macro(average_precision, probabilities, one_hot) if complete else None,
        "calibration_error": _resampled(lambda rows: calibration_error(confidence[rows], right[rows]), len(labels)),
        "decided_accuracy": share(int(right[decided].sum()), int(decided.sum())),
        "unsure": share(int((~decided).sum()), len(decided)),
    }


def by_class(probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> dict[str, dict[str, Figure | None]]:
    """Recall and precision of each class: `probabilities` (n, k), `labels` (n,) class indices."""
    predicted = probabilities.argmax(axis=1)
    result = {}
    for index, name in enumerate(classes):
        hits = int(((predicted == index) & (labels == index)).sum())
        result[name] = {
            "recall": share(hits, int((labels == index).sum())),
            "precision": share(hits, int((predicted == index).sum())),
        }
    return result


def _mean_recall(right: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean([right[labels == label].mean() for label in np.unique(labels)]))


def _macro(area: Callable[[np.ndarray, np.ndarray], float], probabilities: np.ndarray, one_hot: np.ndarray) -> Figure:
    """The mean of an area over the classes; a class that a resample has lost is left out of its mean."""

    def mean(rows: np.ndarray) -> float:
        truth, answers = one_hot[rows], probabilities[rows]
        usable = [k for k in range(truth.shape[1]) if 0 < truth[:, k].sum() < len(rows)]
        return float(np.mean([area(answers[:, k], truth[:, k]) for k in usable])) if usable else 1.0

    return _resampled(mean, len(probabilities))


def _resampled(measure: Callable[[np.ndarray], float], count: int) -> Figure:
    """A measure of photos' indices with its percentile bootstrap interval (Efron 1979)."""
    random = np.random.default_rng(0)
    values = [measure(random.integers(0, count, count)) for _ in range(RESAMPLES)]
    low, high = np.percentile(values, [2.5, 97.5])
    return figure(measure(np.arange(count)), float(low), float(high), count)
