"""The network as it was trained and the network as it is shipped compute the same."""

import keras
import numpy as np
import pytest
from keras import layers
from scipy.special import softmax

from training.fitting.fold import fold
from training.fitting.frozen import trainable_part
from training.networks import build

HELPERS = (layers.Rescaling, layers.BatchNormalization, layers.Dropout)


def trained(name: str, seed: int = 0) -> keras.Model:
    """The network with weights, biases and batch-norm statistics as if it had been trained for long."""
    keras.utils.set_random_seed(seed)
    random = np.random.default_rng(seed)
    network = build(name, training=True)
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            beta, mean, variance = layer.get_weights()
            layer.set_weights(
                [random.normal(0, 1, beta.shape), random.normal(0, 1, mean.shape), random.uniform(0.2, 5, variance.shape)]
            )
        elif isinstance(layer, layers.Conv2D | layers.Dense):
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel * 1.5, random.normal(0, 0.5, bias.shape)])
    return network


@pytest.fixture(scope="module", params=("dense", "tutorial"))
def network(request: pytest.FixtureRequest) -> keras.Model:
    return trained(request.param)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """Six photos' worth of coloured tiles: two dark, two light, two of the full range."""
    random = np.random.default_rng(1)
    ranges = [(0, 40), (0, 40), (180, 256), (180, 256), (0, 256), (0, 256)]
    tiles = [random.integers(low, high, (5, 5, 3)) for low, high in ranges]
    return np.stack([tile.repeat(20, axis=0).repeat(20, axis=1) for tile in tiles]).astype(np.float32)


def scores(network: keras.Model, pixels: np.ndarray) -> np.ndarray:
    return np.asarray(network(pixels, training=False), np.float64)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7, 6.0])
def test_the_folded_network_is_the_softmax_of_the_trained_one_over_the_temperature(network, pixels, temperature):
    expected = softmax(scores(network, pixels) / temperature, axis=1)
    assert np.ptp(expected[:, 0]) > 0.001, "the photos should not all get one answer"
    assert np.abs(scores(fold(network, temperature), pixels) - expected).max() < 1e-5


def test_the_temperature_divides_the_logits(network, pixels):
    def logits(folded: keras.Model) -> np.ndarray:
        return scores(keras.Model(folded.input, folded.get_layer("scores").output), pixels)

    assert logits(fold(network, 4.0)) == pytest.approx(logits(fold(network)) / 4, rel=1e-4, abs=1e-5)


def test_without_a_temperature_the_logits_are_the_trained_ones(network, pixels):
    folded = fold(network)
    result = scores(keras.Model(folded.input, folded.get_layer("scores").output), pixels)
    assert result == pytest.approx(scores(network, pixels), rel=1e-4, abs=1e-4)


def test_folding_leaves_the_trained_network_as_it_was(network):
    before = [weight.copy() for weight in network.get_weights()]
    fold(network, 2.0)
    assert all(np.array_equal(a, b) for a, b in zip(before, network.get_weights(), strict=True))


def test_nothing_that_helps_training_is_left(network):
    assert not [layer for layer in fold(network).layers if isinstance(layer, HELPERS)]


def test_the_folded_network_has_the_plain_networks_layers(network):
    assert [layer.name for layer in fold(network).layers] == [layer.name for layer in build(network.name).layers]


def test_the_folded_tutorial_network_is_the_chapters_list_of_layers():
    expected = ["InputLayer", *["Conv2D", "MaxPooling2D", "ReLU"] * 5, "Flatten", "Dense", "ReLU", "Dense", "Softmax"]
    assert [type(layer).__name__ for layer in fold(trained("tutorial")).layers] == expected


def test_the_folded_dense_network_is_the_chapters_ordinary_network():
    expected = ["InputLayer", "Flatten", "Dense", "ReLU", "Dense", "ReLU", "Dense", "Softmax"]
    assert [type(layer).__name__ for layer in fold(trained("dense")).layers] == expected


def test_the_tutorial_networks_parameters_are_counted_by_hand():
    convolutions = sum(
        inputs * 9 * filters + filters for inputs, filters in [(3, 16), (16, 32), (32, 64), (64, 128), (128, 192)]
    )
    assert fold(trained("tutorial")).count_params() == convolutions + (3 * 3 * 192 * 128 + 128) + (128 * 2 + 2)


def test_the_dense_networks_parameters_are_counted_by_hand():
    expected = (30_000 * 128 + 128) + (128 * 64 + 64) + (64 * 2 + 2)
    assert fold(trained("dense")).count_params() == expected


def test_a_batch_normalisation_with_a_scale_is_refused():
    photo = keras.Input((100, 100, 3), name="image")
    x = layers.Flatten(name="flatten")(photo)
    x = layers.Dense(128, name="dense1")(x)
    x = layers.BatchNormalization(name="scaled")(x)
    network = keras.Model(photo, layers.Dense(2, name="scores")(x), name="dense")
    with pytest.raises(ValueError, match="scaled cannot be folded"):
        fold(network)


def test_an_offset_is_added_to_the_log_odds(network, pixels):
    def log_odds(folded: keras.Model) -> np.ndarray:
        logits = scores(keras.Model(folded.input, folded.get_layer("scores").output), pixels)
        return logits[:, 0] - logits[:, 1]

    expected = log_odds(fold(network, 2.0)) + 0.7
    assert log_odds(fold(network, 2.0, 0.7)) == pytest.approx(expected, rel=1e-4, abs=1e-4)


# The network that starts from ImageNet: its first part is not trained, and its rescaling stays


@pytest.fixture(scope="module")
def cat() -> keras.Model:
    keras.utils.set_random_seed(2)
    return build("cat", training=True)


@pytest.fixture(scope="module")
def folded_cat(cat) -> keras.Model:
    before = build("cat", training=True)
    before.set_weights(cat.get_weights())
    plain = fold(before)
    late = trainable_part(cat, "block11")
    late.set_weights([weight * 1.1 for weight in late.get_weights()])
    return fold(late, 2.0, plain=plain)


def test_trained_layers_replace_the_original_ones(cat, folded_cat):
    for name in ("block12_expand", "block14_depthwise", "head", "evidence"):
        for result, expected in zip(
            folded_cat.get_layer(name).get_weights(), cat.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_layers_that_were_not_trained_stay_as_they_were(cat, folded_cat):
    for name in ("stem", "block1_depthwise", "block11_project"):
        for result, expected in zip(
            folded_cat.get_layer(name).get_weights(), cat.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(result, expected)


def test_the_rescaling_that_the_network_keeps_is_not_folded_into_its_kernels(folded_cat):
    assert folded_cat.get_layer("normalize").scale == 1 / 128


def test_the_folded_cat_network_answers_as_the_trained_one_divided_by_the_temperature(cat, folded_cat):
    photo = np.random.default_rng(3).uniform(0, 255, (1, 304, 304, 3)).astype(np.float32)
    expected = softmax(np.asarray(cat(photo, training=False)[0], np.float64) / 2, axis=1)
    assert np.asarray(folded_cat(photo, training=False)) == pytest.approx(expected, abs=1e-5)
