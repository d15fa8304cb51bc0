"""Large bodies over real connections: in one piece, cut anywhere, refused, abandoned, one after the other."""

import json
import random
import socket
import time

import httpx2
import pytest

from app.server.body import MIN_BUFFERED
from tests.conftest import COMMAND, serving, sha256

BOUNDARY = "d74496d66958873e"


@pytest.fixture(scope="module")
def service(model_dir):
    with serving(*COMMAND, model_dir=model_dir, max_bytes=3_000_000) as (_, url):
        yield url


def request(file: bytes, *headers: str) -> tuple[bytes, bytes]:
    body = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'.encode() + file
    body += f"\r\n--{BOUNDARY}--\r\n".encode()
    lines = ["POST /predict?feature_maps=none HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    return ("\r\n".join([*lines, f"Content-Type: multipart/form-data; boundary={BOUNDARY}", "", ""])).encode(), body


def connect(url: str) -> socket.socket:
    host, port = url[7:].split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def answer(connection: socket.socket) -> tuple[int, dict]:
    """The next answer, without a byte of the following one, which may have come in the same packet."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = connection.recv(1)
        assert piece, "the connection was closed without an answer"
        head += piece
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    body = b""
    while len(body) < length:
        body += connection.recv(length - len(body))
    return int(head.split()[1]), json.loads(body)


def padded(cat_photo: bytes, size: int) -> bytes:
    """The photo, padded after its end to `size` bytes: it is read all the same."""
    return cat_photo + random.Random(1).randbytes(size - len(cat_photo))


@pytest.mark.parametrize("size", [MIN_BUFFERED * 4 - 1, 1_000_000, 2_900_000])
@pytest.mark.parametrize("first", [0, 1, 200, 65_536, 240_000])
def test_a_large_body_arrives_complete_wherever_it_is_cut(service, cat_photo, size, first):
    photo = padded(cat_photo, size)
    head, body = request(photo)
    with connect(service) as connection:
        for _ in range(2):  # the connection can be used again afterwards
            connection.sendall(head + body[:first])
            time.sleep(0.02)
            middle = (first + len(body)) // 2
            connection.sendall(body[first:middle])
            time.sleep(0.02)
            connection.sendall(body[middle:])
            status, response = answer(connection)
            assert status == 200
            assert response["image"]["sha256"] == sha256(photo)


def test_a_nearly_complete_body_stays_with_uvicorn_to_its_end(service, cat_photo):
    """The application has consumed the first pieces before the next one arrives."""
    photo = padded(cat_photo, MIN_BUFFERED * 4 - 1)
    head, body = request(photo)
    with connect(service) as connection:
        for piece in (head + body[:-30_000], body[-30_000:-20_000], body[-20_000:]):
            connection.sendall(piece)
            time.sleep(0.2)
        status, response = answer(connection)
        assert (status, response["image"]["sha256"]) == (200, sha256(photo))


def test_requests_sent_without_waiting_are_answered_in_their_order(service, cat_photo):
    photos = [padded(cat_photo, size) for size in (1_000_000, 300_000, 2_000_000)]
    with connect(service) as connection:
        connection.sendall(b"".join(b"".join(request(photo)) for photo in photos))
        for photo in photos:
            status, response = answer(connection)
            assert (status, response["image"]["sha256"]) == (200, sha256(photo))


def test_a_client_that_expects_100_continue_gets_it(service, cat_photo):
    head, body = request(padded(cat_photo, 1_000_000), "Expect: 100-continue")
    with connect(service) as connection:
        connection.sendall(head)
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert answer(connection)[0] == 200


def test_a_client_that_disconnects_midway_harms_nobody(service, cat_photo):
    head, body = request(padded(cat_photo, 1_000_000))
    for part in (0, 100_000, 999_999):
        with connect(service) as connection:
            connection.sendall(head + body[:part])
    assert httpx2.post(f"{service}/predict", files={"file": cat_photo}).status_code == 200


@pytest.mark.promise("P7")
def test_a_large_body_that_is_refused_is_not_read_needlessly(model_dir, cat_photo):
    """Even a client that reads only after sending everything finds its answer, and then the end of the connection."""
    head, body = request(padded(cat_photo, 2_000_000))
    with serving(*COMMAND, model_dir=model_dir, api_keys="alpha") as (_, url):
        for first in (0, 100_000, len(body)):
            with connect(url) as connection:
                connection.sendall(head + body[:first])
                time.sleep(0.02)
                connection.sendall(body[first:])
                assert answer(connection)[0] == 401
                assert connection.recv(1) == b""


def test_a_small_body_that_is_refused_leaves_the_connection_usable(model_dir, cat_photo):
    head, body = request(b"0" * 1000)
    with serving(*COMMAND, model_dir=model_dir, api_keys="alpha") as (_, url), connect(url) as connection:
        connection.sendall(head + body[:100])
        assert answer(connection)[0] == 401
        connection.sendall(body[100:])
        head, body = request(cat_photo, "X-API-Key: alpha")
        connection.sendall(head + body)
        assert answer(connection)[0] == 200


@pytest.mark.promise("P1")
def test_a_length_above_the_limit_is_refused_and_no_memory_is_reserved_for_it(service, cat_photo):
    head, _ = request(padded(cat_photo, 3_100_000))
    with connect(service) as connection:
        connection.sendall(head)
        status, response = answer(connection)
        assert (status, response["title"]) == (413, "Too large")


def test_a_chunked_body_arrives_complete(service, cat_photo):
    photo = padded(cat_photo, 1_000_000)
    head, body = request(photo, "Transfer-Encoding: chunked")
    head = b"\r\n".join(line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length"))
    chunks = [body[at : at + 70_000] for at in range(0, len(body), 70_000)]
    with connect(service) as connection:
        connection.sendall(head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n")
        status, response = answer(connection)
        assert (status, response["image"]["sha256"]) == (200, sha256(photo))
