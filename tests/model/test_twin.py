"""The twin in integers that comes with `cat` answers as its contract says."""

import json
import tarfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from app.inference.decode import decode
from app.inference.explain.integer_audit import integer_audit
from app.inference.networks.contract import INT8_FILE, load
from app.inference.networks.engines import integers
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.networks.runtime import session
from app.inference.predict import PredictOptions, predict
from app.inference.tensor import to_pixels
from app.teach import agreement
from app.teach.agreement import Agreement
from tests.conftest import CHELSEA
from tests.model.shipped import MODEL, PHOTOS
from tests.model.test_shipped_networks import SHARED

VALIDATION = ("val-pets", "val-breeds", "val-objects", "val-wild", "val-animals", "val-scenes")


@pytest.fixture(scope="module")
def network() -> OnnxNetwork:
    made = OnnxNetwork(load(MODEL / "cat"), "auto")
    made.integers.preferred = True  # whatever this CPU can
    return made


@pytest.fixture(scope="module")
def described() -> dict:
    return json.loads((MODEL / "cat" / "contract.json").read_text())["int8"]


def test_it_was_compared_on_every_validation_set_and_is_near_enough(described):
    sets = {name: Agreement(**one) for name, one in described["sets"].items()}
    assert set(sets) == set(VALIDATION)
    assert sum(one.photos for one in sets.values()) == 3937
    assert not agreement.objection(sets)
    assert described["times_as_fast"] >= integers.WORTH


def test_its_file_is_the_one_that_the_contract_names_and_a_third_of_the_network_s(network):
    twin, whole = network.contract.verified(INT8_FILE), network.contract.verified("model.onnx")
    assert twin.stat().st_size < whole.stat().st_size / 3


@pytest.mark.promise("P61")
@pytest.mark.parametrize("name", PHOTOS)
def test_both_give_the_same_verdict_on_real_photos(network, name):
    path = CHELSEA.parent / name
    if not path.exists():
        pytest.skip(f"this scikit-image does not ship {name}")
    data = path.read_bytes()
    own, twin = (predict(data, network, PredictOptions("none", precision=one)) for one in ("float32", "int8"))
    left = predict(data, network, PredictOptions("none"))
    assert left.verdict == own.verdict
    assert {own.verdict, twin.verdict} != {"cat", "not_cat"}
    odds = [agreement.log_odds(np.array([one.probabilities["cat"]]))[0] for one in (own, twin)]
    assert abs(odds[0] - odds[1]) < 2 * network.contract.int8.margin


def test_nothing_is_rounded_before_its_first_convolution(network):
    """Otherwise two photos that differ by one level of one colour might be the same to it."""
    image = Image.new("RGB", network.contract.input_shape[1::-1], (100, 100, 100))
    before = network.integers.run(np.asarray(image)[None]).probabilities
    image.putpixel((191, 191), (101, 100, 100))
    assert not np.array_equal(network.integers.run(np.asarray(image)[None]).probabilities, before)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the validation photos are not on this machine")
def test_the_claimed_agreement_is_measured_again(network, described):
    """On the hardest set, photo by photo."""
    height, width, _ = network.contract.input_shape
    rows, labels = [], []
    with tarfile.open(SHARED / "val-wild-00.tar") as shard:
        for member in shard:
            if member.isfile():
                image = decode(shard.extractfile(member).read(), side=height).image
                pixels = to_pixels(image, height, width)[None]
                own = network.run(pixels.astype(np.float32)).probabilities
                rows.append((own, network.integers.run(pixels).probabilities))
                labels.append(0 if Path(member.name).parent.name == "cat" else 1)
    answers = (np.stack(one) for one in zip(*rows, strict=True))
    measured = agreement.between(network.contract, *answers, np.array(labels))
    claimed = Agreement(**described["sets"]["val-wild"])
    assert measured.photos == claimed.photos
    assert measured.right >= measured.right_float
    assert abs(measured.right_alone - claimed.right_alone) <= 2  # another CPU rounds in another way
    assert measured.opposite_alone == 0


def test_the_audit_of_its_integers_agrees_to_the_last_bit(network):
    """Random units of every layer in integers, those at the picture's corners too."""
    contract, random = network.contract, np.random.default_rng(0)
    image = Image.open(CHELSEA).convert("RGB").resize(contract.input_shape[1::-1])
    pixels = np.asarray(image)[None]
    audited = 0
    for stage in (*contract.stages, *contract.inner):
        if stage.kind not in ("convolution", "depthwise_convolution"):
            continue
        height, width, channels = stage.shape
        places = [(0, 0), (height - 1, width - 1), *((random.integers(height), random.integers(width)) for _ in range(3))]
        for row, column in places:
            position = (int(row), int(column), int(random.integers(channels)))
            found = integer_audit(network.integers, contract, stage, pixels, position)
            if found is None:
                assert stage.name in ("stem", "block1_depthwise", "block1", "likeness", "doubt", "rivals_scores")
                continue
            assert found.byte == found.computed, (stage.name, position)
            audited += 1
    assert audited > 40 * len(places)


def test_its_integers_are_the_results_of_their_arithmetic(network):
    """Random units of all layers, worked out in whole numbers from the bytes that they read: to the last bit. Unlike the
    audit, this reads the file with the onnx package.
    """
    model = onnx.load(network.contract.verified(INT8_FILE))
    nodes = {node.output[0]: node for node in model.graph.node}
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    sums = {node.input[0]: node for node in model.graph.node if node.op_type == "QuantizeLinear"}
    layers = [
        (node, sums[node.output[0]])
        for node in model.graph.node
        if node.op_type == "Conv" and node.output[0] in sums and nodes[node.input[0]].op_type == "DequantizeLinear"
    ]
    assert len(layers) > 40
    read = [nodes[node.input[0]].input[0] for node, _ in layers]
    written = [quantize.output[0] for _, quantize in layers]
    names = sorted({*read, *written})
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.UINT8, None) for name in names)
    image = Image.open(CHELSEA).convert("RGB").resize(network.contract.input_shape[1::-1])
    values = dict(zip(names, session(model.SerializeToString()).run(names, {"image": np.asarray(image)[None]}), strict=True))
    random = np.random.default_rng(0)
    for (node, quantize), source, target in zip(layers, read, written, strict=True):
        before, kernel, bias = (nodes[name] for name in node.input)
        scale, zero = (arrays[name] for name in before.input[1:])
        weights, of_filters = arrays[kernel.input[0]].astype(np.int64), arrays[kernel.input[1]]
        step, origin = (arrays[name] for name in quantize.input[1:])
        attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        stride, (height, width) = attributes["strides"][0], weights.shape[2:]
        inputs, outputs = values[source][0].astype(np.int64) - int(zero), values[target][0]
        sides = zip(outputs.shape[1:], (height, width), inputs.shape[1:], strict=True)
        shortage = [max(0, (out - 1) * stride + size - there) for out, size, there in sides]
        padded = np.pad(inputs, [(0, 0), *[(lack // 2, lack - lack // 2) for lack in shortage]])
        for _ in range(40):
            channel, row, column = (int(random.integers(size)) for size in outputs.shape)
            window = padded[:, row * stride : row * stride + height, column * stride : column * stride + width]
            if attributes["group"] > 1:
                window = window[channel : channel + 1]
            accumulator = int((window * weights[channel]).sum() + arrays[bias.input[0]][channel])
            factor = np.float32(scale * of_filters[channel]) / step
            level = np.rint(np.float32(accumulator) * factor) + np.float32(origin)
            assert outputs[channel, row, column] == np.clip(level, 0, 255), (node.output[0], channel, row, column)
