"""The README's commands are run, and its figures are those of the committed results."""

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import h5py
import httpx2
import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from app.settings import Settings
from tests.conftest import CHELSEA, ROOT, serving

README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^\$ (.+)$", README, re.M)
PYTHON = ".venv/bin/python"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory, photo_folder) -> Path:
    """The tracked files in a folder of their own, with this checkout's virtual environment and some photos in photos/."""
    folder = tmp_path_factory.mktemp("readme") / "catscope"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    shutil.copytree(photo_folder, folder / "photos")
    for name in ("val-pets", "val-breeds", "val-objects", "val-wild", "catvnoncat-test"):
        for label in ("cat", "not_cat"):
            (folder / "photos" / name / label).mkdir(parents=True)
            for path in sorted((photo_folder / label).iterdir())[:4]:
                shutil.copy2(path, folder / "photos" / name / label)
    shutil.copytree(photo_folder / "cat", folder / "flowers" / "daisy")
    shutil.copytree(photo_folder / "not_cat", folder / "flowers" / "rose")
    (folder / "flowers" / "tulip").mkdir()
    for path in photo_folder.rglob("*.jpg"):  # a third class, of the same photos upside down
        turned = Image.open(path).rotate(180)
        turned.save(folder / "flowers" / "tulip" / f"{path.parent.name}-{path.name}")
    answer = layers.Dense(3, activation="softmax")
    keras.Sequential(
        [keras.Input((64, 64, 3)), layers.Conv2D(4, 3, activation="relu"), layers.GlobalAveragePooling2D(), answer]
    ).save(folder / "flowers.keras")
    (folder / "catvnoncat").mkdir()
    for part, count in (("train", 160), ("test", 4)):
        write_course_set(folder / "catvnoncat", part, photo_folder, count)
    return folder


