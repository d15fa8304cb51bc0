"""The folder of a job comes in; a network in the store goes out. A process of its own, which the service starts:

    python -m app.teach.worker FOLDER

It gives way to the service by its priority, uses one thread, and ends after LONGEST_S + STALLED_S at the latest.
"""

import faulthandler
import fcntl
import os
import shutil
import signal
import sys
import threading
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from app.errors import InvalidRequest, NetworkError
from app.inference.cage import photos
from app.inference.networks import contract
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.teach import folder as network_folder
from app.teach import twin
from app.teach.jobs import CANCELLED, JOB, OPEN, PHOTOS, PUBLISHING, STATUS, read_json, write_json
from app.teach.photos import File, Seen, Skipped, look
from app.teach.teach import Taught, teach

LONGEST_S = 600
"""Seconds for a job, from when it runs."""

STALLED_S = 10
"""Seconds more until the process is ended from outside of Python: a parser that does not return lets no handler of a signal
end the job, and its turn would never be over.
"""

DECODING_S = 10
"""Seconds that a photo of a rare format may take to be decoded."""

NICENESS = 10
"""A tenth of a core's time, where the service wants all of it."""

LOOKED = 0.95
"""The progress when every photo has been looked at."""


class _Cancelled(Exception):
    """Somebody has cancelled the job."""


class _TooLong(BaseException):
    """The job's time is over. No Exception, so that what is under way does not take it for an error of its own, as only what
    is not written in Python does.
    """

    def __init__(self) -> None:
        super().__init__(f"Teaching took longer than {LONGEST_S} s.")


_over = threading.Event()
"""Set when the job's time is."""


def main() -> None:
    """Teach the job in the folder that the command line names. What goes wrong stands in its status."""
    os.nice(NICENESS)
    job = Path(sys.argv[1])
    try:
        _in_time(job)
    except _Cancelled:
        _say(job, state="cancelled", progress=0.0)
    except (InvalidRequest, NetworkError, _TooLong) as error:
        _say(job, state="failed", progress=0.0, error=str(error))
    except Exception:
        _say(job, state="failed", progress=0.0, error="A bug in Catscope prevented it; the log has the details.")
        raise
    finally:
        signal.alarm(0)
        shutil.rmtree(job / PHOTOS, ignore_errors=True)


def _in_time(job: Path) -> None:
    _over.clear()
    try:
        _run(job)
    except _Cancelled:
        raise
    except Exception as error:
        if _over.is_set():
            raise _TooLong from error
        raise


def _run(job: Path) -> None:
    record = read_json(job / JOB)
    assert record
    with (job.parent / "turn").open("r+") as turn:
        while not _taken(turn.fileno()):
            _check(job)
            time.sleep(0.2)
        signal.signal(signal.SIGALRM, _too_long)
        signal.alarm(LONGEST_S)
        faulthandler.dump_traceback_later(LONGEST_S + STALLED_S, exit=True)
        photos.prepare("rare", DECODING_S)
        begin = contract.load(Path(record["begin"]))
        network_folder.check_start(begin)
        classes = {
            name: [File(photo["name"], partial(_read, job / PHOTOS / photo["file"])) for photo in given]
            for name, given in record["classes"].items()
        }
        total = sum(map(len, classes.values()))
        looked_at: list[Seen | Skipped] = []
        said = 0.0
        with closing(look(classes, OnnxNetwork(begin), record["max_pixels"], 1, twin.eyes(begin))) as looks:
            for photo in looks:
                _check(job)
                looked_at.append(photo)
                if time.monotonic() > said + 0.25:
                    _say(job, state="running", progress=round(LOOKED * len(looked_at) / total, 4))
                    said = time.monotonic()
        taught = teach(tuple(classes), looked_at)
        _publish(job, record, taught, begin)


def _publish(job: Path, record: dict[str, Any], taught: Taught, begin: contract.Contract) -> None:
    """Let the network appear, whole, unless somebody has cancelled the job."""
    try:
        os.rename(job / OPEN, job / PUBLISHING)
    except FileNotFoundError:
        raise _Cancelled from None
    signal.signal(signal.SIGALRM, signal.SIG_IGN)  # a network that has appeared is served, so its job has not failed
    network = Path(record["networks"]) / record["network"]
    network_folder.write(taught, begin, network, within=job)
    written = read_json(network / "metrics.json")
    assert written
    _say(
        job,
        state="done",
        progress=1.0,
        metrics=written["cross_validation"],
        warnings=taught.warnings,
        skipped=[{"name": photo.name, "why": photo.why} for photo in taught.skipped],
    )


def _taken(turn: int) -> bool:
    """Whether it is this job's turn: one runs at a time, of all services with this store."""
    try:
        fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _check(job: Path) -> None:
    if (job / CANCELLED).exists() or not job.exists():
        raise _Cancelled


def _read(path: Path) -> bytes:
    return path.read_bytes()


def _say(job: Path, **status: Any) -> None:
    if job.exists():
        write_json(job / STATUS, status)


def _too_long(number: int, frame: FrameType | None) -> NoReturn:
    _over.set()
    raise _TooLong


if __name__ == "__main__":
    main()
