"""The arithmetic of single units, worked by hand on tiny pictures."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from app.inference.audit import Audit, audit
from app.inference.contract import Contract, Stage
from app.inference.geometry import Box


@dataclass
class Tiny:
    """A network on paper: its contract and its weights, by stage."""

    contract: Contract
    kernels: dict[str, np.ndarray] = field(default_factory=dict)
    biases: dict[str, np.ndarray] = field(default_factory=dict)
    scalings: dict[str, tuple[float, float]] = field(default_factory=dict)

    def kernel(self, stage: str) -> np.ndarray:
        return self.kernels[stage]

    def bias(self, stage: str) -> np.ndarray:
        return self.biases[stage]

    def scaling(self, stage: str) -> tuple[float, float]:
        return self.scalings[stage]


def contract(height: int, width: int, channels: int, *stages: Stage) -> Contract:
    return Contract("tiny", "0", ("cat", "not_cat"), (height, width, channels), (0.5, 0.5), 0, stages, {}, Path())


def audited(
    stage: Stage,
    image: np.ndarray,
    place: tuple[int, int, int],
    computed: float = 0.0,
    contributions: int = 12,
    before: tuple[Stage, ...] = (),
    values: dict[str, np.ndarray] | None = None,
    **weights: object,
) -> Audit:
    """The audit of a unit for which the network is said to have computed `computed`."""
    own = np.full(stage.shape, computed, np.float32)
    picture = np.asarray(image, np.float32)
    everything = contract(*(picture.shape if picture.ndim == 3 else (1, 1, picture.size)), *before, stage)
    network = Tiny(everything, **{name: {stage.name: value} for name, value in weights.items()})
    return audit(network, stage, {"image": picture, **(values or {}), stage.name: own}, place, contributions)


# Two channels: the first counts from 1 to 9, the second is one everywhere.
#
#     1 2 3     1 1 1
#     4 5 6     1 1 1
#     7 8 9     1 1 1
NINE = np.stack([np.arange(1, 10).reshape(3, 3), np.ones((3, 3))], axis=-1).astype(np.float32)

# One filter: on the first channel it counts as well, on the second every weight is -1.
FILTER = np.stack([np.arange(1, 10).reshape(3, 3), -np.ones((3, 3))], axis=-1)[..., np.newaxis].astype(np.float32)


def convolution(activation: str | None = None, padding: str = "same", size: int = 3) -> Stage:
    return Stage("conv", "convolution", (size, size, 1), ("image",), 0, (3, 3), (1, 1), padding, activation)


def test_a_filter_in_the_middle_multiplies_all_nine_places_of_every_channel():
    """1x1 + 2x2 + ... + 9x9 = 285 on the first channel, nine times -1 on the second, and a bias of 0.5."""
    found = audited(convolution(), NINE, (1, 1, 0), kernels=FILTER, biases=np.array([0.5], np.float32))
    assert found.steps["channel_sums"].tolist() == [285, -9]
    assert (found.steps["products_sum"], found.steps["bias"], found.steps["sum"], found.value) == (276, 0.5, 276.5, 276.5)


def test_a_filter_in_the_corner_meets_zeros_of_padding():
    """Above and left of the picture lie zeros; what is left is 5x1 + 6x2 + 8x4 + 9x5 = 94, and four times -1."""
    found = audited(convolution(), NINE, (0, 0, 0), kernels=FILTER, biases=np.array([0.5], np.float32))
    assert found.steps["patch"][:, :, 0].tolist() == [[0, 0, 0], [0, 1, 2], [0, 4, 5]]
    assert found.steps["patch"][:, :, 1].tolist() == [[0, 0, 0], [0, 1, 1], [0, 1, 1]]
    assert found.steps["kernel"][:, :, 0].tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert found.steps["products"][:, :, 0].tolist() == [[0, 0, 0], [0, 5, 12], [0, 32, 45]]
    assert found.steps["channel_sums"].tolist() == [94, -4]
    assert found.value == 90.5


def test_the_far_corner_has_its_padding_below_and_to_the_right():
    """5x1 + 6x2 + 8x4 + 9x5 = 94 again, for the picture and the filter count alike."""
    found = audited(convolution(), NINE, (2, 2, 0), kernels=FILTER, biases=np.array([0.5], np.float32))
    assert found.steps["patch"][:, :, 0].tolist() == [[5, 6, 0], [8, 9, 0], [0, 0, 0]]
    assert found.value == 94 - 4 + 0.5


def test_the_window_says_how_far_it_reaches_beyond_the_picture():
    found = audited(convolution(), NINE, (0, 2, 0), kernels=FILTER)
    assert found.window == Box(-1, 1, 2, 4)


def test_the_receptive_field_ends_where_the_picture_ends():
    found = audited(convolution(), NINE, (0, 2, 0), kernels=FILTER)
    assert found.receptive_field == Box(0, 1, 2, 3)


def test_padding_times_a_negative_weight_is_no_negative_zero():
    found = audited(convolution(), NINE, (0, 0, 0), kernels=FILTER)
    assert not np.signbit(found.steps["products"][0, 0]).any()


def test_each_channel_of_a_convolution_has_a_filter_and_a_bias_of_its_own():
    """The second of two filters looks at one place of one channel alone: the 9 at the lower right, times 2."""
    kernel = np.zeros((3, 3, 2, 2), np.float32)
    kernel[2, 2, 0, 1] = 2
    stage = Stage("conv", "convolution", (3, 3, 2), ("image",), 0, (3, 3), (1, 1), "same")
    found = audited(stage, NINE, (1, 1, 1), kernels=kernel, biases=np.array([100, 0.25], np.float32))
    assert found.value == 18.25


def test_a_convolution_without_a_bias_adds_nothing():
    found = audited(convolution(), NINE, (1, 1, 0), kernels=FILTER)
    assert (found.steps["bias"], found.value) == (0, 276)


def test_a_stride_moves_the_filter_by_two():
    """Unit (0, 1) of a 2x2 filter that visits every other column of four: 1x3 + 2x4 + 3x7 + 4x8 = 64."""
    image = np.arange(1, 9).reshape(2, 4, 1)
    kernel = np.array([[1, 2], [3, 4]], np.float32).reshape(2, 2, 1, 1)
    stage = Stage("conv", "convolution", (1, 2, 1), ("image",), 0, (2, 2), (2, 2), "valid")
    assert audited(stage, image, (0, 1, 0), kernels=kernel).value == 3 + 2 * 4 + 3 * 7 + 4 * 8


@pytest.mark.parametrize(
    ("activation", "bias", "value"),
    [
        (None, -280, -4),  # 276 - 280
        ("relu", -280, 0),
        ("relu", -272, 4),
        ("relu", 0, 276),
        ("relu6", -280, 0),
        ("relu6", -272, 4),
        ("relu6", 0, 6),
    ],
)
def test_an_activation_clips_the_sum_and_leaves_it_told(activation, bias, value):
    found = audited(convolution(activation), NINE, (1, 1, 0), kernels=FILTER, biases=np.array([bias], np.float32))
    assert (found.steps["sum"], found.value) == (276 + bias, value)


def test_the_largest_term_of_a_convolution_may_be_a_product_or_the_bias():
    found = [audited(convolution(), NINE, (1, 1, 0), kernels=FILTER, biases=np.array([b], np.float32)) for b in (5, -200)]
    assert [f.steps["largest_term"] for f in found] == [81, 200]


def depthwise(filters: int) -> Stage:
    return Stage("depthwise", "depthwise_convolution", (1, 1, filters), ("image",), 0, (3, 3), (1, 1), "valid", "relu6")


def test_a_depthwise_filter_sees_the_channel_of_its_own_number():
    """The second channel is one everywhere, so its filter's weights 0.5 add up to 4.5, and 0.25 of bias."""
    kernel = np.stack([np.full((3, 3), 100.0), np.full((3, 3), 0.5)], axis=-1)[:, :, np.newaxis].astype(np.float32)
    found = audited(depthwise(2), NINE, (0, 0, 1), kernels=kernel, biases=np.array([9, 0.25], np.float32))
    assert found.steps["patch"].tolist() == np.ones((3, 3, 1)).tolist()
    assert found.steps["channel_sums"].tolist() == [4.5]
    assert found.value == 4.75


