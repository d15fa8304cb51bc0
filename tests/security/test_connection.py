"""What a connection may do before there is a request, while its body arrives and while its answer is unread."""

import asyncio
import contextlib
import functools
import json
import socket
import threading
import time

import pytest
import uvicorn

from app.capacity import UploadBudget
from app.server.connection import ConnectionLimits, Protocol

QUICK = {"head_s": 0.3, "body_s": 0.3, "min_bytes_per_s": 100_000, "unread_s": 0.3, "last_request_s": 0.3}


async def echo(scope, receive, send) -> None:
    """Answers with the number of bytes received; /large answers 50 MB, /unread answers before it has read anything."""
    size = 0
    while scope["path"] != "/unread":
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    body = bytes(50_000_000) if scope["path"] == "/large" else b"%d" % size
    head = [(b"content-length", b"%d" % len(body))]
    if scope["path"] == "/unread":
        head.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})


@contextlib.contextmanager
def served(app=echo, keep_alive_s: int = 5, **limits):
    """A server in a thread of its own: its address, and what it holds."""
    uploads = limits.setdefault("uploads", UploadBudget(10_000_000))
    connection_limits = ConnectionLimits(**{"max_bytes": 20_000_000} | QUICK | limits)
    config = uvicorn.Config(
        app,
        http=functools.partial(Protocol, connection_limits),
        port=0,
        timeout_keep_alive=keep_alive_s,
        lifespan="off",
        ws="none",
        log_level="error",
        server_header=False,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname(), uploads, server
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive(), "the server did not end"


def everything(connection: socket.socket) -> bytes:
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            received += piece
    return received


def one(connection: socket.socket) -> bytes:
    """The first answer, whose body is one byte."""
    received = b""
    while b"\r\n\r\n" not in received[:-1]:
        received += connection.recv(1)
    return received


def problem(answer: bytes) -> dict:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert b"connection: close" in head.lower()
    assert b"x-request-id: " in head.lower()
    members = json.loads(body)
    assert head.startswith(b"HTTP/1.1 %d " % members["status"])
    return members


def connect(address) -> socket.socket:
    return socket.create_connection(address, timeout=20)


@pytest.mark.promise("P3")
@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(10_000)) + b"\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 3_000_000,  # without an end
        b"GET /" + b"a" * 3_000_000,
    ],
    ids=["one header", "many headers", "path", "endless header", "endless path"],
)
@pytest.mark.parametrize("piece", [1_000, 10_000_000])
def test_a_head_that_is_too_large_is_refused_however_it_arrives(data, piece):
    with served(head_s=20) as (address, *_), connect(address) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for at in range(0, len(data), piece):
                connection.sendall(data[at : at + piece])
        assert problem(everything(connection))["status"] == 431


