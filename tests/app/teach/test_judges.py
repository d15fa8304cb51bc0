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


@pytest.mark.parametrize(("penalty", "kept"), [(0.05, 30), (0.005, 30), (0.0005, 30), (0.05, 25)])
def test_no_other_judges_have_a_lower_loss(penalty, kept):
    """Without half of the photos of one class, the others still count no more than it does."""
    means, labels = seen()
    chosen = np.argsort(labels, kind="stable")[30 - kept :]
    means, labels = means[chosen], labels[chosen]
    unit = means.std(axis=(0, 1))
    unit = (unit + 0.1 * unit.mean()) * 1.2**0.5  # 12 channels
    flat, twice = means.reshape(-1, 12).astype(float), np.repeat(labels, 2)

    def loss(parameters: np.ndarray) -> float:
        kernel, bias = parameters[:-3].reshape(12, 3), parameters[-3:]
        scores = flat @ kernel + bias
        each = logsumexp(scores, axis=1) - scores[np.arange(2 * kept), twice]
        by_class = np.mean([each[twice == label].mean() for label in range(3)])
        return float(by_class + penalty / 2 * ((kernel * unit[:, None]) ** 2).sum())

    found = judges.fit(means, labels, 3, penalty)
    mine = loss(np.concatenate([found.kernel.ravel(), found.bias]))
    best = minimize(loss, np.zeros(39), method="BFGS", options={"gtol": 1e-6})
    assert mine == pytest.approx(best.fun, abs=1e-7)


def test_channels_vary_by_their_deviation_and_a_tenth_of_the_mean_one():
    means = np.array([[[1.0, 0.0], [3.0, 6.0]], [[3.0, 6.0], [1.0, 0.0]]], np.float32)
    assert judges.spread(means) == pytest.approx([1 + 0.2, 3 + 0.2])  # deviations are 1 and 3, and 2 on average
    assert judges.units(means) == pytest.approx(np.array([1.2, 3.2]) * 0.2**0.5)
    assert judges.units(np.tile(means, 20)) == pytest.approx(np.tile([1.2, 3.2], 20) * 2)  # of 40 channels
    still = judges.spread(np.ones((4, 2, 3), np.float32))
    assert (still > 0).all()
    assert (still < 1e-9).all()
    assert judges.spread(means).dtype == still.dtype == np.float64


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


def curved(steepness: np.ndarray, calls: list[np.ndarray]):
    """A bowl around 3, steeper in some directions, that keeps the points at which it was asked."""

    def bowl(x: np.ndarray) -> tuple[float, np.ndarray]:
        calls.append(x)
        return float((steepness * (x - 3) ** 2).sum()), 2 * steepness * (x - 3)

    return bowl


@pytest.mark.parametrize(("steepest", "most"), [(1.0, 5), (100.0, 110), (1000.0, 220)])
def test_few_steps_are_enough(steepest, most):
    """Steps along the gradient alone would be thousands in the narrowest of these valleys."""
    calls = []
    found = judges.lowest(curved(np.geomspace(1, steepest, 20), calls), np.zeros(20))
    assert found == pytest.approx(np.full(20, 3.0), abs=1e-3)
    assert len(calls) < most


def test_steps_are_halved_until_they_descend():
    """The first would be 1 long."""
    calls = []
    judges.lowest(curved(np.array([100.0]), calls), np.array([3.1]))
    assert np.concatenate(calls[:5]) - 3 == pytest.approx([0.1, -0.9, -0.4, -0.15, -0.025])


def test_a_step_to_the_other_side_is_halved_where_that_is_as_high():
    assert judges.lowest(curved(np.array([1.0]), []), np.array([3.5])) == pytest.approx([3.0])


def test_a_slope_that_does_not_bend_is_followed_to_its_end():
    def gutter(x: np.ndarray) -> tuple[float, np.ndarray]:  # as Huber's loss
        bent = np.abs(x) < 1
        return float(np.where(bent, x**2 / 2, np.abs(x) - 0.5).sum()), np.where(bent, x, np.sign(x))

    assert judges.lowest(gutter, np.array([20.3])) == pytest.approx([0.0], abs=1e-6)


