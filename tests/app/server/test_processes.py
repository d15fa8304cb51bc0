"""A parent and its processes where the system gives no more of them, as under a container's limit."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT
from tests.faults.clients import HANG_S

PARENT = """
import errno, logging, os, socket, sys, tempfile

os.environ["PROMETHEUS_MULTIPROC_DIR"] = shared = tempfile.mkdtemp()
from app.server import processes
from app.settings import Settings

def fork(fork=os.fork):
    if os.path.exists(sys.argv[1]):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return fork()

def serve(listening, link):
    os.write(link.ready, b"!")
    logging.info("%d serves", os.getpid())
    os.read(link.alive, 1)
    logging.info("%d is an orphan", os.getpid())
    return 0

os.fork = fork
processes.RESTART_S, processes.FAILED_RESTART_S = 0, 0.01
logging.basicConfig(level=logging.INFO, format="%(message)s")
status = processes.Processes(Settings(processes=2), socket.create_server(("127.0.0.1", 0)), serve, shared).run()
logging.info("the folder of metrics %s", "stays" if os.path.exists(shared) else "is gone")
sys.exit(status)
"""
"""Two processes that serve nothing; while the file that is its argument exists, no other can be started."""

REFUSED = "cannot start a process: Resource temporarily unavailable\n"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="several processes are forked")


@pytest.fixture
def limit(tmp_path):
    """The file that forbids another process."""
    return tmp_path / "limit"


@contextlib.contextmanager
def begun(limit) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", PARENT, limit]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str], end: str) -> str:
    """What stands before `end` in the next line of the log that ends so; nothing may fail until then."""
    for text in process.stderr:
        assert "Traceback" not in text, process.stderr.read()
        assert "orphan" not in text
        if text.rstrip().endswith(end):
            return text.rstrip().removesuffix(end)
    pytest.fail(f"the log ended without {end!r}")


def stopped(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Ask the parent to end: its status, and the rest of the log."""
    process.send_signal(signal.SIGTERM)
    log = process.communicate(timeout=HANG_S)[1]
    return process.returncode, log.replace(REFUSED, "")


def test_a_process_that_cannot_be_replaced_yet_leaves_the_other_alone_and_is_tried_again(limit):
    with begun(limit) as process:
        stays, dies = (int(line(process, " serves")) for _ in range(2))
        limit.touch()
        os.kill(dies, signal.SIGKILL)
        for _ in range(2):
            line(process, "unavailable")
        os.kill(stays, 0)
        limit.unlink()
        assert int(line(process, " serves")) not in (stays, dies)
        os.kill(stays, 0)
        assert stopped(process) == (0, "the folder of metrics is gone\n")


def test_a_process_that_ends_while_another_is_missing_is_noticed_and_replaced(limit):
    with begun(limit) as process:
        pids = [int(line(process, " serves")) for _ in range(2)]
        limit.touch()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            assert line(process, " ended with -9; starting another") == f"process {pid}"
        line(process, "unavailable")
        limit.unlink()
        assert {int(line(process, " serves")) for _ in range(2)}.isdisjoint(pids)
        assert stopped(process) == (0, "the folder of metrics is gone\n")


@pytest.mark.parametrize("deaths", [1, 2])
def test_a_stop_while_a_process_is_missing_ends_everything(limit, deaths):
    with begun(limit) as process:
        pids = [int(line(process, " serves")) for _ in range(2)]
        limit.touch()
        for pid in pids[:deaths]:
            os.kill(pid, signal.SIGKILL)
            line(process, "starting another")
        line(process, "unavailable")
        assert stopped(process) == (0, "the folder of metrics is gone\n")


def test_a_start_without_any_process_fails_with_its_reason(limit):
    limit.touch()
    with begun(limit) as process:
        log = process.communicate(timeout=HANG_S)[1]
        assert (process.returncode, log) == (1, f"{REFUSED}the folder of metrics is gone\n")
