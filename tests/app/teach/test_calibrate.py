"""The temperature that was put into scores is recovered; the unsure band is no wider than it has to be."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp, softmax
from scipy.stats import norm

from app.teach import calibrate
from app.teach.calibrate import (
    BOUNDS,
    DOUBTFUL,
    ENOUGH,
    FEW,
    SPREAD,
    Band,
    calibrated,
    cautious,
    log_loss,
    log_of_sum,
    temperature,
    unsure_band,
    unsure_below,
    warning,
)


def synthetic(hotter: float, count: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from the softmax of honest logits, and those logits times `hotter`."""
    random = np.random.default_rng(4)
    honest = random.normal(0, 2, (count, 2))
    labels = (random.random(count) > softmax(honest, axis=1)[:, 0]).astype(int)
    return honest * hotter, labels


@pytest.mark.parametrize("factor", [0.3, 1.0, 2.5, 8.0])
def test_the_temperature_of_logits_that_are_too_large_is_the_factor(factor):
    assert temperature(*synthetic(factor)) == pytest.approx(factor, rel=0.05)


@pytest.mark.parametrize(("count", "known"), [(6, True), (60, True), (ENOUGH - 1, True), (ENOUGH, False), (2000, False)])
def test_the_temperature_is_the_likeliest_and_of_few_photos_what_is_known_of_temperatures_counts(count, known):
    scores, labels = synthetic(2.0, count)

    def unlikely(log_t: float) -> float:
        likelihoods = log_softmax(scores / np.exp(log_t), axis=1)[np.arange(count), labels]
        return -likelihoods.sum() - (norm.logpdf(log_t, scale=SPREAD) if known else 0)

    best = minimize_scalar(unlikely, bounds=np.log(BOUNDS), method="bounded", options={"xatol": 1e-9})
    assert temperature(scores, labels) == pytest.approx(np.exp(best.x), rel=1e-5)


def test_losses_and_probabilities_are_those_of_scipy_however_large_the_scores_are():
    scores = np.array([[1.0, 2.0, 0.5], [1000.0, -1000.0, 999.0], [-3.0, -3.0, -3.0], [0.0, -700.0, -800.0]])
    labels = np.array([1, 2, 0, 0])
    assert log_of_sum(scores) == pytest.approx(logsumexp(scores, axis=1), abs=1e-12)
    assert calibrate.softmax(scores) == pytest.approx(softmax(scores, axis=1), abs=1e-12)
    expected = -log_softmax(scores, axis=1)[np.arange(4), labels].mean()
    assert log_loss(scores, labels) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("place", [-1.999, -1.2, 0.0, 0.7, 2.3, 2.999])
def test_the_bottom_of_a_valley_is_found_to_a_millionth_of_the_range(place):
    tried = []

    def valley(x: float) -> float:
        tried.append(x)
        return abs(x - place) + max(0.0, x - place)  # steeper on one side

    assert calibrate._lowest(valley, -2.0, 3.0) == pytest.approx(place, abs=5e-6)
    assert len(tried) < 40
    assert all(-2 <= x <= 3 for x in tried)


def test_the_temperature_does_not_depend_on_the_order_of_the_photos():
    scores, labels = synthetic(3.0, 500)
    assert temperature(scores[::-1], labels[::-1]) == pytest.approx(temperature(scores, labels), rel=1e-6)


@pytest.mark.parametrize("photos", [6, 24, 60])
@pytest.mark.parametrize("margin", [2.0, 5.0, 30.0])
def test_a_few_photos_that_are_all_right_do_not_make_probabilities_extreme(photos, margin):
    """24 of them gave a temperature of 0.0498 once, and probabilities of 7e-45."""
    labels = np.arange(photos) % 3
    assert 0.35 < temperature(np.eye(3)[labels] * margin, labels) <= 1.0 + 1e-3


def test_the_temperature_of_many_photos_that_are_all_right_is_bounded():
    labels = np.array([0, 1] * 1000)
    assert BOUNDS[0] <= temperature(np.eye(2)[labels] * 4.0, labels) < 1.01 * BOUNDS[0]


def test_a_hundred_photos_still_show_that_scores_are_too_large():
    assert 1.5 < temperature(*synthetic(2.5, 100)) < 3.5


RIGHT = np.ones(24, bool)


