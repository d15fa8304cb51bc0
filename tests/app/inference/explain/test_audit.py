"""The arithmetic of single units, worked by hand on tiny pictures."""

import math

import numpy as np
import pytest

from app.inference.explain.receptive_field import Box
from app.inference.networks.contract import Stage
from tests.app.inference.explain.on_paper import FILTER, FOUR_BY_FOUR, NINE, audited, convolution, pooling


def test_a_filter_in_the_middle_multiplies_all_nine_cells_of_every_channel():
    """1x1 + 2x2 + ... + 9x9 = 285 on the first channel, nine times -1 on the second, and a bias of 0.5."""
    result = audited(convolution(), NINE, (1, 1, 0), kernels=FILTER, biases=np.array([0.5], np.float32))
    assert result.steps["channel_sums"].tolist() == [285, -9]
    assert (result.steps["products_sum"], result.steps["bias"]) == (276, 0.5)
    assert (result.steps["sum"], result.value) == (276.5, 276.5)


def test_a_filter_in_the_corner_meets_zeros_of_padding():
    """Above and left of the picture lie zeros; what is left is 5x1 + 6x2 + 8x4 + 9x5 = 94, and four times -1."""
    result = audited(convolution(), NINE, (0, 0, 0), kernels=FILTER, biases=np.array([0.5], np.float32))
    assert result.steps["patch"][:, :, 0].tolist() == [[0, 0, 0], [0, 1, 2], [0, 4, 5]]
    assert result.steps["patch"][:, :, 1].tolist() == [[0, 0, 0], [0, 1, 1], [0, 1, 1]]
    assert result.steps["kernel"][:, :, 0].tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert result.steps["products"][:, :, 0].tolist() == [[0, 0, 0], [0, 5, 12], [0, 32, 45]]
    assert result.steps["channel_sums"].tolist() == [94, -4]
    assert result.value == 90.5


def test_the_far_corner_has_its_padding_below_and_to_the_right():
    """5x1 + 6x2 + 8x4 + 9x5 = 94 again, for the picture and the filter count alike."""
    result = audited(convolution(), NINE, (2, 2, 0), kernels=FILTER, biases=np.array([0.5], np.float32))
    assert result.steps["patch"][:, :, 0].tolist() == [[5, 6, 0], [8, 9, 0], [0, 0, 0]]
    assert result.value == 94 - 4 + 0.5


def test_the_window_shows_how_far_it_reaches_beyond_the_picture():
    result = audited(convolution(), NINE, (0, 2, 0), kernels=FILTER)
    assert result.window == Box(-1, 1, 2, 4)


def test_the_receptive_field_ends_where_the_picture_ends():
    result = audited(convolution(), NINE, (0, 2, 0), kernels=FILTER)
    assert result.receptive_field == Box(0, 1, 2, 3)


def test_padding_times_a_negative_weight_is_not_negative_zero():
    result = audited(convolution(), NINE, (0, 0, 0), kernels=FILTER)
    assert not np.signbit(result.steps["products"][0, 0]).any()


def test_each_channel_of_a_convolution_has_a_filter_and_a_bias_of_its_own():
    """The second of two filters looks at a single cell of one channel: the 9 at the lower right, times 2."""
    kernel = np.zeros((3, 3, 2, 2), np.float32)
    kernel[2, 2, 0, 1] = 2
    stage = Stage("conv", "convolution", (3, 3, 2), ("image",), 0, (3, 3), (1, 1), "same")
    result = audited(stage, NINE, (1, 1, 1), kernels=kernel, biases=np.array([100, 0.25], np.float32))
    assert result.value == 18.25


def test_a_convolution_without_a_bias_adds_nothing():
    result = audited(convolution(), NINE, (1, 1, 0), kernels=FILTER)
    assert (result.steps["bias"], result.value) == (0, 276)


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
def test_an_activation_clips_the_value_and_the_sum_is_still_reported(activation, bias, value):
    result = audited(convolution(activation), NINE, (1, 1, 0), kernels=FILTER, biases=np.array([bias], np.float32))
    assert (result.steps["sum"], result.value) == (276 + bias, value)


