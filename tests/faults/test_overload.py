"""More requests than can be answered: some are asked to retry, the others are served, and nothing is left over."""

import contextlib
import itertools
import math
import resource
import selectors
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import httpx2
import pytest

from benchmarks import photos
from benchmarks.clients import FORM, at_rate, form, missing, saturate
from tests.conftest import COMMAND, serving
from tests.faults.clients import HANG_S, Connection, Tally, refusal, request, send_photos, tiny, wait_until
from tests.faults.service import MODEL, number, resident, upload_begun
from tests.record import record


@contextlib.contextmanager
def clients(url: str, requests: Sequence[bytes], tally: Tally, count: int, keep_alive: bool = True) -> Iterator[None]:
    """That many clients, which send the requests all the time."""
    stop = threading.Event()
    arguments = (url, requests, tally, stop, keep_alive, False)
    threads = [threading.Thread(target=send_photos, args=arguments, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(HANG_S)
    assert not any(thread.is_alive() for thread in threads), "a client waits for an answer that does not come"


@contextlib.contextmanager
def watched(url: str) -> Iterator[Counter[str]]:
    """Poll both health endpoints; counts their answers by path and status."""
    statuses: Counter[str] = Counter()
    stop = threading.Event()

    def ask() -> None:
        with httpx2.Client(timeout=HANG_S) as client:
            for path in itertools.cycle(("live", "ready")):
                statuses[f"{path} {client.get(f'{url}/health/{path}').status_code}"] += 1
                if stop.wait(0.02):
                    return

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield statuses
    finally:
        stop.set()
        thread.join(HANG_S)
    assert not thread.is_alive()


@pytest.mark.promise("P13")
@pytest.mark.parametrize("keep_alive", [True, False], ids=["connections kept", "a connection each"])
def test_excess_requests_are_refused_at_once_and_the_service_stays_healthy(cat_image, keep_alive):
    tally = Tally()
    requests = [request(photo) for photo in photos.web()]
    with serving(*COMMAND, model_dir=MODEL, threads=1, max_waiting=2, log_level="error") as (_, url):
        with watched(url) as health, clients(url, requests, tally, 16, keep_alive):
            tally.wait_for_more(30)
            wait_until(
                lambda: tally.answers[503] >= 30 and min(health["live 200"], health["ready 200"]) >= 10, "some of each"
            )
        assert health.keys() == {"live 200", "ready 200"}
        assert (tally.lost, tally.wrong, tally.refused) == ([], [], 0)
        assert tally.answers.keys() == {200, 503}
        with Connection(url) as connection:
            for sent in requests:
                assert connection.ask(sent).status == 200


@pytest.mark.promise("P14")
def test_more_bytes_than_may_be_held_are_refused_until_some_are_released(model_dir, cat_photo, cat_image):
    small = request(tiny(cat_image))
    large = form(cat_photo + bytes(1_000_000))
    first = 1_000_000
    with (
        serving(*COMMAND, model_dir=model_dir, max_held_bytes=3 * first) as (_, url),
        upload_begun(url, large) as one,
        upload_begun(url, large) as two,
        upload_begun(url, large) as leaving,
    ):
        for slow in (one, two, leaving):
            slow.sendall(large[:first])
        wait_until(lambda: number(url, "catscope_held_bytes") == 3 * first, "all of it is held")
        for _ in range(3):
            with Connection(url) as connection:
                assert refusal(connection.ask(small))

        leaving.close()
        wait_until(lambda: number(url, "catscope_held_bytes") == 2 * first, "what nobody sends any more is not held")
        with Connection(url) as connection:
            assert connection.ask(small).status == 200
        for slow in (one, two):
            slow.sendall(large[first:])
            assert slow.recv(100).startswith(b"HTTP/1.1 200")
        wait_until(lambda: number(url, "catscope_held_bytes") == 0, "nothing is held any more")


@pytest.mark.promise("P14")
def test_a_body_that_grows_past_the_limit_is_refused_and_the_others_are_not(model_dir, cat_photo):
    large = form(cat_photo + bytes(1_000_000))
    with (
        serving(*COMMAND, model_dir=model_dir, max_held_bytes=2_000_000) as (_, url),
        upload_begun(url, large) as one,
        upload_begun(url, large) as two,
    ):
        one.sendall(large[:1_100_000])
        wait_until(lambda: number(url, "catscope_held_bytes") == 1_100_000, "it is held")
        two.sendall(large[:1_000_000])
        assert two.recv(100).startswith(b"HTTP/1.1 503")
        one.sendall(large[1_100_000:])
        assert one.recv(100).startswith(b"HTTP/1.1 200")
        wait_until(lambda: number(url, "catscope_held_bytes") == 0, "nothing is held any more")


@pytest.mark.promise("P2")
def test_announced_bytes_take_no_memory(model_dir, cat_photo):
    """A client that sends 50 heads must not take up a gigabyte with them."""
    size = 20_000_000
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM}\r\nContent-Length: {size}\r\n\r\n".encode()
    with serving(*COMMAND, model_dir=model_dir) as (process, url), contextlib.ExitStack() as stack:
        assert httpx2.post(f"{url}/predict", files={"file": cat_photo}).status_code == 200
        before = resident(process.pid)
        for _ in range(50):
            connection = stack.enter_context(Connection(url))
            connection.socket.sendall(head + b"x" * 70_000)
        wait_until(lambda: number(url, "catscope_held_bytes") == 50 * 70_000, "all that was sent is there")
        assert resident(process.pid) - before < 100


class Loris(threading.Thread):
    """Connections that send a byte at a time and never finish, a third of them heads, a third small bodies and a
    third large ones. One that is cut off is opened again.
    """

    def __init__(self, url: str, count: int, apart_s: float = 0.3) -> None:
        super().__init__(daemon=True)
        host, port = url[7:].split(":")
        self._address = (host, int(port))
        self._count, self._apart_s = count, apart_s
        self._selector = selectors.DefaultSelector()
        self._enough = threading.Event()
        self.opened = self.sent = 0
        self.statuses: Counter[int] = Counter()
        """How often each status was answered; 0 for connections that ended without an answer."""

    def run(self) -> None:
        for _ in range(self._count):
            self._open()
        while not self._enough.wait(self._apart_s):
            for key, _ in self._selector.select(0):
                self._receive(key.fileobj)
            for key in list(self._selector.get_map().values()):
                with contextlib.suppress(OSError):  # read in the next round
                    self.sent += key.fileobj.send(b"x")
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()

    def _open(self) -> None:
        kind = self.opened % 3
        self.opened += 1
        connection = socket.create_connection(self._address, HANG_S)
        head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM}\r\n"
        length = (0, 50_000, 2_000_000)[kind]
        connection.sendall((head + (f"Content-Length: {length}\r\n\r\n" if length else "X-Slow: ")).encode())
        connection.setblocking(False)
        self._selector.register(connection, selectors.EVENT_READ)

    def _receive(self, connection: socket.socket) -> None:
        try:
            received = connection.recv(4096)
        except OSError:
            received = b""
        self.statuses[int(received.split()[1]) if received else 0] += 1
        self._selector.unregister(connection)
        connection.close()
        self._open()

    def __enter__(self) -> "Loris":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self.join(HANG_S)
        assert not self.is_alive()


