"""The service while something happens to it: starting and stopping it, and what it counts and holds."""

import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import COMMAND, ROOT, environment, serving
from tests.faults.clients import HANG_S, Tally, load, request, wait_until

MODEL = ROOT / "model"


def stopped_under_load(photo: bytes, wait_s: float, **settings: object) -> tuple[Tally, int]:
    """Send SIGTERM to a service that clients load, `wait_s` after it is well under way: what became of the requests, and the
    exit status.
    """
    tally = Tally()
    with (
        serving(*COMMAND, model_dir=MODEL, log_level="error", **settings) as (process, url),
        load(url, photo, tally),
    ):
        tally.wait_for_more(20)
        time.sleep(wait_s)
        tally.signalled = time.monotonic()
        process.send_signal(signal.SIGTERM)
        status = process.wait(HANG_S / 2)
        wait_until(lambda: tally.refused, "a client finds that nobody listens any more")
    return tally, status


def upload_begun(url: str, body: bytes) -> socket.socket:
    """A connection on which the service waits for the body of a request."""
    host, port = url[7:].split(":")
    connection = socket.create_connection((host, int(port)), HANG_S)
    head = request(b"", "/predict?feature_maps=none", "Expect: 100-continue").partition(b"\r\n\r\n")[0]
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
    connection.sendall(b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", b""]))
    assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    return connection


def nobody_listens(url: str) -> None:
    """Wait until the port is closed, without connecting."""
    port = f":{int(url.rpartition(':')[2]):04X}"

    def listens() -> bool:
        rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
        return any(row[1].endswith(port) and row[3] == "0A" for row in rows)

    wait_until(lambda: not listens(), "the port is closed")


def begun(model_dir: Path, processes: int) -> subprocess.Popen[str]:
    """The service on a port of its own choice, just started; the caller ends it."""
    return subprocess.Popen(
        COMMAND,
        cwd=ROOT,
        env=environment(model_dir=model_dir, port=0, processes=processes),
        stderr=subprocess.PIPE,
        text=True,
    )


def number(url: str, name: str, **labels: str) -> float:
    """A metric's value according to whichever process answers; 0 if there is none with that name and these labels."""
    families = text_string_to_metric_families(ask(url, "/metrics").text)
    samples = (sample for family in families for sample in family.samples)
    return sum(sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items())


def resident(pid: int) -> float:
    """The resident memory of a process in megabytes."""
    return round(int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0]) / 1024, 1)


def ask(url: str, path: str) -> httpx2.Response:
    return httpx2.get(url + path, timeout=HANG_S)
