"""Gradients, held to Keras' own, to finite differences and to what can be worked out by hand."""

from pathlib import Path

import keras
import numpy as np
import pytest
import skimage.data
import tensorflow as tf
from keras import layers
from PIL import Image

from app.errors import InvalidRequest
from app.inference.explain.backpropagation import check, cross_entropy, gradients, needed, softmax
from app.inference.explain.receptive_field import window
from app.inference.networks.contract import Contract, Stage, load
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.tensor import to_tensor
from tests.app.inference.explain.on_paper import Tiny, contract
from tests.model.shipped import MODEL

PROBABILITIES = Stage("probabilities", "probabilities", (2,), ("scores",), 0)


def keras_gradients(model: keras.Model, photo: np.ndarray, truth: int) -> dict[str, np.ndarray]:
    """Of the cross-entropy by every weight, by name. In float32, 1 - p would have few digits left where p is almost 1."""
    scores = keras.Model(model.input, model.get_layer("scores").output)
    with tf.GradientTape() as tape:
        loss = -tf.math.log_softmax(tf.cast(scores(photo), tf.float64))[0, truth]
    variables = model.trainable_variables
    found = tape.gradient(loss, variables)
    names = ["/".join(variable.path.split("/")[-2:]) for variable in variables]
    return {name: np.asarray(gradient) for name, gradient in zip(names, found, strict=True)}


def filters(gradient: np.ndarray) -> np.ndarray:
    """A kernel or bias, one row a filter."""
    return gradient.reshape(-1, gradient.shape[-1]).T


# Keras' own


@pytest.fixture(scope="module", params=["tutorial", "dense"])
def shipped(request) -> tuple[OnnxNetwork, keras.Model]:
    folder = MODEL / request.param
    return OnnxNetwork(load(folder)), keras.saving.load_model(folder / "model.keras", compile=False)


@pytest.mark.parametrize("truth", [0, 1])
@pytest.mark.parametrize("photo", ["chelsea.png", "coffee.png", "astronaut.png"])
def test_every_filters_gradient_is_that_of_keras(shipped, photo, truth):
    network, model = shipped
    image = Image.open(Path(skimage.data.__file__).parent / photo).convert("RGB")
    tensor = to_tensor(image, *network.contract.input_shape[:2])
    values = {"image": tensor[0], **network.run(tensor, needed(network.contract)).stages}
    ours, theirs = gradients(network, values, truth), keras_gradients(model, tensor, truth)
    assert ours.keys() == theirs.keys()
    assert sum(gradient.size for gradient in ours.values()) == network.contract.parameters
    for array, gradient in theirs.items():
        assert ours[array].dtype == np.float64
        largest = np.abs(gradient).max()
        assert largest > 0, array
        for channel, (our, their) in enumerate(zip(filters(ours[array]), filters(gradient), strict=True)):
            np.testing.assert_allclose(our, their, rtol=0, atol=1e-4 * largest, err_msg=f"{array} {channel}")


def test_among_equal_cells_of_overlapping_windows_the_one_that_tensorflow_takes_gets_the_gradient():
    """A filter that adds two small whole numbers makes the same sum in many ways; its gradient says which cell was taken."""
    x = image = keras.Input((9, 8, 2), name="image")
    x = layers.Conv2D(1, 1, kernel_initializer="ones", name="conv")(x)
    x = layers.MaxPooling2D(3, strides=2, padding="same", name="pool")(x)
    x = layers.Flatten(name="flat")(x)
    x = layers.Dense(2, kernel_initializer=keras.initializers.RandomNormal(seed=3), name="scores")(x)
    model = keras.Model(image, layers.Softmax(name="probabilities")(x))
    stages = (
        Stage("conv", "convolution", (9, 8, 1), ("image",), 3, (1, 1), (1, 1), "same"),
        Stage("pool", "pooling", (5, 4, 1), ("conv",), 0, (3, 3), (2, 2), "same", operation="max"),
        Stage("flat", "flatten", (20,), ("pool",), 0),
        Stage("scores", "dense", (2,), ("flat",), 42),
        PROBABILITIES,
    )
    network = Tiny(
        contract(9, 8, 2, *stages),
        {name: model.get_layer(name).get_weights()[0] for name in ("conv", "scores")},
    )
    photo = np.random.default_rng(5).integers(0, 4, (1, 9, 8, 2)).astype(np.float32)
    names = [stage.name for stage in stages]
    outputs = keras.Model(image, [model.get_layer(name).output for name in names])(photo)
    values = {"image": photo[0], **{name: np.asarray(output)[0] for name, output in zip(names, outputs, strict=True)}}
    assert len(np.unique(values["conv"])) < 8, "many cells are equal"
    ours, theirs = gradients(network, values, 0), keras_gradients(model, photo, 0)
    for name, gradient in theirs.items():
        np.testing.assert_allclose(ours[name], gradient, atol=1e-6, err_msg=name)


