"""How much a store takes on, and what it says of jobs whose processes, folders or disk are gone."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.errors import InvalidRequest, StoreUnavailable
from app.teach import jobs as teach_jobs
from app.teach.jobs import (
    CANCELLED,
    ENDED,
    JOB,
    KEPT,
    MOST_NETWORKS,
    MOST_UNFINISHED,
    OPEN,
    PHOTOS,
    PUBLISHING,
    STATUS,
    Draft,
    Jobs,
    Photo,
    read_json,
    write_json,
)

CLASSES = {name: [Photo(f"{name}/x", "0")] for name in ("one", "two")}
RECORD = {"network": "mine", "classes": {"one": [{"name": "one/x", "file": "0"}]}}
METRICS = {"photos": 10, "warnings": ["10 photos prove little."]}


@pytest.fixture
def jobs(tmp_path) -> Jobs:
    made = Jobs(tmp_path, os.environ)
    made.prepare()
    return made


def left(jobs: Jobs, number: int = 0, mark: str = OPEN, status: dict | None = None) -> Path:
    """The folder of a job that no process holds any more."""
    folder = jobs.folder / f"{number:013x}-5f0c33aa"
    (folder / PHOTOS).mkdir(parents=True)
    (folder / mark).touch()
    write_json(folder / JOB, RECORD)
    if status:
        write_json(folder / STATUS, status)
    return folder


def started(jobs: Jobs, draft: Draft) -> teach_jobs.Job:
    return jobs.start(draft, "mine", (), CLASSES, Path("nowhere"), 1000)


def test_names_are_suggested_until_one_is_free(jobs):
    (jobs.networks / "taught-2").mkdir()
    assert jobs.free_name(None, ()) == "taught"
    assert jobs.free_name(None, ("taught", "cat")) == "taught-3"


def test_of_finished_jobs_the_newest_50_are_kept(jobs):
    folders = [left(jobs, number, status={"state": "failed", "progress": 0.0}) for number in range(KEPT + 2)]
    job = started(jobs, jobs.draft())
    assert [folder.exists() for folder in folders[:4]] == [False, False, False, True]
    assert [known.id for known in jobs.all()] == [job.id, *(folder.name for folder in folders[:2:-1])]
    jobs.close()


def test_jobs_that_are_not_finished_are_kept_however_old_they_are(jobs, monkeypatch):
    monkeypatch.setattr(teach_jobs, "KEPT", 0)
    drafts = [jobs.draft() for _ in range(2)]
    write_json(drafts[0].folder / JOB, RECORD | {"network": "other"})
    started(jobs, drafts[1])
    assert drafts[0].folder.exists()
    drafts[0].discard()
    jobs.close()


def test_a_job_whose_process_ended_while_its_network_was_served_is_done(jobs):
    folder = left(jobs, mark=PUBLISHING)
    (jobs.networks / "mine").mkdir()
    write_json(jobs.networks / "mine" / "metrics.json", {"cross_validation": METRICS})
    job = jobs.get(folder.name)
    assert (job.state, job.progress, job.metrics, job.warnings) == ("done", 1.0, METRICS, ("10 photos prove little.",))
    assert not (folder / PHOTOS).exists()


def test_a_job_whose_process_ended_while_it_wrote_its_network_has_failed_and_leaves_nothing(jobs):
    folder = left(jobs, mark=PUBLISHING)
    (folder / ".teaching-x").mkdir()
    (folder / ".teaching-x" / "model.onnx").write_bytes(b"half of it")
    job = jobs.get(folder.name)
    assert (job.state, job.error) == ("failed", ENDED)
    assert not (folder / ".teaching-x").exists()


def test_a_job_that_was_cancelled_keeps_its_photos_until_its_process_has_ended(jobs):
    draft = jobs.draft()
    write_json(draft.folder / JOB, RECORD)
    (draft.folder / CANCELLED).touch()
    assert jobs.get(draft.id).state == "cancelled"
    assert draft.photos.exists()
    os.close(draft.lock)
    assert jobs.get(draft.id).state == "cancelled"
    assert not draft.photos.exists()


def test_the_last_words_of_a_process_count_though_it_ends_just_then(jobs, monkeypatch):
    folder = left(jobs, status={"state": "running", "progress": 0.9})

    def held(_: Path) -> bool:
        write_json(folder / STATUS, {"state": "failed", "progress": 0.0, "error": "last words"})
        return False

    monkeypatch.setattr(teach_jobs, "held", held)
    assert jobs.get(folder.name).error == "last words"


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("place", ["pathlib.Path.mkdir", "os.open", "fcntl.flock"])
def test_a_disk_that_is_full_has_no_room_for_photos(jobs, monkeypatch, place):
    with monkeypatch.context() as patch:
        patch.setattr(place, full)
        with pytest.raises(StoreUnavailable, match="The store cannot make a folder for the photos: No space left"):
            jobs.draft()
    drafts = [jobs.draft() for _ in range(MOST_UNFINISHED)]
    for draft in drafts:
        draft.discard()


@pytest.mark.parametrize(
    ("place", "name"), [(teach_jobs, "write_json"), (subprocess, "Popen")], ids=["no room", "no process"]
)
def test_a_job_that_cannot_be_started_is_refused_and_can_be_discarded(jobs, monkeypatch, place, name):
    draft = jobs.draft()
    with monkeypatch.context() as patch:
        patch.setattr(place, name, full)
        with pytest.raises(StoreUnavailable, match="The store cannot start to teach: No space left"):
            started(jobs, draft)
    draft.discard()
    assert jobs.all() == []
    assert not draft.folder.exists()


def test_a_status_that_cannot_be_written_is_told_all_the_same(jobs, monkeypatch):
    folder = left(jobs)
    monkeypatch.setattr(teach_jobs, "write_json", full)
    assert jobs.get(folder.name).state == "failed"
    assert read_json(folder / STATUS) is None


def test_a_store_whose_folder_is_gone_is_said_to_be_so(jobs):
    for folder in (jobs.folder, jobs.networks):
        folder.rename(folder.with_suffix(".gone"))
    with pytest.raises(StoreUnavailable, match="The store cannot list the jobs: No such file or directory"):
        jobs.all()


def test_files_that_are_not_whole_are_none(tmp_path):
    path = tmp_path / "file.json"
    assert read_json(path) is None
    for content in (b"", b'{"state": "ru', b"\xff"):
        path.write_bytes(content)
        assert read_json(path) is None


def test_nothing_is_taught_where_files_cannot_be_locked(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(OSError, match="needs a system with file locks"):
        Jobs(tmp_path, {}).prepare()


@pytest.mark.promise("P36")
def test_a_store_holds_20_networks_and_4_unfinished_jobs(tmp_path):
    jobs = Jobs(tmp_path, {})
    jobs.prepare()
    for number in range(20):
        assert jobs.free_name(f"another-{number}", ()) == f"another-{number}"
        (jobs.networks / f"network-{number}").mkdir()
    with pytest.raises(InvalidRequest, match="at most 20 are kept"):
        jobs.free_name("another", ())
    assert (MOST_NETWORKS, MOST_UNFINISHED) == (20, 4)
