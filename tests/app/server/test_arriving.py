"""Bodies as they arrive, by a clock: in how many pieces the application gets them, how long they may take, what is held."""

import asyncio
import json

import pytest

from app.capacity import UploadBudget
from app.server.body import MIN_BUFFERED
from tests.app.server.wire import GET, Held, answer, chunk, connected, counting, now, parsed, post, settled, shown, timed

LARGE = 300_000
BOTH = pytest.mark.parametrize("length", [1000, LARGE], ids=["small", "large"])


def detail(received: bytes) -> tuple[int, str]:
    one = parsed(received)
    return one.status, json.loads(one.body)["detail"]


def pieces(asked: list[dict]) -> list[int]:
    return [len(message["body"]) for message in asked if message["type"] == "http.request"]


@pytest.mark.parametrize(
    ("length", "with_head", "one_piece"),
    [
        (MIN_BUFFERED - 1, 0, False),
        (MIN_BUFFERED, 0, True),
        (MIN_BUFFERED, 1, False),
        (MIN_BUFFERED + 1, 1, True),
        (200_000, 0, True),
        (200_001, 0, False),
    ],
)
@timed
async def test_a_large_body_within_the_limit_comes_in_one_piece_and_others_as_they_arrive(length, with_head, one_piece):
    asked = []
    async with connected(counting(asked), max_bytes=200_000) as client:
        for _ in range(2):
            asked.clear()
            body = bytes(range(256)) * (length // 256 + 1)
            await client.send(post(length) + body[:with_head])
            await client.send(body[with_head:1000])
            await client.send(body[1000:length])
            assert parsed(await client.heard()).body == b"%d" % length
            assert b"".join(bytes(message["body"]) for message in asked) == body[:length]
            assert (len(pieces(asked)) == 1) == one_piece
            assert [message["more_body"] for message in asked][-1] is False


@pytest.mark.parametrize("size", [1, 1000, 70_000, 131_072, 2_000_000])
@timed
async def test_a_large_body_is_the_same_however_it_is_cut(size):
    asked, body = [], bytes(range(251)) * 1000
    async with connected(counting(asked)) as client:
        sent = post(len(body)) + body
        for at in range(0, min(len(sent), 100 * size), size):
            await client.send(sent[at : at + size])
        await client.send(sent[100 * size :])
        assert parsed(await client.heard()).body == b"%d" % len(body)
        await client.send(GET)
        assert parsed(await client.heard()).body == b"0"
    assert b"".join(bytes(message["body"]) for message in asked) == body


@timed
async def test_memory_grows_with_what_has_arrived_and_not_with_what_was_announced():
    announced = 20_000_000
    async with connected(counting(), uploads=UploadBudget(announced)) as client:
        await client.send(post(announced) + bytes(100_000))
        arrived = 100_000
        for piece in (1, 100_000, 300_000, 1, 500_000):
            assert 0 < len(client.protocol.transport.get_protocol().get_buffer(-1)) <= arrived
            await client.send(bytes(piece))
            arrived += piece
        assert client.uploads.bytes == arrived
    async with connected(counting()) as client:
        await client.send(post(announced))
        assert len(client.protocol.transport.get_protocol().get_buffer(-1)) == MIN_BUFFERED


@timed
async def test_a_body_behind_a_request_that_is_being_answered_waits_for_its_turn():
    app = Held(counting())
    async with connected(app) as client:
        await client.send(GET + post(LARGE) + bytes(1000))
        sending = asyncio.create_task(client.send(bytes(LARGE - 1000)))
        await asyncio.sleep(1)
        app.go_on.set()
        await sending
        received = await client.heard()
        assert received.count(b"HTTP/1.1 200") == 2
        assert received.endswith(b"\r\n\r\n%d" % LARGE)


@timed
async def test_a_body_without_a_length_comes_as_it_arrives():
    asked = []
    async with connected(counting(asked)) as client:
        await client.send(post(None))
        for _ in range(4):
            await client.send(chunk(bytes(70_000)))
        await client.send(b"0\r\n\r\n")
        assert parsed(await client.heard()).body == b"280000"
        assert len(pieces(asked)) > 3


@timed
async def test_a_body_that_is_read_piece_by_piece_is_not_held():
    seen, asked = [], []

    def streamed(method: str, path: str) -> bool:
        seen.append((method, path))
        return path == "/streamed"

    async with connected(counting(asked), streamed=streamed, uploads=UploadBudget(1000)) as client:
        await client.send(post(LARGE, path=b"/streamed") + bytes(1000))
        await client.send(bytes(LARGE - 1000))
        assert client.uploads.bytes == 0
        assert parsed(await client.heard()).body == b"%d" % LARGE
        assert len(pieces(asked)) > 1
        assert set(seen) == {("POST", "/streamed")}
        await client.send(post(LARGE, path=b"/other") + bytes(1001))
        assert detail(await client.everything())[0] == 503


@pytest.mark.parametrize("framed", [True, False], ids=["length", "chunks"])
@BOTH
@timed
async def test_a_body_has_twenty_seconds_and_one_more_for_every_16_kb(length, framed):
    """What arrives at twice that speed never comes too late; when it stops, what has come still counts."""
    piece = length // 10
    async with connected(counting()) as client:
        await client.send(post(length if framed else None))
        await asyncio.sleep(19.9)
        for _ in range(9):
            assert (await client.heard(), client.open) == (b"", True)
            await client.send(bytes(piece) if framed else chunk(bytes(piece)))
            await asyncio.sleep(piece / 32768)
        assert detail(await client.everything()) == (
            408,
            f"The request's body arrived too slowly: {9 * piece} bytes so far.",
        )
        assert now() == pytest.approx(20 + 9 * piece / 16384, abs=0.001)
        assert client.uploads.bytes == 0


@BOTH
@timed
async def test_the_time_of_a_body_begins_with_it(length):
    async with connected(counting()) as client:
        await asyncio.sleep(5)
        await client.send(GET)
        await client.heard()
        await asyncio.sleep(30)
        await client.send(post(length)[:-2])
        await asyncio.sleep(8)
        begun = now()
        await client.send(post(length)[-2:])
        assert detail(await client.everything())[0] == 408
        assert now() - begun == pytest.approx(20, abs=0.001)


@BOTH
@timed
async def test_a_body_that_has_arrived_may_be_worked_on_as_long_as_it_takes(length):
    app = Held(counting())
    async with connected(app, body_s=2, head_s=2) as client:
        await client.send(post(length) + bytes(length))
        await asyncio.sleep(100)
        assert (await client.heard(), client.open, client.uploads.bytes) == (b"", True, length)
        assert shown("held_bytes") == length
        app.go_on.set()
        assert parsed(await client.heard()).body == b"%d" % length
        assert (client.uploads.bytes, shown("held_bytes")) == (0, 0)


@timed
async def test_trailers_without_an_end_are_cut_off():
    async with connected(counting(), body_s=2) as client:
        await client.send(post(None) + chunk(b"hello") + b"0\r\n")
        for _ in range(19):
            await client.send(b"X: y\r\n" * 100)
            await asyncio.sleep(0.1)
        assert client.open
        assert detail(await client.everything()) == (408, "The request's body arrived too slowly: 5 bytes so far.")


@pytest.mark.parametrize("framed", [True, False], ids=["length", "chunks"])
@BOTH
@timed
async def test_as_many_bytes_as_may_be_held_are_and_one_more_is_refused(length, framed):
    before = shown("requests_total", route="", method="", status="503")
    async with connected(counting(), uploads=UploadBudget(length - 1)) as client:
        await client.send(post(length if framed else None))
        body = bytes(length - 1)
        await client.send(body if framed else chunk(body))
        assert (await client.heard(), client.uploads.bytes, shown("held_bytes")) == (b"", length - 1, length - 1)
        await client.send(b"0" if framed else chunk(b"0"))
        received = await client.everything()
        assert detail(received) == (503, f"Upload memory is full ({length - 1} bytes); retry shortly.")
        assert parsed(received).headers["retry-after"] == "1"
        assert client.uploads.bytes == 0
        assert shown("requests_total", route="", method="", status="503") == before + 1
        await client.send(bytes(100_000))
        assert client.uploads.bytes == 0


@timed
async def test_what_connections_hold_counts_together():
    app, uploads = Held(counting()), UploadBudget(10_000)
    async with connected(app, uploads=uploads) as first:
        await first.send(post(6000) + bytes(6000))
        async with connected(counting(), uploads=uploads, left=6000) as second:
            await second.send(post(6000) + bytes(5000))
            assert detail(await second.everything())[0] == 503
            assert uploads.bytes == 6000
        app.go_on.set()
        assert parsed(await first.heard()).body == b"6000"


@BOTH
@timed
async def test_what_a_client_that_leaves_has_sent_is_not_held_any_more(length):
    asked = []
    async with connected(counting(asked)) as client:
        await client.send(post(length) + bytes(900))
        assert client.uploads.bytes == 900
        client.socket.close()
        await settled()
        assert (client.uploads.bytes, shown("held_bytes"), client.open) == (0, 0, False)
        assert asked[-1] == {"type": "http.disconnect"}


@BOTH
@timed
async def test_a_body_that_is_refused_halfway_never_reaches_the_application(length):
    asked = []
    async with connected(counting(asked), body_s=2) as client:
        await client.send(post(length) + bytes(900))
        assert detail(await client.everything())[0] == 408
        assert asked[-1] == {"type": "http.disconnect"}
        assert sum(pieces(asked)) in (0, 900)


@BOTH
@timed
async def test_an_answer_that_comes_before_the_body_leaves_the_connection_usable(length):
    async with connected(answer(b"early"), body_s=2, head_s=2, keep_alive_s=100) as client:
        await client.send(post(length))
        assert parsed(await client.heard()).body == b"early"
        await asyncio.sleep(1)
        await client.send(bytes(length // 2))
        assert client.uploads.bytes == 0
        await client.send(bytes(length - length // 2) + GET)
        assert parsed(await client.heard()).body == b"early"


@BOTH
@timed
async def test_a_body_that_does_not_come_although_it_was_answered_ends_the_connection_without_another_answer(length):
    cut_off = shown("requests_total", method="", route="", status="408")
    async with connected(answer(b"early"), body_s=2, head_s=3, keep_alive_s=100) as client:
        await client.send(post(length) + bytes(10))
        assert parsed(await client.heard()).body == b"early"
        await client.send(bytes(10))
        assert await client.everything() == b""
        assert now() == pytest.approx(2, abs=0.001)
    assert shown("requests_total", method="", route="", status="408") == cut_off


@timed
async def test_an_empty_line_behind_an_answer_does_not_keep_the_connection():
    async with connected(counting(), keep_alive_s=100) as client:
        await client.send(GET)
        assert parsed(await client.heard()).body == b"0"
        await client.send(b"\r\n")
        assert await client.everything() == b""
        assert (round(now(), 3), client.open) == (10, False)


@BOTH
@timed
async def test_a_client_that_asks_whether_it_may_go_on_is_told_so_once(length):
    async with connected(counting()) as client:
        await client.send(post(length, b"Expect: 100-continue"))
        assert await client.heard() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(bytes(length))
        assert parsed(await client.heard()).body == b"%d" % length


@BOTH
@timed
async def test_a_client_is_told_no_more_while_the_application_waits_whether_it_leaves(length):
    gone = []

    async def app(scope, receive, send) -> None:
        while (await receive())["more_body"]:
            pass
        waiting = asyncio.create_task(receive())
        await asyncio.sleep(1)
        await answer(b"done")(scope, receive, send)
        gone.append(await waiting)

    async with connected(app) as client:
        await client.send(post(length, b"Expect: 100-continue"))
        assert await client.heard() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(bytes(length))
        await asyncio.sleep(2)
        assert parsed(await client.heard()).body == b"done"
        assert gone == [{"type": "http.disconnect"}]


@BOTH
@timed
async def test_a_client_that_is_refused_before_it_goes_on_is_not_told_to(length):
    async with connected(answer(b"no", connection="close")) as client:
        await client.send(post(length, b"Expect: 100-continue"))
        assert parsed(await client.everything()).body == b"no"


@BOTH
@timed
async def test_requests_with_bodies_that_are_sent_at_once_are_all_answered(length):
    async with connected(counting()) as client:
        await client.send((post(length) + bytes(length)) * 3 + GET)
        received = await client.heard()
        assert received.count(b"HTTP/1.1 200") == 4
        assert received.count(b"\r\n\r\n%d" % length) == 3
        assert client.uploads.bytes == 0


@pytest.mark.parametrize("rest", [chunk(b"hello") + b"0\r\n\r\n", b"0\r\n\r\n"], ids=["of its body", "the next request"])
@timed
async def test_what_comes_in_one_piece_with_a_refused_request_is_passed_over(rest):
    asked = []
    async with connected(counting(asked), uploads=UploadBudget(1000)) as client:
        await client.send(post(None) + chunk(bytes(3000)) + rest + GET * 3)
        assert detail(await client.everything())[0] == 503
        assert asked == [{"type": "http.disconnect"}]