def write_course_set(folder: Path, part: str, photos: Path, count: int) -> None:
    """An HDF5 file of the course set's layout; each image has a number drawn into a corner, so that all are different."""
    paths = [sorted((photos / ("cat" if n % 2 else "not_cat")).iterdir())[n // 2 % 60] for n in range(count)]
    images = np.stack([np.asarray(Image.open(path).resize((64, 64))) for path in paths])
    images[:, 0, 0, 0] = np.arange(count)
    with h5py.File(folder / f"{part}_catvnoncat.h5", "w") as file:
        file[f"{part}_set_x"], file[f"{part}_set_y"] = images, np.arange(count) % 2


def run(command: str, folder: Path, **environment: str) -> str:
    result = subprocess.run(
        shlex.split(command),
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


ELSEWHERE = {
    f"{PYTHON} -m benchmarks.memory --out benchmarks/memory.json": "needs wrk: tests/benchmarks/test_clients.py runs it",
    f"{PYTHON} -m benchmarks.load --out benchmarks/load.json": "needs wrk: tests/benchmarks/test_clients.py runs it",
    f"{PYTHON} -m benchmarks.peers --out benchmarks/peers.json": "installs seven servers, and takes half an hour",
    "make soak": "takes an hour and a half",
    "make test": "is what runs this test",
    "docker compose up --build": "is run by tests/docker/test_image.py",
    "docker compose --profile scale up --scale app=3": "is run by tests/docker/test_scale.py",
    "deploy/rolling-restart.sh": "is run by tests/docker/test_scale.py",
    "docker compose --profile observe up": "is run by tests/docker/test_watch.py, less Grafana: no package registry has it",
    'docker buildx build --platform linux/amd64,linux/arm64 --sbom=true --provenance=true --build-arg REVISION="$(git rev-parse '
    'HEAD)" --build-arg CREATED="$(date -u +%FT%TZ)" --tag "$REGISTRY/catscope:0.1.0" --push .': "needs an image registry: "
    "tests/docker/test_platforms.py finds the packages for arm64, and test_image.py the labels",
    "syft catscope:0.1.0 -o spdx-json": "needs syft, which no package registry has",
    "kubectl apply -k deploy/kubernetes/base": "needs a cluster: tests/deploy/test_kubernetes.py builds what it would send there",
    f"{PYTHON} -m benchmarks.page --out benchmarks/page.json": "needs a browser: tests/browser/test_measured.py runs it",
    f"{PYTHON} -m docs.screenshots": "needs a browser: tests/browser/test_measured.py runs it",
}
# What a command gets appended here: one epoch instead of many, and no download.
APPENDED = {
    f"{PYTHON} -m training.fetch oxford-pets --out photos": "--help",
    f"{PYTHON} -m training.train --network tutorial --data photos --out model/mine": "--epochs 1",
    f"{PYTHON} -m training.export model/mine --data photos": "",
    f"{PYTHON} -m training.evaluate model/mine --set mine=photos": "",
    f"{PYTHON} benchmarks/start.py": "",
    f"{PYTHON} -m training.train --network tutorial --data flowers --classes daisy rose tulip --out model/flowers": "--epochs 1",
    f"{PYTHON} -m training.export model/flowers --data flowers": "",
    f"{PYTHON} -m training.export flowers.keras --out model/lilies --classes daisy rose tulip --data flowers": "",
    f"{PYTHON} -m app classify examples": "",
    f"{PYTHON} -m app classify photos --out found.csv --resume": "",
    f"{PYTHON} -m app inspect tutorial": "",
    "make evaluate DATA=photos": "",
    "make references DATA=photos": "",
    "make pointing DATA=photos": "",
    f"{PYTHON} -m benchmarks.cost --out benchmarks/cost.json": "",
    f"{PYTHON} -m benchmarks.audit --out benchmarks/audit.json": "",
}
CURL = 'curl -s -F file=@examples/chelsea.png "localhost:8000/predict?stages=head&channels=1&feature_maps=summary"'
COURSE_SET = f"{PYTHON} -m training.catvnoncat --h5 catvnoncat --out build/catvnoncat --report benchmarks/catvnoncat.json"


def test_every_command_of_the_readme_is_known_here():
    assert sorted(COMMANDS) == sorted([*ELSEWHERE, *APPENDED, "make serve", CURL, COURSE_SET])


def test_make_serve_and_the_curl_give_the_answer_that_the_readme_shows(checkout):
    with serving("make", "serve", folder=checkout) as (_, url):
        answer = json.loads(run(CURL.replace("localhost:8000", url), checkout))
    shown = json.loads(re.search(r"```json\n(.*?)```", README, re.S)[1])
    assert shown.pop("timings_ms").keys() == answer.pop("timings_ms").keys()
    for found, expected in ((answer, shown), (answer["feature_maps"][0], shown["feature_maps"][0])):
        for name, value in expected.items():
            if isinstance(value, float) or name == "probabilities":
                assert found[name] == pytest.approx(value, rel=1e-3, abs=1e-4)
            elif name not in ("feature_maps", "channels"):
                assert found[name] == value
    assert answer["feature_maps"][0]["channels"][0]["index"] == shown["feature_maps"][0]["channels"][0]["index"]


@pytest.mark.parametrize("command", APPENDED)
def test_a_command_of_the_readme_works(checkout, command):
    run(f"{command} {APPENDED[command]}", checkout)


def test_the_course_sets_command_works(checkout):
    checkpoints = checkout / "build" / "catvnoncat" / "seed-1"
    run(f"{COURSE_SET} --seeds 1 --epochs 2", checkout)
    assert (checkpoints / "model.keras").is_file()
    assert json.loads((checkout / "benchmarks" / "catvnoncat.json").read_text())["test_accuracy"]


def test_what_the_readme_trained_is_served_under_its_name(checkout):
    contract = json.loads((checkout / "model" / "mine" / "contract.json").read_text())
    assert contract["network"] == "mine"


def test_the_table_of_settings_is_the_real_one():
    rows = re.findall(r"^\| `(CATSCOPE_\w+)` \| (.*?) \| (.*) \|$", README, re.M)
    assert [(name, default.strip("`"), says) for name, default, says in rows] == [
        (name, default or "none", says) for name, default, says in Settings.table()
    ]


def test_the_tables_of_figures_are_those_of_metrics_json():
    from training.evaluate import table

    networks = ("cat", "tutorial", "dense")
    results = {name: json.loads((ROOT / "model" / name / "metrics.json").read_text()) for name in networks}
    references = json.loads((ROOT / "benchmarks" / "references.json").read_text())
    assert table(results, references) in README
    assert table(results, references) in (ROOT / "model" / "README.md").read_text()


@pytest.mark.parametrize("card", ["README.md", "model/README.md"])
def test_the_figures_of_cost_and_pointing_are_those_that_were_measured(card):
    said = " ".join((ROOT / card).read_text().split())
    cost, pointing = (json.loads((ROOT / "benchmarks" / f"{name}.json").read_text()) for name in ("cost", "pointing"))
    assert f"{cost['ratio']:.2f} times" in said
    assert f"{pointing['inside_where_found']['value']:.3f} of {pointing['inside_where_found']['count']}" in said
    assert f"{pointing['inside']['value']:.3f} of {pointing['inside']['count']}" in said
    assert cost["ratio"] <= 2.0
    assert pointing["inside_where_found"]["value"] >= 0.9


def test_the_figures_of_the_course_set_are_those_that_were_measured():
    report = json.loads((ROOT / "benchmarks" / "catvnoncat.json").read_text())
    said = f"{report['mean']:.3f} on average over {len(report['test_accuracy'])} seeds, from {report['lowest']:.2f} to {report['highest']:.2f}"
    assert said in " ".join(README.split())
    assert report["mean"] > 0.80


def committed(name: str) -> tuple[ModuleType, dict]:
    """A benchmark's script, and what it last wrote."""
    module = importlib.import_module(f"benchmarks.{name}")
    return module, json.loads((ROOT / "benchmarks" / f"{name}.json").read_text())


def test_the_figures_of_the_arithmetic_are_those_that_were_measured():
    audit, result = committed("audit")
    networks = result["networks"].values()
    assert audit.table(result) in README
    assert f"on {sum(one['units'] for one in networks):,} random units" in README
    above = sum(one["of_the_value_itself"]["above_bound"] for one in networks)
    assert f"{above} of the {sum(one['units'] for one in networks):,} differ by more than 1e-4" in README
    assert max(one["largest"] for one in networks) < 1e-4


def test_the_figures_of_the_page_are_those_that_were_measured():
    page, result = committed("page")
    assert page.table(result) in README
    assert result["milliseconds_from_drop_to_answer"]["median"] < 500
    assert result["page_bytes"] < 150_000


def test_every_link_of_the_readme_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target


@pytest.mark.fresh
def test_a_stranger_clones_types_make_serve_and_gets_an_answer(tmp_path):
    clone = tmp_path / "catscope"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    with serving("make", "serve", folder=clone, timeout_s=400) as (_, url):
        answer = httpx2.post(f"{url}/predict", files={"file": CHELSEA.read_bytes()}).json()
    assert answer["label"] == "cat"
    assert not list((clone / ".venv").glob("lib/*/site-packages/tensorflow")), "serving installs no TensorFlow"
