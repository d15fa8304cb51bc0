"""python -m app classify, as a process of its own on real photos."""

import csv
import io
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from tests.conftest import CHELSEA, ROOT, environment, sha256
from tests.security.fuzz_upload import photos as made

COMMAND = (sys.executable, "-m", "app", "classify")
RESULT = ("path", "verdict", "label", "probability_cat", "probability_not_cat", "width", "height", "format", "sha256")


@pytest.fixture
def run(model_dir):
    def run(*arguments: object, stdin: bytes | None = None, **settings: object) -> subprocess.CompletedProcess[bytes]:
        settings = {"model_dir": model_dir, "network": "tutorial"} | settings
        return subprocess.run(
            [*COMMAND, *map(str, arguments)],
            env=environment(**settings),
            cwd=ROOT,
            input=stdin,
            capture_output=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def folder(tmp_path, photo_folder) -> Path:
    """Four photos, one of them in a subfolder, and a file that is not a photo."""
    inside = tmp_path / "photos" / "deeper, and\nodd"
    inside.mkdir(parents=True)
    for target, name in ((tmp_path / "photos", "b.jpg"), (tmp_path / "photos", "c.JPG"), (inside, "a.jpg")):
        shutil.copy(photo_folder / "cat" / "000.jpg", target / name)
    shutil.copy(CHELSEA, tmp_path / "photos" / "z.png")
    (tmp_path / "photos" / "notes.txt").write_text("no photo")
    (tmp_path / "photos" / ".hidden.jpg").write_bytes(CHELSEA.read_bytes())
    (tmp_path / "photos" / "circle").symlink_to(tmp_path / "photos")
    return tmp_path / "photos"


def rows(text: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.decode("utf-8", "surrogateescape"), newline="")))


def test_a_pipe_gets_csv_with_what_the_service_answers(run, folder, client):
    result = run(folder)
    assert (result.returncode, result.stderr) == (0, b"")
    printed = rows(result.stdout)
    assert [Path(row["path"]).name for row in printed] == ["b.jpg", "c.JPG", "a.jpg", "z.png"]
    response = client.post("/predict?network=tutorial", files={"file": CHELSEA.read_bytes()}).json()
    image = {name: str(response["image"][name]) for name in ("width", "height", "format", "sha256")}
    assert printed[-1] == image | {
        "path": str(folder / "z.png"),
        "verdict": response["verdict"],
        "label": response["label"],
        "probability_cat": str(response["probabilities"]["cat"]),
        "probability_not_cat": str(response["probabilities"]["not_cat"]),
        "network": "tutorial",
        "version": "0.0.1",
        "precision": "float32",
        "error": "",
    }


def test_json_is_one_object_per_line_with_the_members_of_predict(run, folder, client):
    printed = [json.loads(line) for line in run(folder / "z.png", folder / "notes.txt", "--json").stdout.splitlines()]
    response = client.post("/predict?network=tutorial", files={"file": CHELSEA.read_bytes()}).json()
    assert printed[0]["probabilities"] == response["probabilities"]
    assert printed[0]["image"] == {name: response["image"][name] for name in ("width", "height", "format", "sha256")}
    assert printed[0]["model"] == {"network": "tutorial", "version": "0.0.1", "precision": "float32"}
    assert printed[0]["error"] is None
    assert "accepted formats are JPEG" in printed[1]["error"]
    assert "probabilities" not in printed[1]


def test_a_photo_can_be_read_from_a_pipe(run):
    (row,) = rows(run("-", stdin=CHELSEA.read_bytes()).stdout)
    assert (row["path"], row["sha256"]) == ("-", sha256(CHELSEA.read_bytes()))


def test_what_is_passed_over_in_a_folder_is_counted_named_and_said_in_the_exit_status(run, folder):
    inside = folder / "deeper, and\nodd"
    for name in ("a.jxl", "B.JXL", "c.dng", "d.mov", "e.aae"):
        (inside / name).write_bytes(b"not looked into")
    result = run(folder)
    assert [Path(row["path"]).name for row in rows(result.stdout)] == ["b.jpg", "c.JPG", "a.jpg", "z.png"]
    expected = "passed over, because the format is not read: 2 JPEG XL, 1 QuickTime video, 1 camera RAW (DNG)\n"
    assert (result.returncode, result.stderr.decode()) == (2, expected)


def test_a_folder_of_nothing_but_what_is_not_read_says_so(run, tmp_path):
    (tmp_path / "a.jxl").write_bytes(b"not looked into")
    result = run(tmp_path)
    assert result.returncode == 2
    assert "1 JPEG XL" in result.stderr.decode()


def test_the_photos_of_a_phone_are_found_in_a_folder_and_read(run, tmp_path):
    (tmp_path / "IMG_0001.HEIC").write_bytes(made()["heic"])
    result = run(tmp_path)
    assert [row["format"] for row in rows(result.stdout)] == ["HEIC"]
    assert result.returncode == 0


