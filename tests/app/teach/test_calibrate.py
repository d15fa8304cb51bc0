"""The temperature that was put into scores is recovered; the unsure band is no wider than it has to be."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from app.teach.calibrate import (
    BOUNDS,
    DOUBTFUL,
    FEW,
    Band,
    calibrated,
    cautious,
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


def test_no_other_temperature_has_a_lower_log_loss():
    scores, labels = synthetic(2.0, 500)

    def loss(t: float) -> float:
        return -log_softmax(scores / t, axis=1)[np.arange(len(labels)), labels].mean()

    result = temperature(scores, labels)
    assert loss(result) <= min(loss(t) for t in np.geomspace(0.1, 15, 400)) + 1e-9


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


def test_a_band_that_is_wider_already_stays():
    band = Band(0.2, 0.8, 0.9, 0.1)
    assert cautious(band, np.ones(24), RIGHT) == band


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
    assert (band.unsure, band.decided_accuracy) == (0.0, 0.7)


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
    assert band.unsure > 0


def test_few_photos_to_calibrate_on_are_told_with_their_number():
    band = Band(0.4, 0.6, 1.0, 0.0)
    assert warning(FEW, band) == ""
    assert warning(FEW - 1, band).startswith("99 photos are too few to calibrate on, 100 would do")
    assert "up to 0.60 of the likeliest class" in warning(FEW - 1, band)


def test_the_figures_of_a_band_are_those_measured_with_it():
    band = unsure_band(CAT, IS_CAT, decided=0.87, most_unsure=0.5)
    decided = (band.low > CAT) | (band.high < CAT)
    assert band.unsure == pytest.approx(1 - decided.mean())
    assert band.decided_accuracy == ((CAT > 0.5) == IS_CAT)[decided].mean()


def test_among_bands_that_leave_equally_few_unsure_the_narrowest_is_taken():
    """The one wrong photo is at 0.40; nothing else lies between 0.05 and 0.95, so the band is from 0.40 to 0.50."""
    cat = np.array([0.01] * 10 + [0.40] + [0.99] * 10)
    is_cat = cat > 0.2
    band = unsure_band(cat, is_cat, decided=1.0, most_unsure=0.25)
    assert (band.low, band.high) == (0.40, 0.50)
