"""ONNX Runtime computes what Keras computes of a network, and the layers after a layer stay the network's own."""

import threading
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from app.inference.networks.pooling import LogMeanExpPooling2D
from training.config import CAT
from training.errors import TrainingError
from training.fitting import frozen as module
from training.fitting.frozen import CHUNK, frozen, in_chunks, trainable_part
from training.networks import cat
from training.tasks.export import describe

TAPS = ["normalize", "stem", "shrunk", "narrow", "looked", "sum", "again", "evidence", "pooled", "average", "both", "scores"]
"""Layers of `small`; the last four have no rows and columns."""


def small(height: int, width: int, seed: int = 0) -> keras.Model:
    """A network of every kind of layer that `cat` is made of, with weights that make ReLU6 cut on both sides."""
    keras.utils.set_random_seed(seed)
    x = photo = keras.Input((height, width, 3), name="image")
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="normalize")(x)
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu6", name="stem")(x)
    x = layers.DepthwiseConv2D(3, strides=2, padding="same", activation="relu6", name="shrunk")(x)
    x = short = layers.Conv2D(6, 1, activation="relu", name="narrow")(x)
    x = layers.DepthwiseConv2D(5, padding="same", name="looked")(x)
    x = layers.Add(name="sum")([x, short])
    x = layers.DepthwiseConv2D(5, strides=2, padding="same", activation="relu6", name="again")(x)
    x = layers.Conv2D(4, 1, name="evidence")(x)
    pooled, average = LogMeanExpPooling2D(name="pooled")(x), layers.GlobalAveragePooling2D(name="average")(x)
    scores = layers.Dense(2, name="scores")(layers.Add(name="both")([pooled, average]))
    network = keras.Model(photo, scores, name="small")
    random = np.random.default_rng(seed)
    for layer in network.layers:
        if layer.get_weights():
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel * 8, random.normal(0, 1, bias.shape)])
    return network


def photos(count: int, *size: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 255, (count, *size, 3)).astype(np.float32)


def by_keras(network: keras.Model, names: list[str], batch: np.ndarray) -> list[np.ndarray]:
    tapped = keras.Model(network.input, [network.get_layer(name).output for name in names])
    return [np.asarray(values) for values in tapped(batch, training=False)]


@pytest.fixture(scope="module", params=[(32, 32), (33, 33), (31, 46)], ids=str)
def network(request: pytest.FixtureRequest) -> keras.Model:
    return small(*request.param)


@pytest.fixture(scope="module")
def batch(network) -> np.ndarray:
    return photos(3, *network.input_shape[1:3])


@pytest.fixture(scope="module")
def values(network, batch) -> dict[str, np.ndarray]:
    return dict(zip(TAPS, frozen(network, TAPS)(batch), strict=True))


@pytest.fixture(scope="module")
def truths(network, batch) -> dict[str, np.ndarray]:
    return dict(zip(TAPS, by_keras(network, TAPS, batch), strict=True))


# The same numbers


@pytest.mark.parametrize("tap", TAPS)
def test_every_layer_computes_what_keras_computes(values, truths, tap):
    assert values[tap].shape == truths[tap].shape
    assert np.abs(values[tap] - truths[tap]).max() < 1e-4 * np.abs(truths[tap]).max()


@pytest.mark.parametrize("tap", ["stem", "shrunk", "again"])
def test_the_compared_values_are_clipped_by_relu6_on_both_sides(truths, tap):
    assert (truths[tap].min(), truths[tap].max()) == (0, 6), "else the test above says nothing of ReLU6"


def test_the_output_is_float32(values):
    assert {value.dtype for value in values.values()} == {np.dtype(np.float32)}


def test_the_taps_come_in_the_requested_order(network, batch, truths):
    outputs = frozen(network, ["scores", "stem"])(batch)
    assert [value.shape for value in outputs] == [truths["scores"].shape, truths["stem"].shape]


def test_a_photo_gets_the_same_alone_as_in_a_batch(network, batch, values):
    (alone,) = frozen(network, ["evidence"])(batch[1:2])
    assert alone[0] == pytest.approx(values["evidence"][1], rel=1e-4, abs=1e-4)


def test_on_an_accelerator_keras_computes_the_same(network, batch, values, monkeypatch):
    monkeypatch.setattr(module, "accelerated", lambda: True)
    outputs = frozen(network, TAPS)(batch)
    for name, value in zip(TAPS, outputs, strict=True):
        assert np.abs(value - values[name]).max() < 1e-4 * np.abs(values[name]).max(), name


@pytest.mark.parametrize(
    ("devices", "expected"), [(["cpu:0"], False), (["CPU:0", "cpu:1"], False), (["cpu:0", "gpu:0"], True)]
)
def test_every_device_that_is_not_a_cpu_accelerates(monkeypatch, devices, expected):
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: devices)
    assert module.accelerated() is expected


