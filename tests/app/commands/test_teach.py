"""python -m app teach, on crops of real photos; the network that it writes is served like any other."""

import base64
import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.inference.networks import contract
from app.inference.networks.contract import INT8_FILE
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.networks.onnx import onnx_file
from app.inference.networks.onnx.other_classes import with_classes
from app.main import create_app
from app.settings import Settings
from app.teach import judges
from tests.conftest import CHELSEA, ROOT, command, encoded, environment, sha256

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
    assert "Its twin in integers changes 0 verdicts of 16" in result.stdout


def test_it_leaves_a_folder_that_can_be_served_and_nothing_else(taught):
    folder, _ = taught
    assert {path.name for path in folder.iterdir()} == {
        *("model.onnx", "int8.onnx", "photos.npz", "contract.json", "metrics.json", "history.json")
    }
    assert [path.name for path in folder.parent.iterdir()] == ["mine"]
    loaded = contract.load(folder)
    assert loaded.verified("model.onnx")
    assert loaded.verified("photos.npz")
    assert (loaded.network, loaded.version, loaded.classes) == ("mine", "1.0.0", tuple(CLASSES))
    for name in (INT8_FILE, "model.onnx"):
        model = onnx.load(loaded.verified(name))
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


def test_its_twin_in_integers_says_the_same_of_other_photos_and_how_unfamiliar_they_are(client, photo_folder):
    photos = [sorted((photo_folder / source).iterdir())[30 + n] for source in ("cat", "not_cat") for n in range(4)]
    for photo in [path.read_bytes() for path in photos] + [unlike(kind) for kind in UNLIKE]:
        url = "/predict?feature_maps=none&precision="
        network, twin, auto = (client.post(url + one, files={"file": photo}).json() for one in ("float32", "int8", "auto"))
        assert (network["model"]["precision"], twin["model"]["precision"]) == ("float32", "int8")
        assert auto["verdict"] == network["verdict"]
        assert twin["probabilities"] == pytest.approx(network["probabilities"], abs=0.1)
        assert twin["probabilities"] != network["probabilities"]
        assert twin["familiarity"]["distance"] == pytest.approx(network["familiarity"]["distance"], abs=0.02)


def test_metrics_say_how_its_twin_was_compared(taught):
    known = json.loads((taught[0] / "metrics.json").read_text())["cross_validation"]["int8"]
    written = json.loads((taught[0] / "contract.json").read_text())["int8"]
    assert known == {"refused": None, "sets": written["sets"]}
    [compared] = known["sets"].values()
    assert compared["photos"] == 16
    assert compared["right"] >= compared["right_float"]


@pytest.mark.parametrize("name", ["model.onnx", INT8_FILE])
def test_what_was_taught_can_be_taught_something_else(taught, name):
    known = contract.load(taught[0])
    model = known.verified(name).read_bytes()
    kept = onnx_file.read(model)
    ours = {f"{stage}/{part}": kept[f"{stage}/{part}"] for stage in ("evidence", "scores") for part in ("kernel", "bias")}
    assert onnx.load_from_string(with_classes(model, ours, (2, 12, 12))) == onnx.load_from_string(model)


UNLIKE = ["noise", "stripes"]


def unlike(kind: str) -> bytes:
    """A picture that is like no photo at all."""
    random = np.random.default_rng(0)
    rows = random.integers(0, 256, (300, 300, 3)) if kind == "noise" else np.arange(300)[:, None, None] // 10 % 2 * 255
    return encoded(Image.fromarray(np.broadcast_to(rows, (300, 300, 3)).astype(np.uint8)), "PNG")


@pytest.mark.parametrize("kind", UNLIKE)
def test_what_is_unlike_all_that_it_was_taught_is_unfamiliar_wherever_it_is_asked(client, kind):
    photo = unlike(kind)
    one = client.post("/predict?feature_maps=none", files={"file": photo}).json()
    assert one["verdict"] == "unfamiliar"
    assert one["label"] in CLASSES
    assert one["familiarity"]["distance"] > one["familiarity"]["limit"] > 0
    [of_batch] = client.post("/predict/batch", files=[("files", photo)]).json()["results"]
    assert (of_batch["verdict"], of_batch["familiarity"]) == ("unfamiliar", one["familiarity"])
    original, *_ = client.post("/guises", files={"file": photo}).json()["guises"]
    assert original["networks"]["mine"]["verdict"] == "unfamiliar"
    first, *_ = client.post("/walk", files={"file": photo}).text.splitlines()
    assert json.loads(first)["verdict"] == "unfamiliar"


