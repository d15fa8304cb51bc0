"""Requests that are refused halfway, answers that come early or stay unread, clients that leave, and a server that stops."""

import asyncio
import contextlib
import socket
import struct
import threading
import time

import pytest
from prometheus_client import REGISTRY

from app.capacity import UploadBudget
from app.server import body as bodies
from app.server.connection import Protocol
from tests.security.test_connection import connect, everything, one, problem, served

LARGE = 5_000_000
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def post(length: int, *headers: bytes) -> bytes:
    return b"\r\n".join([b"POST / HTTP/1.1", b"Host: x", b"Content-Length: %d" % length, *headers, b"", b""])


def answer(size: int, path: str = "/"):
    """An application that answers with so many bytes, and reads nothing."""

    async def app(scope, receive, send) -> None:
        length = size if scope["path"] == path else 0
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % length)]})
        await send({"type": "http.response.body", "body": bytes(length)})

    return app


def wait_until(reached) -> None:
    for _ in range(3000):
        if reached():
            return
        time.sleep(0.01)
    raise AssertionError("it does not come to that")


def head_and_body(connection: socket.socket) -> tuple[bytes, bytes]:
    """One answer, whatever follows it."""
    head, body = bytearray(), bytearray()

    def received(most: int) -> bytes:
        piece = connection.recv(most)
        assert piece, "the connection was closed"
        return piece

    while not head.endswith(b"\r\n\r\n"):
        head += received(1)
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += received(length - len(body))
    return bytes(head), bytes(body)


@pytest.mark.parametrize("length", [1000, LARGE], ids=["small", "large"])
def test_a_body_that_arrives_after_its_answer_is_passed_over_and_the_next_request_is_answered(length):
    with served(answer(5), body_s=20, head_s=20) as (address, uploads, _), connect(address) as connection:
        connection.sendall(post(length))
        assert head_and_body(connection)[1] == bytes(5)
        connection.sendall(bytes(length) + GET)
        assert head_and_body(connection)[1] == bytes(5)
        assert uploads.bytes == 0


@pytest.mark.parametrize("length", [10, LARGE], ids=["small", "large"])
def test_a_client_that_asks_whether_it_may_go_on_is_told_so(length):
    with served(body_s=20) as (address, *_), connect(address) as connection:
        connection.sendall(post(length, b"Expect: 100-continue"))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(bytes(length))
        assert head_and_body(connection)[1] == b"%d" % length


def test_a_client_that_leaves_instead_of_going_on_is_told_nothing():
    with served(body_s=20) as (address, uploads, server):
        with connect(address) as connection:
            connection.sendall(post(LARGE) + bytes(100_000))
            wait_until(lambda: uploads.bytes)
        wait_until(lambda: not server.server_state.connections)
        assert uploads.bytes == 0


@pytest.mark.parametrize(
    "head", [post(LARGE), post(LARGE).replace(b"Content-Length: 5000000", b"Transfer-Encoding: chunked")]
)
def test_a_body_that_is_read_piece_by_piece_is_not_held(head):
    held = []

    async def app(scope, receive, send) -> None:
        size = 0
        while True:
            message = await receive()
            size += len(message.get("body", b""))
            held.append(uploads.bytes)
            if not message.get("more_body"):
                break
        await answer(size)(scope, receive, send)

    uploads = UploadBudget(1000)
    body = b"4c4b40\r\n" + bytes(LARGE) + b"\r\n0\r\n\r\n" if b"chunked" in head else bytes(LARGE)
    with served(app, uploads=uploads, streamed=lambda *_: True, body_s=20) as (address, *_), connect(address) as connection:
        connection.sendall(head + body)
        assert len(head_and_body(connection)[1]) == LARGE
    assert len(held) > 1
    assert set(held) == {0}


def test_a_request_for_a_tunnel_is_answered_like_any_other():
    with served() as (address, *_), connect(address) as connection:
        connection.sendall(b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\nConnection: close\r\n\r\n")
        assert everything(connection).startswith(b"HTTP/1.1 ")


@pytest.mark.parametrize(
    "body",
    [b"bb8\r\n" + bytes(3000) + b"\r\n" + b"5\r\nhello\r\n0\r\n\r\n", b"bb8\r\n" + bytes(3000) + b"\r\n0\r\n\r\n"],
    ids=["the rest of the body", "the next request"],
)
def test_what_comes_in_one_piece_with_a_refused_request_is_passed_over(body):
    with served(uploads=UploadBudget(1000)) as (address, uploads, _), connect(address) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + body + GET * 3)
        received = everything(connection)
        assert received.count(b"HTTP/1.1 ") == 1
        assert problem(received)["status"] == 503
        assert uploads.bytes == 0


def test_a_body_for_which_there_is_no_memory_costs_its_own_connection(monkeypatch):
    def no_memory(size: int) -> bytes:
        raise MemoryError

    with served(body_s=20) as (address, uploads, server):
        with monkeypatch.context() as patch, connect(address) as connection:
            patch.setattr(bodies, "bytes", no_memory, raising=False)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(post(LARGE) + bytes(LARGE))
            assert everything(connection) == b""
        wait_until(lambda: not server.server_state.connections)
        assert uploads.bytes == 0
        with connect(address) as connection:
            connection.sendall(post(LARGE) + bytes(LARGE))
            assert head_and_body(connection)[1] == b"%d" % LARGE