def test_the_search_ends_where_the_value_changes_in_its_tenth_digit_only():
    exact, rough = [], []
    steepness = np.geomspace(1, 1000, 20)
    judges.lowest(curved(steepness, exact), np.zeros(20))
    bowl = curved(steepness, rough)

    def raised(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = bowl(x)
        return value + 1e6, gradient

    assert judges.lowest(raised, np.zeros(20)) == pytest.approx(np.full(20, 3.0), abs=0.1)
    assert len(rough) < 0.9 * len(exact)


def test_a_flat_start_steps_as_far_as_its_gradient():
    calls = []
    judges.lowest(curved(np.array([0.1]), calls), np.array([4.0]))
    assert calls[1] == pytest.approx([3.8])  # a gradient of 0.2 is less than 1 long, and no step is longer


def test_the_lowest_point_is_left_no_more():
    calls = []
    assert judges.lowest(curved(np.ones(2), calls), np.full(2, 3.0)) == pytest.approx(np.full(2, 3.0))
    assert len(calls) < 5


def test_where_no_step_descends_the_search_ends_where_it_was():
    calls = []

    def deceptive(x: np.ndarray) -> tuple[float, np.ndarray]:
        calls.append(x)
        return float(x @ x), -2 * x  # the gradient points the wrong way

    assert judges.lowest(deceptive, np.ones(2)) == pytest.approx(np.ones(2), abs=1e-12)
    assert len(calls) < 60


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_directions_are_those_of_bfgs_with_the_whole_matrix(count):
    """The inverse Hessian as Nocedal and Wright have it, "Numerical Optimization", (6.17), from that of (7.20)."""
    random = np.random.default_rng(5)
    hessian = np.diag(random.uniform(1, 5, 6))
    steps = random.normal(0, 1, (count, 6))
    moves = [(step, hessian @ step) for step in steps]
    inverse = np.eye(6)
    if moves:
        step, change = moves[-1]
        inverse *= (step @ change) / (change @ change)
    for step, change in moves:
        left = np.eye(6) - np.outer(step, change) / (change @ step)
        inverse = left @ inverse @ left.T + np.outer(step, step) / (change @ step)
    gradient = random.normal(0, 1, 6)
    assert judges._direction(gradient, moves) == pytest.approx(-inverse @ gradient)


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


def test_groups_are_dealt_out_evenly_the_largest_first():
    """Of the first class, there are groups of 4, 2 and five of 1; of the second, of 2, 2, 1 and 1."""
    photos = [  # label, group, fold
        (0, 10, 2),
        (1, 20, 1),
        (0, 11, 0),
        (0, 11, 0),
        (0, 12, 1),
        (1, 21, 2),
        (0, 11, 0),
        (1, 22, 3),
        (0, 12, 1),
        (0, 13, 3),
        (0, 11, 0),
        (1, 22, 3),
        (0, 14, 2),
        (0, 15, 3),
        (0, 16, 1),
        (1, 21, 2),
        (1, 23, 0),
    ]
    labels, groups, expected = map(np.array, zip(*photos, strict=True))
    folds = judges.folded(labels, groups.tolist())
    assert [fold.tolist() for fold in folds] == [np.flatnonzero(expected == fold).tolist() for fold in range(4)]


def test_photos_of_two_classes_that_look_alike_count_in_both():
    assert [fold.tolist() for fold in judges.folded(np.array([0, 0, 1, 1]), [0, 1, 0, 1])] == [[0, 2], [1, 3]]


def test_each_fold_is_answered_by_its_own_judges():
    looks = np.array([[1.0, 0.0], [2.0, 1.0], [3.0, 0.0]], np.float32)
    one = judges.Judges(np.array([[1.0, 0.0, -1.0], [0.0, 10.0, 0.0]]), np.array([0.5, 0.0, 0.0]))
    other = judges.Judges(np.zeros((2, 3)), np.array([7.0, 8.0, 9.0]))
    folds = [np.array([0, 1]), np.array([2])]
    assert judges.unseen([one, other], folds, looks).tolist() == [[1.5, 0, -1], [2.5, 10, -2], [7, 8, 9]]
    with pytest.raises(ValueError, match="zip"):
        judges.unseen([one], folds, looks)


def test_a_folds_judges_are_those_of_the_other_photos():
    means, labels = seen()
    folds = [np.arange(0, 30, 3), np.setdiff1d(np.arange(30), np.arange(0, 30, 3))]
    labels = np.roll(np.arange(30) // 10, 4)
    for held_out, found in zip(folds, judges.without(means, labels, folds, 3, 0.05), strict=True):
        others = [row for row in range(30) if row not in held_out]
        expected = judges.fit(means[others], labels[others], 3, 0.05)
        assert np.array_equal(found.kernel, expected.kernel)
        assert np.array_equal(found.bias, expected.bias)


@pytest.mark.parametrize(("apart", "best"), [(0.0, 0.05), (8.0, 0.0005)])
def test_where_nothing_tells_the_classes_apart_the_penalty_is_high_and_where_much_does_it_is_low(apart, best):
    """Only the photo as it is counts; its mirror image tells nothing here."""
    random = np.random.default_rng(2)
    means = random.normal(0, 1, (60, 2, 20)).astype(np.float32)
    labels = np.arange(60) % 2
    means[:, 0, 0] += apart * (2 * labels - 1)
    folds = judges.folded(labels, list(range(60)))
    assert judges.best_penalty(means, labels, folds, 2) == best
    assert judges.best_penalty(means[:, ::-1], labels, folds, 2) == 0.05


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