def test_a_head_just_below_the_limit_is_read():
    with served() as (address, *_), connect(address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: " + b"a" * 60_000 + b"\r\n\r\n")
        assert everything(connection).endswith(b"0")


@pytest.mark.promise("P6")
@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"HELO cat\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"GET / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nX\0: y\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_not_http_is_refused_with_a_problem(data):
    with served() as (address, *_), connect(address) as connection:
        connection.sendall(data)
        assert problem(everything(connection))["status"] == 400


@pytest.mark.parametrize("data", [b"", b"\r\n"], ids=["nothing", "an empty line"])
def test_a_connection_without_a_request_is_closed(data):
    with served() as (address, *_), connect(address) as connection:
        connection.sendall(data)
        assert everything(connection) == b""


@pytest.mark.promise("P4")
def test_a_dripping_head_is_cut_off():
    with served() as (address, *_), connect(address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        for _ in range(20):  # more than a sign of life is needed
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(b"X: y\r\n")
            time.sleep(0.03)
        members = problem(everything(connection))
        assert (members["status"], members["title"]) == (408, "Too slow")


def test_the_second_request_of_a_connection_has_the_same_time_limit():
    with served() as (address, *_), connect(address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert one(connection).endswith(b"0")
        connection.sendall(b"GET / HT")
        assert problem(everything(connection))["status"] == 408


@pytest.mark.promise("P4")
@pytest.mark.parametrize("length", [1_000, 5_000_000], ids=["small", "large"])
@pytest.mark.parametrize("chunked", [True, False])
def test_a_dripping_body_is_cut_off_and_nothing_of_it_is_held(length, chunked):
    with served() as (address, uploads, _), connect(address) as connection:
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % length
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n")
        for _ in range(20):
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(b"1\r\na\r\n" if chunked else b"a")
            time.sleep(0.03)
        assert problem(everything(connection))["status"] == 408
        assert uploads.bytes == 0


def test_a_body_that_keeps_coming_may_take_its_time():
    """Five times the time that a body has that does not, at twice the slowest speed."""
    with served() as (address, uploads, _), connect(address) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 300000\r\n\r\n")
        for _ in range(60):
            connection.sendall(bytes(5_000))
            time.sleep(0.025)
        assert everything(connection).endswith(b"300000")
        assert uploads.bytes == 0


@pytest.mark.promise("P4")
def test_trailers_without_an_end_are_cut_off():
    with served(body_s=1) as (address, *_), connect(address) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
        for _ in range(60):
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(b"X: y\r\n" * 100)
            time.sleep(0.03)
        assert problem(everything(connection))["status"] == 408


@pytest.mark.promise("P14")
@pytest.mark.parametrize("chunked", [True, False])
def test_more_bytes_than_may_be_held_are_refused_until_there_is_room_again(chunked):
    with served(uploads=UploadBudget(1_000_000), body_s=20) as (address, uploads, _):
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 2000000"
        head = b"POST / HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n"
        piece = b"927c0\r\n" + bytes(600_000) + b"\r\n" if chunked else bytes(600_000)
        with connect(address) as first, connect(address) as second:
            first.sendall(head + piece)
            while uploads.bytes < 600_000:
                time.sleep(0.01)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                second.sendall(head + piece)
            members = problem(everything(second))
            assert (members["status"], members["title"]) == (503, "Not now")
            assert uploads.bytes == 600_000
        while uploads.bytes:  # the first one has left
            time.sleep(0.01)
        with connect(address) as third:
            third.sendall(
                b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 900000\r\n\r\n" + bytes(900_000)
            )
            assert everything(third).endswith(b"900000")
        assert uploads.bytes == 0


@pytest.mark.promise("P5")
def test_an_answer_that_nobody_reads_is_dropped():
    with served() as (address, _, server), connect(address) as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        connection.recv(1000)
        for _ in range(1000):
            if not server.server_state.connections:
                break
            time.sleep(0.01)
        assert not server.server_state.connections


def test_an_answer_that_is_read_slowly_arrives_complete():
    with served() as (address, *_), connect(address) as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        size = 0
        while piece := connection.recv(500_000):  # several times as long as a client may read nothing
            size += len(piece)
            time.sleep(0.01)
        assert size > 50_000_000


@pytest.mark.promise("P7")
@pytest.mark.parametrize("length", [b"Content-Length: 15000000", b"Transfer-Encoding: chunked"])
def test_a_client_that_sends_everything_first_still_reads_an_early_answer(length):
    with served() as (address, *_), connect(address) as connection:
        body = bytes(15_000_000) if length.startswith(b"Content") else b"1000000\r\n" + bytes(15_000_000)
        connection.sendall(b"POST /unread HTTP/1.1\r\nHost: x\r\n" + length + b"\r\n\r\n" + body)
        assert everything(connection).endswith(b"0")


@pytest.mark.promise("P7")
def test_a_client_that_never_stops_sending_after_its_answer_is_cut_off():
    with served() as (address, *_), connect(address) as connection:
        connection.sendall(b"POST /unread HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.settimeout(20)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):  # noqa: PT012
            for _ in range(100_000):
                connection.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")


def test_requests_sent_at_once_are_all_answered_although_what_follows_is_not_http():
    with served() as (address, *_), connect(address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 3 + b"\0\0\0")
        assert everything(connection).count(b"HTTP/1.1 200") >= 1


def test_a_request_on_an_idle_connection_is_the_last_one_answered_while_the_server_stops():
    with served(last_request_s=3) as (address, _, server), connect(address) as idle, connect(address) as silent:
        for connection in (idle, silent):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert one(connection).endswith(b"0")
        server.should_exit = True
        with contextlib.suppress(ConnectionRefusedError):
            while True:
                connect(address).close()
                time.sleep(0.01)
        idle.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = everything(idle)
        assert answer.endswith(b"0")
        assert b"connection: close" in answer
        assert everything(silent) == b""


def test_requests_sent_at_once_are_all_answered_while_the_server_stops():
    started = threading.Event()
    go_on = threading.Event()

    async def slow(scope, receive, send) -> None:
        started.set()
        while not go_on.is_set():
            await asyncio.sleep(0.01)
        await echo(scope, receive, send)

    with served(slow) as (address, _, server), connect(address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
        assert started.wait(10)
        time.sleep(0.1)
        server.should_exit = True
        time.sleep(0.3)
        go_on.set()
        assert everything(connection).count(b"HTTP/1.1 200") == 3
