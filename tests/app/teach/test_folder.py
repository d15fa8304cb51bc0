"""A network's folder appears whole or not at all, whatever the disk does meanwhile."""

import errno
import os
from pathlib import Path

import pytest

from app.errors import NetworkError
from app.inference.networks.contract import load
from app.teach import folder
from app.teach.figures import share
from tests.conftest import ROOT

FILES = {"model.onnx": b"model", "photos.npz": b"photos"}


def put(into: Path) -> None:
    folder.put(into / "mine", {"network": "mine"}, FILES, {"metrics": {}}, into, ".part-")


def failing_at(monkeypatch, place: object, name: str, turn: int, error: BaseException) -> None:
    """The `turn`th call there fails, as on a disk that is full by then."""
    original, calls = getattr(place, name), []

    def call(*arguments: object, **options: object) -> object:
        calls.append(1)
        if len(calls) == turn:
            raise error
        return original(*arguments, **options)

    monkeypatch.setattr(place, name, call)


@pytest.mark.parametrize(
    ("place", "name", "turn"),
    [(Path, "write_bytes", 1), (Path, "write_bytes", 2), (Path, "write_text", 2), (os, "rename", 1)],
)
def test_a_disk_that_is_full_halfway_leaves_nothing_and_says_so(tmp_path, monkeypatch, place, name, turn):
    with monkeypatch.context() as patch:
        failing_at(patch, place, name, turn, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        with pytest.raises(NetworkError, match="mine cannot be written: No space left on device"):
            put(tmp_path)
    assert list(tmp_path.iterdir()) == []
    put(tmp_path)
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == [
        *("contract.json", "metrics.json", "model.onnx", "photos.npz")
    ]


def test_one_who_stops_it_halfway_leaves_nothing(tmp_path, monkeypatch):
    failing_at(monkeypatch, Path, "write_bytes", 2, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        put(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(NetworkError, match="file/mine cannot be written: "):
        put(tmp_path / "file")


@pytest.mark.parametrize("kind", ["a file", "a folder with something in it", "a link to nothing"])
def test_what_is_there_already_is_not_written_over(tmp_path, kind):
    there = tmp_path / "mine"
    if kind == "a file":
        there.write_text("something")
    elif kind == "a link to nothing":
        there.symlink_to(tmp_path / "nothing")
    else:
        (there / "something").mkdir(parents=True)
    with pytest.raises(NetworkError, match="holds something already"):
        folder.check_free(there)


def test_an_empty_folder_is_free(tmp_path):
    folder.check_free(tmp_path)
    folder.check_free(tmp_path / "none")


def test_teaching_starts_from_cat_alone():
    folder.check_start(load(ROOT / "model" / "cat"))
    with pytest.raises(NetworkError, match="teaching starts from the network cat; dense has no stages"):
        folder.check_start(load(ROOT / "model" / "dense"))


def test_a_share_of_nothing_is_none():
    assert share(0, 0) is None
    assert share(1, 2).value == 0.5
