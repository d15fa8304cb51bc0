"""Several processes behind one port: one that dies is replaced, the others carry on, and all end together."""

import contextlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from benchmarks.clients import form
from tests.conftest import COMMAND, accepts, encoded, serving
from tests.conftest import command as run
from tests.faults.clients import HANG_S, Connection, Tally, load, request, tiny, wait_until
from tests.faults.service import MODEL, ask, nobody_listens, number, stopped_under_load, upload_begun
from tests.record import record


@pytest.fixture(autouse=True)
def folder_of_metrics(tmp_path, monkeypatch) -> Path:
    """Where the processes share their metrics: a folder that this test can inspect and that is removed afterwards."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    return tmp_path / "tmp"


def children(pid: int) -> list[int]:
    """The running child processes of a process."""
    pids = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                pids.append(int(stat.parent.name))
    return sorted(pids)


def state(pid: int) -> str:
    """R, S, T, Z ... as Linux names it; empty for a process that is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


def halt(pid: int) -> None:
    """Suspend a process."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: state(pid) == "T", f"{pid} halts")


@contextlib.contextmanager
def alone(pid: int, parent: int) -> Iterator[None]:
    """Let only this one of the serving processes answer."""
    others = [other for other in children(parent) if other != pid]
    for other in others:
        halt(other)
    try:
        yield
    finally:
        for other in others:
            os.kill(other, signal.SIGCONT)


def connections(pid: int) -> int:
    """How many connections a process has accepted and not closed."""
    own_sockets = set()
    for file in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            own_sockets.add(os.readlink(f"/proc/{pid}/fd/{file}"))
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return sum(f"socket:[{row[9]}]" in own_sockets for row in rows if row[3] != "0A")  # 0A: it only listens


def each_is_ready(process, url: str, count: int = 2) -> list[int]:
    """Wait until that many processes serve; returns their ids."""
    wait_until(lambda: len(children(process.pid)) == count, f"{count} processes")
    for pid in children(process.pid):
        with alone(pid, process.pid):
            wait_until(lambda: ask(url, "/health/ready").status_code == 200, f"{pid} is ready")
    return children(process.pid)


def killed(process) -> tuple[int, int]:
    """Kill one of the serving processes, as the kernel does when memory is short: its id, and how many connections it had."""
    pid = random.choice(children(process.pid))
    halt(pid)  # so that what is counted is what it had when it died
    had = connections(pid)
    os.kill(pid, signal.SIGKILL)
    return pid, had


@pytest.mark.promise("P32")
def test_a_killed_process_is_replaced_while_the_other_keeps_answering(cat_image):
    tally = Tally()
    with serving(*COMMAND, model_dir=MODEL, processes=2, log_level="error") as (process, url):
        before = each_is_ready(process, url)
        with load(url, tiny(cat_image), tally, come_again=True):
            tally.wait_for_more(20)
            pid, had = killed(process)
            tally.wait_for_more(50)
            wait_until(lambda: len(children(process.pid)) == 2, "another takes its place")
            tally.wait_for_more(50)
        after = each_is_ready(process, url)
        assert pid not in after
        assert len(set(after) & set(before)) == 1
        for other in after:
            with alone(other, process.pid), Connection(url) as connection:
                assert connection.ask(request(tiny(cat_image))).status == 200
        assert len(tally.lost) <= had
        assert tally.wrong == []
        assert tally.answers.keys() == {200}
        assert tally.refused == 0


BEGUN_AS_INIT = """
import ctypes, os, sys
PR_SET_CHILD_SUBREAPER = 36
assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1) == 0
os.execv(sys.executable, [sys.executable, "-m", "app"])
"""
"""A service that inherits what its dead processes leave behind, as process 1 of a container does."""


@pytest.mark.promise("P32")
@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has subreapers")
def test_what_a_killed_process_leaves_behind_ends_without_the_others(cat_image):
    photo = request(encoded(cat_image, "TIFF"))
    with serving(sys.executable, "-c", BEGUN_AS_INIT, model_dir=MODEL, processes=2, log_level="error") as (process, url):
        stays, dies = each_is_ready(process, url)
        with alone(dies, process.pid), Connection(url) as connection:
            assert connection.ask(photo).status == 200
        (decoder,) = children(dies)
        os.kill(dies, signal.SIGKILL)
        wait_until(lambda: state(decoder) == "", "the process that decoded for it is gone, too, and inherited")
        wait_until(lambda: len(children(process.pid)) == 2 or process.poll() is not None, "another takes its place")
        assert stays in each_is_ready(process, url)


@pytest.mark.promise("P32")
@pytest.mark.soak
def test_twenty_processes_killed_under_load_lose_only_their_own_requests(cat_image):
    tally, connected = Tally(), 0
    with (
        serving(*COMMAND, model_dir=MODEL, processes=2, log_level="error") as (process, url),
    ):
        each_is_ready(process, url)
        with load(url, tiny(cat_image), tally, come_again=True):
            for turn in range(20):
                tally.wait_for_more(50)
                pid, had = killed(process)
                connected += had
                wait_until(lambda pid=pid: state(pid) == "", "it is gone")
                wait_until(lambda: len(children(process.pid)) == 2, "another takes its place")
                time.sleep(random.uniform(0.5, 2.5))
                print(f"kill {turn + 1}: {dict(tally.answers)}, lost {len(tally.lost)} of {connected}", flush=True)
        each_is_ready(process, url)
    assert len(tally.lost) <= connected
    assert tally.wrong == []
    assert tally.answers.keys() == {200}
    assert tally.refused == 0
    record(
        "kill -9 under load",
        kills=20,
        answered=tally.answers[200],
        lost_with_their_process=len(tally.lost),
        connections_of_killed_processes=connected,
        refused_connections=tally.refused,
    )


@pytest.mark.promise("P33")
def test_children_end_when_their_parent_is_killed(model_dir):
    with serving(*COMMAND, model_dir=model_dir, processes=2) as (process, url):
        serve = each_is_ready(process, url)
        process.kill()
        process.wait()
        for pid in serve:
            wait_until(lambda pid=pid: state(pid) in ("", "Z"), f"{pid} ends")
        assert not accepts(url)


def test_a_process_that_cannot_start_ends_everything_with_its_reason(model_dir, tmp_path, folder_of_metrics):
    shutil.copytree(model_dir, tmp_path / "model")
    (tmp_path / "model" / "dense" / "metrics.json").write_text("{")
    result = run(model_dir=tmp_path / "model", processes=2, port=0)
    assert result.returncode == 1
    assert "metrics.json is not JSON" in result.stderr
    assert "Traceback" not in result.stderr
    assert list(folder_of_metrics.iterdir()) == []


def test_a_process_that_cannot_be_replaced_leaves_the_other_serving(model_dir, tmp_path, cat_photo):
    """A network's folder was broken; the service stays up because the other process has the old network in memory."""
    shutil.copytree(model_dir, tmp_path / "model")
    with serving(*COMMAND, model_dir=tmp_path / "model", processes=2, log_level="error") as (process, url):
        stays, dies = each_is_ready(process, url)
        intact = (tmp_path / "model" / "dense" / "contract.json").read_text()
        (tmp_path / "model" / "dense" / "contract.json").write_text("{")
        os.kill(dies, signal.SIGKILL)
        wait_until(lambda: state(dies) == "", "it is gone")
        wait_until(lambda: len(children(process.pid)) == 2 or process.poll() is not None, "a try to replace it")
        wait_until(lambda: len(children(process.pid)) == 1 or process.poll() is not None, "which fails")
        assert process.poll() is None
        assert stays in children(process.pid)
        with alone(stays, process.pid):
            assert httpx2.post(f"{url}/predict", files={"file": cat_photo}).status_code == 200
        (tmp_path / "model" / "dense" / "contract.json").write_text(intact)
        assert stays in each_is_ready(process, url)