def test_of_two_depthwise_filters_a_channel_the_first_two_see_the_first_channel():
    """The first channel adds up to 45. Filters 0 and 1 are its own, 2 and 3 are the second channel's, which adds up to 9."""
    kernel = np.stack([np.full((3, 3), w) for w in (0.125, 0.0625, 0.25, 0.5)], axis=-1)[:, :, np.newaxis]
    sums = [
        audited(depthwise(4), NINE, (0, 0, n), kernels=kernel.astype(np.float32)).steps["products_sum"] for n in range(4)
    ]
    assert sums == [45 * 0.125, 45 * 0.0625, 9 * 0.25, 9 * 0.5]


def pooling(operation: str, shape=(2, 2, 1), kernel=(2, 2), stride=(2, 2), padding="valid") -> Stage:
    return Stage("pool", "pooling", shape, ("image",), 0, kernel, stride, padding, operation=operation)


FOUR_BY_FOUR = np.array([[1, 9, 2, 3], [4, 5, 8, 8], [-7, -2, 0, 0], [-5, -3, 0, 1]]).reshape(4, 4, 1)


def test_the_maximum_is_told_with_its_place():
    found = audited(pooling("max"), FOUR_BY_FOUR, (0, 0, 0))
    assert found.steps["patch"][:, :, 0].tolist() == [[1, 9], [4, 5]]
    assert (found.value, found.steps["maximum"], found.steps["maximum_at"]) == (9, 9, (0, 1))


