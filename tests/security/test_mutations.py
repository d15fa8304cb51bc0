"""Damaged photos, forms and requests against the running service: each is answered, none with a 500, nothing is left over.

Input number n is made from n alone, so that one that fails can be made again.
"""

import contextlib
import functools
import http.client
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random

import httptools
import pytest
import skimage.data

from tests.conftest import CHELSEA, ROOT, serving
from tests.record import record
from tests.security.fuzz_upload import BOUNDARY, damaged, photos, upload_of

FOUND = Path(__file__).parent / "found"
REFUSED = {400, 408, 413, 415, 422, 431}
ELSEWHERE = {404, 405}
"""Further statuses with which a request may be answered whose first line was damaged."""
MOST_GROWTH = 64
"""MB by which the service may grow once it has settled: its first photos of each kind take memory that it keeps."""
MOST_WRITTEN = 1000
"""Bytes that the service may log for an input, on average."""
KIND = b"multipart/form-data; boundary=" + BOUNDARY
PATHS = (
    *("/predict?feature_maps=none",) * 8,
    "/predict?feature_maps=none&heatmap=true",
    "/predict?channels=2",
    "/feature-maps",
    "/feature-maps?network=tutorial",
    "/predict?feature_maps=none&network=dense",
)


@dataclass(frozen=True)
class Input:
    """One request: its bytes, and whether they were damaged outside its body, so that it may not be a request at all."""

    raw: bytes
    damaged_head: bool


def found_in_skimage() -> list[bytes]:
    """scikit-image's photos of at most 300 kB."""
    paths = sorted(Path(skimage.data.__file__).parent.iterdir())
    kinds = (".png", ".jpg", ".gif", ".tif")
    return [path.read_bytes() for path in paths if path.suffix in kinds and path.stat().st_size <= 300_000]


@functools.cache
def seeds() -> tuple[list[bytes], list[bytes]]:
    """Small generated photos, and real ones."""
    return list(photos().values()), found_in_skimage()


