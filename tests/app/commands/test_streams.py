"""The commands with standard streams that are closed or full, and with disks and folders that fail."""

import base64
import errno
import json
import os
import resource
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from app.commands import photos
from app.commands.results import Json, Row
from tests.conftest import CHELSEA, ROOT, environment

APP = f"{shlex.quote(sys.executable)} -m app"
PHOTO = shlex.quote(str(CHELSEA))

needs_full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")


def shell(command: str, model_dir: Path, **more: object) -> subprocess.CompletedProcess[str]:
    settings = environment(model_dir=model_dir, network="tutorial")
    return subprocess.run(["sh", "-c", command], env=settings, cwd=ROOT, capture_output=True, text=True, timeout=120, **more)


@needs_full
@pytest.mark.parametrize(
    "command", ["--help", "--version", "classify --help", "completion zsh", "inspect tutorial", f"classify {PHOTO}"]
)
def test_a_full_standard_output_ends_with_one_line_and_status_2(model_dir, command):
    result = shell(f"{APP} {command} > /dev/full", model_dir)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "No space left on device" in result.stderr


@pytest.mark.parametrize("command", ["--help", "completion bash", "inspect tutorial", f"classify {PHOTO}"])
def test_a_closed_standard_output_ends_with_one_line_and_status_2(model_dir, command):
    result = shell(f"{APP} {command} >&-", model_dir)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "Bad file descriptor" in result.stderr


@pytest.mark.parametrize("command", ["completion bash", "inspect tutorial", f"classify {PHOTO}"])
@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- 2>&-", pytest.param("2>/dev/full", marks=needs_full)])
def test_results_come_without_the_other_streams(model_dir, command, closed):
    result = shell(f"{APP} {command} {closed}", model_dir)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == shell(f"{APP} {command}", model_dir).stdout


def test_a_photo_from_closed_standard_input_is_an_error_of_its_own(model_dir):
    result = shell(f"{APP} classify - --json <&-", model_dir)
    assert result.returncode == 2
    assert json.loads(result.stdout)["error"] == "The file cannot be read: standard input is closed."


def test_a_disk_that_fills_up_keeps_the_rows_and_resume_continues(model_dir, tmp_path):
    names = [tmp_path / f"{number}.png" for number in range(8)]
    for name in names:
        name.write_bytes(CHELSEA.read_bytes())
    out = tmp_path / "out.csv"
    command = f"{APP} classify {shlex.quote(str(tmp_path))} --out {shlex.quote(str(out))}"
    small = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700))  # noqa: E731
    # Python 3.11 would leave compiled modules of 700 bytes, which no later process could read.
    result = shell(f"PYTHONDONTWRITEBYTECODE=1 {command}", model_dir, preexec_fn=small)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert f"{out} cannot be written: File too large; --resume continues it" in result.stderr
    assert 0 < out.stat().st_size <= 700
    assert shell(f"{command} --resume", model_dir).returncode == 0
    assert [line.split(",")[0] for line in out.read_text().splitlines()[1:]] == list(map(str, names))


@pytest.mark.parametrize("out", ["/dev/zero", "."])
def test_results_are_only_kept_in_files(model_dir, out):
    result = shell(f"{APP} classify {PHOTO} --out {out} --resume", model_dir)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert f"{out} is not a file" in result.stderr


def test_serving_with_processes_without_a_temporary_folder_fails_in_one_line(model_dir):
    code = """
import sys, tempfile
def none(*_, **__): raise FileNotFoundError(2, "No usable temporary directory found")
tempfile.mkdtemp = none
sys.argv = ["catscope", "serve"]
from app.__main__ import run
run()
"""
    settings = environment(model_dir=model_dir, processes=2, port=0)
    result = subprocess.run([sys.executable, "-c", code], env=settings, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stderr) == (1, "error: No usable temporary directory found\n")


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl"])
def test_resume_knows_a_folder_that_is_spelt_differently(model_dir, tmp_path, name):
    folder = tmp_path / "photos"
    (folder / "deeper").mkdir(parents=True)
    for path in (folder / "a.png", folder / "deeper" / os.fsdecode(b"caf\xe9.png")):
        path.write_bytes(CHELSEA.read_bytes())
    (tmp_path / "link").symlink_to(folder)
    out, relative = tmp_path / name, os.path.relpath(folder, ROOT)
    spellings = [str(folder), f"{folder}/", relative, f"./{relative}//", str(tmp_path / "link"), f"{folder}/deeper/.."]
    for number, spelling in enumerate(spellings):
        result = shell(f"{APP} classify {shlex.quote(spelling)} --out {shlex.quote(str(out))} --resume", model_dir)
        assert (result.returncode, result.stderr) == (0, "")
        if not number:
            first = out.read_bytes()
    assert out.read_bytes() == first