@pytest.mark.parametrize(("band", "low"), [(Band(0.5, 0.5, 1.0, 0.0), 1 - DOUBTFUL), (Band(0.0, 0.0, 1.0, 0.0), 0.0)])
def test_a_network_calibrated_on_few_photos_can_be_unsure(band, low):
    confidence = np.array([0.55] * 6 + [0.99] * 18)
    assert cautious(band, confidence, RIGHT) == Band(low, DOUBTFUL, 1.0, 0.25)


def test_a_band_from_many_photos_stays():
    band = Band(0.5, 0.5, 1.0, 0.0)
    assert cautious(band, np.ones(FEW), np.ones(FEW, bool)) == band
    assert cautious(band, np.ones(FEW - 1), np.ones(FEW - 1, bool)) == Band(0.4, 0.6, 1.0, 0.0)


@pytest.mark.parametrize("band", [Band(0.2, 0.8, 0.9, 0.1), Band(0.45, DOUBTFUL, 0.9, 0.1)])
def test_a_band_that_is_wider_already_stays(band):
    assert cautious(band, np.ones(24), RIGHT) == band


def test_a_widened_band_is_measured_anew():
    """Both ends of a band belong to it: the photo at 0.6 is unsure. Of the three above it, one is answered wrongly."""
    confidence, right = np.array([0.55, 0.6, 0.61, 0.7, 0.9]), np.array([True, True, False, True, True])
    assert cautious(Band(0.3, 0.55, 1.0, 0.2), confidence, right) == Band(0.3, 0.6, 2 / 3, 0.4)


def test_where_nothing_is_decided_nothing_is_right():
    assert cautious(Band(0.5, 0.5, 1.0, 0.0), np.full(24, 0.6), RIGHT) == Band(0.4, 0.6, 0.0, 1.0)


# Ten photos. Predicted correctly: 0.02 0.04 0.08 (not cats), 0.92 0.95 0.97 (cats). Wrongly: 0.30 (a cat), 0.60, 0.70 (not).
# 0.45 is not a cat, and is predicted correctly.
CAT = np.array([0.02, 0.04, 0.08, 0.30, 0.45, 0.60, 0.70, 0.92, 0.95, 0.97])
IS_CAT = np.array([False, False, False, True, False, False, False, True, True, True])


def test_the_band_of_a_network_that_is_right_often_enough_is_empty():
    band = unsure_band(CAT, IS_CAT, decided=0.7, most_unsure=0.5)
    assert (band.low, band.high, band.unsure, band.decided_accuracy) == (0.5, 0.5, 0.0, 0.7)


def test_the_band_reaches_the_accuracy_asked_for():
    band = unsure_band(CAT, IS_CAT, decided=1.0, most_unsure=0.5)
    assert band.decided_accuracy == 1.0


def test_the_band_leaves_the_fewest_photos_unsure():
    """For 7 of 8 right, leaving out 0.60 and 0.70 is enough; 0.45 and 0.30 are below the band."""
    band = unsure_band(CAT, IS_CAT, decided=0.87, most_unsure=0.5)
    assert band.unsure == pytest.approx(0.2)
    assert band.decided_accuracy == 7 / 8
    assert 0.45 < band.low <= 0.5
    assert 0.70 <= band.high < 0.92


def test_all_wrong_photos_have_to_be_unsure_for_full_accuracy():
    band = unsure_band(CAT, IS_CAT, decided=1.0, most_unsure=0.5)
    assert band.unsure == pytest.approx(0.4)
    assert 0.08 < band.low <= 0.30
    assert 0.70 <= band.high < 0.92


def test_without_a_band_that_reaches_the_accuracy_the_best_within_the_limit_is_taken():
    """With at most 2 of 10 unsure, no band leaves only right answers; without 0.60 and 0.70 it is 7 of 8."""
    band = unsure_band(CAT, IS_CAT, decided=1.0, most_unsure=0.2)
    assert band.unsure <= 0.2 + 1e-9
    assert band.decided_accuracy == 7 / 8


def test_no_photo_may_be_unsure_when_the_limit_is_zero():
    band = unsure_band(CAT, IS_CAT, decided=1.0, most_unsure=0.0)
    assert band == Band(0.5, 0.5, 0.7, 0.0)


