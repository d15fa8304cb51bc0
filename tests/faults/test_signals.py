"""Signals while clients send photos: what was sent on an accepted connection is always answered."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.clients import form
from tests.conftest import COMMAND, ROOT, environment, serving
from tests.faults.clients import HANG_S, Connection, tiny
from tests.faults.service import begun, nobody_listens, stopped_under_load, upload_begun
from tests.record import record

INTERRUPTED = (0, 130, -signal.SIGINT)
"""How a process ends after Ctrl-C: 130 is what a shell makes of the signal."""


@pytest.mark.promise("P27")
@pytest.mark.parametrize("wait_s", [0.1, 0.6])
def test_nothing_is_lost_when_it_is_stopped_under_load(cat_image, wait_s):
    tally, status = stopped_under_load(tiny(cat_image), wait_s)
    assert (tally.lost, tally.wrong) == ([], [])
    assert status in (0, -signal.SIGTERM)


@pytest.mark.promise("P27")
@pytest.mark.soak
def test_nothing_is_lost_in_fifty_stops_under_load(cat_image):
    photo, moments = tiny(cat_image), random.Random(50)
    answers, refused, closed, lost = Counter(), 0, 0, []
    for turn in range(50):
        tally, status = stopped_under_load(photo, moments.uniform(0, 1.5))
        assert tally.wrong == []
        assert status in (0, -signal.SIGTERM)
        answers += tally.answers
        refused, closed = refused + tally.refused, closed + tally.closed
        lost += tally.lost
        print(f"stop {turn + 1}: {dict(tally.answers)}, {tally.refused} refused, lost {tally.lost}", flush=True)
    assert lost == []
    record(
        "sigterm under load",
        times=50,
        answered=answers[200],
        lost=0,
        told_to_come_again=answers[503],
        refused_connections=refused,
        connections_closed_while_idle=closed,
    )


@pytest.mark.promise("P28")
@pytest.mark.parametrize("size", [50_000, 2_000_000])
def test_a_slow_upload_that_has_started_is_finished_after_sigterm(model_dir, cat_photo, size):
    body = form(cat_photo + bytes(size))
    with serving(*COMMAND, model_dir=model_dir) as (process, url), upload_begun(url, body) as connection:
        connection.sendall(body[:20_000])
        process.send_signal(signal.SIGTERM)
        nobody_listens(url)
        step = len(body) // 10
        for at in range(20_000, len(body), step):
            time.sleep(0.1)
            connection.sendall(body[at : at + step])
        received = connection.recv(4096)
        assert received.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in received.lower()
        assert process.wait(HANG_S) in (0, -signal.SIGTERM)


@pytest.mark.promise("P28")
def test_an_open_connection_that_is_idle_is_answered_once_more_while_the_service_stops(model_dir, cat_photo):
    ask = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    body = form(cat_photo)
    with (
        serving(*COMMAND, model_dir=model_dir) as (process, url),
        Connection(url) as idle,
        Connection(url) as asking,
        upload_begun(url, body) as connection,
    ):
        assert idle.ask(ask).status == 200
        asking.socket.sendall(ask[:20])
        process.send_signal(signal.SIGTERM)
        nobody_listens(url)
        asking.socket.sendall(ask[20:])
        for answer in (idle.ask(ask), asking.answer()):
            assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert process.poll() is None, "it waits for the upload"
        connection.sendall(body)
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        assert process.wait(HANG_S) in (0, -signal.SIGTERM)


@pytest.mark.parametrize("processes", [1, 2])
def test_ctrl_c_ends_it_without_a_traceback(model_dir, processes):
    with serving(*COMMAND, model_dir=model_dir, processes=processes) as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(HANG_S) in INTERRUPTED
        log = process.stderr.read()
        assert "Traceback" not in log
        assert "ERROR" not in log


@pytest.mark.parametrize("processes", [1, 2])
def test_a_second_ctrl_c_ends_it_although_a_client_still_sends(model_dir, cat_photo, processes):
    with (
        serving(*COMMAND, model_dir=model_dir, processes=processes) as (process, url),
        upload_begun(url, form(cat_photo)),
    ):
        process.send_signal(signal.SIGINT)
        nobody_listens(url)
        assert process.poll() is None, "it waits for the upload"
        process.send_signal(signal.SIGINT)
        assert process.wait(HANG_S / 4) in INTERRUPTED


@pytest.mark.parametrize("wait_s", [0.3, 0.6, 0.9, 1.2])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_stop_while_it_is_starting_ends_it_without_an_error(model_dir, processes, wait_s):
    process = begun(model_dir, processes)
    try:
        time.sleep(wait_s)
        process.send_signal(signal.SIGTERM)
        log = process.communicate(timeout=HANG_S)[1]
    finally:
        process.kill()
        process.wait()
    assert process.returncode in (0, -signal.SIGTERM)
    assert "Traceback" not in log
    assert "ERROR" not in log


BEGUN_AND_HALTED = """
import runpy, sys

