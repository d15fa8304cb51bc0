"""Request bodies go in; what a server answered and how soon comes out. Runs two load generators from Debian.

`saturate` keeps wrk's connections busy, each sending its next request when the last one is answered, and measures the
maximum throughput. `at_rate` lets h2load send at a fixed rate, whatever the server does, as people would, and measures how
long they wait and how many are refused. Both speak HTTP/1.1 and are written in C, so they use little of the CPU.

    apt-get install wrk nghttp2-client
"""

import json
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

SCRIPT = Path(__file__).parent / "load.lua"
GIVE_UP_S = 30
"""How long a request may wait for its answer before it counts as broken."""

REFUSALS = (429, 503)

BOUNDARY = "------------------------d74496d66958873e"
"""As long as those of curl and browsers: searching a photo for a longer boundary is faster than for a short one."""

FORM = f"multipart/form-data; boundary={BOUNDARY}"


def form(data: bytes, name: str = "file") -> bytes:
    """A photo as the one part of a form, of content type `FORM`."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="photo.jpg"\r\n'
    return head.encode() + b"Content-Type: image/jpeg\r\n\r\n" + data + f"\r\n--{BOUNDARY}--\r\n".encode()


def missing() -> list[str]:
    """The Debian packages of the load generators that are not installed."""
    return [package for command, package in (("wrk", "wrk"), ("h2load", "nghttp2-client")) if not shutil.which(command)]


def saturate(
    url: str,
    bodies: Sequence[bytes],
    content_type: str,
    connections: int,
    seconds: int,
    pause_ms: int = 0,
    headers: Mapping[str, str] | None = None,
) -> dict:
    """Send the bodies in turn over several connections, each of which always has a request pending.

    Each connection pauses for `pause_ms` between an answer and its next request. Returns the requests per second answered
    2xx or 3xx, the latency of all answers in milliseconds, and how many were refused (4xx, 5xx) or broken (no answer).
    """
    with tempfile.TemporaryDirectory() as folder:
        _write(folder, bodies)
        lines = [f"{name}: {value}" for name, value in _headers(content_type, headers).items()]
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", f"{GIVE_UP_S}s", "-s", str(SCRIPT), url]
        command += ["--", folder, str(pause_ms), *lines]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603  our own arguments
    report = json.loads(output.split("RESULT ")[1])
    return {
        "per_second": round((report["requests"] - report["refused"]) / report["seconds"], 2),
        "p50_ms": report["p50"],
        "p95_ms": report["p95"],
        "p99_ms": report["p99"],
        "refused": report["refused"],
        "broken": report["broken"],
    }


def at_rate(
    url: str,
    bodies: Sequence[bytes],
    content_type: str,
    per_second: float,
    seconds: float,
    headers: Mapping[str, str] | None = None,
) -> dict:
    """Send `per_second` requests per second, evenly and without waiting for answers, then wait for the last answer.

    Each request has its own connection: a shared one could not send before its previous request is answered, and the time
    that requests wait unsent in an overload would be missing. Returns how many were `sent`, `statuses` by code, the latency
    of the answers 200 (None if there is none) and of the slowest refusal in milliseconds, and how many were `broken`: cut
    off, or not answered in time.
    """
    apart = len(bodies) / per_second  # seconds between two requests of one body; h2load sends one body only
    period_ms = max(1, round(1000 * apart))
    count = max(1, round(1000 * seconds / period_ms))
    with tempfile.TemporaryDirectory() as folder:
        _write(folder, bodies)
        processes = []
        for number in range(len(bodies)):
            command = ["h2load", "--h1", "-t1", f"-c{count}", f"-n{count}", "-r1", f"--rate-period={period_ms}ms"]
            command += [f"-N{GIVE_UP_S}s", "-d", f"{folder}/{number}.body", f"--log-file={folder}/{number}.tsv", url]
            for name, value in _headers(content_type, headers).items():
                command += ["-H", f"{name}: {value}"]
            processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))  # noqa: S603
            time.sleep(1 / per_second)  # interleaves the requests of the different bodies
        for process in processes:
            try:
                process.wait(seconds + 2 * GIVE_UP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        return _counted([Path(folder) / f"{number}.tsv" for number in range(len(bodies))], count * len(bodies))


def _counted(logs: list[Path], sent: int) -> dict:
    """Count the lines that h2load logged, one per answer: time of the request, status, microseconds until the answer."""
    answers = [line.split("\t") for log in logs if log.exists() for line in log.read_text().splitlines()]
    times = [(int(status), int(microseconds) / 1000) for _, status, microseconds in answers if int(status) > 0]
    fine = sorted(milliseconds for status, milliseconds in times if status == 200)
    refusals = [milliseconds for status, milliseconds in times if status in REFUSALS]
    return {
        "sent": sent,
        "statuses": {str(status): count for status, count in sorted(Counter(status for status, _ in times).items())},
        "p50_ms": percentile(fine, 50),
        "p95_ms": percentile(fine, 95),
        "p99_ms": percentile(fine, 99),
        "slowest_refusal_ms": round(max(refusals), 1) if refusals else None,
        "broken": sent - len(times),
    }


def percentile(ordered: list[float], percent: float) -> float | None:
    """The smallest value that `percent` percent of the values do not exceed; None if there are no values."""
    if not ordered:
        return None
    rank = -(-len(ordered) * percent // 100)  # rounded up
    return round(ordered[max(0, int(rank) - 1)], 2)


def _headers(content_type: str, more: Mapping[str, str] | None) -> dict[str, str]:
    return {"Content-Type": content_type} | dict(more or {})


def _write(folder: str, bodies: Sequence[bytes]) -> None:
    for number, body in enumerate(bodies):
        (Path(folder) / f"{number}.body").write_bytes(body)
