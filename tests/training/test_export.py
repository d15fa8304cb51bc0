"""A trained network's export: what it promises, that it keeps it, and when it is refused."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
from keras import layers
from onnx import numpy_helper

from app.inference import contract, weights
from app.inference.decode import decode
from app.inference.network import OnnxNetwork, import_onnxruntime
from app.inference.tensor import to_tensor
from tests.conftest import sha256
from tests.training.conftest import contents
from training import export as module
from training import onnx_graph
from training.errors import TrainingError, run
from training.export import TOLERANCE, compare, describe, export

PERTURBED = 0.05
"""Added to one number of one kernel, which changes some stage by far more than TOLERANCE."""


@pytest.fixture(scope="module")
def promised(exported) -> dict:
    return json.loads((exported / "contract.json").read_text())


@pytest.fixture(scope="module")
def model(exported) -> keras.Model:
    return keras.saving.load_model(exported / "model.keras", compile=False)


@pytest.fixture
def own(exported, tmp_path) -> Path:
    """A copy of the exported network's folder that a test may change."""
    return Path(shutil.copytree(exported, tmp_path / "tutorial"))


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
    labels = [as_seen[tensor.tobytes()] for tensor in module._photos(photos, 8, (100, 100))]
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


# Refused


def refused(folder: Path, photos: Path) -> str:
    """What is said when the export is refused, after making sure that it left the folder as it was."""
    before = contents(folder)
    with pytest.raises(TrainingError) as error:
        export(folder, photos, count=4)
    assert contents(folder) == before
    return str(error.value)


@pytest.fixture
def perturbed(monkeypatch) -> Callable[[str], None]:
    """Let the translation get one number of one weight wrong."""

    def perturb(weight: str) -> None:
        faithful = onnx_graph.build

        def build(model: keras.Model, stages: list[str]) -> onnx.ModelProto:
            exported = faithful(model, stages)
            tensor = next(w for w in exported.graph.initializer if w.name == weight)
            values = numpy_helper.to_array(tensor).copy()
            values.flat[0] += PERTURBED
            tensor.CopyFrom(numpy_helper.from_array(values, weight))
            return exported

        monkeypatch.setattr(onnx_graph, "build", build)

    return perturb


@pytest.mark.parametrize("weight", ["block1_conv/kernel", "block3_conv/bias", "scores/bias"])
def test_an_export_that_differs_from_keras_is_refused_and_nothing_is_written(own, photos, perturbed, weight):
    perturbed(weight)
    assert "the export differs from Keras by" in refused(own, photos)


def test_the_first_export_that_differs_writes_nothing_either(trained, photos, tmp_path, perturbed):
    perturbed("block1_conv/kernel")
    refused(Path(shutil.copytree(trained, tmp_path / "tutorial")), photos)


def test_the_refusal_names_the_difference_and_the_stage_on_one_line(own, photos, perturbed):
    perturbed("scores/bias")
    said = refused(own, photos)
    assert "at stage scores;" in said
    assert "\n" not in said


def small(*steps: layers.Layer) -> keras.Model:
    """An 8x8 network of these steps, and then the two scores."""
    x = photo = keras.Input((8, 8, 3), name="image")
    for step in steps:
        x = step(x)
    x = layers.Dense(2, name="scores")(layers.Flatten(name="flatten")(x))
    return keras.Model(photo, layers.Softmax(name="probabilities")(x), name="small")


def saved(folder: Path, model: keras.Model) -> Path:
    folder.mkdir()
    model.save(folder / "model.keras")
    history = {"network": "small", "version": "0", "calibration": {"band": {"low": 0.5, "high": 0.5}}}
    (folder / "history.json").write_text(json.dumps(history))
    return folder


def test_a_layer_without_a_translation_is_named(tmp_path, photos):
    folder = saved(tmp_path / "small", small(layers.UpSampling2D(2, name="larger")))
    assert refused(folder, photos) == "layer larger is a UpSampling2D, which has no translation to ONNX here"


def test_a_relu_with_a_ceiling_is_named(tmp_path, photos):
    assert "layer capped is a ReLU" in refused(saved(tmp_path / "small", small(layers.ReLU(6, name="capped"))), photos)


def test_a_layer_that_does_more_than_its_translation_is_refused_by_the_comparison(tmp_path, photos):
    x = photo = keras.Input((8, 8, 3), name="image")
    x = layers.Flatten(data_format="channels_first", name="flatten")(x)
    x = layers.Softmax(name="probabilities")(layers.Dense(2, name="scores")(x))
    folder = saved(tmp_path / "small", keras.Model(photo, x, name="small"))
    assert "the export differs from Keras" in refused(folder, photos)


def test_an_activation_without_a_translation_is_named(tmp_path, photos):
    folder = saved(tmp_path / "small", small(layers.Conv2D(4, 3, activation="tanh", name="conv")))
    assert "layer conv has the activation tanh" in refused(folder, photos)


