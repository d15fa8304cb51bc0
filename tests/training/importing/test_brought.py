"""Kinds of networks that people bring: each answers as the original, and every stage of it can be recomputed."""

import json
import shutil
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import skimage.data
from keras import layers
from keras.src.applications import convnext as convnexts
from keras.src.applications import efficientnet_v2
from PIL import Image

from app.inference.explain.audit import audit
from app.inference.heatmap import subject
from app.inference.networks.contract import load
from app.inference.networks.engines.keras_engine import KerasNetwork
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.predict import PredictOptions, predict, read
from tests.conftest import CHELSEA, ROOT
from training import export as module
from training.errors import TrainingError, run
from training.importing.brought import bring
from training.importing.colours import preprocessing
from training.tasks.export import export

CASES = ROOT.parent / "shared" / "cases"
CLASSES = ("daisy", "rose", "tulip")


SMALL = keras.initializers.RandomNormal(stddev=0.001)
"""Of scores that come from colours up to 255: no probability becomes 0."""


def small(*steps: layers.Layer, before=None) -> keras.Model:
    keras.utils.set_random_seed(3)
    photo = keras.Input((24, 24, 3))
    x = before(photo) if before else photo
    for step in (*steps, layers.GlobalAveragePooling2D(), layers.Dense(3, kernel_initializer=SMALL)):
        x = step(x)
    model = keras.Model(photo, x)
    random = np.random.default_rng(4)
    for layer in model.layers:
        if isinstance(layer, layers.LayerNormalization | layers.PReLU):
            layer.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    return model


def convnext() -> keras.Model:
    """A block of each kind of ConvNeXt, as keras.applications writes it."""
    keras.utils.set_random_seed(5)
    return convnexts.ConvNeXt(
        depths=(1, 1, 1, 1), projection_dims=(6, 8, 8, 8), weights=None, input_shape=(32, 32, 3), classes=3, name="convnext"
    )


def attentive() -> keras.Model:
    """The first blocks of EfficientNetV2: fused, and with squeeze and excitation."""
    keras.utils.set_random_seed(5)
    blocks = efficientnet_v2.DEFAULT_BLOCKS_ARGS["efficientnetv2-b0"]
    return efficientnet_v2.EfficientNetV2(
        0.25, 0.1, 32, blocks_args=[blocks[1], blocks[3]], weights=None, input_shape=(32, 32, 3), classes=3, name="b"
    )


def activations() -> keras.Model:
    """Activations that are layers, in every place where one may stand."""
    keras.utils.set_random_seed(7)
    return keras.Sequential(
        [
            *(keras.Input((24, 24, 3)), layers.Rescaling(1 / 255), layers.Conv2D(4, 3, activation=layers.ReLU())),
            *(layers.Conv2D(4, 3, activation=layers.LeakyReLU(0.3)), layers.Activation(layers.ReLU(6))),
            *(
                layers.Conv2D(4, 3),
                layers.PReLU("uniform"),
                layers.Conv2D(4, 3),
                layers.PReLU("uniform", shared_axes=[1, 2]),
            ),
            *(layers.Flatten(), layers.Dense(6), layers.PReLU("uniform"), layers.Dense(3, activation=layers.Softmax())),
        ]
    )


A = keras.applications
NETWORKS = {
    "activations": activations,
    "cropped": lambda: small(layers.CenterCrop(21, 20), layers.Conv2D(3, 3), layers.Cropping2D(((1, 2), (0, 3)))),
    "resized": lambda: small(
        *(layers.Resizing(17, 31), layers.Conv2D(3, 3), layers.Resizing(9, 7, "nearest")),
        *(layers.UpSampling2D(2), layers.UpSampling2D(3, interpolation="bilinear")),
    ),
    "normalised": lambda: small(layers.Conv2D(5, 3), layers.LayerNormalization(), layers.Dense(4, activation="gelu")),
    "dilated": lambda: small(
        *(layers.Conv2D(4, 3, dilation_rate=(2, 3), padding="same"), layers.DepthwiseConv2D(3, dilation_rate=2)),
        layers.SeparableConv2D(4, 3, dilation_rate=2),
    ),
    "grouped": lambda: small(layers.Conv2D(6, 3, groups=3), layers.Conv2D(8, 3, groups=2), layers.Conv2D(8, 3, groups=8)),
    "ResNet's colours": lambda: small(layers.Conv2D(4, 3), before=A.resnet50.preprocess_input),
    "DenseNet's colours": lambda: small(layers.Conv2D(4, 3), before=A.densenet.preprocess_input),
    "swapped colours": lambda: small(layers.Conv2D(4, 3), before=lambda x: 1 - x[..., ::-1] / 255),
    "convnext": convnext,
    "efficientnet": attentive,
}