def test_the_largest_term_of_a_convolution_may_be_a_product_or_the_bias():
    results = [audited(convolution(), NINE, (1, 1, 0), kernels=FILTER, biases=np.array([b], np.float32)) for b in (5, -200)]
    assert [result.steps["largest_term"] for result in results] == [81, 200]


def depthwise(filters: int) -> Stage:
    return Stage("depthwise", "depthwise_convolution", (1, 1, filters), ("image",), 0, (3, 3), (1, 1), "valid", "relu6")


def test_a_depthwise_filter_sees_the_channel_with_its_own_index():
    """The second channel is one everywhere, so its filter's weights 0.5 add up to 4.5, and 0.25 of bias."""
    kernel = np.stack([np.full((3, 3), 100.0), np.full((3, 3), 0.5)], axis=-1)[:, :, np.newaxis].astype(np.float32)
    result = audited(depthwise(2), NINE, (0, 0, 1), kernels=kernel, biases=np.array([9, 0.25], np.float32))
    assert result.steps["patch"].tolist() == np.ones((3, 3, 1)).tolist()
    assert result.steps["channel_sums"].tolist() == [4.5]
    assert result.value == 4.75


def test_with_two_depthwise_filters_per_channel_the_first_two_see_the_first_channel():
    """The first channel adds up to 45. Filters 0 and 1 are its own, 2 and 3 are the second channel's, which adds up to 9."""
    kernel = np.stack([np.full((3, 3), w) for w in (0.125, 0.0625, 0.25, 0.5)], axis=-1)[:, :, np.newaxis]
    sums = [
        audited(depthwise(4), NINE, (0, 0, n), kernels=kernel.astype(np.float32)).steps["products_sum"] for n in range(4)
    ]
    assert sums == [45 * 0.125, 45 * 0.0625, 9 * 0.25, 9 * 0.5]


def test_the_maximum_is_reported_with_its_position():
    result = audited(pooling("max"), FOUR_BY_FOUR, (0, 0, 0))
    assert result.steps["patch"][:, :, 0].tolist() == [[1, 9], [4, 5]]
    assert (result.value, result.steps["maximum"], result.steps["maximum_at"]) == (9, 9, (0, 1))


def test_the_first_of_equal_maxima_is_named():
    assert audited(pooling("max"), FOUR_BY_FOUR, (0, 1, 0)).steps["maximum_at"] == (1, 2)


def test_padding_never_counts_as_a_maximum():
    """3x3 windows around each corner: at the lower left, all that lies inside is below zero."""
    stage = pooling("max", shape=(4, 4, 1), kernel=(3, 3), stride=(1, 1), padding="same")
    result = audited(stage, FOUR_BY_FOUR, (3, 0, 0))
    assert result.window == Box(2, -1, 5, 2)
    assert result.steps["patch"][:, :, 0].tolist() == [[-7, -2], [-5, -3]]
    assert (result.value, result.steps["maximum_at"]) == (-2, (2, 1))


def test_pooling_looks_at_one_channel():
    assert audited(pooling("max", shape=(1, 1, 2)), NINE, (0, 0, 1)).value == 1


def test_an_average_is_a_sum_divided_by_a_count():
    result = audited(pooling("average"), FOUR_BY_FOUR, (0, 0, 0))
    assert (result.steps["sum"], result.steps["count"], result.value) == (19, 4, 4.75)


def test_an_average_at_an_edge_counts_no_padding():
    stage = pooling("average", shape=(4, 4, 1), kernel=(3, 3), stride=(1, 1), padding="same")
    result = audited(stage, FOUR_BY_FOUR, (3, 0, 0))
    assert (result.steps["sum"], result.steps["count"], result.value) == (-17, 4, -4.25)


