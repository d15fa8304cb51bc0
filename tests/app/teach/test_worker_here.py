"""What the process that teaches does with its job, in this process: most of it with photos that were looked at before."""

import contextlib
import faulthandler
import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from app.inference.cage import photos as caged
from app.inference.networks.contract import load
from app.teach import photos, worker
from app.teach.jobs import CANCELLED, JOB, OPEN, PHOTOS, PUBLISHING, STATUS, Job, Jobs, read_json, write_json
from app.teach.photos import Seen, Skipped
from tests.app.teach.test_written_network import seen
from tests.conftest import ROOT, encoded

CLASSES = ("ann", "bob", "кот")
LOOKED_AT = [*seen(30), Skipped("ann/notes.jpg", "It is no photo.")]


@dataclass
class Ran:
    """What a process would have done to itself."""

    niceness: list[int] = field(default_factory=list)
    watched: list[tuple[float, dict]] = field(default_factory=list)
    decoding: list[tuple[str, float]] = field(default_factory=list)


@pytest.fixture
def jobs(tmp_path) -> Jobs:
    made = Jobs(tmp_path, {})
    made.prepare()
    return made


@pytest.fixture
def job(jobs) -> Iterator[Path]:
    """A job, held as by its process, which is yet to begin."""
    draft = jobs.draft()
    (draft.folder / OPEN).touch()
    recorded(draft.folder)
    (draft.photos / "ann0").write_bytes(b"photo")
    yield draft.folder
    os.close(draft.lock)


def recorded(job: Path, classes: tuple[str, ...] = CLASSES, count: int = 10, **changed: object) -> None:
    """Write a job's record: so many photos of each class."""
    photos_of = {name: [{"name": f"{name}/{n}", "file": f"{name}{n}"} for n in range(count)] for name in classes}
    networks = str(job.parent.parent / "networks")
    record: dict[str, object] = {"network": "mine", "begin": str(ROOT / "model" / "cat"), "networks": networks}
    write_json(job / JOB, record | {"max_pixels": 10_000, "classes": photos_of} | changed)


@pytest.fixture
def ran(job, monkeypatch) -> Iterator[Ran]:
    """In this process, which stays as nice as it is, and is not ended."""
    did = Ran()
    monkeypatch.setattr("sys.argv", ["app.teach.worker", str(job)])
    monkeypatch.setattr(os, "nice", did.niceness.append)
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda *s, **how: did.watched.append((*s, how)))
    monkeypatch.setattr(caged, "prepare", lambda formats, seconds: did.decoding.append((formats, seconds)))
    before = signal.getsignal(signal.SIGALRM)
    yield did
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def looking(ran, monkeypatch) -> Callable[..., None]:
    """Have LOOKED_AT, or others, come of the photos, and something happen after each."""

    def replace(after: Callable[[int], object] = lambda _: None, looked_at: list[Seen | Skipped] = LOOKED_AT) -> None:
        def look(*_: object) -> Iterator[Seen | Skipped]:
            for number, photo in enumerate(looked_at, 1):
                yield photo
                after(number)

        monkeypatch.setattr(worker, "look", look)

    return replace


def status(job: Path) -> dict:
    return read_json(job / STATUS) or {}


def asked(jobs: Jobs, job: Path) -> Job:
    return jobs.get(job.name)


