"""Networks as people train them, brought in: rewritten in plain layers, exported, served, shown and worked out again."""

import json
import shutil
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import skimage.data
from keras import layers

from app.inference.activations import NAMES, activated, steepness
from app.inference.audit import audit
from app.inference.contract import Contract, load
from app.inference.geometry import pixels
from app.inference.heatmap import possible
from app.inference.network import OnnxNetwork
from app.inference.predict import Wanted, predict, read
from tests.conftest import CHELSEA, ready_client
from training import export as module
from training import plain
from training.errors import TrainingError, run
from training.export import bring, export

CLASSES = ("daisy", "rose", "tulip")
SIDE = 40


@pytest.fixture(scope="module")
def some_photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("some")
    for name in ("chelsea.png", "astronaut.png", "coffee.png"):
        shutil.copy(Path(skimage.data.data_dir) / name, folder / name)
    return folder


def trained(model: keras.Model) -> keras.Model:
    """With numbers in its normalisations as training leaves them, instead of 0 and 1."""
    random = np.random.default_rng(4)
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    return model


def sequential(*given: keras.layers.Layer) -> keras.Model:
    keras.utils.set_random_seed(3)
    return trained(keras.Sequential([keras.Input((SIDE, SIDE, 3)), *given]))


def everything() -> keras.Model:
    """What tutorials build, one of each."""
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
    """A residual block, squeeze and excitation, pictures stacked, a layer called twice, and a network inside of it."""
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
def brought(tmp_path_factory, some_photos) -> dict[str, Path]:
    """Every network's folder, exported; beside it lies the file that it came from."""
    folder = tmp_path_factory.mktemp("brought")
    for name, (make, classes) in NETWORKS.items():
        file = folder / f"{name}.keras"
        make().save(file)
        bring(file, folder / name, classes, some_photos, unsure=0.4)
        export(folder / name, some_photos, 3)
    return {name: folder / name for name in NETWORKS}