@pytest.mark.parametrize("seed", range(5))
def test_no_other_band_of_whole_hundredths_reaches_the_accuracy_with_fewer_unsure(seed):
    random = np.random.default_rng(seed)
    cat = random.random(80) * 0.98 + 0.00512  # between the hundredths
    is_cat = random.random(80) < np.clip(2 * cat - 0.5, 0, 1)
    band = unsure_band(cat, is_cat, decided=0.95, most_unsure=0.6)
    others = []
    for low in range(1, 51):
        for high in range(50, 100):
            decided = (cat < low / 100) | (cat > high / 100)
            if decided.any() and 1 - decided.mean() <= 0.6 and ((cat > 0.5) == is_cat)[decided].mean() >= 0.95:
                others.append(1 - decided.mean())
    assert others, "the example should be solvable"
    assert band.unsure == pytest.approx(min(others))


# Ten photos of three classes: how sure the network is of the likeliest, and whether that is right.
SURE = np.array([0.36, 0.41, 0.45, 0.52, 0.58, 0.63, 0.71, 0.86, 0.93, 0.97])
KNOWN = np.array([True, False, True, False, True, True, True, True, True, True])
THREE = np.stack([SURE, *[(1 - SURE) / 2] * 2], axis=1)
LABELS = np.where(KNOWN, 0, 1)


@pytest.mark.parametrize(
    ("decided", "most_unsure", "high", "accuracy", "unsure"),
    [
        (0.8, 0.5, 0.0, 0.8, 0.0),
        (0.85, 0.5, 0.41, 7 / 8, 0.2),
        (1.0, 0.5, 0.52, 1.0, 0.4),
        (1.0, 0.3, 0.41, 7 / 8, 0.2),
        (1.0, 0.0, 0.0, 0.8, 0.0),
    ],
)
def test_of_more_than_two_classes_the_least_sure_are_unsure(decided, most_unsure, high, accuracy, unsure):
    band = unsure_below(THREE, LABELS, decided, most_unsure)
    assert (band.low, band.high) == (0.0, high)
    assert (band.decided_accuracy, band.unsure) == (pytest.approx(accuracy), pytest.approx(unsure))


def test_as_many_as_may_be_unsure_are():
    """One of four is the quarter."""
    sure = np.array([[0.55, 0.25, 0.2], *[[0.9, 0.05, 0.05]] * 3])
    assert unsure_below(sure, np.array([1, 0, 0, 0]), decided=1.0, most_unsure=0.25) == Band(0.0, 0.55, 1.0, 0.25)
    cat = np.array([0.55, 0.9, 0.95, 0.1])
    is_cat = np.array([False, True, True, False])
    assert unsure_band(cat, is_cat, decided=1.0, most_unsure=0.25) == Band(0.5, 0.55, 1.0, 0.25)


def test_a_band_from_zero_ends_at_99_hundredths_at_most():
    sure = np.array([[0.985, 0.015, 0.0], [0.999, 0.001, 0.0]])
    assert unsure_below(sure, np.array([1, 0]), decided=1.0, most_unsure=1.0) == Band(0.0, 0.99, 1.0, 0.5)
    assert unsure_below(sure[:, [1, 0, 2]], np.array([0, 0]), decided=1.0, most_unsure=1.0) == Band(0.0, 0.0, 0.0, 0.0)


def test_the_least_unsure_of_the_bands_that_are_accurate_enough_is_taken():
    """The band that reaches 0.8 comes first; wider ones would be more accurate, and are not asked for."""
    sure = np.array([[high, (1 - high) / 2, (1 - high) / 2] for high in (0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9)])
    labels = np.array([1, 0, 1, 0, 0, 0, 0])
    assert unsure_below(sure, labels, decided=0.8, most_unsure=1.0) == Band(0.0, 0.4, 5 / 6, pytest.approx(1 / 7))


@pytest.mark.parametrize("surest", [0.97, 0.999])
def test_where_every_answer_is_wrong_no_band_helps(surest):
    sure = np.array([[0.4, 0.3, 0.3], [surest, 1 - surest, 0]])
    band = unsure_below(sure, np.ones(2, int), decided=0.9, most_unsure=1.0)
    assert (band.high, band.decided_accuracy) == (0.0, 0.0)


