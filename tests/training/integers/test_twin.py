"""The graph in integers: what its numbers stand for, and that it computes what it stands for."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from app.inference.networks.runtime import session
from training.integers.layers import layers
from training.integers.observe import Seen, observe
from training.integers.scales import LEVELS, SAFE_PAIR, of_activation, of_filters, rounded
from training.integers.twin import Recipe, recipe, twin


@pytest.fixture(scope="module")
def network() -> onnx.ModelProto:
    """A small network of all that is quantized: a colour scale, cut-offs, a depthwise layer, a sum, a pooling, few scores."""
    import keras
    from keras import layers as of

    from training.importing import onnx_graph

    keras.utils.set_random_seed(3)
    image = keras.Input((32, 32, 3), name="image")
    x = of.Rescaling(1 / 128, -127 / 128, name="normalize")(image)
    first = x = of.Conv2D(16, 3, strides=2, padding="same", activation="relu6", name="first")(x)
    x = of.DepthwiseConv2D(3, padding="same", activation="relu6", name="depthwise")(x)
    x = of.Conv2D(16, 1, name="project")(x)
    x = of.Add(name="sum")([first, x])
    x = of.MaxPooling2D(2, name="pool")(x)
    x = of.ReLU(name="wide_relu")(of.Conv2D(32, 3, name="wide")(x))
    x = of.Conv2D(2, 1, kernel_initializer=keras.initializers.RandomNormal(0, 4), name="evidence")(x)
    x = of.GlobalAveragePooling2D(name="pooled")(x)
    answer = of.Softmax(name="probabilities")(x)
    model = keras.Model(image, answer)
    return onnx_graph.build(model, [layer.name for layer in model.layers[1:]])


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    random = np.random.default_rng(4)
    coarse = random.integers(0, 256, (24, 8, 8, 3), np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


@pytest.fixture(scope="module")
def seen(network, pictures) -> dict[str, Seen]:
    return observe(network, list(pictures))


def answers(model: onnx.ModelProto, pictures: np.ndarray, kind: type) -> np.ndarray:
    running = session(model.SerializeToString())
    return np.concatenate([running.run(["probabilities"], {"image": one[None].astype(kind)})[0] for one in pictures])


def kinds(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def test_its_answers_are_nearly_those_of_the_network(network, seen, pictures):
    expected = answers(network, pictures, np.float32)
    assert expected.std(axis=0).max() > 0.05  # or else it would be easy
    np.testing.assert_allclose(answers(twin(network, seen), pictures, np.uint8), expected, atol=0.02)


def test_it_reads_the_photo_s_own_bytes_and_rounds_nothing_there(network, seen):
    made = twin(network, seen)
    [image] = made.graph.input
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
    assert (weights["normalize/scale8"], weights["normalize/zero8"]) == (1 / 128, 127)
    assert "Mul" not in kinds(made)


def test_colours_that_no_integer_stands_for_are_scaled_in_float(network, seen, pictures):
    other = onnx.ModelProto()
    other.CopyFrom(network)
    offset = next(tensor for tensor in other.graph.initializer if tensor.name == "normalize/offset")
    offset.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(offset) + np.float32(0.003), "normalize/offset"))
    made = twin(other, observe(other, list(pictures)))
    assert "Cast" in kinds(made)
    np.testing.assert_allclose(answers(made, pictures, np.uint8), answers(other, pictures, np.float32), atol=0.02)


def test_cut_offs_and_poolings_cost_nothing_and_scores_stay_in_float(network, seen):
    made = twin(network, seen)
    assert "Clip" not in kinds(made)
    assert "Relu" not in kinds(made)
    integers = {node.output[0] for node in made.graph.node if node.op_type == "QuantizeLinear"}
    assert "pool/dequantized/integers" in integers
    assert "evidence/dequantized/integers" not in integers


def test_layers_are_left_in_float_on_request(network, seen, pictures):
    made = twin(network, seen, Recipe(floats=frozenset(layers(network))))
    np.testing.assert_allclose(answers(made, pictures, np.uint8), answers(network, pictures, np.float32), atol=1e-5)


def test_the_first_layers_stay_in_float_where_they_are_little_of_the_work(network, seen):
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in network.graph.initializer}
    assert recipe(network, seen).floats == frozenset()  # they are most of this network
    heavy = onnx.ModelProto()
    heavy.CopyFrom(network)
    tensor = next(one for one in heavy.graph.initializer if one.name == "wide/kernel")
    tensor.CopyFrom(numpy_helper.from_array(np.zeros((5000, *weights["wide/kernel"].shape[1:]), np.float32), "wide/kernel"))
    assert recipe(heavy, seen).floats == {"first", "depthwise", "project"}


def test_no_two_neighbouring_products_overflow_16_bits():
    random = np.random.default_rng(0)
    kernel = random.normal(size=(64, 24, 3, 3)) * random.lognormal(size=(64, 1, 1, 1))
    scale = of_filters(kernel, paired=True)
    integers = rounded(kernel, scale, paired=True).astype(int)
    assert np.abs(integers - kernel / scale[:, None, None, None]).max() <= 1
    flat = integers.transpose(0, 2, 3, 1).reshape(64, -1)
    assert np.abs(flat).max() <= 127
    together = np.abs(flat[:, ::2] + flat[:, 1::2])
    assert (LEVELS * together[flat[:, ::2] * flat[:, 1::2] > 0]).max() <= LEVELS * SAFE_PAIR
    assert LEVELS * SAFE_PAIR < 2**15 <= LEVELS * (127 + 127)


def test_a_filter_that_died_has_a_scale():
    assert (of_filters(np.zeros((2, 3, 1, 1)), paired=True) > 0).all()


def test_a_range_holds_zero_and_is_cut_off_where_the_layer_cuts_off():
    values = np.linspace(-1, 9, 1000, dtype=np.float32)
    described = Seen(-1.0, 9.0, np.zeros(1, np.float32), values, 10)
    scale, zero = of_activation(described, 0.0, 6.0)
    assert zero == 0
    assert scale == pytest.approx(6 / LEVELS)
    scale, zero = of_activation(described)
    assert scale == pytest.approx(10 / LEVELS, rel=0.1)
    assert (-zero) * scale == pytest.approx(-1, abs=scale)


def test_a_rare_large_value_does_not_cost_all_others_their_levels():
    random = np.random.default_rng(0)
    values = np.concatenate([random.normal(size=200_000), [10.0]])
    described = Seen(float(values.min()), 10.0, np.zeros(1), values, 10)
    assert of_activation(described)[0] < of_activation(described, fitted=False)[0]


def test_sums_of_three_and_depthwise_layers_that_make_several_of_each_channel_are_quantized_too(pictures):
    import keras
    from keras import layers as of

    from training.importing import onnx_graph

    keras.utils.set_random_seed(4)
    image = keras.Input((32, 32, 3), name="image")
    x = of.Rescaling(1 / 255, name="normalize")(image)
    x = of.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="first")(x)
    several = of.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="relu", name="several")(x)
    sides = [of.Conv2D(8, 1, name=name)(several) for name in ("left", "right")]
    x = of.Add(name="sum")([x, *sides])
    x = of.Conv2D(2, 1, kernel_initializer=keras.initializers.RandomNormal(0, 4), name="evidence")(x)
    answer = of.Softmax(name="probabilities")(of.GlobalAveragePooling2D(name="pooled")(x))
    model = keras.Model(image, answer)
    exported = onnx_graph.build(model, [layer.name for layer in model.layers[1:]])
    made = twin(exported, observe(exported, list(pictures)))
    assert kinds(made).count("Add") == 2
    np.testing.assert_allclose(answers(made, pictures, np.uint8), answers(exported, pictures, np.float32), atol=0.02)