# Finite differences

STAGES = (
    Stage("halved", "convolution", (4, 3, 3), ("image",), 57, (3, 3), (2, 2), "same", activation="relu"),
    Stage("conv", "convolution", (3, 2, 4), ("halved",), 48, (2, 2), (1, 1), "valid"),
    Stage("pool", "pooling", (3, 2, 4), ("conv",), 0, (2, 2), (1, 1), "same", operation="max"),
    Stage("relu", "relu", (3, 2, 4), ("pool",), 0),
    Stage("third", "convolution", (1, 1, 5), ("relu",), 45, (3, 2), (3, 2), "valid"),
    Stage("all", "pooling", (5,), ("third",), 0, operation="max"),
    Stage("dense", "dense", (6,), ("all",), 36),
    Stage("dense_relu", "relu", (6,), ("dense",), 0),
    Stage("scores", "dense", (2,), ("dense_relu",), 12),
    PROBABILITIES,
)
"""Strides, both paddings, a pooling of the whole picture, and stages without biases: `conv` and `scores`."""


def forward(network: Tiny, image: np.ndarray) -> dict[str, np.ndarray]:
    """Every stage's values in float64, a unit at a time."""
    values = {"image": image}
    for stage in network.contract.stages:
        before = values[stage.inputs[0]]
        weights = network.kernels.get(stage.name)
        bias = network.biases.get(stage.name, np.zeros(stage.shape[-1]))
        if stage.kind == "dense":
            after = before @ weights + bias
        elif stage.kind == "relu":
            after = np.maximum(before, 0)
        elif stage.kind == "probabilities":
            after = softmax(before)
        else:
            after = np.empty(stage.shape if len(stage.shape) == 3 else (1, 1, *stage.shape))
            for row, column in np.ndindex(after.shape[:2]):
                box = window(network.contract, stage).box(row, column)
                inside = box.clipped(*before.shape[:2])
                patch = before[inside.top : inside.bottom, inside.left : inside.right]
                if stage.kind == "pooling":
                    after[row, column] = patch.max(axis=(0, 1))
                else:
                    met = weights[inside.top - box.top :, inside.left - box.left :][: patch.shape[0], : patch.shape[1]]
                    after[row, column] = np.einsum("hwi,hwif->f", patch, met) + bias
            after = after.reshape(stage.shape)
            after = np.maximum(after, 0) if stage.activation else after
        values[stage.name] = after
    return values


@pytest.fixture
def random_network() -> tuple[Tiny, np.ndarray]:
    random = np.random.default_rng(12)
    known = contract(7, 6, 2, *STAGES)
    weighted = [stage for stage in STAGES if stage.parameters]
    kernels = {stage.name: random.normal(0, 0.5, (*known.filter_shape(stage), stage.shape[-1])) for stage in weighted}
    with_bias = [stage for stage in weighted if stage.parameters > kernels[stage.name].size]
    biases = {stage.name: random.normal(size=stage.shape[-1]) for stage in with_bias}
    return Tiny(known, kernels, biases), random.normal(size=(7, 6, 2))


@pytest.mark.parametrize("truth", [0, 1])
def test_every_gradient_is_how_the_loss_changes_when_that_weight_does(random_network, truth):
    network, image = random_network
    found = gradients(network, forward(network, image), truth)
    arrays = {f"{name}/kernel": weights for name, weights in network.kernels.items()}
    arrays |= {f"{name}/bias": weights for name, weights in network.biases.items()}
    assert found.keys() == arrays.keys()
    for name, weights in arrays.items():
        for place in np.ndindex(weights.shape):
            losses, middle = [], weights[place]
            for moved in (middle - 1e-6, middle + 1e-6):
                weights[place] = moved
                losses.append(cross_entropy(forward(network, image)["scores"], truth))
            weights[place] = middle
            assert found[name][place] == pytest.approx((losses[1] - losses[0]) / 2e-6, rel=1e-5, abs=1e-8), (name, place)
        assert np.abs(found[name]).max() > 1e-3, name


