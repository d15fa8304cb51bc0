"""The arithmetic of fully connected units, worked by hand."""

import math

import numpy as np
import pytest

from app.inference.explain.audit import Audit, audit
from app.inference.networks.contract import Stage
from tests.app.inference.explain.on_paper import FILTER, FOUR_BY_FOUR, NINE, Tiny, audited, contract, convolution, pooling

# Six inputs, the second unit's weights, and what each adds:  1x2 = 2,  2x-3 = -6,  3x0 = 0,  4x1 = 4,  5x-1 = -5,  6x1 = 6
SIX = np.arange(1, 7, dtype=np.float32)
WEIGHTS = np.array([[9, 2], [9, -3], [9, 0], [9, 1], [9, -1], [9, 1]], np.float32)
BIASES = np.array([9, 0.5], np.float32)
DENSE = Stage("dense", "dense", (2,), ("flat",), 0)
FLAT = Stage("flat", "flatten", (6,), ("image",), 0)


def dense(contributions: int = 12, weights: np.ndarray = WEIGHTS, computed: float = 0.0) -> Audit:
    image = SIX.reshape(1, 3, 2)
    return audited(DENSE, image, (0, 0, 1), computed, contributions, (FLAT,), {"flat": SIX}, kernels=weights, biases=BIASES)


def test_a_fully_connected_unit_is_the_sum_of_all_products_and_its_bias():
    steps = dense().steps
    assert (steps["products_sum"], steps["bias"], steps["sum"], dense().value) == (1, 0.5, 1.5, 1.5)


def test_contributions_are_sorted_by_magnitude_and_equal_ones_keep_their_order():
    contributions = dense().steps["contributions"]
    assert [(c.index, c.value, c.weight, c.product) for c in contributions] == [
        (1, 2, -3, -6),
        (5, 6, 1, 6),
        (4, 5, -1, -5),
        (3, 4, 1, 4),
        (0, 1, 2, 2),
        (2, 3, 0, 0),
    ]


def test_contributions_that_are_not_listed_are_counted_and_added_up():
    steps = dense(contributions=2).steps
    assert [c.index for c in steps["contributions"]] == [1, 5]
    assert (steps["others"], steps["others_sum"]) == (4, 2 + 0 + 4 - 5)


def test_when_all_contributions_are_listed_no_others_are_left():
    steps = dense(contributions=6).steps
    assert (steps["others"], steps["others_sum"]) == (0, 0)


def test_contributions_have_their_position_in_the_picture_that_was_flattened():
    """1 row, 3 columns, 2 channels: number 1 is channel 1 of the first column, number 4 channel 0 of the third."""
    positions = {c.index: c.position for c in dense().steps["contributions"]}
    assert positions == {0: (0, 0, 0), 1: (0, 0, 1), 2: (0, 1, 0), 3: (0, 1, 1), 4: (0, 2, 0), 5: (0, 2, 1)}


def test_contributions_from_a_layer_that_is_not_a_picture_have_no_position():
    before = Stage("relu", "relu", (6,), ("flat",), 0)
    stage = Stage("scores", "dense", (2,), ("relu",), 0)
    result = audited(
        stage,
        SIX.reshape(1, 3, 2),
        (0, 0, 1),
        before=(FLAT, before),
        values={"relu": SIX},
        kernels=WEIGHTS,
        biases=BIASES,
    )
    assert {c.position for c in result.steps["contributions"]} == {None}


def test_the_largest_term_of_a_fully_connected_unit_may_be_its_bias():
    assert dense().steps["largest_term"] == 6
    assert dense(weights=np.zeros((6, 2), np.float32)).steps["largest_term"] == 0.5


def test_probabilities_are_shares_of_the_exponentials():
    """Scores ln 3 + 7 and 7: the exponentials are 3 to 1; with the largest score subtracted, 1 and a third."""
    scores = np.array([math.log(3) + 7, 7], np.float32)
    before = (Stage("scores", "dense", (2,), ("image",), 0),)
    stage = Stage("probabilities", "probabilities", (2,), ("scores",), 0)
    results = [audited(stage, np.zeros((1, 1, 1)), (0, 0, n), before=before, values={"scores": scores}) for n in range(2)]
    assert [result.value for result in results] == pytest.approx([0.75, 0.25], rel=1e-6)
    assert results[0].steps["terms"].tolist() == scores.tolist()
    assert results[0].steps["exponentials"] == pytest.approx([1, 1 / 3], rel=1e-6)
    assert results[0].steps["total"] == pytest.approx(4 / 3, rel=1e-6)


def test_the_computed_number_is_that_of_the_unit():
    values = {"conv": np.arange(9, dtype=np.float32).reshape(3, 3, 1), "image": NINE}
    network = Tiny(contract(3, 3, 2, convolution()), kernels={"conv": FILTER})
    assert audit(network, convolution(), values, (1, 2, 0), 12).computed == 5


def test_a_difference_is_reported_as_it_is_and_as_a_fraction_of_the_value():
    """Without a bias the unit is worth 276; the network supposedly computed 276.5."""
    result = audited(convolution(), NINE, (1, 1, 0), computed=276.5, kernels=FILTER)
    assert (result.difference, result.relative_difference) == (0.5, 0.5 / 276)


def test_for_a_sum_that_cancels_out_the_difference_is_a_fraction_of_its_largest_term():
    """285 - 9 - 275.75 is a quarter; half as much again is nothing beside 275.75."""
    result = audited(convolution(), NINE, (1, 1, 0), computed=0.375, kernels=FILTER, biases=np.array([-275.75], np.float32))
    assert (result.value, result.difference, result.relative_difference) == (0.25, 0.125, 0.125 / 275.75)


def test_without_any_difference_the_fraction_is_zero_even_for_a_value_of_zero():
    result = audited(Stage("relu", "relu", (4, 4, 1), ("image",), 0), FOUR_BY_FOUR, (2, 2, 0))
    assert (result.value, result.relative_difference) == (0, 0)


def test_for_an_average_that_cancels_out_the_difference_is_a_fraction_of_its_largest_term():
    """In float32, 1e8 + 1 is 1e8, so that 1e8 + 1 - 1e8 - 1 is -1 and a quarter of it -0.25; in truth it is 0."""
    image = np.array([[1e8, 1], [-1e8, -1]]).reshape(2, 2, 1)
    result = audited(pooling("average", shape=(1, 1, 1)), image, (0, 0, 0), computed=-0.25)
    assert result.relative_difference < 1e-4


def test_for_a_log_mean_exp_that_cancels_out_the_difference_is_a_fraction_of_its_largest_term():
    """One cell of four holds ln 4, the others 0: ln 4 - ln 4. Rounded to float32, ln 4 is 4e-9 off."""
    image = np.array([[math.log(4), -300], [-300, -300]]).reshape(2, 2, 1)
    result = audited(Stage("pool", "pooling", (1,), ("image",), 0, operation="log_mean_exp"), image, (0, 0, 0), computed=0)
    assert 0 < abs(result.value) < 1e-7
    assert result.relative_difference < 1e-4
