"""Judges are fitted to the one best place, and measured on photos that they have not seen."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp

from app.teach import judges


def seen(count: int = 30, channels: int = 12, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """What a network might see, two views of each photo, and labels that partly follow from it."""
    random = np.random.default_rng(8)
    means = random.normal(0, 1, (count, 2, channels)).astype(np.float32)
    labels = np.arange(count) % classes
    means[:, :, 0] += labels[:, None]
    return means, labels


@pytest.mark.parametrize("penalty", judges.PENALTIES)
def test_no_other_judges_have_a_lower_loss(penalty):
    means, labels = seen()
    unit = judges.units(means)
    flat, twice = means.reshape(-1, 12).astype(float), np.repeat(labels, 2)

    def loss(parameters: np.ndarray) -> float:
        kernel, bias = parameters[:-3].reshape(12, 3), parameters[-3:]
        scores = flat @ kernel + bias
        each = logsumexp(scores, axis=1) - scores[np.arange(60), twice]
        return float(each.mean() + penalty / 2 * ((kernel * unit[:, None]) ** 2).sum())  # as many photos of each class

    found = judges.fit(means, labels, 3, penalty)
    mine = loss(np.concatenate([found.kernel.ravel(), found.bias]))
    best = minimize(loss, np.zeros(39), method="BFGS", options={"gtol": 1e-6})
    assert mine == pytest.approx(best.fun, abs=1e-6)


def test_a_faint_channel_counts_nearly_as_much_as_a_loud_one():
    means, labels = seen()
    fainter = means.copy()
    fainter[..., 0] /= 10  # the channel that tells the classes apart
    plain, faint = (judges.fit(given, labels, 3, 0.05) for given in (means, fainter))
    assert np.abs(faint.kernel[0]).max() > 4 * np.abs(plain.kernel[0]).max()
    alike = faint.scores(fainter[:, 0]).argmax(axis=1) == plain.scores(means[:, 0]).argmax(axis=1)
    assert alike.mean() > 0.8


def test_a_class_with_many_photos_is_not_preferred():
    means = np.zeros((40, 1, 2), np.float32)
    labels = np.array([0] * 36 + [1] * 4)
    first, second = judges.fit(means, labels, 2, 0.05).scores(means[0])[0]
    assert first == pytest.approx(second, abs=1e-6)


def test_the_lowest_point_of_a_narrow_valley_is_found():
    steepness = np.geomspace(1, 1000, 20)
    lowest = judges.lowest(lambda x: (float((steepness * (x - 3) ** 2).sum()), 2 * steepness * (x - 3)), np.zeros(20))
    assert lowest == pytest.approx(np.full(20, 3.0), abs=1e-3)


def test_a_search_that_does_not_come_to_rest_ends_with_the_best_it_has_found(monkeypatch):
    monkeypatch.setattr(judges, "STEPS", 2)

    def steep(x: np.ndarray) -> tuple[float, np.ndarray]:
        return float(((x - 3) ** 4).sum()), 4 * (x - 3) ** 3

    found = judges.lowest(steep, np.zeros(3))
    assert 0 < steep(found)[0] < steep(np.zeros(3))[0]


def test_each_photo_is_measured_once_and_those_that_look_alike_together():
    labels = np.array([0] * 11 + [1] * 7)
    groups = [0, 0, 0, *range(3, 18)]
    folds = judges.folded(labels, groups)
    assert len(folds) == 5
    assert sorted(np.concatenate(folds)) == list(range(18))
    assert sum({0, 1, 2} <= set(fold) for fold in folds) == 1
    assert all(1 <= (labels[fold] == 1).sum() <= 2 for fold in folds)


def test_there_are_as_few_folds_as_a_class_has_different_photos():
    assert len(judges.folded(np.array([0, 0, 0, 0, 1, 1, 1, 1]), [0, 1, 2, 3, 4, 4, 4, 5])) == 2


def test_no_photo_is_answered_by_judges_that_have_seen_it():
    """Random labels cannot be known: judges that had seen a photo would remember its label."""
    random = np.random.default_rng(1)
    means = random.normal(0, 1, (200, 1, 400)).astype(np.float32)
    labels = random.integers(0, 2, 200)
    folds = judges.folded(labels, list(range(200)))
    right = (
        judges.unseen(judges.without(means, labels, folds, 2, 0.0005), folds, means[:, 0]).argmax(axis=1) == labels
    ).mean()
    assert 0.35 < right < 0.65
    assert (judges.fit(means, labels, 2, 0.0005).scores(means[:, 0]).argmax(axis=1) == labels).all()