@pytest.mark.parametrize(
    "layer", [layers.Conv2D(3, 3, dilation_rate=2, name="odd"), layers.Conv2D(3, 3, groups=3, name="odd")]
)
def test_a_convolution_that_the_walk_could_not_explain_is_named(tmp_path, photos, layer):
    assert "layer odd is a dilated or grouped convolution" in refused(saved(tmp_path / "small", small(layer)), photos)


def test_a_global_average_is_a_stage_and_dropout_is_none(tmp_path, photos):
    x = photo = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 3, name="conv")(x)
    x = layers.Dropout(0.5, name="dropout")(layers.GlobalAveragePooling2D(name="average")(x))
    x = layers.Softmax(name="probabilities")(layers.Dense(2, name="scores")(x))
    folder = saved(tmp_path / "small", keras.Model(photo, x, name="small"))
    stages = {stage["name"]: stage for stage in export(folder, photos)["stages"]}
    assert list(stages) == ["conv", "average", "scores", "probabilities"]
    assert (stages["average"]["kind"], stages["average"]["operation"]) == ("pooling", "average")
    assert stages["scores"]["inputs"] == ("average",)


def test_a_dense_layer_that_brings_its_activation_is_named(tmp_path, photos):
    x = photo = keras.Input((8, 8, 3), name="image")
    x = layers.Dense(3, activation="relu", name="dense")(layers.Flatten(name="flatten")(x))
    x = layers.Softmax(name="probabilities")(layers.Dense(2, name="scores")(x))
    assert "layer dense is dense with an activation" in refused(
        saved(tmp_path / "small", keras.Model(photo, x, name="small")), photos
    )


def test_layers_inside_of_a_stage_are_listed_apart_from_the_stages(tmp_path, photos):
    x = photo = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 3, activation="relu6", name="block1_expand")(x)
    x = layers.Conv2D(4, 1, name="block1")(x)
    x = layers.Dense(2, name="scores")(layers.Flatten(name="flatten")(x))
    folder = saved(tmp_path / "small", keras.Model(photo, layers.Softmax(name="probabilities")(x), name="small"))
    promised = export(folder, photos)
    assert [stage["name"] for stage in promised["stages"]] == ["block1", "flatten", "scores", "probabilities"]
    assert [(layer["name"], layer["activation"]) for layer in promised["inner"]] == [("block1_expand", "relu6")]


def test_a_dense_layer_without_a_bias_is_exported_or_named(tmp_path, photos):
    x = photo = keras.Input((8, 8, 3), name="image")
    x = layers.Dense(2, use_bias=False, name="scores")(layers.Flatten(name="flatten")(x))
    folder = saved(tmp_path / "small", keras.Model(photo, layers.Softmax(name="probabilities")(x), name="small"))
    try:
        export(folder, photos, count=1)
    except TrainingError as error:
        assert "scores" in str(error)  # noqa: PT017 either answer is good


def test_a_network_of_nan_is_refused(tmp_path, photos):
    model = small(layers.Conv2D(4, 3, name="conv"))
    kernel, bias = model.get_layer("conv").get_weights()
    model.get_layer("conv").set_weights([kernel, bias * np.nan])
    assert "nan" in refused(saved(tmp_path / "small", model), photos)


def test_a_nan_on_one_photo_is_not_forgotten_over_the_next():
    model = small(layers.Conv2D(4, 3, name="conv"))
    stages = [stage.name for stage in describe(model)[0]]
    serialized = onnx_graph.build(model, stages).SerializeToString()
    tensors = [np.full((1, 8, 8, 3), np.nan, np.float32), np.ones((1, 8, 8, 3), np.float32)]
    assert np.isnan(compare(model, serialized, stages, tensors)[0])


@pytest.mark.parametrize("name", ["model.keras", "history.json"])
def test_a_folder_without_a_trained_network_is_named(own, photos, name):
    (own / name).unlink()
    said = refused(own, photos)
    assert f"holds no {name}" in said
    assert "\n" not in said


@pytest.mark.parametrize("name", ["model.keras", "history.json"])
def test_a_broken_file_is_one_line(own, photos, name):
    (own / name).write_bytes(b"half a file")
    said = refused(own, photos)
    assert "cannot be read" in said
    assert "\n" not in said


def test_a_folder_of_broken_photos_is_named(own, tmp_path):
    for name in ("cat", "not_cat"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "a.jpg").write_bytes(b"nothing")
    assert "can be read to compare on" in refused(own, tmp_path / "data")


def test_a_missing_folder_of_photos_is_named(own, tmp_path):
    assert "nowhere is not a folder" in refused(own, tmp_path / "nowhere")


def test_no_photos_to_compare_on_are_refused_on_the_command_line(own, photos, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["export", str(own), "--data", str(photos), "--photos", "0"])
    with pytest.raises(SystemExit, match="--photos must be at least 1"):
        run(module.main)


def test_the_command_prints_what_it_wrote(own, photos, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["export", str(own), "--data", str(photos), "--photos", "2"])
    module.main()
    assert json.loads(capsys.readouterr().out)["parity"]["photos"] == 2
