"""A version appears whole or not at all, and its number is never given twice."""

import json
import subprocess
import sys

import pytest

from app.errors import NetworkError
from app.learn import version
from app.learn.alone import LOCK, alone
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("versions", "expected"),
    [(["2.0.0"], "2.1.0"), (["2.1.0", "2.0.0"], "2.2.0"), (["2.10.0", "2.9.0"], "2.11.0"), (["mine", "1.0.1"], "1.1.0")],
)
def test_the_next_number_follows_the_newest(versions, expected):
    assert version.after(versions) == expected


def test_a_version_has_its_files_and_their_digests(tmp_path):
    version.write(
        tmp_path / "cat" / "2.1.0", {"version": "2.1.0"}, {"model.onnx": b"model"}, {"metrics": {"sets": {}}}, tmp_path
    )
    folder = tmp_path / "cat" / "2.1.0"
    assert {path.name for path in folder.iterdir()} == {"model.onnx", "contract.json", "metrics.json"}
    written = json.loads((folder / "contract.json").read_text())
    assert written["files"] == {"model.onnx": "9372c470eeadd5ecd9c3c74c2b3cb633f8e2f2fad799250a0f70d652b6b825e4"}
    assert [path.name for path in tmp_path.iterdir()] == ["cat"]


def test_where_it_cannot_be_written_nothing_is_left(tmp_path):
    folder = tmp_path / "cat" / "2.1.0"
    folder.mkdir(parents=True)
    (folder / "something").touch()
    with pytest.raises(NetworkError, match=r"2\.1\.0 cannot be written"):
        version.write(folder, {}, {"model.onnx": b"model"}, {}, tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["2.1.0", "cat", "something"]


HALF_DONE = """
import os, signal, sys
from pathlib import Path
from app.learn import version
from app.learn.alone import alone

def stop(*_):
    print("all but the last step", flush=True)
    signal.pause()

os.rename = stop
networks = Path(sys.argv[1])
with alone(networks):
    version.write(networks / "cat" / "2.1.0", {}, {"model.onnx": b"model"}, {}, networks)
"""


def test_a_process_that_is_killed_leaves_no_version_and_the_next_one_clears_up(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HALF_DONE, tmp_path], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "all but the last step\n"
        with pytest.raises(ValueError, match="another process is learning"), alone(tmp_path):
            pass
        process.kill()
    assert list(tmp_path.glob("[!.]*/*")) == []
    assert len(list(tmp_path.glob(f"{version.PREFIX}*"))) == 1
    with alone(tmp_path):
        version.write(tmp_path / "cat" / "2.1.0", {}, {"model.onnx": b"model"}, {}, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [LOCK, "cat"]