@pytest.mark.promise("P27")
def test_nothing_is_lost_when_several_processes_are_stopped_under_load(cat_image, folder_of_metrics):
    tally, status = stopped_under_load(tiny(cat_image), 0.5, processes=2)
    assert (tally.lost, tally.wrong) == ([], [])
    assert status in (0, -signal.SIGTERM)
    assert list(folder_of_metrics.iterdir()) == []


def test_no_new_connection_is_accepted_while_the_service_waits_for_an_upload(model_dir, cat_photo):
    """The parent holds the socket too: a connection that it accepted would never be answered."""
    body = form(cat_photo)
    with serving(*COMMAND, model_dir=model_dir, processes=2) as (process, url):
        each_is_ready(process, url)
        with upload_begun(url, body) as connection:
            process.send_signal(signal.SIGTERM)
            nobody_listens(url)
            assert process.poll() is None, "it waits for the upload"
            connection.sendall(body)
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
        assert process.wait(HANG_S) in (0, -signal.SIGTERM)


def test_ctrl_c_in_a_terminal_which_reaches_every_process_still_finishes_an_upload(model_dir, cat_photo):
    body = form(cat_photo)
    with serving(*COMMAND, model_dir=model_dir, processes=2) as (process, url):
        serve = each_is_ready(process, url)
        with upload_begun(url, body) as connection:
            os.killpg(process.pid, signal.SIGINT)
            wait_until(lambda: len(children(process.pid)) < len(serve), "the process without an upload ends")
            connection.sendall(body)
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
        assert process.wait(HANG_S) in (0, -signal.SIGINT)


