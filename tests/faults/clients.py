"""Clients so simple that the fate of every request is known, and a load made of many of them."""

import contextlib
import itertools
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benchmarks import photos
from benchmarks.clients import FORM, form
from tests.conftest import encoded

HANG_S = 60
"""Nothing here takes as long; waiting longer means waiting for something that will not happen."""


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class LostError(Exception):
    """A request that was sent got no complete answer."""


class Connection:
    """One HTTP/1.1 connection, so simple that the fate of every request is known exactly."""

    def __init__(self, url: str) -> None:
        host, port = url[7:].split(":")
        self.socket = socket.create_connection((host, int(port)), HANG_S)
        self.asked = 0

    def gone(self) -> bool:
        """Whether the service closed the connection while it was idle."""
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
        received = b""
        try:
            while b"\r\n\r\n" not in received:
                received += self._more()
            head, _, body = received.partition(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            while len(body) < int(headers["content-length"]):
                body += self._more()
        except OSError as error:
            raise LostError(
                f"request {self.asked} of its connection: {error!r} after {len(received)} bytes of answer"
            ) from error
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
        """Connections that the service closed while they were idle."""
        self.lost: list[str] = []
        self.wrong: list[str] = []
        """Answers that are neither right nor a proper 503."""
        self.refusals: Counter[str] = Counter()
        """What the proper 503s said."""
        self.signalled = 0.0

    def answered(self, answer: Answer, seconds: float) -> None:
        with self._lock:
            self.answers[answer.status] += 1
            self.seconds.append(seconds)
            if refusal(answer):
                self.refusals[json.loads(answer.body)["detail"]] += 1
            elif not fine(answer):
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
        """Wait until that many more requests were answered with 200."""
        target = self.answers[200] + count
        wait_until(lambda: self.answers[200] >= target, f"{count} more answers; there are {dict(self.answers)}")


def fine(answer: Answer) -> bool:
    return answer.status == 200 and json.loads(answer.body)["label"] in ("cat", "not_cat")


def refusal(answer: Answer) -> bool:
    """Whether it is a 503 that says in the agreed way when to retry."""
    return (
        answer.status == 503
        and answer.headers["content-type"] == "application/problem+json"
        and json.loads(answer.body)["status"] == 503
        and int(answer.headers["retry-after"]) >= 1
    )


def wait_until(condition, what: str, timeout_s: float = HANG_S) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"not after {timeout_s:g} s: {what}"
        time.sleep(0.02)


def request(photo: bytes, path: str = "/predict?feature_maps=none", *headers: str) -> bytes:
    """A photo as a form."""
    return posted(path, form(photo), FORM, *headers)


def posted(path: str, body: bytes, kind: str, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def tiny(cat_image) -> bytes:
    """The cat as a JPEG of a few kilobytes."""
    return encoded(cat_image.resize((120, 90)), "JPEG", quality=80)


def send_photos(
    url: str, requests: Sequence[bytes], tally: Tally, stop: threading.Event, keep_alive: bool, come_again: bool
) -> None:
    """Send the requests in turn, over one connection or over a new one each, until `stop`, or until no connection is
    accepted, unless it is to `come_again` then.
    """
    connection = None
    for request_bytes in itertools.cycle(requests):
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
            answer = connection.ask(request_bytes)
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
    keep_alive_requests = [request(web) for web in photos.web()]
    quick = "/predict?feature_maps=none&network=dense"
    closing_requests = [request(photo, quick, "Connection: close"), request(photo, quick)]
    threads = [
        threading.Thread(target=send_photos, args=(url, requests, tally, stop, keep_alive, come_again), daemon=True)
        for count, requests, keep_alive in ((keeping, keep_alive_requests, True), (opening, closing_requests, False))
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
