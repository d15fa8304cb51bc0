"""The arithmetic behind the shipped networks' numbers: drawn from every stage, each is worked out again and compared."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from app.inference.audit import Audit, audit
from app.inference.contract import Stage, load
from app.inference.geometry import size_of
from app.inference.network import KerasNetwork, Network, OnnxNetwork
from app.inference.tensor import to_tensor
from tests.model.test_shipped_networks import MODEL, NETWORKS, PHOTOS

KINDS = {
    "rescaling",
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
    """Those of scikit-image's photos that this one ships."""
    for name in PHOTOS:
        path = Path(skimage.data.data_dir) / name
        if path.exists():
            yield Image.open(path).convert("RGB")


def layers(network: Network) -> tuple[Stage, ...]:
    return (*network.contract.stages, *network.contract.inner)


def units(stage: Stage, count: int, random: np.random.Generator) -> Iterable[tuple[int, int, int]]:
    """At most `count` places in a stage; of every second one, a row or a column lies at an edge, where padding is."""
    shape = stage.shape if len(stage.shape) == 3 else (1, 1, *stage.shape)
    found = set()
    for number in range(count):
        place = [int(random.integers(size)) for size in shape]
        if number % 2:
            axis = int(random.integers(2))
            place[axis] = int(random.choice([0, shape[axis] - 1]))
        found.add((place[0], place[1], place[2]))
    return sorted(found)


def audits(network: Network, image: Image.Image, count: int, random: np.random.Generator) -> Iterator[Audit]:
    """Of every layer of a network, up to `count` units of one pass over a photo."""
    tensor = to_tensor(image, *network.contract.input_shape[:2])
    values = {"image": tensor[0], **network.run(tensor, [layer.name for layer in layers(network)]).stages}
    for layer in layers(network):
        for place in units(layer, count, random):
            yield audit(network, layer, values, place, contributions=12)


@pytest.fixture(scope="module")
def every_network() -> dict[str, list[Audit]]:
    """Up to four units of every layer for every photo, by network."""
    random = np.random.default_rng(2024)
    found = {}
    for name in NETWORKS:
        network = OnnxNetwork(load(MODEL / name))
        found[name] = [told for image in photos() for told in audits(network, image, 4, random)]
    return found


@pytest.mark.parametrize("network", NETWORKS)
def test_every_number_is_what_its_arithmetic_comes_to(every_network, network):
    wrong = [
        (told.stage.name, told.place, told.value, told.computed)
        for told in every_network[network]
        if not told.relative_difference < BOUND
    ]
    assert wrong == []


def test_at_least_a_thousand_numbers_were_worked_out_again(every_network):
    assert sum(len(found) for found in every_network.values()) >= 1000


def test_numbers_of_every_kind_of_stage_were_worked_out_again(every_network):
    assert {told.stage.kind for found in every_network.values() for told in found} == KINDS


@pytest.mark.parametrize("network", NETWORKS)
def test_numbers_of_every_stage_and_inner_layer_were_worked_out_again(every_network, network):
    contract = load(MODEL / network)
    assert {told.stage.name for told in every_network[network]} == {s.name for s in (*contract.stages, *contract.inner)}


def test_numbers_that_an_activation_cut_off_are_among_them(every_network):
    """At both ends of ReLU6: what is below 0 and what is above 6."""
    sums = [told.steps["sum"] for told in every_network["cat"] if told.stage.activation == "relu6"]
    assert min(sums) < 0
    assert max(sums) > 6


@pytest.mark.parametrize(
    ("network", "kind"), [("tutorial", "convolution"), ("cat", "convolution"), ("cat", "depthwise_convolution")]
)
def test_numbers_beside_padding_are_among_them(every_network, network, kind):
    contract = load(MODEL / network)
    beyond = []
    for told in every_network[network]:
        height, width = size_of(contract, told.stage.inputs[0])
        beyond.append(told.stage.kind == kind and told.window.clipped(height, width) != told.window)
    assert any(beyond)


@pytest.fixture(scope="module", params=["tutorial", "cat"])
def keras_network(request) -> KerasNetwork:
    return KerasNetwork(load(MODEL / request.param))


def test_every_number_of_keras_is_what_its_arithmetic_comes_to(keras_network, cat_image):
    kinds = set()
    for told in audits(keras_network, cat_image, 2, np.random.default_rng(7)):
        assert told.relative_difference < BOUND, (told.stage.name, told.place)
        kinds.add(told.stage.kind)
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
