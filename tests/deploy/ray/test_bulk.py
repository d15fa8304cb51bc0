"""deploy/ray on a cluster of two nodes: what a single process answers, and nothing lost; Ray has an environment of its own."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.inference.networks import contract
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.predict import PredictOptions, predict
from benchmarks import bulk as measured
from benchmarks import photos
from tests.conftest import ROOT, sha256
from tests.deploy.ray.cluster import Cluster, ray_environment

COLUMNS = ["path", "label", "verdict", "cat", "width", "height", "sha256", "network", "version"]
COLUMNS += ["network_sha256", "precision", "error"]
READ = "import json, sys, pyarrow.parquet as p; print(json.dumps(p.read_table(sys.argv[1]).to_pylist()))"


@pytest.fixture(scope="module")
def cluster(python) -> Iterator[Cluster]:
    cluster = Cluster(python, 1)
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def folder(photo_folder, tmp_path_factory) -> Path:
    """60 photos of different sizes, a broken one and a text file."""
    folder = tmp_path_factory.mktemp("bulk") / "photos"
    shutil.copytree(photo_folder, folder)
    for path in sorted(folder.rglob("*.jpg"))[::3] + sorted(folder.rglob("*.jpg"))[1::3]:
        path.unlink()
    for number, photo in enumerate(photos.phone() * 5):
        (folder / f"phone {number:02d}.jpg").write_bytes(photo)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0junk")
    (folder / "notes.txt").write_text("no photo")
    return folder


@pytest.fixture(scope="module")
def expected(folder) -> dict[str, dict]:
    """The row that a single process makes, by path."""
    network = OnnxNetwork(contract.load(ROOT / "model" / "cat"), "auto")
    common = {"network": "cat", "version": network.contract.version, "network_sha256": network.sha256}
    rows = {}
    for path in folder.rglob("*.jpg"):
        rows[str(path)] = dict.fromkeys(COLUMNS) | common | {"path": str(path)}
        if path.name == "broken.jpg":
            rows[str(path)]["error"] = "The file begins like JPEG, but its header is broken."
            continue
        answer = predict(path.read_bytes(), network, PredictOptions(feature_maps="none"))
        rows[str(path)] |= {"label": answer.label, "verdict": answer.verdict, "cat": answer.probabilities["cat"]}
        rows[str(path)] |= {"width": answer.photo.width, "height": answer.photo.height, "sha256": answer.photo.sha256}
        rows[str(path)]["precision"] = answer.precision
    return rows


def bulk(python: Path, *arguments: object, **environment: str) -> subprocess.Popen[str]:
    command = [python, "-m", "deploy.ray.bulk", "--quiet", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, env=ray_environment() | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finished(process: subprocess.Popen[str], status: int = 0) -> str:
    """The last line of its output, or its errors, once it has ended as it should. (Ray itself reports killed nodes.)"""
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == status, stderr[-3000:]
    return stdout.splitlines()[-1] if status == 0 else stderr


def rows(python: Path, out: Path) -> list[dict]:
    result = subprocess.run([python, "-c", READ, out], capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


def in_order(rows_by_path: dict[str, dict]) -> list[dict]:
    return [rows_by_path[path] for path in sorted(rows_by_path)]


def parts(out: Path) -> dict[str, str]:
    return {path.name: sha256(path.read_bytes()) for path in out.glob("part-*.parquet")}


def until_parts(out: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Wait until that many parts are written, while there is more to do."""
    while len(parts(out)) < count:
        assert process.poll() is None, process.stderr.read()[-3000:]
        time.sleep(0.02)


@pytest.mark.fresh
def test_two_nodes_answer_what_a_single_process_does(python, cluster, folder, expected, tmp_path):
    summary = finished(bulk(python, folder, "--out", tmp_path, "--address", cluster.address, "--batch", 4))
    assert summary.startswith("61 photos answered, 0 answered before; ")
    results = rows(python, tmp_path)
    assert list(results[0]) == COLUMNS
    assert sorted(results, key=lambda row: row["path"]) == in_order(expected)


@pytest.mark.fresh
def test_a_node_that_is_killed_midway_loses_nothing(python, cluster, folder, expected, tmp_path):
    process = bulk(python, folder, "--out", tmp_path, "--address", cluster.address, "--batch", 2, "--part-rows", 2)
    until_parts(tmp_path, 8, process)
    cluster.send("kill")
    assert len(rows(python, tmp_path)) < len(expected)
    summary = finished(process)
    cluster.send("add")
    assert summary.startswith("61 photos answered, 0 answered before; ")
    assert sorted(rows(python, tmp_path), key=lambda row: row["path"]) == in_order(expected)


