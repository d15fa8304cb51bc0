"""A trained network's export: what it promises, and that it keeps it."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from app.inference import contract, weights
from app.inference.decode import decode
from app.inference.network import OnnxNetwork, import_onnxruntime
from app.inference.tensor import to_tensor
from tests.conftest import sha256
from tests.training.conftest import contents
from training import export as module
from training.config import CLASSES
from training.export import TOLERANCE, export


@pytest.fixture(scope="module")
def promised(exported) -> dict:
    return json.loads((exported / "contract.json").read_text())


@pytest.fixture(scope="module")
def model(exported) -> keras.Model:
    return keras.saving.load_model(exported / "model.keras", compile=False)


# The contract


def test_the_input_is_named_with_its_shape_and_range(promised):
    assert promised["input"] == {"name": "image", "shape": [100, 100, 3], "range": [0, 255], "resize": "stretch"}


def test_the_classes_are_in_the_order_of_the_probabilities(promised):
    assert promised["classes"] == ["cat", "not_cat"]


@pytest.mark.parametrize("name", ["model.keras", "model.onnx"])
def test_the_hashes_are_those_of_the_files(exported, promised, name):
    assert promised["files"][name] == sha256((exported / name).read_bytes())


def test_the_unsure_band_is_the_one_that_training_chose(exported, promised):
    band = json.loads((exported / "history.json").read_text())["calibration"]["band"]
    assert promised["unsure"] == {"low": band["low"], "high": band["high"]}


def test_the_version_is_the_recipes(exported, promised):
    assert promised["version"] == json.loads((exported / "history.json").read_text())["version"]


def test_the_network_is_named_for_its_folder(trained, photos, tmp_path):
    folder = Path(shutil.copytree(trained, tmp_path / "tutorial-of-may"))
    found = export(folder, photos, count=1)
    assert (found["network"], found["architecture"]) == ("tutorial-of-may", "tutorial")


def test_what_is_returned_is_what_was_written(trained, photos, tmp_path):
    folder = Path(shutil.copytree(trained, tmp_path / "tutorial"))
    returned = json.dumps(export(folder, photos, count=1))
    assert json.loads(returned) == json.loads((folder / "contract.json").read_text())


def test_the_stages_are_the_chapters_in_order(promised):
    blocks = [f"block{block}_{step}" for block in range(1, 6) for step in ("conv", "pool", "relu")]
    assert [stage["name"] for stage in promised["stages"]] == [
        *blocks, "flatten", "dense", "dense_relu", "scores", "probabilities"
    ]  # fmt: skip


def test_the_kinds_of_the_stages_are_the_chapters(promised):
    assert [stage["kind"] for stage in promised["stages"]] == [
        *["convolution", "pooling", "relu"] * 5, "flatten", "dense", "relu", "dense", "probabilities"
    ]  # fmt: skip


def test_each_stage_computes_from_the_one_before(promised):
    names = [stage["name"] for stage in promised["stages"]]
    assert [stage["inputs"] for stage in promised["stages"]] == [[name] for name in ["image", *names[:-1]]]


def test_the_shapes_of_the_stages_are_those_that_keras_computes(promised, model):
    for stage in promised["stages"]:
        assert stage["shape"] == list(model.get_layer(stage["name"]).output.shape[1:]), stage["name"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("block1_conv", {"shape": [100, 100, 16], "kernel": [3, 3], "stride": [1, 1], "padding": "same"}),
        ("block3_pool", {"shape": [12, 12, 64], "kernel": [2, 2], "stride": [2, 2], "padding": "valid"}),
    ],
)
def test_a_stage_is_described_with_its_kernel_stride_and_padding(promised, name, expected):
    stage = next(stage for stage in promised["stages"] if stage["name"] == name)
    assert {key: stage[key] for key in expected} == expected


def test_a_stage_without_a_kernel_says_nothing_of_one(promised):
    stage = next(stage for stage in promised["stages"] if stage["name"] == "dense")
    assert not {"kernel", "stride", "padding"} & set(stage)


def test_the_parameters_of_a_stage_are_worked_by_hand(promised):
    parameters = {stage["name"]: stage["parameters"] for stage in promised["stages"]}
    assert parameters["block1_conv"] == 3 * 3 * 3 * 16 + 16
    assert parameters["block2_conv"] == 3 * 3 * 16 * 32 + 32
    assert parameters["block2_pool"] == parameters["flatten"] == parameters["dense_relu"] == 0


def test_the_parameters_of_the_stages_add_up_to_the_networks(promised):
    assert sum(stage["parameters"] for stage in promised["stages"]) == promised["parameters"]


def test_the_service_reads_the_contract(exported, promised):
    assert [stage.name for stage in contract.load(exported).stages] == [stage["name"] for stage in promised["stages"]]


# The same numbers


def test_every_stage_is_an_output_of_the_export_and_nothing_else_is(exported, promised):
    session = import_onnxruntime().InferenceSession(exported / "model.onnx")
    assert [output.name for output in session.get_outputs()] == [stage["name"] for stage in promised["stages"]]


def test_every_stage_equals_keras_on_every_photo(exported, model, photos):
    """Worked out here without `training.export.compare`, through the service's own network."""
    network = OnnxNetwork(contract.load(exported))
    names = [stage.name for stage in network.contract.stages]
    tapped = keras.Model(model.input, [model.get_layer(name).output for name in names])
    for path in sorted(photos.rglob("*.jpg")):
        tensor = to_tensor(decode(path.read_bytes()).image, 100, 100)
        found = network.run(tensor, names).stages
        for name, truth in zip(names, tapped(tensor, training=False), strict=True):
            largest = max(1.0, float(np.abs(truth).max()))
            assert np.abs(found[name] - np.asarray(truth)[0]).max() < 1e-4 * largest, (path.name, name)


