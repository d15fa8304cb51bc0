"""Signals while clients send photos: what was sent on an accepted connection is answered, whatever comes."""

import contextlib
import itertools
import json
import random
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from benchmarks import photos
from benchmarks.clients import FORM, form
from tests.app.test_command import COMMAND
from tests.conftest import ROOT, encoded, environment, serving
from tests.record import record

MODEL = ROOT / "model"
HANG_S = 60
"""Nothing here takes as long; who waits longer waits for something that will not happen."""
INTERRUPTED = (0, 130, -signal.SIGINT)
"""How a process ends that was asked to with Ctrl-C: 130 is what a shell makes of the signal."""


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class LostError(Exception):
    """A request that was sent got no whole answer."""


class Connection:
    """One HTTP/1.1 connection, so plain that it is known exactly what became of every request."""

    def __init__(self, url: str) -> None:
        host, port = url[7:].split(":")
        self.socket = socket.create_connection((host, int(port)), HANG_S)
        self.asked = 0

    def gone(self) -> bool:
        """Whether the service closed the connection while nothing was asked of it."""
        self.socket.setblocking(False)
        try:
            return not self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            self.socket.settimeout(HANG_S)

    def ask(self, request: bytes) -> Answer:
        self.asked += 1
        try:
            self.socket.sendall(request)
        except OSError as error:
            raise LostError(f"request {self.asked} of its connection could not be sent: {error!r}") from error
        return self.answer()

    def answer(self) -> Answer:
        got = b""
        try:
            while b"\r\n\r\n" not in got:
                got += self._more()
            head, _, body = got.partition(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            while len(body) < int(headers["content-length"]):
                body += self._more()
        except OSError as error:
            raise LostError(f"request {self.asked} of its connection: {error!r} after {len(got)} bytes of answer") from error
        return Answer(int(first.split()[1]), headers, body)

    def _more(self) -> bytes:
        if piece := self.socket.recv(1 << 20):
            return piece
        raise ConnectionError("the connection was closed")

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Tally:
    """What became of the requests of all clients."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.answers: Counter[int] = Counter()
        self.seconds: list[float] = []
        self.refused = 0
        """Connections that were not accepted."""
        self.closed = 0
        """Connections that the service closed while nothing was asked of them."""
        self.lost: list[str] = []
        self.wrong: list[str] = []
        """Answers that are neither right nor a 503 as it should be."""
        self.signalled = 0.0

    def answered(self, answer: Answer, seconds: float) -> None:
        with self._lock:
            self.answers[answer.status] += 1
            self.seconds.append(seconds)
            if not fine(answer) and not refusal(answer):
                self.wrong.append(f"{answer.status} {answer.headers} {answer.body[:300]!r}")

    def lose(self, error: LostError) -> None:
        with self._lock:
            after = f"{time.monotonic() - self.signalled:.3f} s after the signal" if self.signalled else "before the signal"
            self.lost.append(f"{after}, {error}")

    def no_connection(self) -> None:
        with self._lock:
            self.refused += 1

    def closed_by_the_service(self) -> None:
        with self._lock:
            self.closed += 1

    def wait_for_more(self, count: int) -> None:
        """Until so many more requests were answered 200."""
        wanted = self.answers[200] + count
        wait_until(lambda: self.answers[200] >= wanted, f"{count} more answers; there are {dict(self.answers)}")


def fine(answer: Answer) -> bool:
    return answer.status == 200 and json.loads(answer.body)["label"] in ("cat", "not_cat")


def refusal(answer: Answer) -> bool:
    """Whether it is a 503 that says in the agreed way when to come again."""
    return (
        answer.status == 503
        and answer.headers["content-type"] == "application/problem+json"
        and json.loads(answer.body)["status"] == 503
        and int(answer.headers["retry-after"]) >= 1
    )


def wait_until(done, what: str, timeout_s: float = HANG_S) -> None:
    end = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < end, f"not after {timeout_s:g} s: {what}"
        time.sleep(0.02)


def request(photo: bytes, path: str = "/predict?feature_maps=none", *headers: str) -> bytes:
    """A photo as a form."""
    return posted(path, form(photo), FORM, *headers)


def posted(path: str, body: bytes, kind: str, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def tiny(cat_image) -> bytes:
    """The cat as a JPEG of some kilobytes."""
    return encoded(cat_image.resize((120, 90)), "JPEG", quality=80)


def send_photos(
    url: str, requests: Sequence[bytes], tally: Tally, stop: threading.Event, keep_alive: bool, come_again: bool
) -> None:
    """Send the requests in turn, over one connection or over a new one each, until `stop`, or until no connection is
    accepted, unless it is to `come_again` then.
    """
    connection = None
    for sent in itertools.cycle(requests):
        if stop.is_set():
            break
        if connection and connection.gone():
            connection.close()
            connection = None
            tally.closed_by_the_service()
        if connection is None:
            try:
                connection = Connection(url)
            except OSError:
                tally.no_connection()
                if come_again:
                    stop.wait(0.05)
                    continue
                break
        began = time.perf_counter()
        try:
            answer = connection.ask(sent)
        except LostError as error:
            tally.lose(error)
            connection.close()
            connection = None
            continue
        tally.answered(answer, time.perf_counter() - began)
        if not keep_alive or answer.headers.get("connection") == "close":
            connection.close()
            connection = None
    if connection:
        connection.close()


@contextlib.contextmanager
def load(
    url: str, photo: bytes, tally: Tally, keeping: int = 4, opening: int = 4, come_again: bool = False
) -> Iterator[threading.Event]:
    """Clients that keep their connections and send photos as they are on the web to the best network, and clients that open
    one for each of their tiny photos, which go to the quickest.
    """
    stop = threading.Event()
    kept = [request(web) for web in photos.web()]
    quick = "/predict?feature_maps=none&network=dense"
    opened = [request(photo, quick, "Connection: close"), request(photo, quick)]
    threads = [
        threading.Thread(target=send_photos, args=(url, requests, tally, stop, keep_alive, come_again), daemon=True)
        for count, requests, keep_alive in ((keeping, kept, True), (opening, opened, False))
        for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    try:
        yield stop
    finally:
        stop.set()
        for thread in threads:
            thread.join(HANG_S)
    assert not any(thread.is_alive() for thread in threads), "a client waits for an answer that does not come"


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


@pytest.mark.parametrize("wait_s", [0.1, 0.6])
def test_nothing_is_lost_when_it_is_stopped_under_load(cat_image, wait_s):
    tally, status = stopped_under_load(tiny(cat_image), wait_s)
    assert (tally.lost, tally.wrong) == ([], [])
    assert status in (0, -signal.SIGTERM)


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
    """Wait until the port is closed. Nobody knocks: while the service stops, that takes a second to be refused."""
    port = f":{int(url.rpartition(':')[2]):04X}"

    def listens() -> bool:
        rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
        return any(row[1].endswith(port) and row[3] == "0A" for row in rows)

    wait_until(lambda: not listens(), "the port is closed")


@pytest.mark.parametrize("size", [50_000, 2_000_000])
def test_a_slow_upload_that_has_begun_is_finished_after_sigterm(model_dir, cat_photo, size):
    body = form(cat_photo + bytes(size))
    with serving(*COMMAND, model_dir=model_dir) as (process, url), upload_begun(url, body) as connection:
        connection.sendall(body[:20_000])
        process.send_signal(signal.SIGTERM)
        nobody_listens(url)
        step = len(body) // 10
        for at in range(20_000, len(body), step):
            time.sleep(0.1)
            connection.sendall(body[at : at + step])
        got = connection.recv(4096)
        assert got.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in got.lower()
        assert process.wait(HANG_S) in (0, -signal.SIGTERM)


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
        said = process.stderr.read()
        assert "Traceback" not in said
        assert "ERROR" not in said


@pytest.mark.parametrize("processes", [1, 2])
def test_a_second_ctrl_c_ends_it_although_somebody_still_sends(model_dir, cat_photo, processes):
    with (
        serving(*COMMAND, model_dir=model_dir, processes=processes) as (process, url),
        upload_begun(url, form(cat_photo)),
    ):
        process.send_signal(signal.SIGINT)
        nobody_listens(url)
        assert process.poll() is None, "it waits for the upload"
        process.send_signal(signal.SIGINT)
        assert process.wait(HANG_S / 4) in INTERRUPTED


def begun(model_dir: Path, processes: int) -> subprocess.Popen[str]:
    """The service on a port of its own choice, just begun; whoever asks for it ends it."""
    return subprocess.Popen(
        COMMAND,
        cwd=ROOT,
        env=environment(model_dir=model_dir, port=0, processes=processes),
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("wait_s", [0.3, 0.6, 0.9, 1.2])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_stop_while_it_is_starting_ends_it_without_a_word_of_error(model_dir, processes, wait_s):
    process = begun(model_dir, processes)
    try:
        time.sleep(wait_s)
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=HANG_S)[1]
    finally:
        process.kill()
        process.wait()
    assert process.returncode in (0, -signal.SIGTERM)
    assert "Traceback" not in said
    assert "ERROR" not in said
