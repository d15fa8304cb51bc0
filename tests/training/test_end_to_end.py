"""Training and serving from beginning to end: photos, training, export, service, answer."""

import contextlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
from fastapi.testclient import TestClient

from app.inference.decode import decode
from app.inference.tensor import to_tensor
from tests.conftest import ready_client
from training import evaluate, export, train
from training.errors import Guessing
from training.tasks.export import export as export_to


@pytest.fixture(scope="module")
def trained_model_dir(photos, tmp_path_factory) -> Path:
    """model/ as the three commands make it, from photos to figures."""
    folder = tmp_path_factory.mktemp("end-to-end") / "model"
    out, data = str(folder / "tutorial"), str(photos)
    commands = [
        (train, ["--network", "tutorial", "--data", data, "--out", out, "--epochs", "1", "--batch-size", "16"]),
        (export, [out, "--data", data, "--photos", "4"]),
        (evaluate, [out, "--set", f"seen={data}"]),
    ]
    for module, arguments in commands:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [module.__name__, *arguments])
            patch.setattr("training.measuring.metrics.RESAMPLES", 50)
            with contextlib.suppress(Guessing):  # one epoch teaches little
                module.main()
    return folder


@pytest.fixture(scope="module")
def service(trained_model_dir) -> Iterator[TestClient]:
    with ready_client(trained_model_dir) as client:
        yield client


def answer(service: TestClient, data: bytes) -> dict:
    return service.post("/predict", files={"file": ("photo", data)}).json()


def test_the_three_commands_make_what_the_design_names(trained_model_dir):
    names = {"model.keras", "model.onnx", "contract.json", "metrics.json", "history.json"}
    assert names <= {path.name for path in (trained_model_dir / "tutorial").iterdir()}


def test_the_service_answers_with_the_probability_of_keras(service, trained_model_dir, photos, cat_photo):
    model = keras.saving.load_model(trained_model_dir / "tutorial" / "model.keras", compile=False)
    several = [path.read_bytes() for path in sorted(photos.rglob("*.jpg"))[::10]]
    for data in [cat_photo, *several]:
        expected = np.asarray(model(to_tensor(decode(data).image, 100, 100), training=False))[0]
        probabilities = answer(service, data)["probabilities"]
        assert [probabilities["cat"], probabilities["not_cat"]] == pytest.approx(expected.tolist(), abs=1e-5)


def test_the_answers_of_the_service_differ_from_photo_to_photo(service, photos):
    probabilities = [
        answer(service, path.read_bytes())["probabilities"]["cat"] for path in sorted(photos.rglob("*.jpg"))[::10]
    ]
    assert len(set(probabilities)) > 1


def test_the_service_says_which_network_it_answers_with(service, trained_model_dir, cat_photo):
    contract = json.loads((trained_model_dir / "tutorial" / "contract.json").read_text())
    assert answer(service, cat_photo)["model"]["sha256"] == contract["files"]["model.onnx"]


def test_what_was_measured_is_what_the_service_answers(service, trained_model_dir, photos):
    files = sorted(photos.rglob("*.jpg"))
    right = [answer(service, path.read_bytes())["label"] == path.parent.name for path in files]
    metrics = json.loads((trained_model_dir / "tutorial" / "metrics.json").read_text())
    assert metrics["sets"]["seen"]["accuracy"]["value"] == pytest.approx(np.mean(right), abs=5e-5)


def test_a_network_of_another_name_is_served_beside_it(trained_model_dir, tmp_path, cat_photo, photos):
    both = Path(shutil.copytree(trained_model_dir, tmp_path / "model"))
    shutil.copytree(both / "tutorial", both / "copy")
    export_to(both / "copy", photos, count=1)
    with ready_client(both) as client:
        one, two = (
            client.post("/predict", params={"network": name}, files={"file": ("photo", cat_photo)}).json()
            for name in ("tutorial", "copy")
        )
    assert one["probabilities"] == two["probabilities"]
    assert two["model"]["network"] == "copy"
