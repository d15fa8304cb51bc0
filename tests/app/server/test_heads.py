"""A request's head within its limits of time and size, by a clock: what is refused, when, and with what answer."""

import asyncio
import json

import pytest

from tests.app.server.wire import GET, Held, answer, chunk, connected, counting, now, parsed, post, settled, shown, timed

MOST = 64 * 1024
"""Bytes of a head."""

TOO_LARGE = f"The request's head, its first line and headers, has more than {MOST} bytes."
NO_HTTP = "The bytes received are not an HTTP/1.1 request."


def refusal(received: bytes) -> tuple[int, str]:
    """The status and the sentence of a problem that ends a connection."""
    one = parsed(received)
    assert one.headers["content-type"] == "application/problem+json"
    assert (one.headers["connection"], one.headers["server"]) == ("close", "catscope")
    assert len(one.headers["x-request-id"]) == 16
    assert json.loads(one.body)["status"] == one.status
    return one.status, json.loads(one.body)["detail"]


def cut_off(status: int) -> float:
    return shown("requests_total", route="", method="", status=str(status))


@pytest.mark.parametrize("data", [b"", b"\r\n"])
@timed
async def test_a_connection_without_a_request_is_closed_after_ten_seconds(data):
    async with connected(counting()) as client:
        await client.send(data)
        assert await client.everything() == b""
        assert (round(now(), 3), client.open) == (10, False)


@timed
async def test_a_head_has_ten_seconds_from_the_start_of_the_connection_however_it_drips():
    before = cut_off(408)
    async with connected(counting()) as client:
        for byte in GET[:9]:
            await client.send(bytes([byte]))
            assert await client.heard() == b""
            await asyncio.sleep(1.1)
        assert refusal(await client.everything()) == (408, "The request's head did not arrive within 10 s.")
        assert round(now(), 3) == 10
        assert cut_off(408) == before + 1


@timed
async def test_the_head_of_a_later_request_has_ten_seconds_from_its_first_byte():
    async with connected(counting(), head_s=2.5) as client:
        for _ in range(2):
            await client.send(GET)
            assert parsed(await client.heard()).body == b"0"
            await asyncio.sleep(20)
        await client.send(GET[:1])
        await asyncio.sleep(2.4)
        await client.send(GET[1:-1])
        begun = now()
        assert refusal(await client.everything()) == (408, "The request's head did not arrive within 2.5 s.")
        assert round(now() - begun, 3) == 0.1


@timed
async def test_a_head_that_arrives_in_time_is_answered_and_the_connection_stays():
    async with connected(counting(), head_s=2, keep_alive_s=75) as client:
        await asyncio.sleep(1.9)
        await client.send(GET[:5])
        await client.send(GET[5:])
        assert parsed(await client.heard()).body == b"0"
        await asyncio.sleep(74.9)
        assert client.open
        await asyncio.sleep(0.2)
        assert (await client.everything(), client.open) == (b"", False)


@timed
async def test_a_request_that_is_being_answered_may_take_longer_than_its_head():
    app = Held(counting())
    async with connected(app, head_s=2, body_s=2) as client:
        await client.send(GET)
        await asyncio.sleep(100)
        assert (await client.heard(), client.open) == (b"", True)
        app.go_on.set()
        assert parsed(await client.heard()).body == b"0"


def of_size(size: int, url: bytes = b"/") -> bytes:
    """A head of so many bytes as they are counted: its target, and each header with its colon, its space and its end."""
    lines = [b"Host: x\r\n", b"Connection: close\r\n"]
    filled = size - len(url) - sum(map(len, lines)) - len(b"X: \r\n")
    return b"GET " + url + b" HTTP/1.1\r\n" + b"".join(lines) + b"X: " + b"a" * filled + b"\r\n\r\n"


@pytest.mark.parametrize("url", [b"/", b"/" + b"b" * 30_000])
@timed
async def test_a_head_may_have_64_kb_and_no_byte_more(url):
    before = cut_off(431)
    async with connected(counting(), max_head_bytes=MOST) as client:
        await client.send(of_size(MOST, url))
        assert parsed(await client.heard()).body == b"0"
    async with connected(counting()) as client:
        await client.send(of_size(MOST + 1, url))
        assert refusal(await client.everything()) == (431, TOO_LARGE)
    assert cut_off(431) == before + 1


