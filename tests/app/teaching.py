"""What the tests of teaching share: photos of two classes, and waiting for jobs and for the processes that teach."""

import time
from collections.abc import Callable
from pathlib import Path

import httpx2
from fastapi.testclient import TestClient

from app.teach import jobs as teach_jobs
from app.teach.jobs import FINAL
from tests.conftest import ROOT

MODEL = ROOT / "model"
CLASSES = {"a cat": "cat", "coffee & <rockets>": "not_cat"}


def photos(photo_folder: Path, count: int = 6, first: int = 0) -> list[tuple[str, tuple[str, bytes]]]:
    """The parts of a form: so many photos of each of CLASSES."""
    return [
        (name, (path.name, path.read_bytes()))
        for name, source in CLASSES.items()
        for path in sorted((photo_folder / source).iterdir())[first : first + count]
    ]


def finished(client: TestClient | httpx2.Client, job: str, seconds: float = 120) -> dict:
    """The job, once it has come to its end."""
    for _ in range(int(seconds / 0.1)):
        answer = client.get(f"/teach/{job}").json()
        if answer["state"] in FINAL:
            return answer
        time.sleep(0.1)
    raise AssertionError(f"the job does not end: {answer}")


def wait_until_free(folder: Path) -> None:
    for _ in range(600):
        if not teach_jobs.held(folder):
            return
        time.sleep(0.1)
    raise AssertionError("the process that teaches does not end")


def processes_of(job: str) -> list[int]:
    """The processes that teach it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if job.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def wait_for(reached: Callable[[], bool]) -> None:
    for _ in range(300):
        if reached():
            return
        time.sleep(0.1)
    raise AssertionError("it does not come to that")