WITH_SOFTMAX = ("activations", "convnext", "efficientnet")


@pytest.fixture(scope="module")
def some_photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("some")
    for name in ("chelsea.png", "coffee.png"):
        shutil.copy(Path(skimage.data.__file__).parent / name, folder / name)
    return folder


@pytest.mark.parametrize("name", NETWORKS)
def test_it_answers_as_the_original_and_every_stage_can_be_recomputed(tmp_path, some_photos, name):
    model = NETWORKS[name]()
    model.save(tmp_path / "their.keras")
    bring(tmp_path / "their.keras", tmp_path / "out", CLASSES, some_photos)
    export(tmp_path / "out", some_photos, 2)
    contract, random = load(tmp_path / "out"), np.random.default_rng(8)
    network, by_keras = OnnxNetwork(contract), KerasNetwork(contract)
    _, tensor = read(CHELSEA.read_bytes(), network, 10**8)
    scores = np.asarray(model(tensor), np.float64)[0]
    expected = scores if name in WITH_SOFTMAX else np.exp(scores) / np.exp(scores).sum()
    assert network.run(tensor).probabilities == pytest.approx(expected, abs=1e-4)
    values = {"image": tensor[0]} | network.run(tensor, [stage.name for stage in contract.stages]).stages
    for stage in contract.stages:
        shape = stage.shape if len(stage.shape) == 3 else (1, 1, *stage.shape)
        for one in (network, network, network, by_keras):
            position = tuple(int(random.integers(size)) for size in shape)
            assert audit(one, stage, values, position, contributions=3).relative_difference < 1e-4, (stage, position)
    prediction = predict(CHELSEA.read_bytes(), network, PredictOptions("thumbnails", heatmap=True))
    assert len(prediction.feature_maps) == len(contract.stages)
    assert prediction.heatmap.startswith(b"\x89PNG")


@pytest.mark.parametrize("way", ["caffe", "torch", "tf"])
def test_preprocessing_is_that_of_keras(way):
    colours = np.random.default_rng(0).uniform(0, 255, (1, 4, 4, 3))
    theirs = keras.applications.imagenet_utils.preprocess_input(colours.copy(), mode=way)
    assert preprocessing(way).applied(colours) == pytest.approx(np.asarray(theirs), abs=1e-4)


def test_colours_before_the_network_become_one_stage(tmp_path, some_photos):
    small(layers.Conv2D(4, 3)).save(tmp_path / "their.keras")
    bring(tmp_path / "their.keras", tmp_path / "out", CLASSES, some_photos, preprocess="caffe")
    first = export(tmp_path / "out", some_photos, 2)["stages"][0]
    assert (first["name"], first["kind"], tuple(first["kernel"])) == ("preprocess", "convolution", (1, 1))
    kernel = OnnxNetwork(load(tmp_path / "out")).kernel("preprocess")
    assert kernel[0, 0].tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]


def test_the_heatmap_of_two_classes_is_that_of_the_likeliest(tmp_path, some_photos):
    if not (CASES / "two-classes.keras").exists():
        pytest.skip("../shared/cases is not here")
    bring(CASES / "two-classes.keras", tmp_path / "out", ("daisy", "rose"), some_photos)
    export(tmp_path / "out", some_photos, 2)
    prediction = predict(CHELSEA.read_bytes(), OnnxNetwork(load(tmp_path / "out")), PredictOptions("none", heatmap=True))
    assert prediction.label == prediction.heatmap_class == "rose"


