"""What `training.export` refuses, and that it leaves the folder as it was; how it exports unusual networks."""

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

from tests.training.conftest import contents
from training import export as module
from training.errors import TrainingError, run
from training.importing import onnx_graph
from training.tasks.export import compare, describe, export

PERTURBED = 0.05
"""Added to one number of one kernel, which changes some stage by far more than TOLERANCE."""


def refused(folder: Path, photos: Path) -> str:
    """The message of a refused export, after making sure that it left the folder as it was."""
    before = contents(folder)
    with pytest.raises(TrainingError) as error:
        export(folder, photos, count=4)
    assert contents(folder) == before
    return str(error.value)


@pytest.fixture
def perturbed(monkeypatch) -> Callable[[str], None]:
    """Make the translation get one number of one weight wrong."""

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
def test_an_export_that_differs_from_keras_is_refused_and_nothing_is_written(exported_copy, photos, perturbed, weight):
    perturbed(weight)
    assert "the export differs from Keras by" in refused(exported_copy, photos)


def test_the_first_export_that_differs_writes_nothing_either(trained, photos, tmp_path, perturbed):
    perturbed("block1_conv/kernel")
    refused(Path(shutil.copytree(trained, tmp_path / "tutorial")), photos)


def test_the_refusal_names_the_difference_and_the_stage_on_one_line(exported_copy, photos, perturbed):
    perturbed("scores/bias")
    message = refused(exported_copy, photos)
    assert "at stage scores;" in message
    assert "\n" not in message


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


def test_a_global_average_is_a_stage_and_dropout_is_not(tmp_path, photos):
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


def test_layers_inside_a_stage_are_listed_apart_from_the_stages(tmp_path, photos):
    x = photo = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 3, activation="relu6", name="block1_expand")(x)
    x = layers.Conv2D(4, 1, name="block1")(x)
    x = layers.Dense(2, name="scores")(layers.Flatten(name="flatten")(x))
    folder = saved(tmp_path / "small", keras.Model(photo, layers.Softmax(name="probabilities")(x), name="small"))
    exported_contract = export(folder, photos)
    assert [stage["name"] for stage in exported_contract["stages"]] == ["block1", "flatten", "scores", "probabilities"]
    assert [(layer["name"], layer["activation"]) for layer in exported_contract["inner"]] == [("block1_expand", "relu6")]


def test_a_dense_layer_without_a_bias_is_exported_or_named(tmp_path, photos):
    x = photo = keras.Input((8, 8, 3), name="image")
    x = layers.Dense(2, use_bias=False, name="scores")(layers.Flatten(name="flatten")(x))
    folder = saved(tmp_path / "small", keras.Model(photo, layers.Softmax(name="probabilities")(x), name="small"))
    try:
        export(folder, photos, count=1)
    except TrainingError as error:
        assert "scores" in str(error)  # noqa: PT017 either outcome is acceptable


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
def test_a_folder_without_a_trained_network_is_named(exported_copy, photos, name):
    (exported_copy / name).unlink()
    message = refused(exported_copy, photos)
    assert f"holds no {name}" in message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["model.keras", "history.json"])
def test_a_broken_file_is_reported_in_one_line(exported_copy, photos, name):
    (exported_copy / name).write_bytes(b"half a file")
    message = refused(exported_copy, photos)
    assert "cannot be read" in message
    assert "\n" not in message


def test_a_folder_of_broken_photos_is_named(exported_copy, tmp_path):
    for name in ("cat", "not_cat"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "a.jpg").write_bytes(b"nothing")
    assert "can be read to compare on" in refused(exported_copy, tmp_path / "data")


def test_a_missing_folder_of_photos_is_named(exported_copy, tmp_path):
    assert "nowhere is not a folder" in refused(exported_copy, tmp_path / "nowhere")


def test_comparing_on_no_photos_is_refused_on_the_command_line(exported_copy, photos, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["export", str(exported_copy), "--data", str(photos), "--photos", "0"])
    with pytest.raises(SystemExit, match="--photos must be at least 1"):
        run(module.main)


def test_the_command_prints_what_it_wrote(exported_copy, photos, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["export", str(exported_copy), "--data", str(photos), "--photos", "2"])
    module.main()
    assert json.loads(capsys.readouterr().out)["parity"]["photos"] == 2
