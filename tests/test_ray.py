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

from app.inference import contract
from app.inference.network import OnnxNetwork
from app.inference.predict import Wanted, predict
from benchmarks import bulk as measured
from benchmarks import photos
from tests.conftest import ROOT, environment, environment_of, sha256

ENVIRONMENT = ROOT / ".peers" / "ray"
COLUMNS = ["path", "label", "verdict", "cat", "width", "height", "sha256", "network", "version", "network_sha256", "error"]
READ = "import json, sys, pyarrow.parquet as p; print(json.dumps(p.read_table(sys.argv[1]).to_pylist()))"


@pytest.fixture(scope="session")
def python() -> Path:
    """Python with the packages of requirements/ray.txt, installed anew when that has changed."""
    return environment_of("ray.txt", ENVIRONMENT)


class Cluster:
    """The two nodes of tests/ray_cluster.py."""

    def __init__(self, python: Path, *given: object) -> None:
        command = [python, ROOT / "tests" / "ray_cluster.py", *map(str, given)]
        self.process = subprocess.Popen(
            command,
            env=ray_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._hear()

    def _hear(self) -> None:
        line = self.process.stdout.readline()
        while not line.startswith("{"):
            assert line, "the cluster did not start"
            line = self.process.stdout.readline()
        said = json.loads(line)
        self.address, self.raylet = said["address"], said["raylet"]

    def say(self, word: str) -> None:
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        self._hear()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


def ray_environment(**settings: object) -> dict[str, str]:
    return environment(**settings) | {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def cluster(python) -> Iterator[Cluster]:
    cluster = Cluster(python, 1)
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def folder(photo_folder, tmp_path_factory) -> Path:
    """60 photos of different sizes, one that is broken and a text."""
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
    """By path, the row that a single process makes."""
    network = OnnxNetwork(contract.load(ROOT / "model" / "cat"))
    known = {"network": "cat", "version": network.contract.version, "network_sha256": network.sha256}
    rows = {}
    for path in folder.rglob("*.jpg"):
        rows[str(path)] = dict.fromkeys(COLUMNS) | known | {"path": str(path)}
        if path.name == "broken.jpg":
            rows[str(path)]["error"] = "The file begins like JPEG, but its header is broken."
            continue
        answer = predict(path.read_bytes(), network, Wanted(feature_maps="none"))
        rows[str(path)] |= {"label": answer.label, "verdict": answer.verdict, "cat": answer.probabilities["cat"]}
        rows[str(path)] |= {"width": answer.photo.width, "height": answer.photo.height, "sha256": answer.photo.sha256}
    return rows


def bulk(python: Path, *given: object, **environment: str) -> subprocess.Popen[str]:
    command = [python, "-m", "deploy.ray.bulk", "--quiet", *map(str, given)]
    return subprocess.Popen(
        command, cwd=ROOT, env=ray_environment() | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finished(process: subprocess.Popen[str], status: int = 0) -> str:
    """What it said last, or what it complained of, once it has ended as it should. (Ray itself tells of killed nodes.)"""
    said, complained = process.communicate(timeout=120)
    assert process.returncode == status, complained[-3000:]
    return said.splitlines()[-1] if status == 0 else complained


def rows(python: Path, out: Path) -> list[dict]:
    done = subprocess.run([python, "-c", READ, out], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def in_order(found: dict[str, dict]) -> list[dict]:
    return [found[path] for path in sorted(found)]


def parts(out: Path) -> dict[str, str]:
    return {path.name: sha256(path.read_bytes()) for path in out.glob("part-*.parquet")}


def until_parts(out: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Wait until so many parts are written, while there is more to do."""
    while len(parts(out)) < count:
        assert process.poll() is None, process.stderr.read()[-3000:]
        time.sleep(0.02)


@pytest.mark.fresh
def test_two_nodes_answer_what_a_single_process_does(python, cluster, folder, expected, tmp_path):
    said = finished(bulk(python, folder, "--out", tmp_path, "--address", cluster.address, "--batch", 4))
    assert said.startswith("61 photos answered, 0 had been before; ")
    found = rows(python, tmp_path)
    assert list(found[0]) == COLUMNS
    assert sorted(found, key=lambda row: row["path"]) == in_order(expected)


@pytest.mark.fresh
def test_a_node_that_is_killed_midway_loses_nothing(python, cluster, folder, expected, tmp_path):
    process = bulk(python, folder, "--out", tmp_path, "--address", cluster.address, "--batch", 2, "--part-rows", 2)
    until_parts(tmp_path, 8, process)
    cluster.say("kill")
    assert len(rows(python, tmp_path)) < len(expected)
    said = finished(process)
    cluster.say("add")
    assert said.startswith("61 photos answered, 0 had been before; ")
    assert sorted(rows(python, tmp_path), key=lambda row: row["path"]) == in_order(expected)


@pytest.mark.fresh
def test_a_driver_that_is_killed_midway_goes_on_where_it_was(python, cluster, folder, expected, tmp_path):
    given = (folder, "--out", tmp_path, "--address", cluster.address, "--batch", 2, "--part-rows", 6)
    process = bulk(python, *given)
    until_parts(tmp_path, 3, process)
    process.kill()
    process.communicate()
    kept = parts(tmp_path)
    before = len(rows(python, tmp_path))
    assert 0 < before < len(expected)
    said = finished(bulk(python, *given))
    assert said.startswith(f"{len(expected) - before} photos answered, {before} had been before; ")
    assert sorted(rows(python, tmp_path), key=lambda row: row["path"]) == in_order(expected)
    assert kept.items() <= parts(tmp_path).items()
    assert finished(bulk(python, *given)).startswith(f"0 photos answered, {len(expected)} had been before; ")


@pytest.mark.fresh
def test_results_of_another_network_are_not_gone_on_with(python, cluster, folder, tmp_path):
    given = (folder / "broken.jpg", "--out", tmp_path, "--address", cluster.address)
    finished(bulk(python, *given))
    complaint = finished(bulk(python, *given, "--network", "tutorial"), status=1)
    assert complaint.strip().startswith(f"error: {tmp_path} holds answers of cat 1.")
    assert len(rows(python, tmp_path)) == 1


@pytest.mark.soak
def test_only_one_run_at_a_time_writes_to_a_folder(python, cluster, folder, tmp_path):
    given = (folder / "broken.jpg", "--out", tmp_path, "--address", cluster.address)
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        complaint = finished(bulk(python, *given), status=1)
    assert complaint.strip() == f"error: Another run is writing to {tmp_path}."
    assert finished(bulk(python, *given)).startswith("1 photos answered")


@pytest.mark.fresh
def test_a_photo_that_could_not_be_read_is_asked_for_again(python, cluster, cat_photo, tmp_path):
    there, later = tmp_path / "there.png", tmp_path / "later.png"
    there.write_bytes(cat_photo)
    given = (there, later, "--out", tmp_path / "out", "--address", cluster.address)
    finished(bulk(python, *given))
    errors = {row["path"]: row["error"] for row in rows(python, tmp_path / "out")}
    assert errors == {str(there): None, str(later): "could not be read: No such file or directory"}
    later.write_bytes(cat_photo)
    assert finished(bulk(python, *given)).startswith("1 photos answered, 1 had been before; ")
    found = rows(python, tmp_path / "out")
    assert sorted(row["path"] for row in found) == [str(later), str(there)]
    assert {row["verdict"] for row in found} == {"cat"}


KILLER = """
import os
from app.inference import structure
check = structure.check
structure.check = lambda data, most: os._exit(9) if b"poison" in data else check(data, most)
"""


@pytest.mark.soak
def test_a_photo_that_ends_its_process_costs_no_other_its_answer(python, cat_photo, tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(5):
        (tmp_path / "photos" / f"{number}.png").write_bytes(cat_photo)
    (tmp_path / "photos" / "2.png").write_bytes(cat_photo + b"poison")
    (tmp_path / "sitecustomize.py").write_text(KILLER)  # stands for a parser that crashes
    process = bulk(
        python, tmp_path / "photos", "--out", tmp_path / "out", "--batch", 3, PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}"
    )
    finished(process)
    found = {Path(row["path"]).name: row for row in rows(python, tmp_path / "out")}
    assert [found[f"{number}.png"]["verdict"] for number in range(5)] == ["cat", "cat", None, "cat", "cat"]
    assert found["2.png"]["error"] == "no answer: each process that worked on it ended"


def test_the_tables_of_its_readme_are_those_that_were_measured():
    said = (ROOT / "deploy" / "ray" / "README.md").read_text()
    result = json.loads((ROOT / "benchmarks" / "bulk.json").read_text())
    assert measured.table(result) in said
    assert measured.paper_table(result) in said
    assert measured.own_part_of(result) in " ".join(said.split())


@contextmanager
def store(folder: Path) -> Iterator[str]:
    """A folder, by HTTP: a store that fsspec lists and reads."""
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
        found = {row["path"].removeprefix(url): row["cat"] for row in rows(python, tmp_path)}
    wanted = {path.removeprefix(str(folder)): row["cat"] for path, row in expected.items()}
    assert found == {path: cat for path, cat in wanted.items() if path.startswith("/cat/") or path == "/broken.jpg"}
