"""Photos of some classes, in a folder, come in as a job; a network in the store goes out. Each job is taught by a process of
its own, of low priority.

A job is a folder of files, so every process of the service, and every replica with the same store, can tell how it is
doing. Its process holds a lock for as long as it lives: a job that is not finished and whose lock is free has failed.
"""

import contextlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.errors import InvalidRequest, NotFound, Overloaded, StoreUnavailable
from app.teach.folder import VERSION

if sys.platform != "win32":  # pragma: no branch - tests run on POSIX
    import fcntl

FINAL = ("done", "failed", "cancelled")

MOST_UNFINISHED = 4
"""Jobs that wait, run or are being uploaded; one runs at a time."""

MOST_NETWORKS = 20
"""Networks in the store, unfinished ones included: each that is served takes memory."""

KEPT = 50
"""Finished jobs that can be asked about; older ones are forgotten."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")
ID = re.compile(r"[0-9a-f]{13}-[0-9a-f]{8}")

JOB, STATUS, LOCK, PHOTOS = "job.json", "status.json", "lock", "photos"
OPEN, CANCELLED, PUBLISHING = "open", "cancelled", "publishing"
"""A file has one of these names: whoever renames it from OPEN decides whether the job is cancelled or its network served."""

ENDED = "The process that taught it ended before it was done; teach it again."

ROOT = Path(__file__).parents[__name__.count(".")]
"""The folder that this package is imported from."""


@dataclass(frozen=True)
class Photo:
    """A photo of a job: its `name`, for people, and its `file` in the job's folder of photos."""

    name: str
    file: str


@dataclass(frozen=True)
class Job:
    """How a job is doing. `state` is waiting, running, done, failed or cancelled; `progress` 0..1; `classes` the number of
    photos of each; `error` why it failed; `metrics` what is known of the network, as its metrics.json has it, once it is
    done; `skipped` the photos that were not used, each with its name and why.
    """

    id: str
    state: str
    progress: float
    network: str
    version: str
    classes: dict[str, int]
    error: str | None = None
    metrics: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    skipped: tuple[dict[str, str], ...] = ()


