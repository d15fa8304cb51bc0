"""What becomes of a store's jobs: which are taken on, what their processes are given, and what is said of each."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.errors import InvalidRequest, NotFound, Overloaded, StoreUnavailable
from app.teach import jobs as teach_jobs
from app.teach.jobs import (
    CANCELLED,
    ENDED,
    JOB,
    LOCK,
    MOST_NETWORKS,
    MOST_UNFINISHED,
    OPEN,
    PHOTOS,
    PUBLISHING,
    STATUS,
    Draft,
    Job,
    Jobs,
    Photo,
    read_json,
    write_json,
)
from tests.app.teach.test_jobs import METRICS, RECORD, full, left
from tests.app.teaching import wait_for, wait_until_free

CLASSES = {"one": [Photo("one/кот.jpg", "0"), Photo("one/x", "1")], "two": [Photo("two/x", "2")]}

PYTHON = """#!/bin/sh
echo noise
{ pwd -P; echo "$1 $2"; echo "$CATSCOPE_GIVEN"; echo "$CATSCOPE_HERE"; cat; } >"$3/told.part"
echo $$ >"$3/process"
mv "$3/told.part" "$3/told"
exec sleep 60
"""
"""Stands for the process that teaches: it writes down what it was given, and lives until it is ended."""


@pytest.fixture
def jobs(tmp_path, monkeypatch) -> Iterator[Jobs]:
    """Those of a store, whose processes do nothing."""
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv("CATSCOPE_HERE", "not for others")
    made = Jobs(tmp_path / "a new" / "store", {"CATSCOPE_GIVEN": "given", "PATH": os.environ["PATH"]})
    made.prepare()
    yield made
    made.close()


def started(jobs: Jobs, draft: Draft | None = None, network: str | None = "mine") -> Job:
    return jobs.start(draft or jobs.draft(), network, (), CLASSES, Path("model/cat"), 1000)


@contextlib.contextmanager
def typed(text: bytes) -> Iterator[None]:
    """Something that this process would read."""
    kept = os.dup(0)
    read, write = os.pipe()
    os.write(write, text)
    os.close(write)
    os.dup2(read, 0)
    os.close(read)
    try:
        yield
    finally:
        os.dup2(kept, 0)
        os.close(kept)


def test_a_process_is_given_its_job_and_nothing_of_the_services_own(jobs, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with typed(b"for the service"):
        job = started(jobs)
        folder = jobs.folder / job.id
        wait_for((folder / "told").exists)
    told = (folder / "told").read_text().splitlines()
    assert told == [str(teach_jobs.ROOT.resolve()), "-m app.teach.worker", "given", ""]
    assert capfd.readouterr().out == ""
    process = int((folder / "process").read_text())
    assert os.getpgid(process) == process, "a signal to the service's group is none to it"
    assert os.getsid(process) == os.getsid(0)


def test_a_job_is_written_down_for_its_process(jobs):
    job = started(jobs)
    assert read_json(jobs.folder / job.id / JOB) == {
        "network": "mine",
        "begin": str(Path.cwd() / "model" / "cat"),
        "networks": str(jobs.networks),
        "max_pixels": 1000,
        "classes": {
            "one": [{"name": "one/кот.jpg", "file": "0"}, {"name": "one/x", "file": "1"}],
            "two": [{"name": "two/x", "file": "2"}],
        },
    }
    assert (jobs.folder / job.id / OPEN).exists()


def test_a_job_that_has_begun_waits(jobs):
    job = started(jobs)
    assert job == Job(job.id, "waiting", 0.0, "mine", "1.0.0", {"one": 2, "two": 1})
    assert jobs.get(job.id) == job
    assert jobs.all() == [job]


def test_when_the_service_ends_its_jobs_end_and_have_failed(jobs, tmp_path):
    (tmp_path / "python").write_text("#!/bin/sh\nexec sleep 60\n")  # starts no process, which could live longer
    running, cancelled = started(jobs), started(jobs, network="other")
    jobs.cancel(cancelled.id)
    jobs.close()
    for job in (running, cancelled):
        assert not teach_jobs.held(jobs.folder / job.id)
        assert not (jobs.folder / job.id / PHOTOS).exists()
    assert read_json(jobs.folder / running.id / STATUS) == {"state": "failed", "progress": 0.0, "error": ENDED}
    assert jobs.get(cancelled.id).state == "cancelled"


def test_a_process_that_has_ended_is_not_left_over(jobs):
    job = started(jobs)
    wait_for((jobs.folder / job.id / "process").exists)
    process = int((jobs.folder / job.id / "process").read_text())
    os.kill(process, 9)
    wait_until_free(jobs.folder / job.id)
    wait_for(lambda: jobs.get(job.id).state == "failed" and gone(process))


def gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_store_is_made_and_made_again(jobs, tmp_path):
    store = tmp_path / "a new" / "store"
    assert sorted(str(path.relative_to(store)) for path in store.rglob("*")) == ["jobs", "jobs/turn", "networks"]
    job, draft, ended = started(jobs), jobs.draft(), left(jobs)
    half = jobs.folder / "0193695c4f2a2-5f0c33aa"
    (half / PHOTOS).mkdir(parents=True)
    Jobs(store, {}).prepare()
    assert {path.name for path in jobs.folder.iterdir()} == {"turn", job.id, draft.id, ended.name}, (
        "but what was sent in part"
    )
    assert (jobs.get(job.id).state, jobs.get(ended.name).state) == ("waiting", "failed")
    assert draft.photos.exists()
    draft.discard()


@pytest.mark.parametrize("name", ["mine", "Mine", "MINE"])
def test_a_name_is_taken_however_it_is_written(jobs, name):
    for taken, why in ((("mINE",), "served"), ((), "in the store"), ((), "being taught")):
        if why == "in the store":
            (jobs.networks / "mINE").mkdir()
        elif why == "being taught":
            (jobs.networks / "mINE").rmdir()
            started(jobs, network="mInE")
        with pytest.raises(InvalidRequest) as refused:
            jobs.free_name(name, taken)
        assert str(refused.value) == f"There is a network {name} already; choose another name, or delete it first.", why


@pytest.mark.parametrize("name", ["", ".x", "-x", "a b", "x" * 61, "x/" * 60], ids=range(6))
def test_what_cannot_be_a_name_is_said_with_what_can(jobs, name):
    with pytest.raises(InvalidRequest) as refused:
        jobs.free_name(name, ())
    assert str(refused.value) == (
        f"{name[:80]!r} cannot be a network's name, which has 1 to 60 letters, digits, - or _ and begins with a letter or "
        "digit."
    )


def test_the_second_network_without_a_name_is_the_second(jobs):
    assert jobs.free_name(None, ("taught",)) == "taught-2"
    assert started(jobs, network=None).network == "taught"
    assert jobs.free_name(None, ()) == "taught-2"


def test_networks_that_are_yet_to_be_taught_count_and_those_that_were_deleted_do_not(jobs):
    for number in range(MOST_NETWORKS - 2):
        (jobs.networks / f"network-{number}").mkdir()
        (jobs.networks / f".deleted-{number}").mkdir()
    started(jobs)
    assert jobs.free_name("another", ()) == "another"
    started(jobs, network="other")
    with pytest.raises(InvalidRequest) as refused:
        jobs.free_name("another", ())
    assert str(refused.value) == "There are 18 taught networks; at most 20 are kept. Delete one."


def test_a_store_whose_networks_are_gone_is_said_to_be_so(jobs):
    jobs.networks.rmdir()
    with pytest.raises(StoreUnavailable) as refused:
        jobs.free_name("mine", ())
    assert str(refused.value) == "The store cannot list the networks: No such file or directory."


def test_a_job_too_many_is_told_when_to_come_again(jobs):
    drafts = [jobs.draft() for _ in range(MOST_UNFINISHED - 1)]
    job = started(jobs)
    with pytest.raises(Overloaded) as refused:
        jobs.draft()
    assert str(refused.value) == "4 networks are being taught or waiting for it; retry later."
    assert refused.value.retry_after == 30
    write_json(jobs.folder / job.id / STATUS, {"state": "done", "progress": 1.0})
    drafts.append(jobs.draft())  # though its process is yet to end
    for draft in drafts:
        draft.discard()


def test_jobs_that_have_ended_without_a_word_make_room(jobs):
    folders = [left(jobs, number) for number in range(MOST_UNFINISHED)]
    jobs.draft().discard()
    assert [jobs.get(folder.name).state for folder in folders] == ["failed"] * MOST_UNFINISHED


def test_the_newest_job_comes_first(jobs, monkeypatch):
    now = 1_700_000_000.123
    drafts = []
    for later in (0, 0.002):
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda later=later: now + later)
            drafts.append(jobs.draft())
        write_json(drafts[-1].folder / JOB, RECORD)
    assert [job.id for job in jobs.all()] == [drafts[1].id, drafts[0].id]
    assert abs(int(drafts[0].id[:13], 16) - now * 1000) < 1, "it begins with the time, in milliseconds"
    for draft in drafts:
        draft.discard()


def test_nobody_else_on_the_machine_sees_the_photos(jobs):
    draft = jobs.draft()
    assert draft.photos.stat().st_mode & 0o777 == 0o700
    assert (draft.folder / LOCK).stat().st_mode & 0o777 == 0o600
    draft.discard()


def test_a_draft_whose_folder_is_gone_can_be_discarded(jobs):
    draft = jobs.draft()
    draft.folder.rename(draft.folder.with_name("elsewhere"))
    draft.discard()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(draft.lock)


@pytest.mark.parametrize("identity", ["0193695c4f2a1-5f0c33aa", "../" * 40, "x" * 100], ids=["such", "path", "long"])
def test_a_job_that_is_not_known_is_named(jobs, identity):
    for call in (jobs.get, jobs.cancel):
        with pytest.raises(NotFound) as refused:
            call(identity)
        assert str(refused.value) == f"There is no job {identity[:80]!r}."


def test_a_job_is_cancelled_once(jobs):
    job = started(jobs)
    for _ in range(2):
        assert jobs.cancel(job.id).state == "cancelled"
    assert (jobs.folder / job.id / CANCELLED).exists()
    assert not (jobs.folder / job.id / OPEN).exists()


def test_a_job_whose_network_is_about_to_be_served_is_not_cancelled(jobs):
    job = started(jobs)
    (jobs.folder / job.id / OPEN).rename(jobs.folder / job.id / PUBLISHING)
    assert jobs.cancel(job.id).state == "waiting"


def test_a_store_in_which_no_job_can_be_cancelled_says_so(jobs, monkeypatch):
    job = started(jobs)
    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(StoreUnavailable) as refused:
        jobs.cancel(job.id)
    assert str(refused.value) == "The store cannot cancel the job: No space left on device."


def test_what_was_skipped_and_warned_of_is_told(jobs):
    skipped = [{"name": "one/notes.txt", "why": "It is no photo."}]
    status = {"state": "done", "progress": 1.0, "metrics": METRICS, "warnings": METRICS["warnings"], "skipped": skipped}
    job = jobs.get(left(jobs, status=status).name)
    assert job == Job(
        *(job.id, "done", 1.0, "mine", "1.0.0", {"one": 1}),
        metrics=METRICS,
        warnings=("10 photos prove little.",),
        skipped=({"name": "one/notes.txt", "why": "It is no photo."},),
    )


def test_a_job_that_failed_is_not_done_because_of_another_network_of_its_name(jobs):
    folder = left(jobs)
    (jobs.networks / "mine").mkdir()
    write_json(jobs.networks / "mine" / "metrics.json", {"cross_validation": METRICS})
    assert jobs.get(folder.name).state == "failed"


@pytest.mark.parametrize("stuck", [PHOTOS, ".teaching-x"])
def test_what_cannot_be_cleared_away_does_not_hide_how_a_job_ended(jobs, stuck):
    folder = left(jobs)
    (folder / PHOTOS).rmdir()
    (folder / stuck).write_text("no folder")
    assert jobs.get(folder.name).state == "failed"


def test_an_old_job_that_cannot_be_forgotten_hinders_no_new_one(jobs, monkeypatch, tmp_path):
    monkeypatch.setattr(teach_jobs, "KEPT", 0)
    folder = left(jobs, status={"state": "done", "progress": 1.0})
    folder.rename(tmp_path / "moved")
    folder.symlink_to(tmp_path / "moved")
    assert started(jobs).state == "waiting"


def test_an_earlier_services_upload_that_cannot_be_cleared_away_hinders_no_start(jobs, tmp_path):
    (jobs.folder / "0193695c4f2a2-5f0c33aa").symlink_to(tmp_path)
    jobs.prepare()
    assert jobs.all() == []


def test_records_can_be_read_by_people(tmp_path):
    write_json(tmp_path / "status.json", {"name": "кот"})
    assert (tmp_path / "status.json").read_text(encoding="utf-8") == '{"name": "кот"}'
    assert read_json(tmp_path / "status.json") == {"name": "кот"}
    assert list(tmp_path.iterdir()) == [tmp_path / "status.json"]


def test_a_system_without_file_locks_is_told_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(OSError, match=r"^teaching over HTTP needs a system with file locks as POSIX has them$"):
        Jobs(tmp_path, {}).prepare()