def test_one_bad_photo_fails_only_itself(run, folder, tmp_path):
    (folder / "broken.jpg").write_bytes(CHELSEA.read_bytes()[:1000])
    (folder / "large.png").write_bytes(CHELSEA.read_bytes() + b"x" * 100_000)
    result = run(folder, folder / "nowhere.jpg", max_bytes=300_000)
    by_name = {Path(row["path"]).name: row for row in rows(result.stdout)}
    assert result.returncode == 2
    assert result.stderr.decode() == "3 of 7 photos could not be read\n"
    assert "300000 bytes" in by_name["large.png"]["error"]
    assert "No such file" in by_name["nowhere.jpg"]["error"]
    assert by_name["broken.jpg"]["error"]
    assert [row["error"] for name, row in by_name.items() if name in ("a.jpg", "b.jpg", "c.JPG", "z.png")] == [""] * 4


def test_names_that_are_not_text_are_reported_byte_for_byte(run, tmp_path):
    name = os.fsencode(tmp_path) + b"/caf\xe9.png"
    Path(os.fsdecode(name)).write_bytes(CHELSEA.read_bytes())
    (row,) = rows(run(tmp_path).stdout)
    assert os.fsencode(row["path"]) == name


@pytest.mark.parametrize("expect", ["cat", "not_cat", "unsure"])
def test_the_exit_status_says_whether_every_verdict_is_the_expected_one(run, folder, expect):
    result = run(folder, "--expect", expect)
    assert result.returncode == any(row["verdict"] != expect for row in rows(result.stdout))


def test_answers_are_held_against_the_names_of_folders(run, tmp_path):
    verdict = rows(run(CHELSEA).stdout)[0]["verdict"]
    for name in ("cat", "not_cat"):
        (tmp_path / name / "deeper").mkdir(parents=True)
        (tmp_path / name / "deeper" / "photo.png").write_bytes(CHELSEA.read_bytes())
    right = sum(verdict == name for name in ("cat", "not_cat"))
    result = run(tmp_path, "--expect-folders")
    assert (result.returncode, result.stderr.decode()) == (1, f"{right} of 2 photos are what their folders say\n")
    result = run(tmp_path / "cat", "--expect-folders")
    assert result.returncode == (verdict != "cat")


def test_a_photo_in_no_folder_of_a_class_is_not_what_its_folder_says(run, tmp_path):
    (tmp_path / "photo.png").write_bytes(CHELSEA.read_bytes())
    assert run(tmp_path, "--expect-folders").returncode == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--expect", "dog"), "--expect is dog; verdicts are cat, not_cat and unsure"),
        (("--network", "cat"), "there is no network cat; there are dense, tutorial"),
        (("--network-version", "2.0.0"), "network tutorial has no version 2.0.0; it has 0.0.1"),
        (("--resume",), "--resume needs --out"),
        (("--out", "README.md"), "README.md already exists"),
        (("--out", "README.md", "--resume"), "README.md cannot be resumed"),
        (("--out", "nowhere/r.csv"), "nowhere/r.csv cannot be written: No such file"),
        (("--out", "new.csv", "--table"), "--table is for terminals"),
        (("--threads", "0"), "must be at least 1"),
        (("--csv", "--json"), "not allowed with"),
    ],
)
def test_an_impossible_call_ends_with_one_line_and_status_2(run, arguments, message):
    before = (ROOT / "README.md").read_bytes()
    result = run(CHELSEA, *arguments)
    assert result.returncode == 2
    assert message in result.stderr.decode().splitlines()[-1]
    assert result.stdout == b""
    assert (ROOT / "README.md").read_bytes() == before
    assert not (ROOT / "new.csv").exists()


def test_a_folder_without_photos_ends_with_status_2(run, tmp_path):
    result = run(tmp_path)
    assert result.returncode == 2
    assert f"no photos found in {tmp_path}" in result.stderr.decode()


@pytest.mark.parametrize("name", ["results.csv", "results.jsonl"])
@pytest.mark.parametrize("cut", [0, 1, 40, 220])
def test_an_interrupted_file_is_resumed_and_ends_up_the_same(run, folder, tmp_path, name, cut):
    whole, part = tmp_path / f"whole-{name}", tmp_path / name
    assert run(folder, "--out", whole).returncode == 0
    text = whole.read_bytes()
    part.write_bytes(text[: len(text) - cut])
    assert run(folder, "--out", part, "--resume").returncode == 0
    assert part.read_bytes() == text


