"""The arithmetic behind the numbers of the shipped networks after random edits; and edits that only `cat` has kinds of layers for."""

from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from app.inference.explain.audit import Audit, audit
from app.inference.networks.contract import load
from app.inference.networks.edits import WITH_KERNEL, Edit
from app.inference.networks.engines.network import Network
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.tensor import to_tensor
from tests.model.shipped import MODEL, NETWORKS
from tests.model.test_every_number import BOUND, layers, units


@pytest.fixture(scope="module")
def networks() -> dict[str, OnnxNetwork]:
    return {name: OnnxNetwork(load(MODEL / name)) for name in NETWORKS}


def random_edits(network: Network, random: np.random.Generator) -> list[Edit]:
    """Up to 64 edits of as many layers, a mute and a new kernel in turn; kernels as large as those that they replace."""
    edits = []
    editable = [layer for layer in layers(network) if layer.kind != "probabilities"]
    for number, index in enumerate(random.permutation(len(editable))[:64]):
        stage = editable[index]
        channel = int(random.integers(stage.shape[-1]))
        if number % 2 and stage.kind in WITH_KERNEL:
            old = network.kernel(stage.name)[..., channel]
            edits.append(
                Edit(stage.name, channel, kernel=random.normal(0, old.std(), old.shape), bias=float(random.normal(0, 0.1)))
            )
        else:
            edits.append(Edit(stage.name, channel, mute=True))
    return edits


def audits(network: Network, tensor: np.ndarray, edits: list[Edit], random: np.random.Generator) -> Iterator[Audit]:
    """Two units of every layer at random, and one of every edited channel."""
    values = {"image": tensor[0], **network.run(tensor, [layer.name for layer in layers(network)]).stages}
    changed = {edit.stage: edit.channel for edit in edits}
    for layer in layers(network):
        positions = list(units(layer, 2, random))
        if layer.name in changed:
            row, column, _ = positions[0]
            positions.append((row, column, changed[layer.name]))
        for position in positions:
            yield audit(network, layer, values, position, contributions=12)


@pytest.fixture(scope="module")
def audited(networks, cat_image) -> dict[str, list[Audit]]:
    random, found = np.random.default_rng(2026), {}
    for name, network in networks.items():
        edits = random_edits(network, random)
        tensor = to_tensor(cat_image, *network.contract.input_shape[:2])
        found[name] = list(audits(network.edited(edits), tensor, edits, random))
    return found


@pytest.mark.parametrize("network", NETWORKS)
def test_every_number_of_an_edited_network_is_the_result_of_its_arithmetic(audited, network):
    wrong = [(a.stage.name, a.position, a.value, a.computed) for a in audited[network] if not a.relative_difference < BOUND]
    assert wrong == []


def test_muted_units_of_every_kind_are_among_them(audited):
    muted = [result for results in audited.values() for result in results if result.steps.get("muted")]
    kinds = {result.stage.kind for result in muted}
    assert kinds >= {"convolution", "depthwise_convolution", "add", "pooling", "relu", "flatten", "dense"}
    assert {(result.value, result.computed) for result in muted} == {(0.0, 0.0)}


def test_a_depthwise_kernel_and_a_muted_block_are_those_of_a_model_with_those_weights(networks, cat_image):
    """In `cat`, block3 is a sum; its channel is muted by taking it away from all that read it: block4_expand."""
    cat, kernel = networks["cat"], np.random.default_rng(3).normal(0, 0.3, (5, 5))
    tensor = to_tensor(cat_image, *cat.contract.input_shape[:2])
    edited = cat.edited([Edit("block5_depthwise", 17, kernel=kernel, bias=0.5), Edit("block3", 6, mute=True)])
    model = onnx.load(MODEL / "cat" / "model.onnx")
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight).copy()
        if weight.name == "block5_depthwise/kernel":
            values[17, 0] = kernel
        elif weight.name == "block5_depthwise/bias":
            values[17] = 0.5
        elif weight.name == "block4_expand/kernel":
            values[:, 6] = 0
        weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = session.run(["probabilities", "block5", "head"], {"image": tensor})
    computed = edited.run(tensor, ["block5", "head"]).stages
    assert np.abs(computed["probabilities"] - expected[0][0]).max() <= 1e-6
    for name, values in (("block5", expected[1]), ("head", expected[2])):
        assert np.abs(computed[name] - values[0].transpose(1, 2, 0)).max() <= 1e-4 * np.abs(values).max()


def test_a_muted_class_score_takes_the_evidence_with_it(networks, cat_image):
    """The heatmap of `cat` is in units of the scores: without pooled evidence, every position speaks alike."""
    from app.inference.heatmap import evidence, stages_needed

    cat = networks["cat"].edited([Edit("pooled", 0, mute=True)])
    tensor = to_tensor(cat_image, *cat.contract.input_shape[:2])
    stages = cat.run(tensor, stages_needed(cat.contract)).stages
    scores = stages["scores"].astype(float)
    assert evidence(cat, tensor, stages, "cat") == pytest.approx(scores[0] - scores[1], abs=1e-6)
