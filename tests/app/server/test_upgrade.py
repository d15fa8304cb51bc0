"""Requests that offer another protocol, as the clients of the JDK do, over real connections."""

import pytest

from app.server.body import MIN_BUFFERED
from tests.app.server.test_bodies import answer, connect, padded, request
from tests.conftest import COMMAND, serving, sha256

H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk")


@pytest.fixture(scope="module")
def service(model_dir):
    with serving(*COMMAND, model_dir=model_dir, max_bytes=3_000_000) as (_, url):
        yield url


@pytest.mark.parametrize(
    "upgrade", [H2C, ("Connection: upgrade", "Upgrade: websocket"), ("Connection: Upgrade", "Upgrade: x")]
)
@pytest.mark.parametrize("size", [0, MIN_BUFFERED * 4, 1_000_000])
@pytest.mark.parametrize("first", [0, 1, 300])
def test_the_offer_is_ignored_and_the_body_read(service, cat_photo, upgrade, size, first):
    photo = padded(cat_photo, max(size, len(cat_photo)))
    head, body = request(photo, *upgrade)
    with connect(service) as connection:
        for _ in range(2):
            connection.sendall(head + body[:first])
            connection.sendall(body[first:])
            status, result = answer(connection)
            assert (status, result["image"]["sha256"]) == (200, sha256(photo))


def test_a_chunked_body_is_read(service, cat_photo):
    head = "\r\n".join(["POST /classify HTTP/1.1", "Host: x", "Transfer-Encoding: chunked", *H2C, "", ""]).encode()
    with connect(service) as connection:
        connection.sendall(head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(cat_photo), cat_photo))
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer(connection)[0] == 200
        assert answer(connection)[1] == {"status": "live"}


def test_many_offers_in_the_same_bytes_are_answered_in_their_order(service):
    one = "\r\n".join(["GET /health/live HTTP/1.1", "Host: x", *H2C, "", ""]).encode()
    with connect(service) as connection:
        connection.sendall(one * 300)  # with a recursion for each, this would end in an error
        for _ in range(300):
            assert answer(connection) == (200, {"status": "live"})


@pytest.mark.promise("P6")
def test_what_follows_is_still_checked(service):
    with connect(service) as connection:
        connection.sendall("\r\n".join(["GET /health/live HTTP/1.1", "Host: x", *H2C, "", ""]).encode())
        assert answer(connection)[0] == 200
        connection.sendall(b"nonsense\r\n\r\n")
        assert answer(connection)[0] == 400