def test_metrics_of_every_process_are_the_sum_over_all(model_dir, cat_photo, folder_of_metrics):
    def answered() -> float:
        return number(url, "catscope_requests_total", method="POST", route="/predict", status="200")

    with serving(*COMMAND, model_dir=model_dir, processes=2) as (process, url):
        first, second = each_is_ready(process, url)
        for pid, count, counted in ((first, 3, 3), (second, 4, 7)):
            with alone(pid, process.pid):
                for _ in range(count):
                    assert httpx2.post(f"{url}/predict", files={"file": cat_photo}).status_code == 200
                wait_until(lambda: answered() == counted, "the last is counted, which is after its answer")  # noqa: B023
        for pid in (first, second):
            with alone(pid, process.pid):
                assert answered() == 7

        with alone(first, process.pid):
            open_connections = [Connection(url) for _ in range(5)]
            wait_until(lambda: connections(first) >= 5, "they are accepted")
        with alone(second, process.pid):
            wait_until(lambda: number(url, "catscope_connections") >= 6, "its own and those of the other")
        files = {path.name for path in folder_of_metrics.rglob("*.db")}
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: state(first) == "", "it is gone")
        each_is_ready(process, url)
        wait_until(lambda: number(url, "catscope_connections") == 1, "the connection that asks is the only one")
        assert answered() == 7, "what a process answered stays counted when it is gone"
        new = next(pid for pid in children(process.pid) if pid != second)
        with alone(new, process.pid):
            assert httpx2.post(f"{url}/predict", files={"file": cat_photo}).status_code == 200
            wait_until(lambda: answered() == 8, "it goes on counting where the dead one stopped")
        with alone(second, process.pid):
            assert answered() == 8
        assert {path.name for path in folder_of_metrics.rglob("*.db")} == files, "files of the dead would fill the disk"
        for connection in open_connections:
            connection.close()


@pytest.mark.promise("P29")
def test_sighup_reloads_the_networks_in_every_process(model_dir, tmp_path):
    shutil.copytree(model_dir, tmp_path / "model")
    contract = tmp_path / "model" / "dense" / "contract.json"
    with serving(*COMMAND, model_dir=tmp_path / "model", processes=2) as (process, url):
        serve = each_is_ready(process, url)
        (tmp_path / "new.json").write_text(json.dumps(json.loads(contract.read_text()) | {"version": "0.0.2"}))
        os.replace(tmp_path / "new.json", contract)
        process.send_signal(signal.SIGHUP)
        for pid in serve:
            with alone(pid, process.pid):
                wait_until(lambda: ask(url, "/models/dense").json()["version"] == "0.0.2", f"{pid} serves the new one")
        assert children(process.pid) == serve
        assert number(url, "catscope_reloads_total", outcome="done") == 2
        assert number(url, "catscope_model_info", network="dense", version="0.0.2") == 1
        assert number(url, "catscope_model_info", network="dense") == 1, "the old version is not served"