def test_a_log_mean_exp_is_of_the_whole_picture():
    """Of 0, ln 2, ln 4 and ln 9 the exponentials are 1, 2, 4 and 9, their mean is 4, and the result ln 4."""
    image = np.log([[1, 2], [4, 9]]).reshape(2, 2, 1)
    result = audited(Stage("pool", "pooling", (1,), ("image",), 0, operation="log_mean_exp"), image, (0, 0, 0))
    assert result.value == pytest.approx(math.log(4), rel=1e-6)
    assert result.steps["maximum"] == pytest.approx(math.log(9), rel=1e-6)
    assert result.steps["exponentials"].ravel() == pytest.approx([1 / 9, 2 / 9, 4 / 9, 1], rel=1e-6)
    assert result.steps["mean"] == pytest.approx(4 / 9, rel=1e-6)


def test_a_log_mean_exp_of_large_numbers_does_not_overflow():
    image = np.array([[1000, 1000], [1000, 1000]]).reshape(2, 2, 1)
    result = audited(Stage("pool", "pooling", (1,), ("image",), 0, operation="log_mean_exp"), image, (0, 0, 0))
    assert result.value == 1000


@pytest.mark.parametrize(("position", "value"), [((2, 0, 0), 0), ((0, 1, 0), 9), ((2, 2, 0), 0)])
def test_relu_lets_through_what_is_above_zero(position, value):
    result = audited(Stage("relu", "relu", (4, 4, 1), ("image",), 0), FOUR_BY_FOUR, position)
    assert (result.value, result.steps["patch"].tolist()) == (value, [[[FOUR_BY_FOUR[position]]]])


def test_rescaling_multiplies_and_then_adds():
    result = audited(
        Stage("rescaled", "rescaling", (4, 4, 1), ("image",), 0), FOUR_BY_FOUR, (1, 2, 0), scalings=(0.25, -1.0)
    )
    assert (result.steps["patch"].item(), result.steps["scale"], result.steps["offset"]) == (8, 0.25, -1)
    assert result.value == 8 * 0.25 - 1


def test_a_sum_adds_the_same_cell_of_each_input():
    before = tuple(Stage(name, "relu", (2, 2, 1), ("image",), 0) for name in ("one", "two"))
    values = {"one": [[1, 2], [3, 4]], "two": [[10, 20], [-30, 40]]}
    arrays = {name: np.array(rows, np.float32).reshape(2, 2, 1) for name, rows in values.items()}
    result = audited(
        Stage("sum", "add", (2, 2, 1), ("one", "two"), 0), np.zeros((2, 2, 1)), (1, 0, 0), before=before, values=arrays
    )
    assert (result.steps["terms"].tolist(), result.steps["largest_term"], result.value) == ([3, -30], 30, -27)


def test_flattening_goes_channel_by_channel_then_column_then_row():
    """Number 13 of a picture of 3 rows, 3 columns and 2 channels: 13 = 2 x (3 x 2) + 0 x 2 + 1."""
    result = audited(Stage("flat", "flatten", (18,), ("image",), 0), NINE * [[[1, 10]]], (0, 0, 13))
    assert (result.steps["source"], result.value) == ((2, 0, 1), 10)


def test_a_flattened_number_sees_only_the_cell_it_comes_from():
    result = audited(Stage("flat", "flatten", (18,), ("image",), 0), NINE, (0, 0, 13))
    assert result.window == result.receptive_field == Box(2, 0, 3, 1)


def test_a_flattened_number_has_the_receptive_field_of_where_it_comes_from():
    before = (convolution(),)
    values = {"conv": np.arange(9, dtype=np.float32).reshape(3, 3, 1)}
    result = audited(Stage("flat", "flatten", (9,), ("conv",), 0), NINE, (0, 0, 8), before=before, values=values)
    assert (result.window, result.receptive_field) == (Box(2, 2, 3, 3), Box(1, 1, 3, 3))
