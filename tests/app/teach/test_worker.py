"""The process that teaches ends in time, whatever a photo does to it. Times are shortened; none is measured."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.teach.jobs import JOB, OPEN, PHOTOS, STATUS, Jobs, read_json, write_json
from app.teach.worker import LONGEST_S, STALLED_S
from tests.conftest import ROOT

SHORT = "worker.LONGEST_S, worker.STALLED_S = 1, 100; "
LONG = SHORT + "photos.decode = lambda *_: time.sleep(0.5)"
LOADED = "worker.OnnxNetwork = worker.twin.eyes = lambda *_: None; "
STALLED = SHORT + "worker.STALLED_S = 1; " + LOADED + "photos.decode = lambda *_: time.sleep(3600)"
"""Code outside of Python, which does not come back: it runs on a thread, and no signal reaches it. Nothing is loaded before, in
which the time could be over already.
"""

INSIDE = f"""
{SHORT}
def loading(*_):
    try:
        time.sleep(3600)
    except Exception as error:
        raise OSError("cannot be run") from error
worker.OnnxNetwork = loading
"""
"""What is under way when the time is over handles every error of its own."""

FOREIGN = INSIDE.replace("except Exception as", "except BaseException as")
"""Not so what is not written in Python: a module that is being imported makes an ImportError of it."""

BROKEN = "photos.decode = lambda *_: 1 / 0"
DELETED = """
def deleted(*_):
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    raise OSError
photos.decode = deleted
"""
CANCELLED = "worker.teach = lambda *_: os.rename(sys.argv[1] + '/open', sys.argv[1] + '/cancelled')"
WAITING = "time.sleep = lambda *_: os.rename(sys.argv[1] + '/open', sys.argv[1] + '/cancelled')"
FULL = "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))"

TEACH = """
import os, resource, shutil, sys, time
from app.teach import photos, worker
{}
worker.main()
"""


@pytest.fixture
def job(tmp_path) -> Path:
    """A job of twice five photos, whose process is yet to be started."""
    folder = tmp_path / "jobs" / "0193695c4f2a1-5f0c33aa"
    (folder / PHOTOS).mkdir(parents=True)
    Jobs(tmp_path, {}).networks.mkdir()
    (tmp_path / "jobs" / "turn").touch()
    classes = {name: [{"name": f"{name}/{n}", "file": f"{name}{n}"} for n in range(5)] for name in ("one", "two")}
    for photo in (photo for photos in classes.values() for photo in photos):
        (folder / PHOTOS / photo["file"]).write_bytes(photo["name"].encode())
    record = {"network": "mine", "begin": str(ROOT / "model" / "cat"), "networks": str(tmp_path / "networks")}
    write_json(folder / JOB, record | {"max_pixels": 1000, "classes": classes})
    (folder / OPEN).touch()
    return folder


def ended(job: Path, decoder: str) -> subprocess.CompletedProcess[str]:
    """The process, once it has ended: one that does not fails the test."""
    command = [sys.executable, "-c", TEACH.format(decoder), str(job)]
    measured = decoder != FULL  # there, coverage.py could write nothing either
    environment = {name: value for name, value in os.environ.items() if measured or not name.startswith("COVERAGE_")}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1"}  # Python 3.11 would leave empty modules where files are kept small
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.promise("P38")
@pytest.mark.parametrize("work", [LONG, INSIDE, FOREIGN])
def test_a_job_that_takes_too_long_fails_and_says_so(job, work):
    assert ended(job, work).returncode == 0
    status = read_json(job / STATUS)
    assert (status["state"], status["error"]) == ("failed", "Teaching took longer than 1 s.")
    assert not (job / PHOTOS).exists()


@pytest.mark.promise("P38")
def test_a_photo_that_stalls_its_parser_cannot_keep_the_process(job):
    assert ended(job, STALLED).returncode != 0
    store = job.parent.parent
    assert Jobs(store, {}).get(job.name).state == "failed"
    assert not (job / PHOTOS).exists()
    assert list((store / "networks").iterdir()) == []


def test_a_bug_is_said_to_be_one_and_its_traceback_goes_to_the_log(job):
    result = ended(job, BROKEN)
    assert result.returncode != 0
    assert "ZeroDivisionError" in result.stderr
    status = read_json(job / STATUS)
    assert (status["state"], status["error"]) == (
        "failed",
        "A bug in Catscope prevented it; the log has the details.",
    )
    assert not (job / PHOTOS).exists()


def test_a_job_that_is_cancelled_at_the_last_moment_publishes_nothing(job):
    assert ended(job, CANCELLED).returncode == 0
    assert read_json(job / STATUS)["state"] == "cancelled"
    assert list((job.parent.parent / "networks").iterdir()) == []


def test_a_job_waits_for_its_turn_and_may_be_cancelled_meanwhile(job):
    with (job.parent / "turn").open("r+") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        assert ended(job, WAITING).returncode == 0
    assert read_json(job / STATUS)["state"] == "cancelled"


def test_a_job_whose_folder_is_gone_ends_and_makes_none(job):
    assert ended(job, DELETED).returncode == 0
    assert not job.exists()


@pytest.mark.promise("P37")
def test_a_job_on_a_full_disk_has_failed_and_leaves_no_photos(job):
    assert ended(job, FULL).returncode != 0
    store = job.parent.parent
    assert Jobs(store, {}).get(job.name).state == "failed"
    assert not (job / PHOTOS).exists()
    assert list((store / "networks").iterdir()) == []


@pytest.mark.promise("P38")
def test_a_job_has_ten_minutes():
    assert LONGEST_S == 600
    assert STALLED_S == 10
