"""python -m app teach, on crops of real photos; the network that it writes is served like any other."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from fastapi.testclient import TestClient

from app.inference.networks import contract
from app.inference.networks.engines import OnnxNetwork
from app.main import create_app
from app.settings import Settings
from tests.conftest import CHELSEA, ROOT, environment

CLASSES = ["a cat", "coffee & <rockets>"]


def teach(
    folder: Path, out: Path | str, *options: str, model_dir: Path = ROOT / "model"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app", "teach", str(folder), "--out", str(out), *options],
        env=environment(model_dir=model_dir),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def photos(folder: Path, photo_folder: Path, count: int = 8) -> Path:
    """A folder for each of CLASSES, of so many photos."""
    for name, source in zip(CLASSES, ("cat", "not_cat"), strict=True):
        (folder / name).mkdir(parents=True)
        for path in sorted((photo_folder / source).iterdir())[:count]:
            shutil.copy(path, folder / name)
    return folder


@pytest.fixture(scope="module")
def taught(tmp_path_factory, photo_folder) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A network that was taught, and what was said; one file of its photos is broken, one is no photo at all."""
    root = tmp_path_factory.mktemp("taught")
    folder = photos(root / "photos", photo_folder)
    (folder / CLASSES[0] / "broken.jpg").write_bytes(CHELSEA.read_bytes()[:2000])
    (folder / "notes.txt").write_text("not a class")
    (folder / ".hidden").mkdir()
    result = teach(folder, root / "model" / "mine")
    assert result.returncode == 0, result.stderr
    return root / "model" / "mine", result


@pytest.fixture(scope="module")
def client(taught):
    with TestClient(create_app(Settings(model_dir=taught[0].parent))) as client:
        while client.get("/health/ready").status_code != 200:
            pass
        yield client


def test_it_says_how_good_the_network_is_and_what_was_not_used(taught):
    _, result = taught
    assert "5-fold cross-validation" in result.stdout
    for name in CLASSES:
        [row] = [line for line in result.stdout.splitlines() if line.startswith(name)]
        assert row.split("  ")[1:]
    assert f"{CLASSES[0]}/broken.jpg: " in result.stderr
    assert "8 photos of a cat prove little" in result.stderr


def test_it_leaves_a_folder_that_can_be_served_and_nothing_else(taught):
    folder, _ = taught
    assert {path.name for path in folder.iterdir()} == {"model.onnx", "contract.json", "metrics.json", "history.json"}
    assert [path.name for path in folder.parent.iterdir()] == ["mine"]
    loaded = contract.load(folder)
    assert loaded.verified("model.onnx")
    assert (loaded.network, loaded.version, loaded.classes) == ("mine", "1.0.0", tuple(CLASSES))
    model = onnx.load(folder / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    sizes = sum(np.prod(array.dims) for array in model.graph.initializer if array.name.endswith(("/kernel", "/bias")))
    assert loaded.parameters == sizes


def test_it_sees_as_cat_does_and_judges_each_position(taught, client, cat_photo):
    network, start = OnnxNetwork(contract.load(taught[0])), OnnxNetwork(contract.load(ROOT / "model" / "cat"))
    tensor = np.random.default_rng(0).integers(0, 256, (1, 384, 384, 3)).astype(np.float32)
    ours, theirs = network.run(tensor, ["head", "evidence", "pooled", "scores"]), start.run(tensor, ["head"])
    assert np.array_equal(ours.stages["head"], theirs.stages["head"])
    evidence = ours.stages["head"] @ network.kernel("evidence")[0, 0] + network.bias("evidence")
    assert ours.stages["evidence"] == pytest.approx(evidence, rel=1e-3, abs=1e-3)
    assert ours.stages["pooled"] == pytest.approx(evidence.mean(axis=(0, 1)), rel=1e-3, abs=1e-3)
    assert ours.probabilities.sum() == pytest.approx(1, abs=1e-6)


def test_it_knows_what_it_was_taught(client, photo_folder):
    for name, source in zip(CLASSES, ("cat", "not_cat"), strict=True):
        unseen = sorted((photo_folder / source).iterdir())[20:26]
        answers = [client.post("/predict?feature_maps=none", files={"file": path.read_bytes()}).json() for path in unseen]
        assert [answer["label"] for answer in answers].count(name) >= 5


@pytest.mark.parametrize("stage", ["head", "evidence", "pooled", "scores", "probabilities"])
def test_its_numbers_are_audited(client, cat_photo, stage):
    at = "&row=3&column=4" if stage in ("head", "evidence") else ""
    answer = client.post(f"/explain/unit?stage={stage}&channel=1{at}", files={"file": cat_photo}).json()
    assert answer["value"] == pytest.approx(answer["computed"], rel=1e-4, abs=1e-4)


def test_it_is_described_with_what_cross_validation_found(taught, client):
    described = client.get("/models/mine").json()
    [figure] = described["measured"]
    assert (figure["how"], figure["photos_of"], figure["photos"]) == ("validation", "5-fold cross-validation", 16)
    measured = json.loads((taught[0] / "metrics.json").read_text())["cross_validation"]
    assert figure["accuracy"] == measured["accuracy"]["value"]
    assert figure["low"] < figure["accuracy"] <= figure["high"]
    right = sum(row[index] for index, row in enumerate(measured["confusion"]))
    assert len(measured["mistakes"]) == 16 - right


def test_each_class_has_a_heatmap(client, cat_photo):
    answer = client.post("/predict?feature_maps=none&heatmap=true", files={"file": cat_photo}).json()
    assert answer["heatmap_class"] == answer["label"]
    assert answer["heatmap"].startswith("data:image/png") or len(answer["heatmap"]) > 100
    assert client.post("/walk", files={"file": cat_photo}).status_code == 200


def test_a_name_that_is_taken_is_refused_and_stays(taught, photo_folder, tmp_path):
    folder, _ = taught
    before = (folder / "contract.json").read_bytes()
    result = teach(photos(tmp_path / "photos", photo_folder, count=5), folder)
    assert result.returncode == 2
    assert "holds something already" in result.stderr
    assert (folder / "contract.json").read_bytes() == before


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (4, (), "Class a cat has 4 photos; from 5"),
        (5, ("--start", "tutorial"), "tutorial has no stages head and evidence"),
        (5, ("--start", "lion"), "there is no network lion"),
    ],
)
def test_what_cannot_be_taught_is_refused_in_one_line_and_leaves_nothing(photo_folder, tmp_path, count, options, message):
    result = teach(photos(tmp_path / "photos", photo_folder, count), tmp_path / "model" / "mine", *options)
    assert result.returncode == 2
    [line] = result.stderr.strip().splitlines()
    assert message in line
    assert not (tmp_path / "model").exists()


def test_a_folder_that_cannot_be_written_to_is_said_and_nothing_is_left(photo_folder, tmp_path):
    (tmp_path / "file").write_text("")
    result = teach(photos(tmp_path / "photos", photo_folder, 5), tmp_path / "file" / "mine")
    assert result.returncode == 2
    assert "cannot be written" in result.stderr
    assert (tmp_path / "file").read_text() == ""
