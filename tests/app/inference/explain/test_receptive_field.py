"""What a unit sees, worked out by hand, and held to what Keras and the exported network react to."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from app.inference.explain.receptive_field import Box, Window, pixels, receptive_field, shape_of, size_of, window
from app.inference.networks.contract import Contract, Stage, load
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from training.tasks.export import describe

IMAGE = Window((1, 1), (1, 1), (0, 0))


def network(height: int, width: int, *stages: Stage) -> Contract:
    return Contract("hand", "0", ("cat", "not_cat"), (height, width, 3), (0.5, 0.5), 0, stages, {}, Path())


def conv(name: str, source: str, shape: tuple[int, ...], kernel=(3, 3), stride=(1, 1), padding="same") -> Stage:
    return Stage(name, "convolution", shape, (source,), 0, kernel, stride, padding)


def pool(name: str, source: str, shape: tuple[int, ...], kernel=(2, 2), stride=(2, 2), padding="valid") -> Stage:
    return Stage(name, "pooling", shape, (source,), 0, kernel, stride, padding, operation="max")


def test_a_box_is_cut_off_at_the_edges_of_a_picture():
    assert Box(-1, -2, 4, 9).clipped(3, 8) == Box(0, 0, 3, 8)


def test_a_box_inside_a_picture_stays_as_it_is():
    assert Box(1, 2, 3, 4).clipped(5, 6) == Box(1, 2, 3, 4)


def test_a_window_moves_by_its_step_from_unit_to_unit():
    assert Window((3, 5), (2, 4), (-1, 0)).box(3, 2) == Box(5, 8, 8, 13)


def test_a_3x3_filter_with_padding_reaches_one_cell_beyond_its_own():
    contract = network(8, 8, conv("conv", "image", (8, 8, 4)))
    assert window(contract, contract.stages[0]) == Window((3, 3), (1, 1), (-1, -1))


def test_a_3x3_filter_without_padding_begins_at_its_own_cell():
    contract = network(8, 8, conv("conv", "image", (6, 6, 4), padding="valid"))
    assert window(contract, contract.stages[0]) == Window((3, 3), (1, 1), (0, 0))


def test_an_even_filter_has_its_odd_padding_at_the_end():
    contract = network(8, 8, conv("conv", "image", (8, 8, 4), kernel=(2, 4)))
    assert window(contract, contract.stages[0]) == Window((2, 4), (1, 1), (0, -1)), "1 missing: 0 + 1; 3 missing: 1 + 2"


def test_pooling_covers_the_picture_in_squares_side_by_side():
    contract = network(8, 8, pool("pool", "image", (4, 4, 3)))
    assert window(contract, contract.stages[0]) == Window((2, 2), (2, 2), (0, 0))


def test_a_stride_of_two_on_an_even_size_pads_only_at_the_end():
    """8 cells, 4 units: the last filter begins at 6 and ends at 9, one cell beyond; Keras puts it at the end."""
    contract = network(8, 8, conv("conv", "image", (4, 4, 4), stride=(2, 2)))
    result = window(contract, contract.stages[0])
    assert result == Window((3, 3), (2, 2), (0, 0))
    assert result.box(3, 3) == Box(6, 6, 9, 9)


def test_a_stride_of_two_on_an_odd_size_pads_at_both_ends():
    """7 cells, 4 units: 3 x 2 + 3 = 9 cells are covered, two too many, one for each end."""
    contract = network(7, 7, conv("conv", "image", (4, 4, 4), stride=(2, 2)))
    result = window(contract, contract.stages[0])
    assert result == Window((3, 3), (2, 2), (-1, -1))
    assert result.box(3, 3) == Box(5, 5, 8, 8)


def test_rows_and_columns_are_each_padded_by_their_own_size():
    contract = network(8, 7, conv("conv", "image", (4, 4, 4), stride=(2, 2)))
    assert window(contract, contract.stages[0]).offset == (0, -1)


def test_a_stride_larger_than_the_filter_needs_no_padding():
    contract = network(8, 8, conv("conv", "image", (4, 4, 4), kernel=(1, 1), stride=(2, 2)))
    assert window(contract, contract.stages[0]) == Window((1, 1), (2, 2), (0, 0))


@pytest.mark.parametrize("kind", ["relu", "rescaling", "add"])
def test_an_elementwise_stage_sees_its_own_cell(kind):
    contract = network(8, 8, Stage("step", kind, (8, 8, 3), ("image",), 0))
    assert window(contract, contract.stages[0]) == Window((1, 1), (1, 1), (0, 0))


def test_a_filter_after_pooling_sees_three_squares_each_way():
    """3 pooled cells, each of 2 pixels: 6 pixels; one cell of padding is 2 pixels; from unit to unit it moves by 2."""
    contract = network(8, 8, pool("pool", "image", (4, 4, 3)), conv("conv", "pool", (4, 4, 4)))
    assert receptive_field(contract, contract.stages[1]) == Window((6, 6), (2, 2), (-2, -2))


def test_the_tutorial_network_sees_what_its_own_description_says(model_dir):
    """training/networks/tutorial.py: a filter sees 3x3, 8x8, 18x18, 38x38, 78x78 pixels."""
    contract = load(model_dir / "tutorial")
    sizes = [receptive_field(contract, contract.stage(f"block{n}_conv")).size for n in range(1, 6)]
    assert sizes == [(n, n) for n in (3, 8, 18, 38, 78)]


def test_a_window_through_a_single_pixel_is_itself():
    own = Window((3, 2), (2, 1), (-1, 0))
    assert own.through(IMAGE) == own


@pytest.mark.parametrize("branches", [("wide", "image"), ("image", "wide")])
def test_a_residual_sum_sees_what_either_branch_sees(branches):
    stages = conv("wide", "image", (8, 8, 3), kernel=(5, 5)), Stage("sum", "add", (8, 8, 3), branches, 0)
    contract = network(8, 8, *stages)
    assert receptive_field(contract, stages[1]) == Window((5, 5), (1, 1), (-2, -2))


def test_joined_windows_that_only_overlap_are_covered_by_one_around_both():
    joined = Window((3, 2), (1, 1), (-2, 0)).union(Window((4, 1), (1, 1), (0, 4)))
    assert joined == Window((6, 5), (1, 1), (-2, 0)), "rows -2 to 4, columns 0 to 5"


@pytest.mark.parametrize("name", ["flat", "dense", "relu", "scores"])
def test_what_follows_the_last_picture_sees_the_whole_photo(name):
    contract = network(
        6,
        8,
        pool("pool", "image", (3, 4, 3)),
        Stage("flat", "flatten", (36,), ("pool",), 0),
        Stage("dense", "dense", (5,), ("flat",), 0),
        Stage("relu", "relu", (5,), ("dense",), 0),
        Stage("scores", "dense", (2,), ("relu",), 0),
    )
    assert receptive_field(contract, contract.stage(name)).box(0, 0) == Box(0, 0, 6, 8)


def test_a_pooling_of_the_whole_picture_sees_all_of_it():
    pooled = Stage("pooled", "pooling", (1,), ("image",), 0, operation="log_mean_exp")
    contract = network(6, 8, pooled)
    assert window(contract, pooled).box(0, 0) == Box(0, 0, 6, 8)


def test_a_dense_layer_sees_one_cell_of_what_was_flattened():
    stages = Stage("flat", "flatten", (144,), ("image",), 0), Stage("dense", "dense", (5,), ("flat",), 0)
    assert window(network(6, 8, *stages), stages[1]).box(0, 0) == Box(0, 0, 1, 1)


def test_the_picture_has_the_size_of_the_networks_input():
    contract = network(6, 8, Stage("flat", "flatten", (144,), ("image",), 0))
    assert (shape_of(contract, "image"), size_of(contract, "image")) == ((6, 8, 3), (6, 8))
    assert (shape_of(contract, "flat"), size_of(contract, "flat")) == ((144,), (1, 1))


def ones(model: keras.Model) -> keras.Model:
    """The network with every weight at one and no bias: a pixel that is not zero reaches whoever sees it."""
    for layer in model.layers:
        layer.set_weights([np.ones_like(w) if w.ndim > 1 else np.zeros_like(w) for w in layer.get_weights()])
    return model


def chain(*steps: layers.Layer):
    def build(x):
        for step in steps:
            x = step(x)
        return x

    return build


def residual(x):
    x = layers.Conv2D(1, 3, strides=2, padding="same", name="first")(x)
    y = layers.DepthwiseConv2D(5, padding="same", name="wide")(x)
    return layers.Add(name="last")([x, y])


def same(kernel: int, stride: int) -> layers.Layer:
    return layers.Conv2D(1, kernel, strides=stride, padding="same", name="last")


NETWORKS = {
    "conv 3x3": lambda: chain(same(3, 1)),
    "conv 3x3 stride 2": lambda: chain(same(3, 2)),
    "conv 2x2 stride 2": lambda: chain(same(2, 2)),
    "conv 4x4 stride 3": lambda: chain(same(4, 3)),
    "conv 5x5 stride 2": lambda: chain(same(5, 2)),
    "conv 3x3 stride 2 without padding": lambda: chain(layers.Conv2D(1, 3, strides=2, name="last")),
    "pool with padding": lambda: chain(layers.MaxPooling2D(3, strides=2, padding="same", name="last")),
    "average with padding": lambda: chain(layers.AveragePooling2D(2, padding="same", name="last")),
    "conv, pool, conv": lambda: chain(
        layers.Conv2D(1, 3, padding="same", name="first"), layers.MaxPooling2D(2, name="pool"), same(3, 1)
    ),
    "two halvings": lambda: chain(layers.Conv2D(1, 3, strides=2, padding="same", name="first"), same(3, 2)),
    "pool, relu, halving": lambda: chain(layers.MaxPooling2D(2, name="pool"), layers.ReLU(name="relu"), same(5, 2)),
    "residual": lambda: residual,
}
CASES = [(name, size) for name in NETWORKS for size in ((12, 12), (11, 13), (9, 14))]


@pytest.mark.parametrize(("name", "size"), CASES)
def test_a_unit_sees_exactly_the_pixels_that_reach_it_in_keras(name, size):
    height, width = size
    photo = keras.Input((height, width, 1), name="image")
    model = ones(keras.Model(photo, NETWORKS[name]()(photo)))
    stages, inner = describe(model)
    contract = Contract("k", "0", ("cat",), (height, width, 1), (0, 0), 0, tuple(stages), {}, Path(), tuple(inner))
    single = np.eye(height * width, dtype=np.float32).reshape(-1, height, width, 1)  # one photo for each pixel
    reached = np.asarray(model(single))[..., 0] > 0  # (pixels, rows, columns)
    field = receptive_field(contract, contract.stage("last"))
    for row, column in np.ndindex(reached.shape[1:]):
        seen = np.zeros(size, bool)
        box = pixels(contract, contract.stage("last"), row, column)
        seen[box.top : box.bottom, box.left : box.right] = True
        assert np.array_equal(reached[:, row, column].reshape(size), seen), (row, column)
        most = field.box(row, column).clipped(*size)
        assert most.top <= box.top
        assert most.left <= box.left
        assert most.bottom >= box.bottom
        assert most.right >= box.right


@pytest.fixture(scope="module")
def tutorial(model_dir):
    return OnnxNetwork(load(model_dir / "tutorial"))


UNITS = [
    ("block1_conv", 0, 0),
    ("block1_conv", 57, 31),
    ("block1_conv", 99, 99),
    ("block1_pool", 49, 0),
    ("block2_conv", 0, 49),
    ("block2_conv", 20, 33),
    ("block3_conv", 24, 24),
    ("block3_pool", 6, 1),
    ("block4_conv", 0, 0),
    ("block4_conv", 6, 5),
    ("block4_pool", 5, 5),
    ("block5_conv", 0, 5),
    ("block5_pool", 2, 0),
]


def seen_by(tutorial: OnnxNetwork, stage: str, row: int, column: int) -> tuple[np.ndarray, Box]:
    """A photo of noise, and what the unit sees of it."""
    contract = tutorial.contract
    box = receptive_field(contract, contract.stage(stage)).box(row, column).clipped(*contract.input_shape[:2])
    return np.random.default_rng(7).integers(0, 256, (1, 100, 100, 3)).astype(np.float32), box


@pytest.mark.parametrize(("stage", "row", "column"), UNITS)
def test_nothing_outside_its_receptive_field_changes_a_unit_of_a_real_network(tutorial, stage, row, column):
    photo, box = seen_by(tutorial, stage, row, column)
    other = 255 - photo
    other[:, box.top : box.bottom, box.left : box.right] = photo[:, box.top : box.bottom, box.left : box.right]
    assert (other != photo).any(), "there is something outside"
    before, after = (tutorial.run(x, [stage]).stages[stage] for x in (photo, other))
    assert np.array_equal(before[row, column], after[row, column])
    assert not np.array_equal(before, after), "other units see it"


@pytest.mark.parametrize("side", ["top", "bottom", "left", "right"])
@pytest.mark.parametrize(("stage", "row", "column"), UNITS)
def test_each_edge_of_its_receptive_field_changes_a_unit_of_a_real_network(tutorial, stage, row, column, side):
    photo, box = seen_by(tutorial, stage, row, column)
    rows, columns = slice(box.top, box.bottom), slice(box.left, box.right)
    edge = {
        "top": (0, slice(box.top, box.top + 1), columns),
        "bottom": (0, slice(box.bottom - 1, box.bottom), columns),
        "left": (0, rows, slice(box.left, box.left + 1)),
        "right": (0, rows, slice(box.right - 1, box.right)),
    }[side]
    other = photo.copy()
    other[edge] = 255 - photo[edge]
    before, after = (tutorial.run(x, [stage]).stages[stage][row, column] for x in (photo, other))
    assert not np.array_equal(before, after)