def test_the_heatmap_of_cats_is_that_of_cats():
    assert subject(load(ROOT / "model" / "cat"), {"cat": 0.1, "not_cat": 0.9}) == "cat"


def red_or_blue(folder: Path) -> Path:
    """Photos of two plain colours, in folders that say which."""
    random = np.random.default_rng(3)
    for name, channel in (("red", 0), ("blue", 2)):
        (folder / name).mkdir(parents=True)
        for number in range(20):
            pixels = random.integers(0, 90, (24, 24, 3), dtype=np.uint8)
            pixels[..., channel] += 120
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def colour_judge(middle: float = 0.0) -> keras.Model:
    """Red minus blue decides; `middle` is what it takes for black, which a wrong scale misses."""
    model = keras.Sequential([keras.Input((24, 24, 3)), layers.GlobalAveragePooling2D(), layers.Dense(2)])
    kernel = np.array([[1, -1], [0, 0], [-1, 1]], np.float32) * (0.0 if middle else 1.0)
    kernel += np.array([[middle, 0], [0, 0], [0, 0]], np.float32)
    model.layers[-1].set_weights([kernel, np.array([-0.4 * middle, 0], np.float32)])
    return model


def test_the_accuracy_on_folders_of_classes_is_printed(tmp_path, monkeypatch, capsys):
    data = red_or_blue(tmp_path / "data")
    colour_judge().save(tmp_path / "their.keras")
    command = [
        str(tmp_path / "their.keras"),
        "--out",
        str(tmp_path / "out"),
        "--classes",
        "red",
        "blue",
        "--data",
        str(data),
    ]
    monkeypatch.setattr(sys, "argv", ["export", *command])
    module.main()
    assert json.loads(capsys.readouterr().out)["accuracy"] == {"photos": 40, "right": 40, "share": 1.0}
    assert json.loads((tmp_path / "out" / "contract.json").read_text())["axes"]["shape"] == "height, width, channels"


def test_an_order_of_the_classes_under_which_it_is_far_worse_is_refused(tmp_path):
    data = red_or_blue(tmp_path / "data")
    colour_judge().save(tmp_path / "their.keras")
    with pytest.raises(TrainingError, match=r"answers 0\.00 rightly as it is given, and 1\.00 with --classes red blue"):
        bring(tmp_path / "their.keras", tmp_path / "out", ("blue", "red"), data)
    assert not (tmp_path / "out").exists()


def test_a_scale_under_which_it_is_far_worse_is_refused(tmp_path):
    data = red_or_blue(tmp_path / "data")
    colour_judge(middle=10).save(tmp_path / "their.keras")
    with pytest.raises(TrainingError, match=r"answers 0\.50 rightly as it is given, and 1\.00 with --scale 1/255"):
        bring(tmp_path / "their.keras", tmp_path / "out", ("red", "blue"), data)
    assert bring(tmp_path / "their.keras", tmp_path / "out", ("red", "blue"), data, scale=1 / 255).share == 1


def test_an_accuracy_of_guessing_is_said_loudly_and_not_taken_for_a_wrong_order(tmp_path, capsys):
    data = red_or_blue(tmp_path / "data")
    for number in range(12):  # the class that it never answers is the larger one
        (data / "red" / f"{number}.png").unlink()
    model = colour_judge()
    model.layers[-1].set_weights([np.zeros((3, 2), np.float32), np.array([1, 0], np.float32)])
    model.save(tmp_path / "their.keras")
    assert bring(tmp_path / "their.keras", tmp_path / "out", ("red", "blue"), data).right == 8
    assert "which guessing does too" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--scale", "1", "2"), "--scale has 2 numbers"),
        (("--offset", "x"), "--offset is x"),
        (("--preprocess", "tf", "--scale", "1/255"), "leave out --scale and --offset"),
    ],
)
def test_mistakes_about_colours_are_reported_in_one_line(tmp_path, monkeypatch, arguments, message):
    (tmp_path / "their.keras").write_bytes(b"")
    command = [str(tmp_path / "their.keras"), "--out", str(tmp_path / "out"), "--classes", "a", "b", "--data", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["export", *command, *arguments])
    with pytest.raises(SystemExit) as error:
        run(module.main)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