@pytest.mark.fresh
def test_a_driver_that_is_killed_midway_resumes_where_it_was(python, cluster, folder, expected, tmp_path):
    arguments = (folder, "--out", tmp_path, "--address", cluster.address, "--batch", 2, "--part-rows", 6)
    process = bulk(python, *arguments)
    until_parts(tmp_path, 3, process)
    process.kill()
    process.communicate()
    earlier_parts = parts(tmp_path)
    before = len(rows(python, tmp_path))
    assert 0 < before < len(expected)
    summary = finished(bulk(python, *arguments))
    assert summary.startswith(f"{len(expected) - before} photos answered, {before} answered before; ")
    assert sorted(rows(python, tmp_path), key=lambda row: row["path"]) == in_order(expected)
    assert earlier_parts.items() <= parts(tmp_path).items()
    assert finished(bulk(python, *arguments)).startswith(f"0 photos answered, {len(expected)} answered before; ")


@pytest.mark.fresh
def test_results_of_another_network_are_not_resumed(python, cluster, folder, tmp_path):
    arguments = (folder / "broken.jpg", "--out", tmp_path, "--address", cluster.address)
    finished(bulk(python, *arguments))
    complaint = finished(bulk(python, *arguments, "--network", "tutorial"), status=1)
    assert complaint.strip().startswith(f"error: {tmp_path} contains answers of cat ")
    assert len(rows(python, tmp_path)) == 1


@pytest.mark.soak
def test_only_one_run_at_a_time_writes_to_a_folder(python, cluster, folder, tmp_path):
    arguments = (folder / "broken.jpg", "--out", tmp_path, "--address", cluster.address)
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        complaint = finished(bulk(python, *arguments), status=1)
    assert complaint.strip() == f"error: Another run is writing to {tmp_path}."
    assert finished(bulk(python, *arguments)).startswith("1 photos answered")


@pytest.mark.fresh
def test_a_photo_that_could_not_be_read_is_read_again(python, cluster, cat_photo, tmp_path):
    existing, later = tmp_path / "there.png", tmp_path / "later.png"
    existing.write_bytes(cat_photo)
    arguments = (existing, later, "--out", tmp_path / "out", "--address", cluster.address)
    finished(bulk(python, *arguments))
    errors = {row["path"]: row["error"] for row in rows(python, tmp_path / "out")}
    assert errors == {str(existing): None, str(later): "could not be read: No such file or directory"}
    later.write_bytes(cat_photo)
    assert finished(bulk(python, *arguments)).startswith("1 photos answered, 1 answered before; ")
    results = rows(python, tmp_path / "out")
    assert sorted(row["path"] for row in results) == [str(later), str(existing)]
    assert {row["verdict"] for row in results} == {"cat"}


KILLER = """
import os
from app.inference import image_checks
check = image_checks.check
image_checks.check = lambda data, most: os._exit(9) if b"poison" in data else check(data, most)
"""


@pytest.mark.soak
def test_a_photo_that_crashes_its_process_costs_no_other_photo_its_answer(python, cat_photo, tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(5):
        (tmp_path / "photos" / f"{number}.png").write_bytes(cat_photo)
    for number in (2, 4):  # one in every batch; the second run has no others
        (tmp_path / "photos" / f"{number}.png").write_bytes(cat_photo + b"poison")
    (tmp_path / "sitecustomize.py").write_text(KILLER)  # stands for a parser that crashes
    arguments = (tmp_path / "photos", "--out", tmp_path / "out", "--batch", 3)
    for _ in range(2):
        finished(bulk(python, *arguments, PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}"))
        results = {Path(row["path"]).name: row for row in rows(python, tmp_path / "out")}
        assert [results[f"{number}.png"]["verdict"] for number in range(5)] == ["cat", "cat", None, "cat", None]
        assert {results[name]["error"] for name in ("2.png", "4.png")} == {"no answer: each process that worked on it ended"}


def test_the_tables_of_its_readme_are_those_that_were_measured():
    readme = (ROOT / "deploy" / "ray" / "README.md").read_text()
    result = json.loads((ROOT / "benchmarks" / "bulk.json").read_text())
    assert measured.table(result) in readme
    assert measured.paper_table(result) in readme
    assert measured.own_part_of(result) in " ".join(readme.split())


@contextmanager
def store(folder: Path) -> Iterator[str]:
    """A folder over HTTP: a store that fsspec lists and reads."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield process.stdout.readline().split("(")[1].split(")")[0].rstrip("/")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        process.stdout.close()


@pytest.mark.soak
def test_photos_in_a_store_are_found_and_answered(python, cluster, folder, expected, tmp_path):
    with store(folder) as url:
        finished(bulk(python, f"{url}/cat", f"{url}/broken.jpg", "--out", tmp_path, "--address", cluster.address))
        results = {row["path"].removeprefix(url): row["cat"] for row in rows(python, tmp_path)}
    expected_by_path = {path.removeprefix(str(folder)): row["cat"] for path, row in expected.items()}
    assert results == {
        path: cat for path, cat in expected_by_path.items() if path.startswith("/cat/") or path == "/broken.jpg"
    }
