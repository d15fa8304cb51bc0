"""Networks as people train them, imported: rewritten in plain layers, exported, served, shown and recomputed."""

import json
import shutil
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import skimage.data
from keras import layers

from app.inference.explain.audit import audit
from app.inference.explain.receptive_field import pixels
from app.inference.heatmap import possible
from app.inference.networks.activations import NAMES, activate, derivative
from app.inference.networks.contract import Contract, load
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.predict import PredictOptions, predict, read
from tests.conftest import CHELSEA, ready_client
from training import export as module
from training.errors import TrainingError, run
from training.importing import activation_rules, keras_import
from training.importing.brought import bring
from training.tasks.export import export

CLASSES = ("daisy", "rose", "tulip")
SIDE = 40


@pytest.fixture(scope="module")
def some_photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("some")
    for name in ("chelsea.png", "astronaut.png", "coffee.png"):
        shutil.copy(Path(skimage.data.__file__).parent / name, folder / name)
    return folder


def trained(model: keras.Model) -> keras.Model:
    """The model with the kind of numbers in its normalisations that training leaves, instead of 0 and 1."""
    random = np.random.default_rng(4)
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    return model


def sequential(*steps: keras.layers.Layer) -> keras.Model:
    keras.utils.set_random_seed(3)
    return trained(keras.Sequential([keras.Input((SIDE, SIDE, 3)), *steps]))


def everything() -> keras.Model:
    """One of each layer that tutorials use."""
    return sequential(
        layers.RandomFlip(),
        layers.Rescaling(1 / 255),
        layers.Conv2D(6, 3, activation="relu"),
        layers.BatchNormalization(),
        layers.MaxPooling2D(),
        layers.ZeroPadding2D(((1, 2), (0, 1))),
        layers.Conv2D(6, 3, use_bias=False),
        layers.BatchNormalization(scale=False),
        layers.Activation("relu"),
        layers.SpatialDropout2D(0.2),
        layers.SeparableConv2D(8, 3, padding="same", activation="gelu", depth_multiplier=2),
        layers.LeakyReLU(0.1),
        layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False),
        layers.BatchNormalization(center=False),
        layers.ReLU(6.0),
        layers.AveragePooling2D(2, padding="same"),
        layers.Flatten(),
        layers.Dense(12, activation="relu", name="dense (odd name)"),
        layers.BatchNormalization(),
        layers.Dropout(0.5),
        layers.Dense(10, activation="tanh"),
        layers.Dense(3, activation="softmax"),
    )


def branches() -> keras.Model:
    """A residual block, squeeze and excitation, pictures stacked, a layer called twice, and a network inside the network."""
    keras.utils.set_random_seed(6)
    inside = keras.Sequential(
        [keras.Input((SIDE, SIDE, 4)), layers.Conv2D(4, 3, padding="same"), layers.BatchNormalization()]
    )
    photo = keras.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(4, 3, padding="same", activation="silu")(photo / 127.5 - 1.0)
    x = layers.Add()([x, inside(x)])
    twice = layers.Conv2D(4, 3, padding="same", activation="relu")
    x = twice(twice(x))
    squeezed = layers.Reshape((1, 1, 4))(layers.GlobalAveragePooling2D()(x))
    x = layers.Multiply()([x, layers.Conv2D(4, 1, activation="sigmoid")(squeezed)])
    x = layers.Concatenate()([x, layers.MaxPooling2D(3, 1, padding="same")(x), layers.Conv2D(2, 1)(x)])
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)])
    return trained(keras.Model(photo, layers.Dense(3)(x)))


def pooled(pooling: keras.layers.Layer, *last: keras.layers.Layer) -> keras.Model:
    return sequential(layers.Rescaling(1 / 255), layers.Conv2D(5, 5, strides=2, activation="relu"), pooling, *last)