def test_photos_become_a_network_and_are_gone(jobs, job, ran, monkeypatch):
    """The only test here that looks at photos: grey ones and coloured ones, one of too many pixels, and a file that is none."""
    recorded(job, CLASSES[:2], count=8)
    random = np.random.default_rng(0)
    for name, channels in (("ann", 1), ("bob", 3)):
        for number in range(8):
            noise = random.integers(0, 255, (40, 40, channels), np.uint8).repeat(3 // channels, axis=2)
            (job / PHOTOS / f"{name}{number}").write_bytes(encoded(Image.fromarray(noise), "PNG"))
    (job / PHOTOS / "ann6").write_bytes(b"no photo")
    (job / PHOTOS / "ann7").write_bytes(encoded(Image.new("RGB", (101, 100)), "PNG"))
    threads, decode = set(), photos.decode

    def decoded(*arguments: object) -> object:
        threads.add(threading.current_thread().name)
        return decode(*arguments)

    monkeypatch.setattr(photos, "decode", decoded)
    worker.main()
    done = asked(jobs, job)
    assert (done.state, done.progress, done.error) == ("done", 1.0, None)
    assert done.metrics["photos"] == 14
    assert done.metrics["confusion"] == [[6, 0], [0, 8]]
    assert done.metrics["int8"]["sets"]["cross-validation"]["photos"] == 14
    assert done.warnings == tuple(done.metrics["warnings"])
    assert "6 photos of ann prove little; 20 would do." in done.warnings
    assert [photo["name"] for photo in done.skipped] == ["ann/6", "ann/7"]
    assert "10,000" in done.skipped[1]["why"] or "10000" in done.skipped[1]["why"]
    assert load(jobs.networks / "mine").classes == ("ann", "bob")
    assert not (job / PHOTOS).exists()
    assert len(threads) == 1, "more would take the service's time"


def test_it_gives_way_is_watched_and_has_rare_parsers_in_a_cage(job, ran, looking):
    left = []
    looking(lambda _: left.append(signal.getitimer(signal.ITIMER_REAL)[0]))
    worker.main()
    assert ran.niceness == [10]
    assert ran.watched == [(610, {"exit": True})]
    assert ran.decoding == [("rare", 10)]
    assert 500 < left[-1] <= left[0] <= 600
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0, "its time is not over while it clears up"


def test_its_progress_is_said_four_times_a_second_at_most(job, looking, monkeypatch):
    now = [100.0]
    told = []

    def after(number: int) -> None:
        now[0] += 0.0625
        if not told or told[-1] != status(job):
            told.append(status(job))

    monkeypatch.setattr(worker, "time", SimpleNamespace(monotonic=lambda: now[0]))
    looking(after, LOOKED_AT[:30])
    worker.main()
    assert told == [
        {"state": "running", "progress": progress}
        for progress in (0.0317, 0.19, 0.3483, 0.5067, 0.665, 0.8233)  # 1, 6, 11 and so on of 30, of 95 %
    ]


def test_what_it_did_not_use_and_warns_of_is_told_with_its_figures(jobs, job, looking):
    looking()
    worker.main()
    done = asked(jobs, job)
    assert (done.state, done.progress) == ("done", 1.0)
    assert done.skipped == ({"name": "ann/notes.jpg", "why": "It is no photo."},)
    assert done.warnings == tuple(done.metrics["warnings"]) != ()
    written = read_json(jobs.networks / "mine" / "metrics.json")
    assert done.metrics == written["cross_validation"]
    assert load(jobs.networks / "mine").classes == CLASSES


def test_it_waits_until_no_other_job_runs(jobs, job, looking, monkeypatch):
    looking()
    waited, sleep = [], time.sleep
    with (job.parent / "turn").open("r+") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)

        def slept(seconds: float) -> None:
            assert seconds < 1, "it begins soon after its turn has come"
            sleep(seconds / 100)
            waited.append(asked(jobs, job).state)
            if len(waited) == 3:
                fcntl.flock(turn, fcntl.LOCK_UN)

        monkeypatch.setattr(time, "sleep", slept)
        worker.main()
        assert waited == ["waiting"] * 3
        assert asked(jobs, job).state == "done"
        fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)  # it is the next one's turn


def test_no_other_job_runs_while_it_does(job, looking):

    def after(_: int) -> None:
        with (job.parent / "turn").open("r+") as turn, pytest.raises(BlockingIOError):
            fcntl.flock(turn, fcntl.LOCK_SH | fcntl.LOCK_NB)

    looking(after)
    worker.main()
    assert status(job)["state"] == "done"


def test_it_may_be_cancelled_while_it_waits(jobs, job, ran, monkeypatch):
    with (job.parent / "turn").open("r+") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        monkeypatch.setattr(time, "sleep", lambda _: jobs.cancel(job.name))
        worker.main()
    assert status(job) == {"state": "cancelled", "progress": 0.0}
    assert not (job / PHOTOS).exists()


def test_it_may_be_cancelled_while_it_looks(jobs, job, looking):
    looked = []

    def after(number: int) -> None:
        looked.append(number)
        if number == 2:
            jobs.cancel(job.name)

    looking(after)
    worker.main()
    assert status(job) == {"state": "cancelled", "progress": 0.0}
    assert looked == [1, 2]
    assert list(jobs.networks.iterdir()) == []