class Halt:
    def find_spec(name, path=None, target=None):
        if name == "{module}":
            sys.meta_path.remove(Halt)
            print("halted", flush=True)
            sys.stdin.read()
            sys.exit("it went on")

sys.meta_path.insert(0, Halt)
runpy.run_module("app", run_name="__main__", alter_sys=True)
"""
"""A start that stays where it imports this module until standard input ends, and then gives up."""


BEGUN_AND_HALTED_AT_RUN = """
import runpy, sys, uvicorn

def halted(server, sockets, run=uvicorn.Server.run):
    print("halted", flush=True)
    sys.stdin.read()
    run(server, sockets)

uvicorn.Server.run = halted
runpy.run_module("app", run_name="__main__", alter_sys=True)
"""
"""A start that stays where uvicorn begins, before it has handlers of its own, until standard input ends."""


@pytest.fixture
def as_first() -> list[str]:
    """What runs a command as process 1 of a namespace, as in a container, and ends with its status."""
    own = ["--user", "--map-root-user"] if os.geteuid() else []
    command = ["unshare", *own, "--pid", "--fork", "--kill-child"]
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no namespaces of processes here: {error}")
    return command


def first(unshare: subprocess.Popen[str]) -> int:
    """The id by which the tests know that process 1."""
    return int(Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children").read_text())


def halted_and_signalled(command: list[str], code: str, number: int, **settings: object) -> tuple[int, str]:
    """Send a signal to a start that has halted, and let it go on: how it ended, and its log."""
    process = subprocess.Popen(
        [*command, sys.executable, "-c", code],
        cwd=ROOT,
        env=environment(port=0, **settings),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "halted\n", process.stderr.read()
        os.kill(first(process), number)
        log = process.communicate(timeout=HANG_S)[1]
    finally:
        process.kill()
        process.wait()
    return process.returncode, log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("module", ["app.commands.serve", "fastapi", "app.server.processes"])
def test_a_stop_of_a_containers_first_process_is_not_lost_while_it_imports(as_first, model_dir, module, number):
    code = BEGUN_AND_HALTED.format(module=module)
    assert halted_and_signalled(as_first, code, number, model_dir=model_dir) == (128 + number, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_of_a_containers_first_process_is_not_lost_where_the_server_takes_over(as_first, model_dir, number):
    status, log = halted_and_signalled(as_first, BEGUN_AND_HALTED_AT_RUN, number, model_dir=model_dir)
    assert status == 0
    assert "Traceback" not in log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_containers_first_process_that_serves_stops_with_0(as_first, model_dir, processes, number):
    with serving(*as_first, *COMMAND, model_dir=model_dir, processes=processes) as (process, _):
        os.kill(first(process), number)
        assert process.wait(HANG_S) == 0
        assert "Traceback" not in process.stderr.read()
