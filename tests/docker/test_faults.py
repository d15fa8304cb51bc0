"""The image under load and under attack: little memory, docker stop, a process that is killed."""

import signal
import threading
import time
from collections.abc import Iterator

import pytest

from benchmarks import photos
from tests.conftest import encoded
from tests.docker.engine import HARDENED, IMAGE, container, docker, is_ready, post, wait_until
from tests.faults.clients import Connection, Tally, load, request, tiny

pytestmark = pytest.mark.docker

MEMORY = 384 * 1024 * 1024
SMALL = ("--memory", str(MEMORY), "--memory-swap", str(MEMORY))
BUDGET = ("--env", "CATSCOPE_MAX_HELD_BYTES=33554432", "--env", "CATSCOPE_MAX_PIXELS=16000000")


def address(name: str) -> str:
    """The container's own address: through a published port, Docker accepts connections in the service's place."""
    return f"http://{docker('inspect', '--format', '{{.NetworkSettings.IPAddress}}', name)}:8000"


@pytest.fixture
def small(image: str) -> Iterator[tuple[str, str]]:
    """A container with 384 MB: its id and address."""
    with container(*SMALL, *BUDGET, "--env", "CATSCOPE_LOG_LEVEL=warning") as name:
        url = address(name)
        wait_until(lambda: is_ready(url), "the service is ready")
        yield name, url


@pytest.mark.promise("P63")
def test_384_mb_are_enough_for_many_large_photos_at_once(small: tuple[str, str]) -> None:
    name, url = small
    limit = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null"
    assert docker("exec", name, "sh", "-c", limit + "; true").splitlines()[0] == str(MEMORY), "the limit holds"
    requests = [request(photo, "/predict?heatmap=true") for photo in photos.phone()]
    requests += [request(photo, "/predict") for photo in photos.web()]
    statuses: list[int] = []
    lost: list[str] = []

    def ask(first: int) -> None:
        for turn in range(30):
            with Connection(url) as connection:
                try:
                    statuses.append(connection.ask(requests[(first + turn) % len(requests)]).status)
                except Exception as error:
                    lost.append(repr(error))

    threads = [threading.Thread(target=ask, args=(first,)) for first in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    oom_killed, restarts, running = docker(
        "inspect", "--format", "{{.State.OOMKilled}} {{.RestartCount}} {{.State.Running}}", name
    ).split()
    assert (oom_killed, restarts, running) == ("false", "0", "true")
    assert lost == []
    assert set(statuses) <= {200, 503}
    assert statuses.count(200) >= 100
    with Connection(url) as connection:
        for request_bytes in requests:
            assert connection.ask(request_bytes).status == 200


@pytest.mark.promise("P27")
@pytest.mark.parametrize("processes", [1, 2])
def test_docker_stop_under_load_loses_nothing(image: str, cat_image, processes: int) -> None:
    tally = Tally()
    with container("--env", f"CATSCOPE_PROCESSES={processes}", "--env", "CATSCOPE_LOG_LEVEL=warning") as name:
        url = address(name)
        wait_until(lambda: is_ready(url), "the service is ready")
        with load(url, tiny(cat_image), tally):
            tally.wait_for_more(50)
            tally.signalled = time.monotonic()
            docker("stop", "--time", "30", name)
            wait_until(lambda: tally.refused > 0, "nobody listens any more")
        assert docker("inspect", "--format", "{{.State.ExitCode}}", name) in ("0", "143")
    assert (tally.lost, tally.wrong) == ([], [])


REFUSED_BEFORE_IT_IS_CLOSED = """
import socket
from app.server.drain import stop_accepting
with socket.create_server(("127.0.0.1", 0)) as listening:
    early = socket.create_connection(listening.getsockname())
    stop_accepting(listening)
    try:
        socket.create_connection(listening.getsockname())
    except ConnectionRefusedError:
        listening.accept()
        print("refused")
"""


@pytest.mark.promise("P27")
def test_a_container_without_rights_can_refuse_connections_before_it_closes_its_port(image: str) -> None:
    command = ("--entrypoint", "python", IMAGE, "-c", REFUSED_BEFORE_IT_IS_CLOSED)
    assert docker("run", "--rm", *HARDENED, *command) == "refused"


RUNNING = """
import contextlib, pathlib
for command in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    with contextlib.suppress(OSError):
        if b"%s" in command.read_bytes().split(b"\\0"):
            print(command.parent.name)
"""


def running(name: str, module: str) -> list[str]:
    """The ids of the processes inside the container that run this module."""
    return docker("exec", name, "python", "-c", RUNNING % module).split()


def serving(name: str) -> list[str]:
    """The ids of the serving processes inside the container: all but their parent."""
    return sorted(set(running(name, "app")) - {"1"})


@pytest.mark.promise("P32")
def test_a_process_killed_in_a_container_is_replaced(image: str, cat_image) -> None:
    tally = Tally()
    rare = encoded(cat_image, "TIFF")
    with container("--env", "CATSCOPE_PROCESSES=2", "--env", "CATSCOPE_LOG_LEVEL=error") as name:
        url = address(name)
        wait_until(lambda: is_ready(url), "the service is ready")
        before = serving(name)
        assert len(before) == 2

        def both_have_decoded() -> bool:
            return post(url, rare).status_code == 200 and len(running(name, "app.inference.cage.child")) == 2

        wait_until(both_have_decoded, "each has a process that decodes for it")
        with load(url, tiny(cat_image), tally, come_again=True):
            tally.wait_for_more(50)
            docker("exec", name, "python", "-c", f"import os; os.kill({before[0]}, {signal.SIGKILL.value})")
            wait_until(lambda: len(set(serving(name)) - set(before)) == 1, "another takes its place")
            tally.wait_for_more(50)
        assert before[1] in serving(name)
        assert docker("inspect", "--format", "{{.RestartCount}} {{.State.Running}}", name) == "0 true"
    assert len(tally.lost) <= 8, "one for each client at most"
    assert (tally.wrong, tally.refused) == ([], 0)