def test_it_may_be_cancelled_until_its_network_appears(jobs, job, looking, monkeypatch):
    teach = worker.teach

    def cancelled(*arguments: object) -> object:
        jobs.cancel(job.name)
        return teach(*arguments)

    looking()
    monkeypatch.setattr(worker, "teach", cancelled)
    worker.main()
    assert status(job) == {"state": "cancelled", "progress": 0.0}
    assert list(jobs.networks.iterdir()) == []


def test_its_network_lies_in_the_job_until_it_is_whole(jobs, job, looking, monkeypatch):
    """So that what a process that is killed leaves is deleted with its job."""
    moves, rename = [], os.rename

    def renamed(part: Path, into: Path) -> None:
        moves.append((part.parent, into, (job / PUBLISHING).exists()))
        rename(part, into)

    looking()
    monkeypatch.setattr(os, "rename", renamed)
    worker.main()
    assert moves == [(job, job / PUBLISHING, False), (job, jobs.networks / "mine", True)]


def failed(why: str) -> dict:
    return {"state": "failed", "progress": 0.0, "error": why}


def test_it_ends_when_its_time_is_over(jobs, job, looking):
    looking(lambda _: signal.raise_signal(signal.SIGALRM))
    worker.main()
    assert status(job) == failed("Teaching took longer than 600 s.")
    assert not (job / PHOTOS).exists()


@pytest.mark.parametrize("cancelled", [False, True])
def test_its_end_is_told_though_what_is_not_written_in_python_takes_it_for_an_error(job, looking, cancelled):
    """As a module does that is being imported. Whoever has cancelled the job is told that."""

    def importing(_: int) -> None:
        with contextlib.suppress(BaseException):
            signal.raise_signal(signal.SIGALRM)
        if not cancelled:
            raise ImportError("initialization failed")
        (job / CANCELLED).touch()

    looking(importing)
    worker.main()
    assert status(job)["state"] == "cancelled" if cancelled else status(job) == failed("Teaching took longer than 600 s.")


def test_it_has_not_failed_where_its_network_was_about_to_be_served(jobs, job, looking, monkeypatch):
    """Somebody would be told so of a network that answers."""
    write = worker.network_folder.write

    def written(*arguments: object, **options: object) -> None:
        write(*arguments, **options)
        signal.raise_signal(signal.SIGALRM)

    looking()
    monkeypatch.setattr(worker.network_folder, "write", written)
    worker.main()
    assert asked(jobs, job).state == "done"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (
            {"begin": str(ROOT / "model" / "dense")},
            "teaching starts from the network cat; dense has no stages head and evidence",
        ),
        ({"network": "taken"}, "{}/networks/taken holds something already; choose another name, or delete it first"),
    ],
    ids=["another network", "a taken name"],
)
def test_a_network_that_cannot_be_taught_is_told_why(jobs, job, looking, tmp_path, changed, why):
    (jobs.networks / "taken").mkdir()
    (jobs.networks / "taken" / "contract.json").touch()
    recorded(job, **changed)
    looking()
    worker.main()
    assert status(job) == failed(why.format(tmp_path))
    assert not (job / PHOTOS).exists()


def test_photos_that_do_not_do_are_told_why(job, looking):
    looking(looked_at=LOOKED_AT[-3:])
    worker.main()
    assert status(job) == failed("Of class ann, 0 photos can be used; at least 5 are needed. ann/notes.jpg: It is no photo.")


def test_a_bug_is_not_told_to_clients_and_is_left_to_the_log(job, looking):
    def after(_: int) -> None:
        raise ZeroDivisionError("a secret")

    looking(after)
    with pytest.raises(ZeroDivisionError, match="a secret"):
        worker.main()
    assert status(job) == failed("A bug in Catscope prevented it; the log has the details.")
    assert not (job / PHOTOS).exists()


def test_a_job_whose_folder_is_deleted_ends_and_makes_none(jobs, job, looking):
    looking(lambda _: job.rename(job.with_suffix(".deleted")))
    worker.main()
    assert not job.exists()
    job.with_suffix(".deleted").rename(job)
    assert asked(jobs, job).state == "running"


def test_photos_that_are_gone_already_are_no_bug(job, looking):
    looking(lambda _: (job / PHOTOS).rename(job / "elsewhere"), LOOKED_AT[:1])
    worker.main()
    assert status(job) == failed("Of class ann, 1 photos can be used; at least 5 are needed.")
