"""The networks under model/ are held to what they claim."""

import io
import json
import os
from pathlib import Path

import keras
import numpy as np
import pytest
import skimage.data
from PIL import Image

from app.inference.contract import load
from app.inference.network import KerasNetwork, OnnxNetwork
from app.inference.predict import Wanted, predict
from app.inference.tensor import to_tensor
from training.export import TOLERANCE

MODEL = Path(__file__).parent.parent.parent / "model"
NETWORKS = ("dense", "tutorial")
PHOTOS = ("chelsea.png", "astronaut.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "ihc.png")
SHARED = Path(os.environ.get("CATSCOPE_TEST_PHOTOS", MODEL.parent.parent / "shared" / "data"))


@pytest.fixture(scope="module", params=NETWORKS)
def contract(request):
    return load(MODEL / request.param)


def test_every_file_is_the_one_that_the_contract_names(contract):
    for name in ("model.onnx", "model.keras"):
        assert contract.verified(name).is_file()


@pytest.mark.parametrize("photo", PHOTOS)
def test_every_stage_of_the_export_equals_keras_on_real_photos(contract, photo):
    image = Image.open(Path(skimage.data.data_dir) / photo) if (Path(skimage.data.data_dir) / photo).exists() else None
    if image is None:
        pytest.skip(f"this scikit-image does not ship {photo}")
    tensor = to_tensor(image.convert("RGB"), *contract.input_shape[:2])
    names = [stage.name for stage in contract.stages]
    ours, truth = OnnxNetwork(contract).run(tensor, names), KerasNetwork(contract).run(tensor, names)
    for stage in contract.stages:
        expected = truth.stages[stage.name]
        assert ours.stages[stage.name].shape == expected.shape == stage.shape
        difference = np.abs(ours.stages[stage.name] - expected).max() / max(1.0, np.abs(expected).max())
        assert difference <= TOLERANCE, stage.name


def test_the_contract_counts_the_parameters_that_keras_counts(contract):
    model = keras.saving.load_model(contract.folder / "model.keras", compile=False)
    assert contract.parameters == model.count_params() == sum(stage.parameters for stage in contract.stages)


def test_the_tutorial_network_knows_scikit_images_cat(cat_photo):
    answer = predict(cat_photo, OnnxNetwork(load(MODEL / "tutorial")), Wanted("none"))
    assert answer.label == "cat"


@pytest.mark.parametrize("photo", ["rocket.jpg", "coffee.png", "astronaut.png"])
def test_the_tutorial_network_sees_no_cat_in_scikit_images_other_photos(photo):
    data = (Path(skimage.data.data_dir) / photo).read_bytes()
    assert predict(data, OnnxNetwork(load(MODEL / "tutorial")), Wanted("none")).label == "not_cat"


def test_the_figures_were_measured_on_this_very_file(contract):
    metrics = json.loads((contract.folder / "metrics.json").read_text())
    assert metrics["sha256"] == contract.files["model.onnx"]


def test_the_tutorial_network_reaches_its_bars():
    sets = json.loads((MODEL / "tutorial" / "metrics.json").read_text())["sets"]
    assert sets["val-pets"]["accuracy"]["value"] >= 0.85
    assert sets["pooled"]["of"] == ["val-pets", "val-breeds", "val-objects"]
    assert sets["pooled"]["accuracy"]["value"] >= 0.88


def test_the_tutorial_network_trained_in_under_an_hour():
    history = json.loads((MODEL / "tutorial" / "history.json").read_text())
    assert history["seconds"] < 3600
    assert history["seconds"] == pytest.approx(sum(e["seconds"] for e in history["epochs"]), rel=0.01)


def test_the_convolutional_network_beats_the_ordinary_one_with_fewer_parameters():
    tutorial, dense = (json.loads((MODEL / name / "metrics.json").read_text()) for name in ("tutorial", "dense"))
    assert tutorial["parameters"] < dense["parameters"]
    for guise, figure in tutorial["sets"]["pooled"]["guises"].items():
        assert figure["value"] > dense["sets"]["pooled"]["guises"][guise]["value"], guise


@pytest.mark.skipif(not SHARED.is_dir(), reason="the validation photos are not on this machine")
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", ["val-pets", "val-breeds"])
def test_the_claimed_accuracy_is_measured_again_on_the_photos(network, name):
    import tarfile

    contract = load(MODEL / network)
    runtime = OnnxNetwork(contract)
    right = []
    with tarfile.open(SHARED / f"{name}-00.tar") as shard:
        for member in shard:
            if member.isfile():
                data = shard.extractfile(member).read()
                answer = predict(data, runtime, Wanted("none"))
                right.append(answer.label == Path(member.name).parent.name)
    claimed = json.loads((MODEL / network / "metrics.json").read_text())["sets"][name]["accuracy"]
    assert len(right) == claimed["count"]
    assert np.mean(right) == pytest.approx(claimed["value"], abs=0.002)


def test_the_pictures_of_the_model_card_are_there(contract):
    for name in ("learning_curves.png", "diagrams.png"):
        Image.open(io.BytesIO((contract.folder / name).read_bytes())).verify()