@pytest.fixture
def many_files() -> Iterator[None]:
    """As many open files as the system allows, for this process and those that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.promise("P15")
def test_a_hundred_connections_that_send_a_byte_at_a_time_block_no_other_client(cat_image, many_files):
    tally = Tally()
    with serving(*COMMAND, model_dir=MODEL, log_level="error") as (_, url):
        with Loris(url, 100) as slow:
            wait_until(lambda: number(url, "catscope_connections") > 100 and slow.sent > 1000, "they are there")
            with clients(url, [request(photo) for photo in photos.web()], tally, 4):
                tally.wait_for_more(100)
                assert number(url, "catscope_connections") > 100
        assert (tally.lost, tally.wrong, tally.refused) == ([], [], 0)
        assert tally.answers.keys() == {200}
        wait_until(lambda: number(url, "catscope_connections") == 1, "no connection stays")
        wait_until(lambda: number(url, "catscope_held_bytes") == 0, "nothing is held any more")


@pytest.mark.promise("P15")
@pytest.mark.soak
def test_a_thousand_connections_that_send_a_byte_at_a_time_block_no_other_client(many_files):
    seconds, connections = 90, 1000
    requests = [request(photo) for photo in photos.web()]
    before, during = Tally(), Tally()
    with serving(*COMMAND, model_dir=MODEL, log_level="error") as (process, url):
        with clients(url, requests, before, 4):
            time.sleep(20)
        memory = resident(process.pid)
        with Loris(url, connections) as slow:
            wait_until(lambda: number(url, "catscope_connections") > connections, "they are there")
            with clients(url, requests, during, 4):
                for second in range(0, seconds, 10):
                    time.sleep(10)
                    print(f"{second + 10} s: {dict(during.answers)}, the slow: {dict(slow.statuses)}", flush=True)
            worst = resident(process.pid)
        wait_until(lambda: number(url, "catscope_connections") == 1, "no connection stays")
    assert (during.lost, during.wrong, during.refused) == ([], [], 0)
    assert during.answers.keys() == {200}
    assert slow.statuses[408] >= connections, "each is cut off in time"
    assert worst - memory < 250, "what they announce takes no memory"
    record(
        "slow-loris",
        connections=connections,
        seconds=seconds,
        opened=slow.opened,
        told=dict(slow.statuses),
        answered_per_second_before=round(before.answers[200] / 20, 1),
        answered_per_second_during=round(during.answers[200] / seconds, 1),
        p99_ms_before=p99(before.seconds),
        p99_ms_during=p99(during.seconds),
        refused=0,
        lost=0,
        resident_mb_before=memory,
        resident_mb_during=worst,
    )


def p99(seconds: list[float]) -> float:
    return round(1000 * sorted(seconds)[math.ceil(0.99 * len(seconds)) - 1], 1)


@pytest.mark.promise("P13")
@pytest.mark.soak
@pytest.mark.skipif(bool(missing()), reason=f"apt-get install {' '.join(missing())}")
def test_five_minutes_at_four_times_the_load_that_can_be_answered(many_files):
    bodies = [form(photo) for photo in photos.web()]
    rounds, seconds = 10, 30
    results = []
    with serving(*COMMAND, model_dir=MODEL, log_level="error") as (process, url):
        path = f"{url}/predict?feature_maps=none"
        saturate(path, bodies, FORM, 8, 5)
        peak = statistics.median(saturate(path, bodies, FORM, 8, 10)["per_second"] for _ in range(3))
        before = resident(process.pid)
        print(f"{peak:.1f}/s are answered at most; {before} MB", flush=True)
        with watched(url) as health:
            for turn in range(rounds):
                results.append(at_rate(path, bodies, FORM, 4 * peak, seconds))
                print(f"{turn + 1} of {rounds}: {results[-1]}, {resident(process.pid)} MB", flush=True)
        after = resident(process.pid)
        recovered = saturate(path, bodies, FORM, 8, 10)
        wait_until(lambda: number(url, "catscope_connections") == 1, "no connection stays")
        wait_until(lambda: number(url, "catscope_held_bytes") == 0, "nothing is held any more")
    statuses = sum((Counter(result["statuses"]) for result in results), Counter())
    assert sum(result["broken"] for result in results) == 0
    assert statuses.keys() == {"200", "503"}
    assert health.keys() == {"live 200", "ready 200"}
    assert recovered["refused"] == recovered["broken"] == 0
    record(
        "four times saturation",
        minutes=rounds * seconds / 60,
        peak_per_second=peak,
        sent_per_second=round(sum(result["sent"] for result in results) / (rounds * seconds), 1),
        answered_per_second=round(statuses["200"] / (rounds * seconds), 1),
        answered_per_second_afterwards=recovered["per_second"],
        statuses=dict(statuses),
        broken=0,
        p99_ms=max(result["p99_ms"] for result in results),
        slowest_refusal_ms=max(result["slowest_refusal_ms"] for result in results),
        health_checks_answered=sum(health.values()),
        resident_mb_before=before,
        resident_mb_after=after,
    )
