"""Docker's command line, and a container of the image."""

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from benchmarks import photos
from tests.faults.clients import HANG_S, Answer, Connection, request

ROOT = Path(__file__).parents[2]
IMAGE = "catscope:test"
HARDENED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true")


def compose_command() -> tuple[str, ...]:
    """The compose command: the plugin, if it is installed."""
    if run("docker", "compose", "version", check=False).returncode == 0:
        return "docker", "compose"
    if not shutil.which("docker-compose"):
        pytest.skip("there is no docker compose here")
    return ("docker-compose",)


def free_address() -> str:
    """An address and a port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return "{}:{}".format(*probe.getsockname())


@contextlib.contextmanager
def container(*options: str) -> Iterator[str]:
    """The id of a container of the image, which is removed afterwards."""
    name = docker("run", "--detach", "--publish", "127.0.0.1::8000", *HARDENED, *options, IMAGE)
    try:
        yield name
    finally:
        docker("rm", "--force", "--volumes", name)


def post(url: str, photo: bytes) -> httpx2.Response:
    return httpx2.post(f"{url}/predict", files={"file": photo}, timeout=30, trust_env=False)


def url_of(name: str) -> str:
    return f"http://{docker('port', name, '8000').splitlines()[0]}"


def is_ready(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/health/ready", timeout=2, trust_env=False).status_code == 200
    except httpx2.TransportError:  # the port is not open yet
        return False


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 180) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"{what}: not after {timeout_s:g} s"
        time.sleep(0.1)


def docker(*arguments: str) -> str:
    """What docker writes to standard output, stripped; the test fails if docker does."""
    return run("docker", *arguments).stdout.strip()


def run(*command: str, check: bool = True, timeout_s: float = 60, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the repository's root, with BuildKit, which compose 1.29 and engine 20.10 do not use by default."""
    buildkit = {"DOCKER_BUILDKIT": "1", "COMPOSE_DOCKER_CLI_BUILD": "1"}
    result = subprocess.run(
        command, cwd=ROOT, env=os.environ | buildkit | environment, capture_output=True, text=True, timeout=timeout_s
    )
    if check and result.returncode:
        pytest.fail(f"{' '.join(command)} ended with {result.returncode}:\n{result.stdout[-4000:]}{result.stderr[-4000:]}")
    return result


def at_once(url: str, count: int) -> list[Answer]:
    """The answers to that many clients that all send a photo at the same moment."""
    request_bytes = request(photos.web()[0])
    together = threading.Barrier(count)
    answers = []

    def ask() -> None:
        with Connection(url) as connection:
            together.wait(HANG_S)
            answers.append(connection.ask(request_bytes))

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_S)
    assert len(answers) == count
    return answers