# By hand


def test_the_gradient_of_a_score_is_its_probability_less_1_for_the_right_class():
    """Two equal scores are 0.5 each; the inputs are 2 and -3."""
    stages = (Stage("flat", "flatten", (2,), ("image",), 0), Stage("scores", "dense", (2,), ("flat",), 6), PROBABILITIES)
    network = Tiny(contract(1, 1, 2, *stages), {"scores": np.ones((2, 2))}, {"scores": np.zeros(2)})
    values = {"image": np.array([[[2.0, -3.0]]]), "flat": np.array([2.0, -3.0]), "scores": np.array([-1.0, -1.0])}
    found = gradients(network, values, 1)
    assert found["scores/bias"].tolist() == [0.5, -0.5]
    assert found["scores/kernel"].tolist() == [[1.0, -1.0], [-1.5, 1.5]]


def test_the_first_of_equal_cells_gets_the_whole_gradient():
    """1 + 3, 3 + 1 and 2 + 2 are equal; the weights of the sum are moved by the first cell alone."""
    stages = (
        Stage("conv", "convolution", (1, 3, 1), ("image",), 2, (1, 1), (1, 1), "same"),
        Stage("pool", "pooling", (1, 1, 1), ("conv",), 0, (1, 3), (1, 3), "valid", operation="max"),
        Stage("flat", "flatten", (1,), ("pool",), 0),
        Stage("scores", "dense", (2,), ("flat",), 2),
        PROBABILITIES,
    )
    network = Tiny(contract(1, 3, 2, *stages), {"conv": np.ones((1, 1, 2, 1)), "scores": np.array([[1.0, -1.0]])})
    four = np.array([4.0])
    values = {"image": np.array([[[1.0, 3.0], [3.0, 1.0], [2.0, 2.0]]]), "conv": np.full((1, 3, 1), 4.0)}
    values |= {"pool": four.reshape(1, 1, 1), "flat": four, "scores": np.array([0.0, 0.0])}
    assert gradients(network, values, 0)["conv/kernel"].ravel().tolist() == [-1.0, -3.0]


def test_a_loss_too_large_for_the_probability_to_be_told_from_0_is_finite():
    assert cross_entropy(np.array([0, 1000], np.float32), 0) == 1000
    assert cross_entropy(np.array([0, 1000], np.float32), 1) == 0


# Refused


def test_a_network_with_another_kind_of_stage_is_refused_by_name():
    with pytest.raises(InvalidRequest, match=r"Stage \w+ of network cat is of kind rescaling; backpropagation is shown for"):
        check(load(MODEL / "cat"))


@pytest.mark.parametrize(
    ("stage", "kind"),
    [
        (Stage("one", "pooling", (2,), ("image",), 0, operation="average"), r"pooling \(average\)"),
        (Stage("one", "convolution", (1, 1, 2), ("image",), 4, (1, 1), (1, 1), "same", "relu6"), r"convolution \(relu6\)"),
        (Stage("one", "depthwise_convolution", (1, 1, 2), ("image",), 4, (1, 1), (1, 1), "same"), "depthwise_convolution"),
    ],
)
def test_what_is_not_differentiated_is_refused_with_what_is(stage, kind):
    flat = Stage("flat", "flatten", (2,), ("one",), 0)
    known: Contract = contract(1, 1, 2, stage, flat, Stage("scores", "dense", (2,), ("flat",), 4), PROBABILITIES)
    with pytest.raises(InvalidRequest, match=rf"Stage one of network tiny is of kind {kind}; .* max pooling"):
        check(known)


@pytest.mark.parametrize("name", ["tutorial", "dense"])
def test_the_chapters_networks_are_differentiated_whole(name):
    known = load(MODEL / name)
    check(known)
    assert set(needed(known)) == {stage.name for stage in known.stages}