def test_the_command_line_says_unfamiliar_and_takes_it_as_expected(taught, tmp_path):
    for kind in UNLIKE:
        (tmp_path / f"{kind}.png").write_bytes(unlike(kind))
    result = command("classify", "--network", "mine", "--expect", "unfamiliar", tmp_path, model_dir=taught[0].parent)
    assert result.returncode == 0, result.stderr
    assert [row["verdict"] for row in csv.DictReader(result.stdout.splitlines())] == ["unfamiliar"] * 2
    said = command("inspect", "mine", model_dir=taught[0].parent).stdout
    assert f"unfamiliar beyond {contract.load(taught[0]).familiarity.limit:.3f}" in said


def test_the_distance_follows_from_the_means_of_head_that_anybody_can_ask_for(taught, client, cat_photo):
    answer = client.post("/predict?feature_maps=none&precision=float32", files={"file": cat_photo}).json()
    arrays = np.load(io.BytesIO(client.post("/feature-maps?stages=head", files={"file": cat_photo}).content))
    means = arrays["head"].mean(axis=(0, 1))
    known = json.loads((taught[0] / "contract.json").read_text())["unfamiliar"]
    centre, unit, levels, deviations = (
        np.frombuffer(base64.b64decode(known[name]), "<f4") for name in ("centre", "unit", "levels", "deviations")
    )

    def cosines(looks: np.ndarray, classes: np.ndarray) -> np.ndarray:
        return classes.reshape(2, 1280) @ looks / np.linalg.norm(looks)

    nearest = (cosines(np.sqrt(means), levels) + 0.5 * cosines((means - centre) / unit, deviations)).max() / 1.5
    assert answer["familiarity"] == {"distance": pytest.approx(1 - nearest, abs=1e-5), "limit": known["limit"]}


def test_its_own_photos_are_familiar_and_metrics_say_how_many(taught, client):
    metrics = json.loads((taught[0] / "metrics.json").read_text())["cross_validation"]["unfamiliar"]
    assert metrics["own"] | {"low": 0, "high": 0} == {"value": 0, "low": 0, "high": 0, "count": 16}
    assert metrics["limit"] == pytest.approx(contract.load(taught[0]).familiarity.limit, abs=1e-4)
    for path in sorted((taught[0].parent.parent / "photos" / CLASSES[1]).iterdir()):
        answer = client.post("/predict?feature_maps=none", files={"file": path.read_bytes()}).json()
        assert answer["verdict"] != "unfamiliar"


def test_the_judges_can_be_fitted_again_from_what_was_kept_of_the_photos(taught):
    folder, _ = taught
    kept = np.load(folder / "photos.npz", allow_pickle=False)
    assert {name: (kept[name].dtype, kept[name].shape) for name in kept.files} == {
        "means": (np.float16, (16, 2, 1280)),
        "labels": (np.int64, (16,)),
        "sha256": (np.dtype("S64"), (16,)),
        "looks": (np.uint8, (16, 32)),
        "scores": (np.float32, (16, 2)),
        "integers": (np.float16, (16, 1280)),
        "rows": (np.int64, (16,)),
    }
    digests = {sha256(path.read_bytes()) for path in (folder.parent.parent / "photos").glob("*/*.*")}
    assert {digest.decode() for digest in kept["sha256"]} < digests, "all but the broken one's"
    history = json.loads((folder / "history.json").read_text())
    fitted = judges.fit(kept["means"].astype(np.float32), kept["labels"], 2, history["penalty"])
    assert np.array_equal(OnnxNetwork(contract.load(folder)).kernel("evidence")[0, 0], fitted.kernel.astype(np.float32))
    confusion = np.zeros((2, 2), int)
    np.add.at(confusion, (kept["labels"], kept["scores"].argmax(axis=1)), 1)
    assert confusion.tolist() == json.loads((folder / "metrics.json").read_text())["cross_validation"]["confusion"]


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