@pytest.mark.parametrize("pieces", [1, 2, 8])
@timed
async def test_a_head_without_an_end_may_have_64_kb_and_no_byte_more(pieces):
    start = b"GET / HTTP/1.1\r\nX: "
    async with connected(counting()) as client:
        unfinished = start + b"a" * (MOST - len(start))
        for number in range(pieces):
            await client.send(unfinished[number * MOST // pieces : (number + 1) * MOST // pieces])
        await settled()
        assert (await client.heard(), client.open) == (b"", True)
        await client.send(b"a")
        assert refusal(await client.everything()) == (431, TOO_LARGE)
        assert round(now(), 3) == 0


@timed
async def test_each_head_of_a_connection_may_be_that_large():
    async with connected(counting(), max_head_bytes=1000) as client:
        for _ in range(5):
            await client.send(GET[:-2] + b"X: " + b"a" * 600 + b"\r\n\r\n")
            assert parsed(await client.heard()).body == b"0"
            await client.send(GET[:-2] + b"X: " + b"a" * 300)
            await client.send(b"a" * 300 + b"\r\n\r\n")
            assert parsed(await client.heard()).body == b"0"


@timed
async def test_a_head_that_follows_a_body_in_the_same_piece_is_not_as_large_as_both():
    async with connected(counting(), max_head_bytes=1000) as client:
        await client.send(post(None) + chunk(bytes(5000)) + b"0\r\n\r\n" + GET[:10])
        await client.send(GET[10:])
        assert (await client.heard()).count(b"HTTP/1.1 200") == 2


@timed
async def test_trailers_do_not_count_as_head():
    async with connected(counting(), max_head_bytes=1000) as client:
        await client.send(post(None) + b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 500 + b"\r\n")
        assert parsed(await client.heard()).body == b"5"
        await client.send(GET)
        assert parsed(await client.heard()).body == b"0"


@timed
async def test_headers_and_target_arrive_as_they_were_sent():
    scopes = []

    async def app(scope, receive, send) -> None:
        scopes.append(scope)
        await counting()(scope, receive, send)

    async with connected(app) as client:
        await client.send(b"GET /a%20b?c=d HTTP/1.1\r\nHost: x\r\nX-Cat: Tom\r\n\r\n")
        assert parsed(await client.heard()).headers["server"] == "catscope"
    [scope] = scopes
    assert (scope["method"], scope["path"], scope["query_string"]) == ("GET", "/a b", b"c=d")
    assert scope["headers"] == [(b"host", b"x"), (b"x-cat", b"Tom")]


@pytest.mark.parametrize("data", [b"HELO cat\r\n", b"\0\0\0\0", b"GET / HTTP/1.1\r\nContent-Length: -5\r\n\r\n"])
@timed
async def test_what_is_not_http_is_refused_at_once(data):
    before = cut_off(400)
    async with connected(counting()) as client:
        await client.send(data)
        assert refusal(await client.everything()) == (400, NO_HTTP)
        assert round(now(), 3) == 0
        assert cut_off(400) == before + 1


@timed
async def test_what_is_not_http_behind_an_answered_request_is_refused():
    async with connected(counting()) as client:
        await client.send(GET)
        assert parsed(await client.heard()).body == b"0"
        await client.send(b"\0\0\0\0")
        assert refusal(await client.everything()) == (400, NO_HTTP)


@timed
async def test_a_chunk_that_is_none_is_not_a_head_that_is_too_large():
    async with connected(counting(), max_head_bytes=100) as client:
        await client.send(post(None) + b"zz\r\n")
        assert refusal(await client.everything()) == (400, NO_HTTP)


@timed
async def test_a_head_that_is_no_http_and_too_large_is_told_to_be_too_large():
    async with connected(counting(), max_head_bytes=100) as client:
        await client.send(GET[:-2] + b"X: " + b"a" * 100 + b"\r\nY: z\r\n\0: \r\n")
        assert refusal(await client.everything()) == (431, TOO_LARGE.replace(str(MOST), "100"))
    async with connected(counting(), max_head_bytes=100) as client:
        await client.send(b"GET / HTTP/1.1\r\nX: " + b"a" * 94 + b"\r\nY: z\r\n\0: \r\n")
        assert refusal(await client.everything()) == (400, NO_HTTP), "it has 100 bytes"


@pytest.mark.parametrize("answered", [0, 1])
@timed
async def test_a_refused_client_is_heard_for_two_seconds_and_then_cut_off(answered):
    """Closing at once would lose the answer; what it sends meanwhile is discarded."""
    async with connected(counting()) as client:
        await client.send(GET * answered)
        await client.heard()
        await client.send(b"\0\0\0\0")
        assert refusal(await client.everything()) == (400, NO_HTTP)
        assert client.open
        await client.send(GET)
        await asyncio.sleep(1.9)
        await client.send(GET * 3 + b"\0\0\0")
        assert client.open
        await asyncio.sleep(0.2)
        assert (await client.heard(), client.open) == (b"", False)


@timed
async def test_a_refused_client_that_leaves_is_not_waited_for():
    async with connected(counting()) as client:
        await client.send(b"\0\0\0\0")
        client.socket.close()
        await asyncio.sleep(0.19)
        assert client.open
        await asyncio.sleep(0.02)
        assert not client.open


@timed
async def test_requests_sent_at_once_are_answered_in_their_order():
    async def app(scope, receive, send) -> None:
        await answer(scope["path"].encode())(scope, receive, send)

    async with connected(app) as client:
        await client.send(b"".join(GET.replace(b"/ ", b"/%d " % number) for number in range(5)))
        received = await client.heard()
        assert [one[-2:] for one in received.split(b"HTTP/1.1 200 OK")[1:]] == [b"/%d" % number for number in range(5)]
        assert client.open


@pytest.mark.parametrize("rest", [b"\0\0\0\0", GET[:-2] + b"X: " + b"a" * 2000, GET[:-2]], ids=["no HTTP", "large", "slow"])
@pytest.mark.parametrize("requests", [1, 2])
@timed
async def test_what_is_refused_behind_a_request_that_is_being_answered_does_not_overtake_its_answer(rest, requests):
    app = Held(counting())
    async with connected(app, max_head_bytes=1000) as client:
        await client.send(GET * requests + rest)
        await asyncio.sleep(11)
        assert (await client.heard(), client.open) == (b"", True)
        app.go_on.set()
        received = await client.everything()
        assert received.count(b"HTTP/1.1 200") == requests
        assert received.count(b"HTTP/1.1 ") == requests
        assert received.count(b"connection: close") == 1
        assert not client.open


@timed
async def test_a_request_of_http_1_0_is_answered_and_its_connection_closed():
    async with connected(counting()) as client:
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert parsed(await client.everything()).headers["connection"] == "close"
        assert not client.open


@timed
async def test_a_request_for_a_tunnel_gets_an_answer_and_no_tunnel():
    async with connected(counting(connection="close")) as client:
        await client.send(b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        assert (await client.everything()).startswith(b"HTTP/1.1 ")