def head(path: str, length: int) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Accept: */*", f"Content-Length: {length}"]
    return "\r\n".join([*lines, f"Content-Type: {KIND.decode()}", "", ""]).encode()


def make(number: int) -> Input:
    """The input of that number: of ten, eight are damaged photos, one a damaged form, one a damaged request."""
    random = Random(number)
    small, real = seeds()
    photo, other = (random.choice(random.choice((small, small, small, real))) for _ in range(2))
    path = random.choice(PATHS)
    choice = random.randrange(10)
    if choice == 0:
        body = upload_of(random.choice(small))
        return Input(damaged(head(path, len(body)), head("/models", 0), random) + body, damaged_head=True)
    if choice == 1:
        edge = random.choice((150, 400))
        body = upload_of(photo)
        body = damaged(body[:edge], upload_of(b""), random) + damaged(body[edge:], upload_of(other), random)
    else:
        body = upload_of(damaged(photo, other, random))
    return Input(head(path, len(body)) + body, damaged_head=False)


@dataclass(frozen=True)
class Answer:
    """What came back; no status if nothing did."""

    status: int | None
    headers: http.client.HTTPMessage | None = None
    body: bytes = b""


class Client:
    """One connection to the service, opened again whenever the service or a damaged request has ended it."""

    def __init__(self, url: str) -> None:
        host, port = url[7:].split(":")
        self._address = (host, int(port))
        self._connection: socket.socket | None = None

    def ask(self, request: Input) -> Answer:
        """Send it and read one answer."""
        if request.damaged_head or self._connection is None:
            self.close()
            self._connection = socket.create_connection(self._address, timeout=60)
        with contextlib.suppress(OSError):  # refused before everything was sent; there may be an answer all the same
            self._connection.sendall(request.raw)
            if request.damaged_head and not is_answered(request.raw):
                self._connection.shutdown(socket.SHUT_WR)
        with contextlib.closing(http.client.HTTPResponse(self._connection)) as answer:
            try:
                answer.begin()
                result = Answer(answer.status, answer.headers, answer.read())
            except (OSError, http.client.HTTPException):
                result = Answer(None)
            if request.damaged_head or result.status is None or answer.will_close:
                self.close()
        return result

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _Ends:
    """Records what an HTTP parser says about a request."""

    complete = False

    def on_message_complete(self) -> None:
        self.complete = True


def is_answered(raw: bytes) -> bool:
    """Whether those bytes are a whole request, or so much of one that it is wrong; otherwise a server waits for the rest."""
    ends = _Ends()
    try:
        httptools.HttpRequestParser(ends).feed_data(raw)
    except httptools.HttpParserUpgrade:
        return True
    except httptools.HttpParserError:
        return True
    return ends.complete


def fault(request: Input, answer: Answer) -> str:
    """What is wrong with the answer, or nothing."""
    if answer.status is None:
        return "no answer" if not request.damaged_head or is_answered(request.raw) else ""
    if answer.status < 400 and (request.damaged_head or answer.status == 200):
        return ""
    if answer.headers.get_content_type() != "application/problem+json":
        return f"{answer.status} is no problem but {answer.headers.get('content-type')}"
    if answer.status in (503, 504) and answer.headers["retry-after"]:
        return ""
    if answer.status in (REFUSED | ELSEWHERE if request.damaged_head else REFUSED):
        return ""
    return f"{answer.status}: {answer.body[:300]!r}"


@contextlib.contextmanager
def the_service() -> Iterator[tuple[int, str, list[str]]]:
    """The shipped networks, served: the process, its address, and what it writes, which is of mistakes only; and lines that
    the libraries that read photos write past the log.
    """
    lines: list[str] = []
    command = (sys.executable, "-m", "app")
    with serving(*command, model_dir=ROOT / "model", log_level="error", deadline_s=100) as (process, url):
        threading.Thread(target=lambda: lines.extend(process.stderr), daemon=True).start()
        yield process.pid, url, lines
        assert process.poll() is None, lines


def megabytes(pid: int) -> float:
    """The resident memory of the process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def attack(total: int, settled: int, connections: int, step: int) -> dict[str, object]:
    """Send the inputs 0 to `total`, and check every answer and, after `settled` of them, the service's memory against what is
    promised.
    """
    statuses: Counter[str] = Counter()
    faults: list[str] = []
    local = threading.local()
    began = time.monotonic()

    def send(number: int) -> None:
        if not hasattr(local, "client"):
            local.client = clients.enter_context(contextlib.closing(Client(url)))
        request = make(number)
        answer = local.client.ask(request)
        wrong = fault(request, answer)
        statuses[str(answer.status or "none was due")] += 1
        if wrong:
            FOUND.mkdir(exist_ok=True)
            (FOUND / str(number)).write_bytes(request.raw)
            faults.append(f"input {number}, kept in {FOUND}: {wrong}")
            print(faults[-1], flush=True)

    with the_service() as (pid, url, log), ThreadPoolExecutor(connections) as pool, contextlib.ExitStack() as clients:
        early = 0.0
        for first in range(0, total, step):
            list(pool.map(send, range(first, min(first + step, total))))
            if first + step >= settled and not early:
                early = megabytes(pid)
            print(f"{first + step} inputs, {megabytes(pid):.0f} MB, {dict(sorted(statuses.items()))}", flush=True)
        seconds = time.monotonic() - began
        late = megabytes(pid)
        intact = upload_of(CHELSEA.read_bytes())
        with contextlib.closing(Client(url)) as client:
            answer = client.ask(Input(head(PATHS[0], len(intact)) + intact, damaged_head=False))
        assert answer.status == 200, "an intact photo is answered after all that"
        assert faults == []
        assert not [line for line in log if "CRITICAL" in line or "ERROR" in line or "Traceback" in line]
        assert sum(map(len, log)) <= MOST_WRITTEN * total, "nobody can fill a disk with what the service writes"
    assert late - early <= MOST_GROWTH, f"{early:.0f} MB after {settled} inputs, {late:.0f} MB at the end"
    return {
        "inputs": total,
        "statuses": dict(sorted(statuses.items())),
        "seconds": round(seconds),
        "bytes_written_to_the_log": sum(map(len, log)),
        "megabytes_begin": round(early),
        "megabytes_end": round(late),
    }


@pytest.mark.promise("P11")
def test_the_first_600_damaged_inputs_are_answered_and_leave_nothing():
    result = attack(total=600, settled=360, connections=2, step=120)
    assert {"200", "400", "415", "422"} <= set(result["statuses"]), "they reach every part of the service"


@pytest.mark.promise("P11")
@pytest.mark.soak
def test_50000_damaged_inputs_are_answered_and_leave_nothing():
    record("mutation fuzz", **attack(total=50_000, settled=10_000, connections=4, step=1000))


@pytest.mark.parametrize(
    ("status", "kind", "retry", "damaged_head", "wrong"),
    [
        (200, "application/json", None, False, False),
        (422, "application/problem+json", None, False, False),
        (422, "application/json", None, False, True),
        (404, "application/problem+json", None, False, True),
        (404, "application/problem+json", None, True, False),
        (307, "text/plain", None, False, True),
        (500, "application/problem+json", None, True, True),
        (503, "application/problem+json", "1", False, False),
        (503, "application/problem+json", None, False, True),
        (504, "application/problem+json", None, False, True),
    ],
)
def test_an_undocumented_answer_is_a_fault(status, kind, retry, damaged_head, wrong):
    headers = http.client.HTTPMessage()
    headers["Content-Type"] = kind
    if retry:
        headers["Retry-After"] = retry
    assert bool(fault(Input(b"", damaged_head), Answer(status, headers))) is wrong


def test_a_missing_answer_is_a_fault_unless_the_request_was_incomplete():
    complete = head("/predict", 5) + b"12345"
    assert fault(Input(complete, False), Answer(None)) == "no answer"
    assert fault(Input(complete, True), Answer(None)) == "no answer"
    assert fault(Input(b"GARBAGE" + complete, True), Answer(None)) == "no answer"
    assert fault(Input(complete[:-1], True), Answer(None)) == ""
