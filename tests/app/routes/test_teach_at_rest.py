"""What POST /teach hands to a job, and what GET /teach and DELETE /models say and do; the processes that teach do nothing."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.teach import jobs as teach_jobs
from tests.app.teach.test_jobs import full
from tests.app.teach.test_jobs_at_work import PYTHON
from tests.app.teaching import MODEL
from tests.conftest import ready_client

SERVED = ("contract.json", "model.onnx")


@pytest.fixture
def store(tmp_path) -> Path:
    """A store with one network, `mine`."""
    copied(tmp_path / "store" / "networks" / "mine")
    return tmp_path / "store"


@pytest.fixture
def client(tmp_path, store, monkeypatch) -> Iterator[TestClient]:
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    copied(tmp_path / "model" / "cat")
    with ready_client(tmp_path / "model", store=store) as client:
        yield client


def copied(network: Path) -> None:
    network.mkdir(parents=True)
    for name in SERVED:
        shutil.copy(MODEL / "cat" / name, network)


def form(*parts: tuple[str, str, bytes]) -> dict:
    """A form of parts, each of a class, a file's name, which may be empty, and its bytes."""
    pieces = []
    for name, filename, content in parts:
        named = f'; filename="{filename}"' if filename else ""
        pieces.append(f'--b\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + content + b"\r\n")
    return {"content": b"".join(pieces) + b"--b--\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=b"}}


def given(store: Path, job: str) -> dict[str, list[tuple[str, bytes]]]:
    """The photos of each class as its process finds them: names, and bytes."""
    folder = store / "jobs" / job
    classes = teach_jobs.read_json(folder / "job.json")["classes"]
    return {
        name: [(photo["name"], (folder / "photos" / photo["file"]).read_bytes()) for photo in photos]
        for name, photos in classes.items()
    }


def test_each_photo_has_a_name_of_its_own_and_its_bytes(client, store):
    names = ["x.jpg", "", "x.jpg", "x.jpg", "", "y" * 400]
    parts = [("one", name, f"one {number}".encode()) for number, name in enumerate(names)]
    others = [("two", name, f"two {number}".encode()) for number, name in enumerate(["x.jpg", "", "", "a", "b"])]
    mixed = [part for pair in zip(parts, others, strict=False) for part in pair] + parts[5:]
    answer = client.post("/teach?network=new", **form(*mixed))
    assert answer.status_code == 202, answer.text
    assert answer.json()["classes"] == {"one": 6, "two": 5}
    assert given(store, answer.json()["job"]) == {
        "one": [
            ("one/x.jpg", b"one 0"),
            ("one/photo 2", b"one 1"),
            ("one/x.jpg (2)", b"one 2"),
            ("one/x.jpg (3)", b"one 3"),
            ("one/photo 5", b"one 4"),
            ("one/" + "y" * 296, b"one 5"),
        ],
        "two": [
            ("two/x.jpg", b"two 0"),
            ("two/photo 2", b"two 1"),
            ("two/photo 3", b"two 2"),
            ("two/a", b"two 3"),
            ("two/b", b"two 4"),
        ],
    }


def test_the_store_is_told_with_all_that_it_keeps(client, store):
    (store / "networks" / "mine" / "photos.npz").write_bytes(b"x" * 1000)
    (store / "networks" / ".rolled-back" / "cat" / "2.1.0").mkdir(parents=True)
    (store / "networks" / ".rolled-back" / "cat" / "2.1.0" / "model.onnx").write_bytes(b"x" * 234)
    answer = client.get("/teach").json()
    assert answer["networks"] == ["mine"]
    assert answer["store"] == {
        "kept": [
            f"Networks are kept in {store / 'networks'} until you delete them, with the names of the photos that they get "
            "wrong and, of each photo, its SHA-256, its fingerprint and what the network saw in it and in its mirror image "
            "and its twin in integers in it, 1,280 numbers each.",
            "Photos that are taught are deleted when the job ends, whatever its end.",
        ],
        "networks": 1,
        "bytes": 1234 + sum((MODEL / "cat" / name).stat().st_size for name in SERVED),
    }


def test_a_network_is_deleted_with_all_that_is_kept_of_it(client, store):
    (store / "networks" / ".deleted-mine" / "photos").mkdir(parents=True)  # of a process that was killed meanwhile
    (store / "networks" / ".rolled-back" / "mine" / "1.1.0").mkdir(parents=True)
    (store / "networks" / ".rolled-back" / "other" / "1.1.0").mkdir(parents=True)
    assert client.delete("/models/mine").status_code == 204
    assert [path.name for path in (store / "networks").iterdir()] == [".rolled-back"]
    assert [path.name for path in (store / "networks" / ".rolled-back").iterdir()] == ["other"]
    assert [row["network"] for row in client.get("/models").json()["networks"]] == ["cat"]
    assert client.delete("/models/mine").status_code == 404


def test_a_network_that_is_being_deleted_is_not_served_in_part(client, store, monkeypatch):
    """It has another name, which is no network's, before the first of its files goes."""
    left, rmtree = [], shutil.rmtree

    def watched(path: Path, **options: object) -> None:
        left.append((path.name, path.exists(), (store / "networks" / "mine").exists()))
        rmtree(path, **options)

    monkeypatch.setattr(shutil, "rmtree", watched)
    assert client.delete("/models/mine").status_code == 204
    assert [name for name, there, _ in left if there] == [".deleted-mine"]
    assert not any(served for _, there, served in left if there)


def test_a_network_that_cannot_be_deleted_stays(client, store, monkeypatch):
    monkeypatch.setattr(os, "rename", full)
    answer = client.delete("/models/mine")
    assert answer.status_code == 503
    assert answer.json()["detail"] == "The store cannot delete the network: No space left on device."
    monkeypatch.undo()
    assert [row["network"] for row in client.get("/models").json()["networks"]] == ["cat", "mine"]


def test_without_a_store_nothing_can_be_taught(tmp_path):
    copied(tmp_path / "model" / "cat")
    with ready_client(tmp_path / "model") as client:
        for method, path in (("GET", "/teach"), ("POST", "/teach"), ("GET", "/teach/1"), ("DELETE", "/models/cat")):
            answer = client.request(method, path)
            assert answer.status_code == 404
            assert answer.json()["detail"] == (
                "Nothing can be taught or corrected here: the setting CATSCOPE_STORE names no folder for it."
            )