@pytest.mark.parametrize("classes", [2, 3])
def test_two_classes_have_a_band_around_one_half_and_more_have_one_from_zero(classes):
    random = np.random.default_rng(2)
    labels = np.arange(600) % classes
    scores = np.eye(classes)[labels] * 2 + random.normal(0, 1, (600, classes))
    divisor, band = calibrated(scores, labels, decided=0.97, most_unsure=0.5)
    assert divisor == pytest.approx(temperature(scores, labels))
    assert (band.low > 0) == (classes == 2)
    assert band.low < 0.5 < band.high
    probabilities = softmax(scores / divisor, axis=1)
    decisive = probabilities[:, 0] if classes == 2 else probabilities.max(axis=1)
    decided = (decisive < band.low) | (decisive > band.high)
    assert band.unsure == pytest.approx(1 - decided.mean())
    assert 0 < band.unsure < 0.5
    assert band.decided_accuracy == (probabilities.argmax(axis=1) == labels)[decided].mean() >= 0.97


@pytest.mark.parametrize("classes", [2, 3])
def test_the_band_of_few_photos_is_the_widened_one(classes):
    random = np.random.default_rng(3)
    labels = np.arange(60) % classes
    scores = np.eye(classes)[labels] * 1.5 + random.normal(0, 1, (60, classes))
    divisor, band = calibrated(scores, labels, decided=0.5, most_unsure=0.5)
    probabilities = softmax(scores / divisor, axis=1)
    decided = probabilities.max(axis=1) > DOUBTFUL
    right = probabilities.argmax(axis=1) == labels
    assert (band.low, band.high) == (1 - DOUBTFUL if classes == 2 else 0.0, DOUBTFUL)
    assert band.unsure == pytest.approx(1 - decided.mean())
    assert 0.5 < band.decided_accuracy == right[decided].mean() < 1


def test_few_photos_to_calibrate_on_are_told_with_their_number():
    band = Band(0.4, 0.6, 1.0, 0.0)
    assert warning(FEW, band) == ""
    assert warning(FEW - 1, band) == (
        "99 photos are too few to calibrate on, 100 would do: take probabilities with care; up to 0.60 of the likeliest "
        "class the network is unsure"
    )


def test_the_figures_of_a_band_are_those_measured_with_it():
    band = unsure_band(CAT, IS_CAT, decided=0.87, most_unsure=0.5)
    decided = (band.low > CAT) | (band.high < CAT)
    assert band.unsure == pytest.approx(1 - decided.mean())
    assert band.decided_accuracy == ((CAT > 0.5) == IS_CAT)[decided].mean()


@pytest.mark.parametrize(
    ("wrong", "low", "high"), [(0.40, 0.40, 0.50), (0.60, 0.50, 0.60), (0.01, 0.01, 0.50), (0.99, 0.50, 0.99)]
)
def test_among_bands_that_leave_equally_few_unsure_the_narrowest_is_taken(wrong, low, high):
    """One photo is answered wrongly; no other lies between 0.01 and 0.99, so the band is from there to 0.50."""
    cat = np.array([0.001] * 10 + [wrong] + [0.999] * 10)
    is_cat = (cat > 0.5) ^ (cat == wrong)
    assert unsure_band(cat, is_cat, decided=1.0, most_unsure=0.25) == Band(low, high, 1.0, pytest.approx(1 / 21))


@pytest.mark.parametrize("wrong", [0.005, 0.995])
def test_a_band_ends_a_hundredth_before_certainty(wrong):
    cat = np.array([0.001] * 10 + [wrong] + [0.999] * 10)
    assert unsure_band(cat, (cat > 0.5) ^ (cat == wrong), 1.0, 0.6) == Band(0.5, 0.5, pytest.approx(20 / 21), 0.0)


def test_of_two_bands_that_are_equally_good_the_lower_is_taken():
    cat = np.array([0.001] * 10 + [0.40, 0.60] + [0.999] * 10)
    is_cat = np.array([False] * 10 + [True, False] + [True] * 10)
    assert unsure_band(cat, is_cat, decided=0.95, most_unsure=0.25) == Band(0.40, 0.50, 20 / 21, pytest.approx(1 / 22))


def test_one_half_is_no_cat():
    assert unsure_band(np.array([0.5]), np.array([False]), decided=1.0, most_unsure=0.0) == Band(0.5, 0.5, 1.0, 0.0)


def test_a_band_leaves_something_decided():
    """Both are wrong: there is no band that would make the rest right."""
    assert unsure_band(np.array([0.2, 0.8]), np.array([True, False]), decided=1.0, most_unsure=1.0) == Band(
        0.5, 0.5, 0.0, 0.0
    )
