"""A trained network's export: what its contract states, and that it is true."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from app.inference.decode import decode
from app.inference.networks import contract
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.networks.onnx import onnx_file
from app.inference.networks.runtime import import_onnxruntime
from app.inference.tensor import to_tensor
from tests.conftest import sha256
from tests.training.conftest import contents
from training.config import CLASSES
from training.data import dataset
from training.data.samples import samples
from training.importing.brought import TOLERANCE
from training.tasks.export import export


@pytest.fixture(scope="module")
def exported_contract(exported) -> dict:
    return json.loads((exported / "contract.json").read_text())


@pytest.fixture(scope="module")
def model(exported) -> keras.Model:
    return keras.saving.load_model(exported / "model.keras", compile=False)


# The contract


def test_the_input_is_named_with_its_shape_and_range(exported_contract):
    assert exported_contract["input"] == {"name": "image", "shape": [100, 100, 3], "range": [0, 255], "resize": "stretch"}


def test_the_classes_are_in_the_order_of_the_probabilities(exported_contract):
    assert exported_contract["classes"] == ["cat", "not_cat"]


@pytest.mark.parametrize("name", ["model.keras", "model.onnx"])
def test_the_hashes_are_those_of_the_files(exported, exported_contract, name):
    assert exported_contract["files"][name] == sha256((exported / name).read_bytes())


def test_the_unsure_band_is_the_one_that_training_chose(exported, exported_contract):
    band = json.loads((exported / "history.json").read_text())["calibration"]["band"]
    assert exported_contract["unsure"] == {"low": band["low"], "high": band["high"]}


def test_the_version_is_the_recipes(exported, exported_contract):
    assert exported_contract["version"] == json.loads((exported / "history.json").read_text())["version"]


def test_the_network_is_named_for_its_folder(trained, photos, tmp_path):
    folder = Path(shutil.copytree(trained, tmp_path / "tutorial-of-may"))
    result = export(folder, photos, count=1)
    assert (result["network"], result["architecture"]) == ("tutorial-of-may", "tutorial")


def test_what_is_returned_is_what_was_written(trained, photos, tmp_path):
    folder = Path(shutil.copytree(trained, tmp_path / "tutorial"))
    returned = json.dumps(export(folder, photos, count=1))
    assert json.loads(returned) == json.loads((folder / "contract.json").read_text())


def test_the_stages_are_the_chapters_in_order(exported_contract):
    blocks = [f"block{block}_{step}" for block in range(1, 6) for step in ("conv", "pool", "relu")]
    assert [stage["name"] for stage in exported_contract["stages"]] == [
        *blocks, "flatten", "dense", "dense_relu", "scores", "probabilities"
    ]  # fmt: skip


def test_the_kinds_of_the_stages_are_the_chapters(exported_contract):
    assert [stage["kind"] for stage in exported_contract["stages"]] == [
        *["convolution", "pooling", "relu"] * 5, "flatten", "dense", "relu", "dense", "probabilities"
    ]  # fmt: skip


def test_each_stage_computes_from_the_one_before(exported_contract):
    names = [stage["name"] for stage in exported_contract["stages"]]
    assert [stage["inputs"] for stage in exported_contract["stages"]] == [[name] for name in ["image", *names[:-1]]]


def test_the_shapes_of_the_stages_are_those_that_keras_computes(exported_contract, model):
    for stage in exported_contract["stages"]:
        assert stage["shape"] == list(model.get_layer(stage["name"]).output.shape[1:]), stage["name"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("block1_conv", {"shape": [100, 100, 16], "kernel": [3, 3], "stride": [1, 1], "padding": "same"}),
        ("block3_pool", {"shape": [12, 12, 64], "kernel": [2, 2], "stride": [2, 2], "padding": "valid"}),
    ],
)
def test_a_stage_is_described_with_its_kernel_stride_and_padding(exported_contract, name, expected):
    stage = next(stage for stage in exported_contract["stages"] if stage["name"] == name)
    assert {key: stage[key] for key in expected} == expected


def test_a_stage_without_a_kernel_is_described_without_one(exported_contract):
    stage = next(stage for stage in exported_contract["stages"] if stage["name"] == "dense")
    assert not {"kernel", "stride", "padding"} & set(stage)


def test_the_parameters_of_a_stage_are_worked_by_hand(exported_contract):
    parameters = {stage["name"]: stage["parameters"] for stage in exported_contract["stages"]}
    assert parameters["block1_conv"] == 3 * 3 * 3 * 16 + 16
    assert parameters["block2_conv"] == 3 * 3 * 16 * 32 + 32
    assert parameters["block2_pool"] == parameters["flatten"] == parameters["dense_relu"] == 0


def test_the_parameters_of_the_stages_add_up_to_the_networks(exported_contract):
    assert sum(stage["parameters"] for stage in exported_contract["stages"]) == exported_contract["parameters"]


def test_the_service_reads_the_contract(exported, exported_contract):
    assert [stage.name for stage in contract.load(exported).stages] == [
        stage["name"] for stage in exported_contract["stages"]
    ]


# The same numbers


def test_every_stage_is_an_output_of_the_export_and_nothing_else_is(exported, exported_contract):
    session = import_onnxruntime().InferenceSession(exported / "model.onnx")
    assert [output.name for output in session.get_outputs()] == [stage["name"] for stage in exported_contract["stages"]]


def test_every_stage_equals_keras_on_every_photo(exported, model, photos):
    """Compared here without `training.export.compare`, through the service's own network."""
    network = OnnxNetwork(contract.load(exported))
    names = [stage.name for stage in network.contract.stages]
    tapped = keras.Model(model.input, [model.get_layer(name).output for name in names])
    for path in sorted(photos.rglob("*.jpg")):
        tensor = to_tensor(decode(path.read_bytes()).image, 100, 100)
        stages = network.run(tensor, names).stages
        for name, truth in zip(names, tapped(tensor, training=False), strict=True):
            largest = max(1.0, float(np.abs(truth).max()))
            assert np.abs(stages[name] - np.asarray(truth)[0]).max() < 1e-4 * largest, (path.name, name)


