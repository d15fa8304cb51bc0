"""One step of gradient descent: its size, the weights after it, and what the network then answers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from app.errors import InvalidRequest
from app.inference.explain.step import TRIED, check, take_step
from app.inference.networks.contract import load
from app.inference.networks.engines.keras_engine import KerasNetwork
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.predict import read
from tests.model.shipped import MODEL


@pytest.fixture(scope="module", params=["tutorial", "dense"])
def network(request) -> OnnxNetwork:
    return OnnxNetwork(load(MODEL / request.param))


def stepped_by_keras(network: OnnxNetwork, tensor: np.ndarray, truth: int, size: float) -> tuple[float, float, float]:
    """The loss before, the fall that the gradient predicts, and the loss after a step of Keras' own."""
    model = keras.saving.load_model(network.contract.folder / "model.keras", compile=False)
    scores = keras.Model(model.input, model.get_layer("scores").output)

    def loss() -> tf.Tensor:
        return -tf.math.log_softmax(tf.cast(scores(tensor), tf.float64))[0, truth]

    with tf.GradientTape() as tape:
        before = loss()
    first = network.contract.stages[0 if network.contract.network == "tutorial" else 1].name
    predicted = 0.0
    variables = model.trainable_variables
    for variable, slope in zip(variables, tape.gradient(before, variables), strict=True):
        rate = size / 255**2 if variable.path.endswith(f"{first}/kernel") else size
        predicted += rate * float(np.square(np.asarray(slope, np.float64)).sum())
        variable.assign_sub(rate * slope)
    return float(before), predicted, float(loss())


@pytest.mark.parametrize("truth", ["cat", "not_cat"])
@pytest.mark.parametrize("size", [0.0003, 0.02])
def test_the_loss_after_a_step_is_that_after_keras_own(network, cat_photo, truth, size):
    stage = network.contract.stages[-2]
    taken = take_step(cat_photo, network, stage, 0, truth, size)
    _, tensor = read(cat_photo, network, 10**8)
    before, _, after = stepped_by_keras(network, tensor, network.contract.classes.index(truth), size)
    assert taken.before.loss == pytest.approx(before, rel=1e-4)
    assert taken.after.loss == pytest.approx(after, rel=1e-3, abs=1e-6)
    assert taken.before.loss != taken.after.loss


@pytest.mark.parametrize("truth", ["cat", "not_cat"])
def test_without_a_rate_it_goes_as_far_as_the_loss_falls_by_half_of_what_the_gradient_predicts(network, cat_photo, truth):
    taken = take_step(cat_photo, network, network.contract.stages[-2], 0, truth)
    assert taken.size in TRIED
    assert taken.after.loss < taken.before.loss
    assert taken.after.probabilities[truth] > taken.before.probabilities[truth]
    _, tensor = read(cat_photo, network, 10**8)
    right = network.contract.classes.index(truth)
    falls = {}
    for size in TRIED[: TRIED.index(taken.size) + 1]:
        before, predicted, after = stepped_by_keras(network, tensor, right, size)
        falls[size] = bool(before - after >= predicted / 2)
    assert falls == {size: size == taken.size for size in falls}


def test_every_filter_and_bias_of_the_network_moves_against_its_gradient(network, cat_photo):
    for stage in network.contract.stages:
        if not stage.parameters:
            continue
        for channel in (0, stage.shape[-1] - 1):
            taken = take_step(cat_photo, network, stage, channel, "not_cat", 0.01)
            assert np.array_equal(taken.kernel.before, network.kernel(stage.name)[..., channel])
            assert np.array_equal(taken.kernel.after, taken.kernel.before - taken.learning_rate * taken.kernel.gradient)
            assert taken.bias.before == network.bias(stage.name)[channel]
            assert taken.bias.after == taken.bias.before - taken.size * taken.bias.gradient


def test_only_weights_that_read_colours_move_by_a_255th_of_a_255th(network, cat_photo):
    weighted = [stage for stage in network.contract.stages if stage.parameters]
    rates = [take_step(cat_photo, network, stage, 0, "cat", 0.5).learning_rate for stage in weighted]
    assert rates == [0.5 / 255**2] + [0.5] * (len(weighted) - 1)


def test_the_network_itself_stays_as_it_is(network, cat_photo):
    _, tensor = read(cat_photo, network, 10**8)
    before = network.run(tensor).probabilities
    take_step(cat_photo, network, network.contract.stages[-2], 0, "not_cat", 1.0)
    assert np.array_equal(network.run(tensor).probabilities, before)


def test_a_step_into_numbers_beyond_float32_is_refused(cat_photo):
    tutorial = OnnxNetwork(load(MODEL / "tutorial"))
    scores = tutorial.contract.stage("scores")
    huge = tutorial.with_weights({"scores/kernel": tutorial.kernel("scores") * np.float32(1e30)})
    with pytest.raises(InvalidRequest, match="A step of 1000 makes numbers too large for float32; use a smaller"):
        take_step(cat_photo, huge, scores, 0, "not_cat", 1000)


@pytest.mark.parametrize(
    ("stage", "channel", "truth", "sentence"),
    [
        ("lion", 0, "cat", "Network tutorial has no stage 'lion'; its stages are block1_conv"),
        ("block1_conv", 16, "cat", "Stage block1_conv has no channel 16; its channels are 0 to 15"),
        (
            "block1_pool",
            0,
            "cat",
            "Stage block1_pool is of kind pooling, which has no weights; those that have are block1_conv",
        ),
        ("scores", 0, "dog", "Network tutorial has no class 'dog'; truth is one of cat, not_cat"),
    ],
)
def test_what_does_not_fit_is_refused(stage, channel, truth, sentence):
    with pytest.raises(InvalidRequest, match=sentence):
        check(load(MODEL / "tutorial"), stage, channel, truth)


def test_the_keras_engine_changes_no_weights(cat_photo):
    network = KerasNetwork(load(MODEL / "dense"))
    with pytest.raises(InvalidRequest, match="engine onnx only"):
        take_step(cat_photo, network, network.contract.stage("scores"), 0, "cat")