def test_of_equal_maxima_the_first_is_named():
    assert audited(pooling("max"), FOUR_BY_FOUR, (0, 1, 0)).steps["maximum_at"] == (1, 2)


def test_padding_is_no_number_that_a_maximum_could_be_of():
    """3x3 windows around each corner: at the lower left, all that lies inside is below zero."""
    stage = pooling("max", shape=(4, 4, 1), kernel=(3, 3), stride=(1, 1), padding="same")
    found = audited(stage, FOUR_BY_FOUR, (3, 0, 0))
    assert found.window == Box(2, -1, 5, 2)
    assert found.steps["patch"][:, :, 0].tolist() == [[-7, -2], [-5, -3]]
    assert (found.value, found.steps["maximum_at"]) == (-2, (2, 1))


def test_pooling_looks_at_one_channel():
    assert audited(pooling("max", shape=(1, 1, 2)), NINE, (0, 0, 1)).value == 1


def test_an_average_is_a_sum_by_a_count():
    found = audited(pooling("average"), FOUR_BY_FOUR, (0, 0, 0))
    assert (found.steps["sum"], found.steps["count"], found.value) == (19, 4, 4.75)


def test_an_average_at_an_edge_counts_no_padding():
    stage = pooling("average", shape=(4, 4, 1), kernel=(3, 3), stride=(1, 1), padding="same")
    found = audited(stage, FOUR_BY_FOUR, (3, 0, 0))
    assert (found.steps["sum"], found.steps["count"], found.value) == (-17, 4, -4.25)


def test_a_log_mean_exp_is_of_the_whole_picture():
    """Of 0, ln 2, ln 4 and ln 9 the exponentials are 1, 2, 4 and 9, their mean is 4, and the result ln 4."""
    image = np.log([[1, 2], [4, 9]]).reshape(2, 2, 1)
    found = audited(Stage("pool", "pooling", (1,), ("image",), 0, operation="log_mean_exp"), image, (0, 0, 0))
    assert found.value == pytest.approx(math.log(4), rel=1e-6)
    assert found.steps["maximum"] == pytest.approx(math.log(9), rel=1e-6)
    assert found.steps["exponentials"].ravel() == pytest.approx([1 / 9, 2 / 9, 4 / 9, 1], rel=1e-6)
    assert found.steps["mean"] == pytest.approx(4 / 9, rel=1e-6)


def test_a_log_mean_exp_of_large_numbers_does_not_overflow():
    image = np.array([[1000, 1000], [1000, 1000]]).reshape(2, 2, 1)
    found = audited(Stage("pool", "pooling", (1,), ("image",), 0, operation="log_mean_exp"), image, (0, 0, 0))
    assert found.value == 1000