@pytest.mark.parametrize("length", [1000, LARGE], ids=["small", "large"])
def test_an_answer_of_many_megabytes_arrives_whole_while_the_body_is_still_to_come(length):
    """Its bytes wait for the client, which is seen whoever receives the body meanwhile."""
    with served(answer(50_000_000), body_s=20, head_s=20, unread_s=20) as (address, *_), connect(address) as connection:
        connection.sendall(post(length))
        assert len(head_and_body(connection)[1]) == 50_000_000
        connection.sendall(bytes(length) + GET)
        assert len(head_and_body(connection)[1]) == 50_000_000


def test_a_client_that_leaves_with_its_answer_unread_leaves_nothing():
    with served(answer(50_000_000), unread_s=60) as (address, _, server), connect(address) as connection:
        connection.sendall(GET)
        connection.recv(1000)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        wait_until(lambda: not server.server_state.connections)


@pytest.mark.parametrize("reads", [True, False])
def test_the_rest_of_an_answer_is_read_or_dropped_though_it_is_small(reads):
    """It is what the kernel does not take any more: too little for the application to be told to wait."""
    sent, finished = [], threading.Event()

    async def fill(scope, receive, send) -> None:
        [connection] = server.server_state.connections
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        while not connection.transport.get_write_buffer_size():
            await send({"type": "http.response.body", "body": bytes(8192), "more_body": True})
            sent.append(8192)
        await send({"type": "http.response.body", "body": b""})
        finished.set()

    with served(fill) as (address, _, server), connect(address) as connection:
        connection.sendall(GET)
        assert finished.wait(20)
        if reads:
            assert everything(connection).count(b"\0") == sum(sent)
        wait_until(lambda: not server.server_state.connections)


def test_an_idle_connection_is_closed_when_its_time_is_over():
    with served(keep_alive_s=0, head_s=60) as (address, *_), connect(address) as connection:
        connection.sendall(GET)
        assert everything(connection).endswith(b"0")


def test_a_request_that_came_while_the_server_stops_may_take_longer_than_an_idle_connection_is_kept(monkeypatch):
    looked, started = threading.Event(), threading.Event()
    go_on = threading.Event()

    async def slow(scope, receive, send) -> None:
        while scope["path"] == "/slow" and not go_on.is_set():
            started.set()
            await asyncio.sleep(0.01)
        await answer(1, scope["path"])(scope, receive, send)

    close_if_idle = Protocol._close_if_idle

    def close(connection: Protocol) -> None:
        close_if_idle(connection)
        looked.set()

    monkeypatch.setattr(Protocol, "_close_if_idle", close)
    with served(slow, last_request_s=3, head_s=20) as (address, _, server), connect(address) as connection:
        connection.sendall(GET)
        assert one(connection).endswith(b"\0")
        server.should_exit = True
        with contextlib.suppress(ConnectionRefusedError):
            while True:
                connect(address).close()
                time.sleep(0.01)
        connection.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        assert started.wait(20)
        assert looked.wait(20)
        go_on.set()
        assert everything(connection).endswith(b"\0")


def test_a_request_that_arrives_byte_by_byte_is_read():
    with served(head_s=20, body_s=20) as (address, *_), connect(address) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in post(5, b"Connection: close") + b"photo":
            connection.sendall(bytes([byte]))
        assert everything(connection).endswith(b"5")


def test_what_is_cut_off_is_counted_and_told_why():
    def counted(status: int) -> float:
        labels = {"route": "", "method": "", "status": str(status)}
        return REGISTRY.get_sample_value("catscope_requests_total", labels) or 0

    cases = (
        (b"no request at all\r\n\r\n", 400, "The bytes received are not an HTTP/1.1 request."),
        (GET[:-2], 408, "The request's head did not arrive within 0.3 s."),
        (post(9) + b"photo", 408, "The request's body arrived too slowly: 5 bytes so far."),
        (GET[:-2] + b"X: " + bytes([120]) * 70_000, 431, "has more than 65536 bytes."),
        (post(2000) + bytes(1500), 503, "Upload memory is full (1000 bytes); retry shortly."),
    )
    with served(uploads=UploadBudget(1000)) as (address, *_):
        for data, status, says in cases:
            before = counted(status)
            with connect(address) as connection:
                connection.sendall(data)
                members = problem(everything(connection))
            assert (members["status"], counted(status) - before) == (status, 1)
            assert members["detail"].endswith(says)


def test_what_is_open_and_held_is_counted():
    def shown(name: str) -> float | None:
        return REGISTRY.get_sample_value(f"catscope_{name}")

    opened = shown("connections")
    with served(body_s=20) as (address, uploads, _):
        with connect(address) as connection:
            connection.sendall(post(LARGE) + bytes(100_000))
            wait_until(lambda: uploads.bytes == 100_000)
            wait_until(lambda: (shown("connections") - opened, shown("held_bytes")) == (1, 100_000))
        wait_until(lambda: (shown("connections") - opened, shown("held_bytes")) == (0, 0))