def test_a_depthwise_convolution_with_two_filters_per_channel_is_translated():
    photo = keras.Input((9, 9, 3), name="image")
    network = keras.Model(photo, layers.DepthwiseConv2D(3, depth_multiplier=2, name="double")(photo))
    batch = photos(2, 9, 9)
    (result,), (expected,) = frozen(network, ["double"])(batch), by_keras(network, ["double", "double"], batch)[:1]
    assert np.abs(result - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("kind", [layers.Conv2D, layers.DepthwiseConv2D])
@pytest.mark.parametrize("activation", ["tanh", "gelu", "sigmoid", "leaky_relu"])
def test_an_activation_without_a_translation_is_named_with_its_layer(kind, activation):
    photo = keras.Input((8, 8, 3), name="image")
    layer = kind(
        **{"kernel_size": 3, "activation": activation, "name": "odd"} | ({"filters": 4} if kind is layers.Conv2D else {})
    )
    with pytest.raises(TrainingError, match=f"layer odd has the activation {activation}, which is not translated"):
        frozen(keras.Model(photo, layer(photo)), ["odd"])


# The rest of a network


@pytest.mark.parametrize("last", ["stem", "sum", "evidence"])
def test_the_rest_computes_from_the_frozen_layers_what_the_whole_network_computes_from_the_photo(
    network, batch, truths, last
):
    (features,) = frozen(network, [last])(batch)
    scores = np.asarray(trainable_part(network, last)(features, training=False))
    assert np.abs(scores - truths["scores"]).max() < 1e-4 * np.abs(truths["scores"]).max()


def test_the_rest_holds_only_the_layers_after():
    names = [layer.name for layer in trainable_part(small(32, 32), "sum").layers][1:]
    assert sorted(names) == sorted(["again", "evidence", "pooled", "average", "both", "scores"])


def test_the_rest_shares_its_weights_with_the_network():
    network = small(32, 32)
    trainable_part(network, "sum").get_layer("evidence").set_weights([np.full((1, 1, 6, 4), 0.5), np.full(4, 2.0)])
    assert {float(value.mean()) for value in network.get_layer("evidence").get_weights()} == {0.5, 2.0}


def test_the_rest_has_the_networks_name():
    assert trainable_part(small(32, 32), "sum").name == "small"


def test_the_rest_of_cat_has_its_scores_and_its_evidence():
    outputs = trainable_part(cat.build(training=True, side=64), CAT.frozen).outputs
    assert [tuple(output.shape) for output in outputs] == [(None, 2), (None, 2, 2, 1)]


# LogMeanExpPooling2D


@pytest.fixture
def evidence() -> np.ndarray:
    return np.random.default_rng(2).normal(0, 3, (4, 5, 7, 2)).astype(np.float32)


def pool(values: np.ndarray) -> np.ndarray:
    return np.asarray(LogMeanExpPooling2D()(values))


def test_the_pooled_value_is_the_logarithm_of_the_mean_of_the_exponentials(evidence):
    assert pool(evidence) == pytest.approx(np.log(np.exp(evidence.astype(np.float64)).mean(axis=(1, 2))), abs=1e-5)


def test_the_pooled_value_is_above_the_mean(evidence):
    assert (pool(evidence) > evidence.mean(axis=(1, 2))).all()


def test_the_pooled_value_is_below_the_maximum(evidence):
    assert (pool(evidence) < evidence.max(axis=(1, 2))).all()


def test_where_all_cells_are_equal_the_pooled_value_is_the_same():
    assert pool(np.full((1, 5, 7, 1), -4.5, np.float32)) == pytest.approx(-4.5, abs=1e-5)


def test_the_order_of_the_cells_does_not_matter(evidence):
    cells = evidence.reshape(4, 35, 2)[:, np.random.default_rng(3).permutation(35)]
    assert pool(cells.reshape(4, 5, 7, 2)) == pytest.approx(pool(evidence), abs=1e-5)


def test_one_sure_cell_among_a_hundred_is_the_maximum_less_the_logarithm_of_a_hundred():
    values = np.zeros((1, 10, 10, 1), np.float32)
    values[0, 3, 4] = 50
    assert pool(values) == pytest.approx(50 - np.log(100), abs=1e-4)


@pytest.mark.parametrize("value", [-300.0, 300.0])
def test_exponentials_that_no_float_can_hold_are_pooled(value):
    photo = keras.Input((4, 4, 3), name="image")
    network = keras.Model(photo, LogMeanExpPooling2D(name="pooled")(photo))
    (exported,) = frozen(network, ["pooled"])(np.full((1, 4, 4, 3), value, np.float32))
    assert exported == pytest.approx(value)
    assert pool(np.full((1, 4, 4, 3), value, np.float32)) == pytest.approx(value)


@pytest.mark.parametrize("shape", [(None, 10, 10, 1), (3, 4, 5, 6)])
def test_the_shape_is_known_before_any_computation(shape):
    assert LogMeanExpPooling2D().compute_output_shape(shape) == (shape[0], shape[3])


def test_a_network_with_this_layer_is_saved_and_loaded_in_safe_mode(tmp_path: Path):
    network, batch = small(32, 32), photos(2, 32, 32)
    network.save(tmp_path / "small.keras")
    loaded = keras.saving.load_model(tmp_path / "small.keras", compile=False, safe_mode=True)
    assert np.array_equal(np.asarray(loaded(batch)), np.asarray(network(batch)))


def test_a_loaded_network_is_translated_like_the_saved_one(tmp_path: Path):
    network, batch = small(32, 32), photos(2, 32, 32)
    network.save(tmp_path / "small.keras")
    loaded = keras.saving.load_model(tmp_path / "small.keras", compile=False)
    assert all(np.array_equal(*pair) for pair in zip(frozen(loaded, TAPS)(batch), frozen(network, TAPS)(batch), strict=True))


# How the layers are described


@pytest.mark.parametrize(
    ("name", "expected"), [("stem", "relu6"), ("shrunk", "relu6"), ("narrow", "relu"), ("looked", None), ("pooled", None)]
)
def test_a_stage_is_described_with_its_activation(name, expected):
    stages = {stage.name: stage for stage in describe(small(32, 32))[0]}
    assert stages[name].activation == expected


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (LogMeanExpPooling2D(name="stage"), "log_mean_exp"),
        (layers.MaxPooling2D(2, name="stage"), "max"),
        (layers.AveragePooling2D(2, name="stage"), "average"),
        (layers.Conv2D(3, 1, name="stage"), None),
        (layers.Flatten(name="stage"), None),
    ],
)
def test_a_pooling_stage_is_described_with_its_operation(layer, expected):
    photo = keras.Input((8, 8, 3), name="image")
    ((stage,), _) = describe(keras.Model(photo, layer(photo)))
    assert stage.operation == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("normalize", "rescaling"),
        ("stem", "convolution"),
        ("shrunk", "depthwise_convolution"),
        ("sum", "add"),
        ("pooled", "pooling"),
        ("scores", "dense"),
    ],
)
def test_a_stage_is_described_with_its_kind(name, expected):
    stages = {stage.name: stage for stage in describe(small(32, 32))[0]}
    assert stages[name].kind == expected