@pytest.mark.parametrize(("place", "value"), [((2, 0, 0), 0), ((0, 1, 0), 9), ((2, 2, 0), 0)])
def test_relu_lets_through_what_is_above_zero(place, value):
    found = audited(Stage("relu", "relu", (4, 4, 1), ("image",), 0), FOUR_BY_FOUR, place)
    assert (found.value, found.steps["patch"].tolist()) == (value, [[[FOUR_BY_FOUR[place]]]])


def test_rescaling_multiplies_and_then_adds():
    found = audited(Stage("rescaled", "rescaling", (4, 4, 1), ("image",), 0), FOUR_BY_FOUR, (1, 2, 0), scalings=(0.25, -1.0))
    assert (found.steps["patch"].item(), found.steps["scale"], found.steps["offset"]) == (8, 0.25, -1)
    assert found.value == 8 * 0.25 - 1


def test_a_sum_adds_the_same_place_of_each_input():
    before = tuple(Stage(name, "relu", (2, 2, 1), ("image",), 0) for name in ("one", "two"))
    values = {"one": [[1, 2], [3, 4]], "two": [[10, 20], [-30, 40]]}
    arrays = {name: np.array(rows, np.float32).reshape(2, 2, 1) for name, rows in values.items()}
    found = audited(
        Stage("sum", "add", (2, 2, 1), ("one", "two"), 0), np.zeros((2, 2, 1)), (1, 0, 0), before=before, values=arrays
    )
    assert (found.steps["terms"].tolist(), found.steps["largest_term"], found.value) == ([3, -30], 30, -27)


def test_flattening_goes_channel_by_channel_then_column_then_row():
    """Number 13 of a picture of 3 rows, 3 columns and 2 channels: 13 = 2 x (3 x 2) + 0 x 2 + 1."""
    found = audited(Stage("flat", "flatten", (18,), ("image",), 0), NINE * [[[1, 10]]], (0, 0, 13))
    assert (found.steps["source"], found.value) == ((2, 0, 1), 10)


def test_a_flattened_number_sees_the_one_place_that_it_comes_from():
    found = audited(Stage("flat", "flatten", (18,), ("image",), 0), NINE, (0, 0, 13))
    assert found.window == found.receptive_field == Box(2, 0, 3, 1)


def test_a_flattened_number_has_the_receptive_field_of_where_it_comes_from():
    before = (convolution(),)
    values = {"conv": np.arange(9, dtype=np.float32).reshape(3, 3, 1)}
    found = audited(Stage("flat", "flatten", (9,), ("conv",), 0), NINE, (0, 0, 8), before=before, values=values)
    assert (found.window, found.receptive_field) == (Box(2, 2, 3, 3), Box(1, 1, 3, 3))


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


def test_contributions_are_told_by_their_magnitude_and_equal_ones_in_order():
    found = dense().steps["contributions"]
    assert [(c.index, c.value, c.weight, c.product) for c in found] == [
        (1, 2, -3, -6),
        (5, 6, 1, 6),
        (4, 5, -1, -5),
        (3, 4, 1, 4),
        (0, 1, 2, 2),
        (2, 3, 0, 0),
    ]


def test_contributions_that_are_not_told_are_counted_and_added_up():
    steps = dense(contributions=2).steps
    assert [c.index for c in steps["contributions"]] == [1, 5]
    assert (steps["others"], steps["others_sum"]) == (4, 2 + 0 + 4 - 5)


def test_when_all_contributions_are_told_no_others_are_left():
    steps = dense(contributions=6).steps
    assert (steps["others"], steps["others_sum"]) == (0, 0)


def test_contributions_have_their_place_in_the_picture_that_was_flattened():
    """1 row, 3 columns, 2 channels: number 1 is channel 1 of the first column, number 4 channel 0 of the third."""
    places = {c.index: c.place for c in dense().steps["contributions"]}
    assert places == {0: (0, 0, 0), 1: (0, 0, 1), 2: (0, 1, 0), 3: (0, 1, 1), 4: (0, 2, 0), 5: (0, 2, 1)}


