"""The arithmetic behind the shipped networks' numbers: samples from every stage are recomputed and compared."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from app.inference.explain.audit import Audit, audit
from app.inference.explain.receptive_field import size_of
from app.inference.networks.contract import Stage, load
from app.inference.networks.engines.keras_engine import KerasNetwork
from app.inference.networks.engines.network import Network
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.tensor import to_tensor
from tests.model.shipped import MODEL, NETWORKS, PHOTOS

KINDS = {
    "rescaling",
    "activation",
    "convolution",
    "depthwise_convolution",
    "pooling",
    "relu",
    "add",
    "flatten",
    "dense",
    "probabilities",
}
BOUND = 1e-4


def photos() -> Iterator[Image.Image]:
    """The photos that the installed scikit-image ships."""
    for name in PHOTOS:
        path = Path(skimage.data.__file__).parent / name
        if path.exists():
            yield Image.open(path).convert("RGB")


def layers(network: Network) -> tuple[Stage, ...]:
    return (*network.contract.stages, *network.contract.inner)


def units(stage: Stage, count: int, random: np.random.Generator) -> Iterable[tuple[int, int, int]]:
    """At most `count` positions in a stage; every second one has a row or a column at an edge, where padding is."""
    shape = stage.shape if len(stage.shape) == 3 else (1, 1, *stage.shape)
    positions = set()
    for number in range(count):
        position = [int(random.integers(size)) for size in shape]
        if number % 2:
            axis = int(random.integers(2))
            position[axis] = int(random.choice([0, shape[axis] - 1]))
        positions.add((position[0], position[1], position[2]))
    return sorted(positions)


def audits(network: Network, image: Image.Image, count: int, random: np.random.Generator) -> Iterator[Audit]:
    """Audits of up to `count` units of every layer of a network, from one pass over a photo."""
    tensor = to_tensor(image, *network.contract.input_shape[:2])
    values = {"image": tensor[0], **network.run(tensor, [layer.name for layer in layers(network)]).stages}
    for layer in layers(network):
        for position in units(layer, count, random):
            yield audit(network, layer, values, position, contributions=12)


@pytest.fixture(scope="module")
def every_network() -> dict[str, list[Audit]]:
    """Up to four units of every layer for every photo, by network."""
    random = np.random.default_rng(2024)
    audits_by_network = {}
    for name in NETWORKS:
        network = OnnxNetwork(load(MODEL / name))
        audits_by_network[name] = [result for image in photos() for result in audits(network, image, 4, random)]
    return audits_by_network


@pytest.mark.promise("P57")
@pytest.mark.parametrize("network", NETWORKS)
def test_every_number_is_the_result_of_its_arithmetic(every_network, network):
    wrong = [
        (result.stage.name, result.position, result.value, result.computed)
        for result in every_network[network]
        if not result.relative_difference < BOUND
    ]
    assert wrong == []


def test_at_least_a_thousand_numbers_were_recomputed(every_network):
    assert sum(len(results) for results in every_network.values()) >= 1000


def test_numbers_of_every_kind_of_stage_were_recomputed(every_network):
    assert {result.stage.kind for results in every_network.values() for result in results} == KINDS


@pytest.mark.promise("P57")
@pytest.mark.parametrize("network", NETWORKS)
def test_numbers_of_every_stage_and_inner_layer_were_recomputed(every_network, network):
    contract = load(MODEL / network)
    assert {result.stage.name for result in every_network[network]} == {s.name for s in (*contract.stages, *contract.inner)}


def test_numbers_that_an_activation_cut_off_are_among_them(every_network):
    """At both ends of ReLU6: what is below 0 and what is above 6."""
    sums = [result.steps["sum"] for result in every_network["cat"] if result.stage.activation == "relu6"]
    assert min(sums) < 0
    assert max(sums) > 6


@pytest.mark.parametrize(
    ("network", "kind"), [("tutorial", "convolution"), ("cat", "convolution"), ("cat", "depthwise_convolution")]
)
def test_numbers_beside_padding_are_among_them(every_network, network, kind):
    contract = load(MODEL / network)
    beyond = []
    for result in every_network[network]:
        height, width = size_of(contract, result.stage.inputs[0])
        beyond.append(result.stage.kind == kind and result.window.clipped(height, width) != result.window)
    assert any(beyond)


@pytest.fixture(scope="module", params=["tutorial", "cat"])
def keras_network(request) -> KerasNetwork:
    return KerasNetwork(load(MODEL / request.param))


def test_every_number_of_keras_is_the_result_of_its_arithmetic(keras_network, cat_image):
    kinds = set()
    for result in audits(keras_network, cat_image, 2, np.random.default_rng(7)):
        assert result.relative_difference < BOUND, (result.stage.name, result.position)
        kinds.add(result.stage.kind)
    assert kinds == {layer.kind for layer in layers(keras_network)}


def test_both_engines_hold_the_same_weights(keras_network):
    exported = OnnxNetwork(keras_network.contract)
    for layer in layers(keras_network):
        if layer.kind in ("convolution", "depthwise_convolution", "dense"):
            assert np.array_equal(exported.kernel(layer.name), keras_network.kernel(layer.name)), layer.name
            assert np.array_equal(exported.bias(layer.name), keras_network.bias(layer.name)), layer.name


def test_a_depthwise_kernel_has_one_input_and_a_filter_for_each_channel(keras_network):
    for layer in layers(keras_network):
        if layer.kind == "depthwise_convolution":
            assert keras_network.kernel(layer.name).shape == (*layer.kernel, 1, layer.shape[2])