def test_two_links_to_one_photo_are_two_photos(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "b.png").symlink_to("a.png")
    assert photos.key(str(tmp_path / "a.png")) != photos.key(str(tmp_path / "b.png"))


class Contract:
    network, version = "tutorial", "1.0.0"


def test_json_with_a_name_that_is_no_text_is_valid_unicode_and_gives_the_name_back():
    path = os.fsdecode(b"caf\xe9.png")
    line = Json(Contract()).line(Row(path, None, "broken"))
    json.loads(line)["path"].encode()  # a lone surrogate would raise
    assert base64.b64decode(json.loads(line)["path_base64"]) == b"caf\xe9.png"
    assert [row.path for row in Json(Contract()).read([line])] == [path]
    assert "path_base64" not in json.loads(Json(Contract()).line(Row("café.png", None, "broken")))


@pytest.mark.parametrize("kept", ["@eaDir", "#recycle", "__MACOSX", ".AppleDouble", "@Recycle", "$RECYCLE.BIN"])
def test_what_storage_devices_keep_is_passed_over(tmp_path, kept):
    (tmp_path / kept / "photo.jpg").mkdir(parents=True)
    (tmp_path / kept / "thumbnail.jpg").write_bytes(b"")
    (tmp_path / "._photo.jpg").write_bytes(b"")
    (tmp_path / "photo.jpg").write_bytes(b"")
    assert list(photos.walk([str(tmp_path)])) == [str(tmp_path / "photo.jpg")]
    assert list(photos.walk([str(tmp_path / kept)])) == [str(tmp_path / kept / "thumbnail.jpg")], "asked for by name"


def test_links_in_a_circle_and_to_nowhere_do_not_hide_the_other_photos(tmp_path):
    for name, target in (("a.jpg", "b.jpg"), ("b.jpg", "a.jpg"), ("nowhere.jpg", "missing"), ("up", ".")):
        (tmp_path / name).symlink_to(target)
    (tmp_path / "photo.jpg").write_bytes(b"")
    names = [os.path.basename(path) for path in photos.walk([str(tmp_path)])]
    assert names == ["a.jpg", "b.jpg", "nowhere.jpg", "photo.jpg"]


def test_named_pipes_in_a_folder_are_passed_over(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "device.jpg").symlink_to("/dev/zero")
    passed_over = Counter()
    assert list(photos.walk([str(tmp_path)], passed_over)) == []
    assert not passed_over


def test_folders_may_be_nested_more_deeply_than_calls(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    depth = sys.getrecursionlimit() + 100
    for _ in range(depth):
        os.mkdir("d")
        os.chdir("d")
    Path("photo.jpg").write_bytes(b"")
    os.chdir(tmp_path)
    try:
        assert list(photos.walk(["d"])) == ["d/" * depth + "photo.jpg"]
    finally:  # shutil.rmtree, with which pytest tidies up, recurses
        for _ in range(depth):
            os.chdir("d")
        os.remove("photo.jpg")
        for _ in range(depth):
            os.chdir("..")
            os.rmdir("d")


def test_a_folder_that_cannot_be_listed_is_named_and_the_others_are_searched(tmp_path, monkeypatch):
    for name in ("closed", "open"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "photo.jpg").write_bytes(b"")
    scandir = os.scandir

    def refusing(folder: str) -> object:
        if folder.endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    assert list(photos.walk([str(tmp_path)])) == [str(tmp_path / "closed"), str(tmp_path / "open" / "photo.jpg")]


def test_a_photo_that_vanishes_fails_only_itself(model_dir, tmp_path):
    command = f"{APP} classify {PHOTO} {shlex.quote(str(tmp_path / 'gone.jpg'))} --json"
    result = shell(command, model_dir)
    assert result.returncode == 2
    assert [bool(json.loads(line)["error"]) for line in result.stdout.splitlines()] == [False, True]
    assert result.stderr == "1 of 2 photos could not be read\n"