def test_names_with_ends_of_lines_are_resumed_too(run, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    names = ["a\rb.png", "c\nd.png", "e\r\nf.png", "last.png"]
    for name in names:
        (photos / name).write_bytes(CHELSEA.read_bytes())
    out = tmp_path / "out.csv"
    assert run(photos, "--out", out).returncode == 0
    whole = out.read_bytes()
    assert [row["path"] for row in rows(whole)] == [str(photos / name) for name in names]
    out.write_bytes(whole[:-40])
    assert run(photos, "--out", out, "--resume").returncode == 0
    assert out.read_bytes() == whole


def test_earlier_results_count_for_the_exit_status_and_are_not_computed_again(run, folder, tmp_path):
    out = tmp_path / "results.csv"
    (folder / "a.jpg").write_bytes(b"broken")
    assert run(folder, "--out", out).returncode == 2
    text = out.read_bytes()
    (folder / "a.jpg").write_bytes(CHELSEA.read_bytes())
    result = run(folder, "--out", out, "--resume")
    assert result.returncode == 2
    assert out.read_bytes() == text


def test_results_of_another_version_are_left_alone(run, folder, tmp_path):
    out = tmp_path / "results.csv"
    run(folder, "--out", out)
    out.write_bytes(out.read_bytes().replace(b"0.0.1", b"0.0.2"))
    before = out.read_bytes()
    result = run(folder, "--out", out, "--resume")
    assert result.returncode == 2
    assert b"its results are from tutorial 0.0.2, not from tutorial 0.0.1" in result.stderr
    assert out.read_bytes() == before


@pytest.mark.parametrize("garbage", [b"no row\n", b'"no end\n' + b"x" * 70_000])
def test_garbage_among_the_results_is_reported_and_not_cut_off(run, folder, tmp_path, garbage):
    out = tmp_path / "results.csv"
    run(folder, "--out", out)
    lines = out.read_bytes().splitlines(keepends=True)
    out.write_bytes(b"".join([*lines[:2], garbage, *lines[2:]]))
    before = out.read_bytes()
    assert run(folder, "--out", out, "--resume").returncode == 2
    assert out.read_bytes() == before


def test_ctrl_c_stops_with_130_keeps_the_results_and_resume_completes_them(model_dir, photo_folder, tmp_path):
    many = tmp_path / "many"
    many.mkdir()
    for number in range(400):
        (many / f"{number:04}.png").hardlink_to(linkable_photo(tmp_path))
    out = tmp_path / "out.csv"
    command = [*COMMAND, str(many), "--out", str(out)]
    options = {"env": environment(model_dir=model_dir, network="tutorial"), "cwd": ROOT, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, **options)
    while not out.exists() or out.read_bytes().count(b"\n") < 20:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    written = out.read_bytes().count(b"\n") - 1
    assert process.returncode == 130
    assert stderr.decode() == f"stopped after {written} photos; add --resume to continue\n"
    assert 20 <= written < 400
    subprocess.run([*command, "--resume"], check=True, **options)
    assert [Path(row["path"]).name for row in rows(out.read_bytes())] == [f"{number:04}.png" for number in range(400)]


def linkable_photo(tmp_path: Path) -> Path:
    """A photo on the same file system, for links."""
    photo = tmp_path / "chelsea.png"
    if not photo.exists():
        shutil.copy(CHELSEA, photo)
    return photo


def test_a_reader_that_stops_early_is_not_an_error(model_dir, tmp_path):
    many = tmp_path / "many"
    many.mkdir()
    for number in range(3000):
        (many / f"{number:04}.png").hardlink_to(linkable_photo(tmp_path))
    process = subprocess.Popen(
        [*COMMAND, str(many)],
        env=environment(model_dir=model_dir, network="tutorial"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 141
    assert process.stderr.read() == b""
    process.stderr.close()


def on_a_terminal(*arguments: str, **settings: object) -> str:
    """What a terminal shows when it is both standard output and standard error."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 200))
    process = subprocess.Popen([*COMMAND, *arguments], env=environment(**settings), cwd=ROOT, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # how Linux reports that nobody holds the other end open
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    process.wait(60)
    return shown.decode()


def test_a_terminal_gets_a_table_and_a_progress_bar(model_dir, folder):
    shown = on_a_terminal(str(folder), model_dir=model_dir, network="tutorial")
    assert "4/4" in shown
    assert "photo/s" in shown
    lines = [line for line in shown.replace("\r", "\n").splitlines() if line.endswith("z.png")]
    assert lines[0].split()[0].strip("\x1b[K") in ("cat", "not_cat", "unsure")
    assert "deeper, and\\nodd/a.jpg" in shown


def test_quiet_means_no_progress_bar(model_dir, folder):
    assert "photo/s" not in on_a_terminal(str(folder), "--quiet", model_dir=model_dir, network="tutorial")


def test_photos_are_not_modified(run, folder):
    def state() -> list[tuple[str, int, int]]:
        return sorted((str(path), path.lstat().st_mtime_ns, path.lstat().st_size) for path in folder.rglob("*"))

    before = state()
    run(folder)
    assert state() == before
