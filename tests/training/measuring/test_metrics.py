"""Figures against published values and against sums worked by hand."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from training.measuring import metrics
from training.measuring.metrics import Figure, average_precision, bootstrap, calibration_error, figures, roc_auc, share

# Five cats and five others. Right at 0.5: four of five cats, four of five others.
CAT = np.array([0.9, 0.8, 0.7, 0.6, 0.3, 0.65, 0.4, 0.35, 0.2, 0.1])
IS_CAT = np.array([True] * 5 + [False] * 5)
WHOLE = (0.5, 0.5)


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values do not depend on resampling."""
    monkeypatch.setattr(metrics, "RESAMPLES", 100)


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    [
        (45, 50, 0.7864, 0.9565),
        (15, 148, 0.0624, 0.1605),  # Newcombe 1998, table I, method 3: 0.0624 to 0.1605
        (81, 263, 0.2553, 0.3662),  # the same table
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_the_interval_of_a_share_is_wilsons(successes, count, low, high):
    assert share(successes, count) == Figure(round(successes / count, 4), low, high, count)


def test_the_share_of_nothing_is_none():
    assert share(0, 0) is None


def test_calibration_error_of_a_worked_example():
    """Ten photos called 0.7, of which five are cats: 0.2 apart; ten called 0.1, of which one is a cat: 0 apart."""
    cat = np.array([0.7] * 10 + [0.1] * 10)
    is_cat = np.array([True] * 5 + [False] * 5 + [True] + [False] * 9)
    assert calibration_error(cat, is_cat) == pytest.approx((10 * 0.2 + 10 * 0.0) / 20)


def test_probabilities_that_come_true_have_no_calibration_error():
    assert calibration_error(np.array([0.0, 0.0, 1.0, 1.0]), np.array([False, False, True, True])) == 0


def test_certainty_that_is_always_wrong_has_the_largest_calibration_error():
    assert calibration_error(np.array([0.0, 1.0]), np.array([True, False])) == 1


def test_opposite_errors_in_one_bin_cancel_and_in_two_do_not():
    """Bins are a fifteenth wide: 0.41 and 0.45 share the seventh, 0.41 and 0.59 do not."""
    one = calibration_error(np.array([0.41, 0.45]), np.array([True, False]))
    two = calibration_error(np.array([0.41, 0.59]), np.array([True, False]))
    assert one == pytest.approx(0.07)
    assert two == pytest.approx(0.59)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("digits", [1, 2, 9])  # with one, many photos have the same probability
def test_the_areas_are_scikit_learns(seed, digits):
    random = np.random.default_rng(seed)
    is_cat = random.permutation(np.arange(60) < random.integers(1, 60))
    cat = np.round(np.clip(random.normal(0.4 + 0.2 * is_cat, 0.2), 0, 1), digits)
    assert roc_auc(cat, is_cat) == pytest.approx(roc_auc_score(is_cat, cat), abs=1e-12)
    assert average_precision(cat, is_cat) == pytest.approx(average_precision_score(is_cat, cat), abs=1e-12)


def test_accuracy_counts_what_is_right_at_a_threshold_of_one_half():
    result = figures(CAT, IS_CAT, WHOLE)["accuracy"]
    assert (result.value, result.count) == (0.8, 10)


def test_recall_is_the_share_of_cats_that_were_found():
    result = figures(np.array([0.9, 0.2, 0.8, 0.1, 0.1]), np.array([True, True, True, True, False]), WHOLE)["recall"]
    assert (result.value, result.count) == (0.5, 4)


def test_the_false_alarm_rate_is_the_share_of_others_that_were_called_cats():
    result = figures(np.array([0.9, 0.8, 0.2, 0.1, 0.1]), np.array([True, False, False, False, False]), WHOLE)
    assert (result["false_alarm_rate"].value, result["false_alarm_rate"].count) == (0.25, 4)


def test_a_probability_of_exactly_one_half_is_not_a_cat():
    assert figures(np.array([0.5, 0.5]), np.array([True, False]), WHOLE)["recall"].value == 0


def test_roc_auc_is_the_share_of_pairs_in_the_right_order():
    pairs = [(a > b) + 0.5 * (a == b) for a in CAT[IS_CAT] for b in CAT[~IS_CAT]]
    assert figures(CAT, IS_CAT, WHOLE)["roc_auc"].value == pytest.approx(np.mean(pairs), abs=5e-5)


def test_average_precision_is_the_mean_of_the_precisions_at_each_cat():
    """From the most certain down: cat cat cat (0.65) cat ... the fifth cat, at 0.3, is the eighth photo."""
    expected = np.mean([1 / 1, 2 / 2, 3 / 3, 4 / 5, 5 / 8])
    assert figures(CAT, IS_CAT, WHOLE)["average_precision"].value == pytest.approx(expected, abs=5e-5)


def test_a_perfect_order_has_an_auc_of_one_and_an_interval_without_width():
    result = figures(np.linspace(0, 1, 20), np.arange(20) >= 10, WHOLE)["roc_auc"]
    assert result == Figure(1.0, 1.0, 1.0, 20)


@pytest.mark.parametrize("truth", [True, False])
def test_a_set_of_one_class_has_no_auc(truth):
    result = figures(CAT, np.full(10, truth), WHOLE)
    assert (result["roc_auc"], result["average_precision"], result["calibration_error"]) == (None, None, None)


def test_a_set_without_cats_has_no_recall():
    assert figures(CAT, np.zeros(10, bool), WHOLE)["recall"] is None


def test_decided_accuracy_is_measured_outside_the_band():
    """From 0.3 to 0.65, ends included, five are unsure: 0.3, 0.35, 0.4, 0.6, 0.65. The five others are right."""
    result = figures(CAT, IS_CAT, (0.3, 0.65))
    assert (result["decided_accuracy"].value, result["decided_accuracy"].count) == (1.0, 5)


def test_unsure_is_the_share_inside_the_band():
    result = figures(CAT, IS_CAT, (0.3, 0.65))["unsure"]
    assert (result.value, result.count) == (0.5, 10)


def test_an_empty_band_leaves_nothing_unsure():
    result = figures(np.array([0.5, 0.9, 0.1]), np.array([True, True, False]), WHOLE)
    assert (result["unsure"].value, result["decided_accuracy"].count) == (0.0, 3)


def test_a_band_that_holds_every_photo_leaves_no_decided_accuracy():
    assert figures(CAT, IS_CAT, (0.01, 0.99))["decided_accuracy"] is None


def test_the_same_photos_get_the_same_bootstrap_interval():
    assert figures(CAT, IS_CAT, WHOLE) == figures(CAT, IS_CAT, WHOLE)


def test_every_value_lies_in_its_interval():
    for name, figure in figures(CAT, IS_CAT, (0.3, 0.65)).items():
        assert figure.low <= figure.value <= figure.high, name


def test_a_bootstrap_of_a_mean_has_the_width_that_theory_predicts(monkeypatch):
    monkeypatch.setattr(metrics, "RESAMPLES", 1000)
    random = np.random.default_rng(2)
    cat = random.normal(0.5, 0.1, 400)
    result = bootstrap(lambda p, _: float(p.mean()), cat, np.arange(400) < 200)
    assert result.high - result.low == pytest.approx(2 * 1.96 * cat.std() / 20, rel=0.1)