@pytest.mark.parametrize("name", NETWORKS)
def test_it_answers_what_the_network_answered(brought, name):
    network = OnnxNetwork(load(brought[name]))
    theirs = keras.saving.load_model(brought[name].with_suffix(".keras"))
    _, tensor = read(CHELSEA.read_bytes(), network, 10**8)
    expected = np.asarray(theirs(tensor, training=False), np.float64)[0]
    if name in ("scores", "branches"):
        expected = np.exp(expected) / np.exp(expected).sum()
    if name == "one score":
        expected = 1 / (1 + np.exp(-expected))
    found = network.run(tensor).probabilities
    assert (
        found[1:] == pytest.approx(expected, abs=1e-5) if len(expected) == 1 else found == pytest.approx(expected, abs=1e-5)
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_every_stage_can_be_worked_out_again(brought, name):
    network = OnnxNetwork(load(brought[name]))
    contract, random = network.contract, np.random.default_rng(8)
    _, tensor = read(CHELSEA.read_bytes(), network, 10**8)
    stages = [*contract.stages, *contract.inner]
    values = {"image": tensor[0]} | network.run(tensor, [stage.name for stage in stages]).stages
    for stage in stages:
        shape = stage.shape if len(stage.shape) == 3 else (1, 1, *stage.shape)
        for _ in range(12):
            place = tuple(int(random.integers(size)) for size in shape)
            assert audit(network, stage, values, place, contributions=3).relative_difference < 1e-4, (stage, place)


@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_served_with_maps_heatmap_and_a_verdict_of_its_own_classes(brought, name):
    found = predict(CHELSEA.read_bytes(), OnnxNetwork(load(brought[name])), Wanted("thumbnails", heatmap=True))
    classes = NETWORKS[name][1]
    assert tuple(found.probabilities) == classes
    assert found.label in classes
    assert found.verdict in (found.label, "unsure")
    assert len(found.feature_maps) == len(load(brought[name]).stages)
    if name == "branches":
        assert found.heatmap is None, "its last steps come from two sides"
    else:
        assert found.heatmap.startswith(b"\x89PNG")
        assert found.heatmap_class == (classes[0] if len(classes) == 2 else found.label)


def kinds(folder: Path) -> list[str]:
    return [stage.kind for stage in load(folder).stages]


def test_what_only_helps_training_is_gone_and_a_normalisation_is_part_of_the_convolution_before_it(brought):
    assert kinds(brought["everything"]) == [
        *["rescaling", "convolution", "depthwise_convolution", "pooling", "padding", "convolution", "relu"],
        *["depthwise_convolution", "convolution", "activation", "activation"],
        *["depthwise_convolution", "activation", "pooling", "flatten"],
        *["dense", "relu", "dense", "activation", "dense", "probabilities"],
    ]  # fmt: skip


def test_a_heatmap_of_averaged_places_adds_up_to_the_difference_of_the_scores(brought):
    network = OnnxNetwork(load(brought["scores"]))
    from app.inference.heatmap import evidence, stages_needed

    _, tensor = read(CHELSEA.read_bytes(), network, 10**8)
    stages = network.run(tensor, stages_needed(network.contract)).stages
    dense = next(stage.name for stage in network.contract.stages if stage.kind == "dense")
    contrast = np.array([-0.5, 1, -0.5])
    places = evidence(network, tensor, stages, "rose")
    assert places.sum() + network.bias(dense) @ contrast == pytest.approx(stages[dense] @ contrast, abs=1e-5)


def test_verdicts_of_three_classes_are_unsure_where_the_likeliest_is_unlikely(brought):
    contract = load(brought["scores"])
    assert contract.verdict({"daisy": 0.41, "rose": 0.39, "tulip": 0.2}) == "daisy"
    assert contract.verdict({"daisy": 0.3, "rose": 0.3, "tulip": 0.4}) == "unsure"


def test_the_page_and_every_door_know_its_classes(brought, tmp_path):
    shutil.copytree(brought["everything"], tmp_path / "flowers")
    with ready_client(tmp_path) as client:
        photo = {"file": CHELSEA.read_bytes()}
        said = client.post("/predict", files=photo).json()
        assert set(said["probabilities"]) == set(CLASSES)
        assert [one["label"] for one in client.post("/classify", content=photo["file"]).json()] == sorted(
            CLASSES, key=lambda name: -said["probabilities"][name]
        )
        arrays = client.post("/feature-maps", files=photo)
        assert json.loads(arrays.headers["X-Probabilities"]) == said["probabilities"]
        assert "X-Probability-Cat" not in arrays.headers
        guises = client.post("/guises", files=photo).json()["guises"]
        assert guises[0]["networks"]["flowers"]["label"] == said["label"]
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
    "dilated": (lambda: pooled(layers.Conv2D(3, 3, dilation_rate=2), layers.Flatten(), layers.Dense(3)), "dilated"),
    "another layer": (lambda: pooled(layers.LayerNormalization(), layers.Flatten(), layers.Dense(3)), "a LayerNormalization, which"),
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
    make, said = REFUSED[name]
    make().save(tmp_path / "their.keras")
    with pytest.raises(TrainingError, match=said):
        bring(tmp_path / "their.keras", tmp_path / "out", CLASSES, some_photos)
    assert not (tmp_path / "out").exists()


def test_a_network_that_takes_something_else_than_photos_is_refused(tmp_path):
    keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(3)]).save(tmp_path / "grey.keras")
    with pytest.raises(TrainingError, match=r"takes \(8, 8, 1\); it must take \(height, width, 3\)"):
        plain.load(tmp_path / "grey.keras")
    (tmp_path / "none.keras").write_bytes(b"nothing")
    with pytest.raises(TrainingError, match="cannot be loaded"):
        plain.load(tmp_path / "none.keras")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "needs --out and --classes"),
        (("--out", "{out}", "--classes", "a", "a"), "each named once"),
        (("--out", "{out}", "--classes", "a", "unsure"), "'unsure' cannot be a class"),
        (("--out", "{out}", "--classes", "a", "b", "--scale", "1/0"), "--scale is 1/0"),
        (("--out", "{out}", "--classes", "a", "b", "--unsure", "1"), "--unsure is 1.0"),
        (("--out", "{taken}", "--classes", "a", "b"), "holds something already"),
    ],
)
def test_mistakes_are_said_in_one_line(brought, some_photos, tmp_path, monkeypatch, arguments, said):
    places = {"out": tmp_path / "out", "taken": brought["scores"]}
    file = brought["scores"].with_suffix(".keras")
    given = [text.format(**places) for text in arguments]
    monkeypatch.setattr(sys, "argv", ["export", str(file), "--data", str(some_photos), *given])
    with pytest.raises(SystemExit) as ended:
        run(module.main)
    assert ended.value.code.startswith("error: ")
    assert said in ended.value.code
    assert "\n" not in ended.value.code


@pytest.mark.parametrize("name", NAMES)
def test_an_activation_is_keras_own(name):
    values = np.linspace(-7, 7, 57)
    theirs = np.asarray(getattr(keras.activations, name)(values.astype(np.float32)), np.float64)
    assert [activated(name, value, plain.LEAKY) for value in values] == pytest.approx(theirs, abs=2e-6)


def test_steepness_is_the_slope():
    assert steepness("tanh", 0.3) == pytest.approx(1 - np.tanh(0.3) ** 2, rel=1e-6)
    assert steepness("leaky_relu", -2, 0.2) == pytest.approx(0.2)


def test_the_receptive_field_of_many_branches_is_found_at_once(brought):
    """A path for each way through 371 layers would take for ever; each layer is looked at once."""
    contract: Contract = load(brought["branches"])
    box = pixels(contract, contract.stages[-1], 0, 0)
    assert (box.top, box.left, box.bottom, box.right) == (0, 0, SIDE, SIDE)
    multiplied = next(stage for stage in contract.stages if stage.kind == "multiplication")
    assert pixels(contract, multiplied, 30, 30) == box, "what it is multiplied with saw everything"
    assert not possible(contract)