NETWORKS = {
    "everything": (everything, CLASSES),
    "branches": (branches, CLASSES),
    "scores": (lambda: pooled(layers.GlobalAveragePooling2D(), layers.Dense(3)), CLASSES),
    "sigmoid": (lambda: pooled(layers.GlobalMaxPooling2D(), layers.Dense(1, activation="sigmoid")), CLASSES[:2]),
    "one score": (lambda: pooled(layers.Flatten(), layers.Dense(8, activation="elu"), layers.Dense(1)), CLASSES[:2]),
    "no dense layer": (
        lambda: pooled(layers.GlobalAveragePooling2D(keepdims=True), layers.Conv2D(3, 1), layers.Reshape((3,)), layers.Softmax()),
        CLASSES,
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def imported(tmp_path_factory, some_photos) -> dict[str, Path]:
    """Every network's exported folder, beside the file that it came from."""
    folder = tmp_path_factory.mktemp("imported")
    for name, (make, classes) in NETWORKS.items():
        file = folder / f"{name}.keras"
        make().save(file)
        bring(file, folder / name, classes, some_photos, unsure=0.4)
        export(folder / name, some_photos, 3)
    return {name: folder / name for name in NETWORKS}


@pytest.mark.parametrize("name", NETWORKS)
def test_an_imported_network_answers_as_the_original(imported, name):
    network = OnnxNetwork(load(imported[name]))
    theirs = keras.saving.load_model(imported[name].with_suffix(".keras"))
    _, tensor = read(CHELSEA.read_bytes(), network, 10**8)
    expected = np.asarray(theirs(tensor, training=False), np.float64)[0]
    if name in ("scores", "branches"):
        expected = np.exp(expected) / np.exp(expected).sum()
    if name == "one score":
        expected = 1 / (1 + np.exp(-expected))
    probabilities = network.run(tensor).probabilities
    assert (
        probabilities[1:] == pytest.approx(expected, abs=1e-5)
        if len(expected) == 1
        else probabilities == pytest.approx(expected, abs=1e-5)
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_every_stage_can_be_recomputed(imported, name):
    network = OnnxNetwork(load(imported[name]))
    contract, random = network.contract, np.random.default_rng(8)
    _, tensor = read(CHELSEA.read_bytes(), network, 10**8)
    stages = [*contract.stages, *contract.inner]
    values = {"image": tensor[0]} | network.run(tensor, [stage.name for stage in stages]).stages
    for stage in stages:
        shape = stage.shape if len(stage.shape) == 3 else (1, 1, *stage.shape)
        for _ in range(12):
            position = tuple(int(random.integers(size)) for size in shape)
            assert audit(network, stage, values, position, contributions=3).relative_difference < 1e-4, (stage, position)


@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_served_with_maps_heatmap_and_a_verdict_of_its_own_classes(imported, name):
    prediction = predict(CHELSEA.read_bytes(), OnnxNetwork(load(imported[name])), PredictOptions("thumbnails", heatmap=True))
    classes = NETWORKS[name][1]
    assert tuple(prediction.probabilities) == classes
    assert prediction.label in classes
    assert prediction.verdict in (prediction.label, "unsure")
    assert len(prediction.feature_maps) == len(load(imported[name]).stages)
    if name == "branches":
        assert prediction.heatmap is None, "its last steps come from two sides"
    else:
        assert prediction.heatmap.startswith(b"\x89PNG")
        assert prediction.heatmap_class == prediction.label


def kinds(folder: Path) -> list[str]:
    return [stage.kind for stage in load(folder).stages]


def test_training_layers_are_removed_and_normalisations_are_folded_into_the_convolution_before_them(imported):
    assert kinds(imported["everything"]) == [
        *["rescaling", "convolution", "depthwise_convolution", "pooling", "padding", "convolution", "relu"],
        *["depthwise_convolution", "convolution", "activation", "activation"],
        *["depthwise_convolution", "activation", "pooling", "flatten"],
        *["dense", "relu", "dense", "activation", "dense", "probabilities"],
    ]  # fmt: skip


def test_a_heatmap_of_averaged_cells_adds_up_to_the_difference_of_the_scores(imported):
    network = OnnxNetwork(load(imported["scores"]))
    from app.inference.heatmap import evidence, stages_needed

    _, tensor = read(CHELSEA.read_bytes(), network, 10**8)
    stages = network.run(tensor, stages_needed(network.contract)).stages
    dense = next(stage.name for stage in network.contract.stages if stage.kind == "dense")
    contrast = np.array([-0.5, 1, -0.5])
    contributions = evidence(network, tensor, stages, "rose")
    assert contributions.sum() + network.bias(dense) @ contrast == pytest.approx(stages[dense] @ contrast, abs=1e-5)


def test_verdicts_of_three_classes_are_unsure_where_the_likeliest_is_unlikely(imported):
    contract = load(imported["scores"])
    assert contract.verdict({"daisy": 0.41, "rose": 0.39, "tulip": 0.2}) == "daisy"
    assert contract.verdict({"daisy": 0.3, "rose": 0.3, "tulip": 0.4}) == "unsure"


def test_the_page_and_every_endpoint_know_its_classes(imported, tmp_path):
    shutil.copytree(imported["everything"], tmp_path / "flowers")
    with ready_client(tmp_path) as client:
        photo = {"file": CHELSEA.read_bytes()}
        response = client.post("/predict", files=photo).json()
        assert set(response["probabilities"]) == set(CLASSES)
        assert [one["label"] for one in client.post("/classify", content=photo["file"]).json()] == sorted(
            CLASSES, key=lambda name: -response["probabilities"][name]
        )
        arrays = client.post("/feature-maps", files=photo)
        assert json.loads(arrays.headers["X-Probabilities"]) == response["probabilities"]
        assert "X-Probability-Cat" not in arrays.headers
        guises = client.post("/guises", files=photo).json()["guises"]
        assert guises[0]["networks"]["flowers"]["label"] == response["label"]
        detail = client.get("/models/flowers").json()
        assert detail["classes"] == list(CLASSES)
        outputs = {one["name"]: one["shape"] for one in client.get("/v2/models/flowers").json()["outputs"]}
        assert outputs["probabilities"] == [-1, 3]
        for stage in detail["stages"]:
            query = f"stage={stage['name']}&channel=0"
            assert client.post(f"/explain/unit?{query}", files=photo).status_code == 200, stage
            assert client.post(f"/explain/stage?{query}", files=photo).status_code == 200, stage
        assert "catscope_verdicts_total" in client.get("/metrics").text


REFUSED = {
    "another layer": (lambda: pooled(layers.GroupNormalization(1), layers.Flatten(), layers.Dense(3)), "a GroupNormalization, which"),
    "normalised positions": (
        lambda: pooled(layers.LayerNormalization(axis=[1, 2, 3]), layers.Flatten(), layers.Dense(3)), "normalises over positions"),
    "another activation": (lambda: pooled(layers.Activation("softsign"), layers.Flatten(), layers.Dense(3)), "activation softsign"),
    "too few outputs": (lambda: pooled(layers.Flatten(), layers.Dense(2)), "answers 2 classes, and 3 are named"),
    "no answer": (lambda: pooled(layers.Flatten(), layers.Dense(3, activation="relu")), "it must end in scores"),
    "a picture": (lambda: pooled(layers.Conv2D(3, 1)), "must answer a number for each class"),
    "a shape": (lambda: pooled(layers.Reshape((5, 9, 36)), layers.Flatten(), layers.Dense(3)), "reshapes to"),
    "a calculation": (
        lambda: keras.Model(*(lambda x: (x, layers.Dense(3)(layers.Flatten()(keras.ops.exp(x)))))(keras.Input((8, 8, 3)))),
        "the calculation exp",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_shown_is_refused_by_name_and_nothing_is_written(tmp_path, some_photos, name):
    make, message = REFUSED[name]
    make().save(tmp_path / "their.keras")
    with pytest.raises(TrainingError, match=message):
        bring(tmp_path / "their.keras", tmp_path / "out", CLASSES, some_photos)
    assert not (tmp_path / "out").exists()


def test_a_network_that_takes_something_other_than_photos_is_refused(tmp_path):
    keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(3)]).save(tmp_path / "grey.keras")
    with pytest.raises(TrainingError, match=r"takes \(8, 8, 1\); it must take \(height, width, 3\)"):
        keras_import.load(tmp_path / "grey.keras")
    (tmp_path / "none.keras").write_bytes(b"nothing")
    with pytest.raises(TrainingError, match="cannot be loaded"):
        keras_import.load(tmp_path / "none.keras")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "needs --out and --classes"),
        (("--out", "{out}", "--classes", "a", "a"), "each named once"),
        (("--out", "{out}", "--classes", "a", "unsure"), "'unsure' cannot be a class"),
        (("--out", "{out}", "--classes", "a", "unfamiliar"), "'unfamiliar' cannot be a class"),
        (("--out", "{out}", "--classes", "a", "b", "--scale", "1/0"), "--scale is 1/0"),
        (("--out", "{out}", "--classes", "a", "b", "--unsure", "1"), "--unsure is 1.0"),
        (("--out", "{taken}", "--classes", "a", "b"), "holds something already"),
    ],
)
def test_mistakes_are_reported_in_one_line(imported, some_photos, tmp_path, monkeypatch, arguments, message):
    folders = {"out": tmp_path / "out", "taken": imported["scores"]}
    file = imported["scores"].with_suffix(".keras")
    command_line = [text.format(**folders) for text in arguments]
    monkeypatch.setattr(sys, "argv", ["export", str(file), "--data", str(some_photos), *command_line])
    with pytest.raises(SystemExit) as error:
        run(module.main)
    assert error.value.code.startswith("error: ")
    assert message in error.value.code
    assert "\n" not in error.value.code


@pytest.mark.parametrize("name", NAMES)
def test_an_activation_equals_that_of_keras(name):
    values = np.linspace(-7, 7, 57)
    theirs = np.asarray(getattr(keras.activations, name)(values.astype(np.float32)), np.float64)
    assert [activate(name, value, activation_rules.LEAKY) for value in values] == pytest.approx(theirs, abs=2e-6)


def test_the_derivative_is_the_slope():
    assert derivative("tanh", 0.3) == pytest.approx(1 - np.tanh(0.3) ** 2, rel=1e-6)
    assert derivative("leaky_relu", -2, 0.2) == pytest.approx(0.2)


def test_the_receptive_field_of_many_branches_is_found_quickly(imported):
    """Following every path through 371 layers would take for ever; each layer is visited once."""
    contract: Contract = load(imported["branches"])
    box = pixels(contract, contract.stages[-1], 0, 0)
    assert (box.top, box.left, box.bottom, box.right) == (0, 0, SIDE, SIDE)
    multiplied = next(stage for stage in contract.stages if stage.kind == "multiplication")
    assert pixels(contract, multiplied, 30, 30) == box, "what it is multiplied with saw everything"
    assert not possible(contract)