def test_the_contract_says_how_far_the_export_is_from_keras_and_on_how_many_photos(exported_contract):
    assert exported_contract["parity"]["photos"] == 8
    assert 0 <= exported_contract["parity"]["largest_difference"] <= TOLERANCE
    assert exported_contract["parity"]["tolerance"] == TOLERANCE == 1e-4


def test_about_half_of_the_compared_photos_are_of_each_class(photos):
    as_seen = {
        to_tensor(decode(path.read_bytes()).image, 100, 100).tobytes(): label for path, label in dataset.photos(photos)
    }
    found = samples(photos, 8, (100, 100), CLASSES)
    labels = [as_seen[tensor.tobytes()] for tensor, _ in found]
    assert [label for _, label in found] == labels
    assert sorted(labels).count(0) in (4, 5)
    assert len(labels) == 8


def test_a_broken_photo_is_not_used_for_the_comparison(exported_copy, photos, tmp_path, cat_photo):
    data = tmp_path / "data"
    for name in ("cat", "not_cat"):
        (data / name).mkdir(parents=True)
        (data / name / "half.png").write_bytes(cat_photo[:3000])
    (data / "cat" / "whole.png").write_bytes(cat_photo)
    assert export(exported_copy, data)["parity"]["photos"] == 1


def test_the_service_reads_the_weights_that_the_onnx_package_reads(exported):
    data = (exported / "model.onnx").read_bytes()
    expected = {w.name: numpy_helper.to_array(w) for w in onnx.load_from_string(data).graph.initializer}
    weights = onnx_file.read(data)
    assert set(weights) == set(expected)
    assert all(np.array_equal(weights[name], expected[name]) for name in expected)


def test_the_contract_says_in_which_order_the_onnx_file_has_the_axes(exported, exported_contract):
    graph = onnx.load(exported / "model.onnx").graph
    sizes = {one.name: [axis.dim_value or axis.dim_param for axis in one.type.tensor_type.shape.dim] for one in graph.output}
    order = {name: text.split(", ") for name, text in exported_contract["axes"]["model.onnx"].items()}
    plain = exported_contract["axes"]["shape"].split(", ")
    for stage in exported_contract["stages"]:
        if len(stage["shape"]) == 3:
            named = dict(zip(plain, stage["shape"], strict=True)) | {"n": "n"}
            assert sizes[stage["name"]] == [named[axis] for axis in order["stages"]]
    (image,) = graph.input
    named = dict(zip(plain, exported_contract["input"]["shape"], strict=True)) | {"n": "n"}
    dims = [axis.dim_value or axis.dim_param for axis in image.type.tensor_type.shape.dim]
    assert dims == [named[axis] for axis in order["image"]]


def test_the_exported_kernels_are_the_trained_ones(exported, model):
    network = OnnxNetwork(contract.load(exported))
    for name in ("block1_conv", "block5_conv", "dense", "scores"):
        kernel, bias = model.get_layer(name).get_weights()
        assert np.array_equal(network.kernel(name), kernel)
        assert np.array_equal(network.bias(name), bias)


def test_the_same_network_exports_to_the_same_bytes(exported_copy, photos):
    first = (exported_copy / "model.onnx").read_bytes()
    export(exported_copy, photos, count=1)
    assert (exported_copy / "model.onnx").read_bytes() == first


def test_exporting_leaves_no_other_file_behind(exported_copy, photos):
    before = set(contents(exported_copy))
    export(exported_copy, photos, count=1)
    assert set(contents(exported_copy)) == before


def test_a_batch_gets_the_answers_of_its_photos(exported):
    session = import_onnxruntime().InferenceSession(exported / "model.onnx")
    batch = np.random.default_rng(0).uniform(0, 255, (3, 100, 100, 3)).astype(np.float32)
    (whole,) = session.run(["probabilities"], {"image": batch})
    single = [session.run(["probabilities"], {"image": batch[i : i + 1]})[0][0] for i in range(3)]
    assert whole == pytest.approx(np.stack(single), abs=1e-6)