@dataclass
class Draft:
    """A job whose photos are still arriving in `photos`. Its lock is held from now on."""

    id: str
    folder: Path
    lock: int
    photos: Path = field(init=False)

    def __post_init__(self) -> None:
        self.photos = self.folder / PHOTOS

    def discard(self) -> None:
        """Forget it, with its photos."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self.lock)


class Jobs:
    """The jobs of one store. `environment` is that of the processes that teach."""

    def __init__(self, store: Path, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._starting = threading.Lock()
        self.folder = store.absolute() / "jobs"
        self.networks = store.absolute() / "networks"
        self._processes: list[subprocess.Popen[bytes]] = []

    def prepare(self) -> None:
        """Make the store's folders, and end what an earlier process left unfinished. Raises OSError."""
        if sys.platform == "win32":
            raise OSError("teaching over HTTP needs a system with file locks as POSIX has them")
        for folder in (self.folder, self.networks):
            folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "turn").touch()
        for folder in self._folders():
            if not (folder / JOB).exists() and not held(folder):
                shutil.rmtree(folder, ignore_errors=True)  # was still being uploaded
        self.all()

    def free_name(self, network: str | None, taken: Collection[str]) -> str:
        """The name, or one that is free for None. `taken` are the names of networks that are served.

        Raises InvalidRequest for a name that is taken or cannot be a network's, and for one network too many, and
        StoreUnavailable.
        """
        unfinished = [job.network for job in self.all() if job.state not in FINAL]
        with unavailable("list the networks"):
            taught = [path.name for path in self.networks.iterdir() if not path.name.startswith(".")]
        names = {name.lower() for name in (*taken, *taught, *unfinished)}
        if network is None:
            network = next(name for name in _suggested() if name not in names)
        if not NAME.fullmatch(network):
            raise InvalidRequest(
                f"{network[:80]!r} cannot be a network's name, which has 1 to 60 letters, digits, - or _ and begins with a "
                "letter or digit."
            )
        if network.lower() in names:
            raise InvalidRequest(f"There is a network {network} already; choose another name, or delete it first.")
        if len(taught) + len(unfinished) >= MOST_NETWORKS:
            raise InvalidRequest(f"There are {len(taught)} taught networks; at most {MOST_NETWORKS} are kept. Delete one.")
        return network

    def draft(self) -> Draft:
        """A new job. Raises Overloaded while too many are unfinished, and StoreUnavailable."""
        identity = f"{int(time.time() * 1000):013x}-{secrets.token_hex(4)}"
        with self._starting, unavailable("make a folder for the photos"):
            unfinished = sum(self._unfinished(folder) for folder in self._folders())
            if unfinished >= MOST_UNFINISHED:
                raise Overloaded(f"{unfinished} networks are being taught or waiting for it; retry later.", retry_after=30)
            folder = self.folder / identity
            (folder / PHOTOS).mkdir(parents=True, mode=0o700)
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
        return Draft(identity, folder, lock)

    def start(
        self,
        draft: Draft,
        network: str | None,
        taken: Collection[str],
        classes: Mapping[str, Sequence[Photo]],
        begin: Path,
        max_pixels: int,
    ) -> Job:
        """Teach the photos that have arrived, beginning from the network in the folder `begin`. The draft's lock passes to
        the process that does. Raises what `free_name` raises; the draft is then as it was.
        """
        with self._starting, unavailable("start to teach"):
            record = {
                "network": self.free_name(network, taken),
                "begin": str(begin.absolute()),
                "networks": str(self.networks),
                "max_pixels": max_pixels,
                "classes": {name: [vars(photo) for photo in photos] for name, photos in classes.items()},
            }
            (draft.folder / OPEN).touch()
            write_json(draft.folder / JOB, record)
            process = subprocess.Popen(  # noqa: S603 - our own module, and a folder that we named
                [sys.executable, "-m", "app.teach.worker", str(draft.folder)],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                process_group=0,  # not a session of its own, to which Linux would give as much time as to the service
                pass_fds=(draft.lock,),
            )
        self._processes.append(process)
        os.close(draft.lock)
        self._forget_old()
        return self.get(draft.id)

    def get(self, identity: str) -> Job:
        """Raises NotFound for a job that is not known."""
        self._reap()
        if not ID.fullmatch(identity) or (job := _read(self.folder / identity, self.networks)) is None:
            raise NotFound(f"There is no job {identity[:80]!r}.")
        return job

    def all(self) -> list[Job]:
        """Every job that is known, the newest first."""
        self._reap()
        jobs = (_read(folder, self.networks) for folder in self._folders())
        return [job for job in jobs if job]

    def cancel(self, identity: str) -> Job:
        """Cancel a job, unless it has finished. Raises NotFound."""
        self.get(identity)
        folder = self.folder / identity
        with unavailable("cancel the job"), contextlib.suppress(FileNotFoundError):
            os.rename(folder / OPEN, folder / CANCELLED)
        return self.get(identity)

    def close(self) -> None:
        """End the processes that teach; their jobs have failed then."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait()
        self.all()

    def _unfinished(self, folder: Path) -> bool:
        """Whether a job waits, runs or is being uploaded."""
        job = _read(folder, self.networks)
        return job.state not in FINAL if job else held(folder)

    def _reap(self) -> None:
        self._processes = [process for process in self._processes if process.poll() is None]

    def _folders(self) -> list[Path]:
        with unavailable("list the jobs"):
            return sorted((path for path in self.folder.iterdir() if ID.fullmatch(path.name)), reverse=True)

    def _forget_old(self) -> None:
        for job in self.all()[KEPT:]:
            if job.state in FINAL:
                shutil.rmtree(self.folder / job.id, ignore_errors=True)


def _suggested() -> Iterable[str]:
    yield "taught"
    number = 2
    while True:
        yield f"taught-{number}"
        number += 1


def _read(folder: Path, networks: Path) -> Job | None:
    """What the files of a job say; None if there is no such job, or its photos are still arriving."""
    record = read_json(folder / JOB)
    if record is None:
        return None
    status = read_json(folder / STATUS) or {"state": "waiting", "progress": 0.0}
    if status["state"] not in FINAL:
        if (folder / CANCELLED).exists():
            status |= {"state": "cancelled"}
        elif not held(folder):
            status = read_json(folder / STATUS) or status  # its last words may have come just now
            if status["state"] not in FINAL:
                status |= _ended(folder, networks / record["network"])
        if status["state"] in FINAL and not held(folder):
            shutil.rmtree(folder / PHOTOS, ignore_errors=True)
            with contextlib.suppress(OSError):
                write_json(folder / STATUS, status)
    return Job(
        id=folder.name,
        state=status["state"],
        progress=status["progress"],
        network=record["network"],
        version=VERSION,
        classes={name: len(photos) for name, photos in record["classes"].items()},
        error=status.get("error"),
        metrics=status.get("metrics"),
        warnings=tuple(status.get("warnings", ())),
        skipped=tuple(status.get("skipped", ())),
    )


def _ended(folder: Path, network: Path) -> dict[str, Any]:
    """The status of a job whose process has ended without a word: it was done if it had come to serving its network."""
    metrics = read_json(network / "metrics.json") if (folder / PUBLISHING).exists() else None
    if metrics is None:
        for left in folder.glob(".teaching-*"):
            shutil.rmtree(left, ignore_errors=True)
        return {"state": "failed", "error": ENDED}
    known = metrics["cross_validation"]
    return {"state": "done", "progress": 1.0, "metrics": known, "warnings": known["warnings"]}


def held(folder: Path) -> bool:
    """Whether the process that teaches this job lives, or the one that receives its photos."""
    try:
        with (folder / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a file that is always whole. Raises OSError."""
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")
    part.replace(path)


def read_json(path: Path) -> dict[str, Any] | None:
    """The file's record; None where there is none that is whole."""
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record


@contextlib.contextmanager
def unavailable(what: str) -> Any:
    """Turn what goes wrong with the store into StoreUnavailable."""
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(f"The store cannot {what}: {error.strerror or error}.") from error