def test_the_contract_says_how_far_the_export_is_from_keras_and_on_how_many_photos(promised):
    assert promised["parity"]["photos"] == 8
    assert 0 <= promised["parity"]["largest_difference"] <= promised["parity"]["tolerance"] == TOLERANCE == 1e-4


def test_about_half_of_the_compared_photos_are_of_each_class(photos):
    as_seen = {
        to_tensor(decode(path.read_bytes()).image, 100, 100).tobytes(): label for path, label in module.photos(photos)
    }
    labels = [as_seen[tensor.tobytes()] for tensor in module._photos(photos, 8, (100, 100), CLASSES)]
    assert sorted(labels).count(0) in (4, 5)
    assert len(labels) == 8


def test_a_broken_photo_is_not_compared_on(own, photos, tmp_path, cat_photo):
    data = tmp_path / "data"
    for name in ("cat", "not_cat"):
        (data / name).mkdir(parents=True)
        (data / name / "half.png").write_bytes(cat_photo[:3000])
    (data / "cat" / "whole.png").write_bytes(cat_photo)
    assert export(own, data)["parity"]["photos"] == 1


def test_the_service_reads_the_weights_that_the_onnx_package_reads(exported):
    data = (exported / "model.onnx").read_bytes()
    expected = {w.name: numpy_helper.to_array(w) for w in onnx.load_from_string(data).graph.initializer}
    found = weights.read(data)
    assert set(found) == set(expected)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_the_exported_kernels_are_the_trained_ones(exported, model):
    network = OnnxNetwork(contract.load(exported))
    for name in ("block1_conv", "block5_conv", "dense", "scores"):
        kernel, bias = model.get_layer(name).get_weights()
        assert np.array_equal(network.kernel(name), kernel)
        assert np.array_equal(network.bias(name), bias)


def test_the_same_network_exports_to_the_same_bytes(own, photos):
    first = (own / "model.onnx").read_bytes()
    export(own, photos, count=1)
    assert (own / "model.onnx").read_bytes() == first


def test_exporting_leaves_nothing_else_behind(own, photos):
    before = set(contents(own))
    export(own, photos, count=1)
    assert set(contents(own)) == before


def test_a_batch_gets_the_answers_of_its_photos(exported):
    session = import_onnxruntime().InferenceSession(exported / "model.onnx")
    batch = np.random.default_rng(0).uniform(0, 255, (3, 100, 100, 3)).astype(np.float32)
    (whole,) = session.run(["probabilities"], {"image": batch})
    single = [session.run(["probabilities"], {"image": batch[i : i + 1]})[0][0] for i in range(3)]
    assert whole == pytest.approx(np.stack(single), abs=1e-6)