def test_contributions_from_a_layer_that_is_no_picture_have_no_place():
    before = Stage("relu", "relu", (6,), ("flat",), 0)
    stage = Stage("scores", "dense", (2,), ("relu",), 0)
    found = audited(
        stage,
        SIX.reshape(1, 3, 2),
        (0, 0, 1),
        before=(FLAT, before),
        values={"relu": SIX},
        kernels=WEIGHTS,
        biases=BIASES,
    )
    assert {c.place for c in found.steps["contributions"]} == {None}


def test_the_largest_term_of_a_fully_connected_unit_may_be_its_bias():
    assert dense().steps["largest_term"] == 6
    assert dense(weights=np.zeros((6, 2), np.float32)).steps["largest_term"] == 0.5


def test_probabilities_are_shares_of_the_exponentials():
    """Scores ln 3 + 7 and 7: the exponentials are as 3 to 1, and less the largest score 1 and a third."""
    scores = np.array([math.log(3) + 7, 7], np.float32)
    before = (Stage("scores", "dense", (2,), ("image",), 0),)
    stage = Stage("probabilities", "probabilities", (2,), ("scores",), 0)
    found = [audited(stage, np.zeros((1, 1, 1)), (0, 0, n), before=before, values={"scores": scores}) for n in range(2)]
    assert [f.value for f in found] == pytest.approx([0.75, 0.25], rel=1e-6)
    assert found[0].steps["terms"].tolist() == scores.tolist()
    assert found[0].steps["exponentials"] == pytest.approx([1, 1 / 3], rel=1e-6)
    assert found[0].steps["total"] == pytest.approx(4 / 3, rel=1e-6)


def test_the_networks_own_number_is_that_of_the_unit():
    values = {"conv": np.arange(9, dtype=np.float32).reshape(3, 3, 1), "image": NINE}
    network = Tiny(contract(3, 3, 2, convolution()), kernels={"conv": FILTER})
    assert audit(network, convolution(), values, (1, 2, 0), 12).computed == 5


def test_a_difference_is_told_as_it_is_and_as_a_fraction_of_the_value():
    """Without a bias the unit is worth 276; the network is said to have computed 276.5."""
    found = audited(convolution(), NINE, (1, 1, 0), computed=276.5, kernels=FILTER)
    assert (found.difference, found.relative_difference) == (0.5, 0.5 / 276)


def test_of_a_sum_that_cancels_out_the_difference_is_a_fraction_of_its_largest_term():
    """285 - 9 - 275.75 is a quarter; half as much again is nothing beside 275.75."""
    found = audited(convolution(), NINE, (1, 1, 0), computed=0.375, kernels=FILTER, biases=np.array([-275.75], np.float32))
    assert (found.value, found.difference, found.relative_difference) == (0.25, 0.125, 0.125 / 275.75)


def test_without_any_difference_the_fraction_is_zero_even_of_nothing():
    found = audited(Stage("relu", "relu", (4, 4, 1), ("image",), 0), FOUR_BY_FOUR, (2, 2, 0))
    assert (found.value, found.relative_difference) == (0, 0)


def test_of_an_average_that_cancels_out_the_difference_is_a_fraction_of_its_largest_term():
    """In float32, 1e8 + 1 is 1e8, so that 1e8 + 1 - 1e8 - 1 is -1 and a quarter of it -0.25; truly it is 0."""
    image = np.array([[1e8, 1], [-1e8, -1]]).reshape(2, 2, 1)
    found = audited(pooling("average", shape=(1, 1, 1)), image, (0, 0, 0), computed=-0.25)
    assert found.relative_difference < 1e-4


def test_of_a_log_mean_exp_that_cancels_out_the_difference_is_a_fraction_of_its_largest_term():
    """One place of four says ln 4, the others nothing: ln 4 - ln 4. Rounded to float32, ln 4 is 4e-9 off."""
    image = np.array([[math.log(4), -300], [-300, -300]]).reshape(2, 2, 1)
    found = audited(Stage("pool", "pooling", (1,), ("image",), 0, operation="log_mean_exp"), image, (0, 0, 0), computed=0)
    assert 0 < abs(found.value) < 1e-7
    assert found.relative_difference < 1e-4