def test_a_sum_is_described_with_both_stages_that_it_adds():
    stages = {stage.name: stage for stage in describe(small(32, 32))[0]}
    assert stages["sum"].inputs == ("looked", "narrow")


# Work in chunks, on every core


@pytest.mark.parametrize("count", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 10 * CHUNK + 3])
def test_chunks_are_all_numbers_in_order(count):
    assert [number for chunk in in_chunks(list, count) for number in chunk] == list(range(count))


@pytest.mark.parametrize("ahead", [1, 2, 50])
def test_however_many_are_ahead_all_chunks_come_in_order(ahead):
    assert [chunk.start for chunk in in_chunks(lambda numbers: numbers, 5 * CHUNK, ahead)] == [n * CHUNK for n in range(5)]


def test_a_chunk_that_is_done_early_waits_for_its_turn(monkeypatch):
    monkeypatch.setattr("training.fitting.frozen.os.cpu_count", lambda: 2)
    second = threading.Event()

    def work(numbers: range) -> int:
        if numbers.start == 0:
            assert second.wait(30)
        else:
            second.set()
        return numbers.start

    assert list(in_chunks(work, 3 * CHUNK)) == [0, CHUNK, 2 * CHUNK]


def test_work_ends_when_nobody_takes_its_results_any_more():
    begun = []
    chunks = in_chunks(lambda numbers: begun.append(numbers.start), 100 * CHUNK, ahead=2)
    next(chunks)
    chunks.close()
    assert len(begun) <= 3, "one that was taken and two ahead"


def test_no_more_work_is_done_ahead_than_requested():
    begun = []
    chunks = in_chunks(lambda numbers: begun.append(numbers.start), 100 * CHUNK, ahead=2)
    for _ in range(5):
        next(chunks)
    assert len(begun) <= 7
    chunks.close()


def test_an_error_of_the_work_is_raised_where_its_result_is_taken():
    def work(numbers: range) -> int:
        if numbers.start == 2 * CHUNK:
            raise ValueError("the third")
        return numbers.start

    chunks = in_chunks(work, 5 * CHUNK)
    assert [next(chunks), next(chunks)] == [0, CHUNK]
    with pytest.raises(ValueError, match="the third"):
        next(chunks)
