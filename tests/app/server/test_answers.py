"""Answers that stay unread, connections that end and a service that stops, by a clock."""

import asyncio
import contextlib
import gc
import weakref

import pytest

from app.capacity import CLIENT_LEFT
from tests.app.server.wire import GET, Held, answer, chunk, connected, counting, now, parsed, post, settled, timed

LARGE = 2_000_000
"""Bytes of an answer that the kernel does not take at once."""


@pytest.mark.parametrize("ending", [{}, {"connection": "close"}], ids=["kept", "closed"])
@timed
async def test_a_client_that_reads_nothing_for_thirty_seconds_is_cut_off(ending):
    async with connected(answer(bytes(LARGE), **ending)) as client:
        await client.send(GET)
        await asyncio.sleep(29.9)
        assert client.open
        await asyncio.sleep(0.2)
        assert not client.open
        with contextlib.suppress(ConnectionResetError):
            assert len(await client.everything()) < LARGE


@pytest.mark.parametrize("ending", [{}, {"connection": "close"}], ids=["kept", "closed"])
@timed
async def test_a_client_that_reads_a_little_every_time_gets_the_whole_answer(ending):
    async with connected(answer(bytes(LARGE), **ending), unread_s=2) as client:
        await client.send(GET)
        received = b""
        while client.open and received.count(b"\0") < LARGE:
            await asyncio.sleep(1.9)
            received += await client.read()
        assert received.count(b"\0") == LARGE
        assert now() > 4 * 1.9
        await asyncio.sleep(10)
        assert client.open == (not ending)
        if client.open:
            await client.send(GET)
            assert (await client.heard()).count(b"\0") == LARGE


@pytest.mark.parametrize("ending", [{}, {"connection": "close"}], ids=["kept", "closed"])
@timed
async def test_a_client_that_reads_late_gets_the_whole_answer_although_its_body_is_still_to_come(ending):
    """Whoever receives the body meanwhile: the application goes on answering as soon as the client reads."""

    async def twice(scope, receive, send) -> None:
        head = [
            (b"content-length", b"%d" % (2 * LARGE)),
            *((name.encode(), value.encode()) for name, value in ending.items()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": bytes(LARGE), "more_body": True})
        await send({"type": "http.response.body", "body": bytes(LARGE)})

    async with connected(twice) as client:
        await client.send(post(300_000))
        await asyncio.sleep(15)
        assert (await client.heard()).count(b"\0") == 2 * LARGE


@timed
async def test_what_was_unread_before_is_not_held_against_a_client_that_has_read_it():
    async with connected(answer(bytes(LARGE)), unread_s=2) as client:
        for _ in range(2):
            await client.send(GET)
            await asyncio.sleep(1.5)
            assert (await client.heard()).count(b"\0") == LARGE
        await asyncio.sleep(50)
        assert client.open


@timed
async def test_the_end_of_an_answer_that_is_too_small_to_wait_for_is_dropped_if_nobody_reads_it():
    """The application was not told to wait: the kernel took almost all of it."""
    connection = []

    async def fill(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        while not connection[0].get_write_buffer_size():
            await send({"type": "http.response.body", "body": bytes(1024), "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    for reads in (False, True):
        connection.clear()
        begun = now()
        async with connected(fill) as client:
            connection.append(client.protocol.transport)
            await client.send(GET)
            assert 0 < connection[0].get_write_buffer_size() < 5000
            await asyncio.sleep(29.9)
            assert client.open
            if reads:
                assert (await client.everything()).endswith(b"0\r\n\r\n")
                assert not client.open
            else:
                await asyncio.sleep(0.2)
                assert not client.open
                assert now() - begun < 31


@timed
async def test_a_connection_is_closed_when_it_was_idle_for_its_time():
    async with connected(counting(), keep_alive_s=5) as client:
        await client.send(GET)
        assert parsed(await client.heard()).body == b"0"
        assert await client.everything() == b""
        assert (round(now(), 3), client.open) == (5, False)


@pytest.mark.parametrize("length", [0, 1000, 300_000])
@timed
async def test_an_answer_that_ends_the_connection_ends_it_at_once(length):
    async with connected(counting(connection="close")) as client:
        await client.send(post(length) + bytes(length))
        assert parsed(await client.everything()).headers["connection"] == "close"
        assert (client.open, round(now(), 3)) == (False, 0)


@pytest.mark.parametrize("length", [1000, 300_000, None], ids=["small", "large", "chunks"])
@timed
async def test_an_early_answer_that_ends_the_connection_waits_two_seconds_for_the_client(length):
    async with connected(answer(b"early", connection="close")) as client:
        await client.send(post(length))
        assert parsed(await client.everything()).body == b"early"
        for _ in range(3):
            await client.send(chunk(bytes(100)))
        await asyncio.sleep(1.9)
        assert client.open
        await asyncio.sleep(0.2)
        assert (client.open, client.uploads.bytes) == (False, 0)


@pytest.mark.parametrize("length", [1000, 300_000], ids=["small", "large"])
@timed
async def test_an_early_answer_is_read_by_a_client_that_sends_everything_first(length):
    async with connected(answer(b"early", connection="close")) as client:
        await client.send(post(length) + bytes(length))
        assert parsed(await client.everything()).body == b"early"
        client.socket.close()
        await asyncio.sleep(0.25)
        assert not client.open


@timed
async def test_a_client_that_goes_on_sending_after_its_answer_is_read_slowly_and_cut_off():
    async with connected(answer(b"early", connection="close")) as client:
        await client.send(post(None))
        assert parsed(await client.everything()).body == b"early"
        sent = 0
        with pytest.raises(BrokenPipeError):  # noqa: PT012
            while now() < 3:
                await client.send(bytes(1000))
                sent += 1000
                await asyncio.sleep(0.001)
        assert now() == pytest.approx(2, abs=0.1)
        assert not client.open


@timed
async def test_requests_are_counted_once_whatever_becomes_of_them():
    async with connected(counting()) as client:
        await client.send(GET * 3)
        await client.send(post(1000) + bytes(1000))
        assert (await client.heard()).count(b"HTTP/1.1 200") == 4
        assert client.state.total_requests == 4
        await client.send(GET[:-2] + b"Connection: close\r\n\r\n")
        await client.everything()
        assert (client.state.total_requests, client.open) == (5, False)


@pytest.fixture
def few_objects():
    """What there is already is not looked at by the collector, which then takes no time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize(
    "sent", [GET[:9], post(1000) + bytes(900), post(300_000) + bytes(900), GET], ids=["head", "small", "large", "answer"]
)
@timed
async def test_nothing_keeps_the_memory_of_a_client_that_left(few_objects, sent):
    """No timer holds the connection, whether its head or its body was to come or its answer stayed unread."""
    async with connected(answer(bytes(LARGE)) if sent == GET else counting()) as client:
        await client.send(sent)
        protocol = weakref.ref(client.protocol)
        client.socket.close()
        await settled()
        assert not client.open
        client.protocol = None
        gc.collect()
        assert protocol() is None


class TestStopping:
    """uvicorn tells every connection when it stops."""

    @pytest.mark.parametrize("requests", [0, 1])
    @timed
    async def test_an_idle_connection_may_send_a_request_for_one_second(self, requests):
        async with connected(counting()) as client:
            await client.send(GET * requests)
            await client.heard()
            client.protocol.shutdown()
            assert await client.everything() == b""
            assert (round(now(), 3), client.open) == (1, False)

    @pytest.mark.parametrize("requests", [0, 1])
    @timed
    async def test_a_request_within_that_second_is_the_last_one(self, requests):
        app = Held(counting())
        async with connected(app, last_request_s=2) as client:
            app.go_on.set()
            await client.send(GET * requests)
            await client.heard()
            app.go_on.clear()
            client.protocol.shutdown()
            await asyncio.sleep(1.9)
            await client.send(GET[:7])
            await asyncio.sleep(1)
            await client.send(GET[7:])
            await asyncio.sleep(30)
            assert client.open
            app.go_on.set()
            assert parsed(await client.everything()).headers["connection"] == "close"
            assert not client.open

    @timed
    async def test_a_request_that_was_answered_within_that_second_ends_the_connection(self):
        async with connected(counting()) as client:
            client.protocol.shutdown()
            await client.send(GET)
            assert parsed(await client.everything()).headers["connection"] == "close"
            assert (round(now(), 3), client.open) == (0, False)

    @timed
    async def test_a_request_whose_head_is_on_its_way_is_answered(self):
        async with connected(counting()) as client:
            await client.send(GET[:7])
            client.protocol.shutdown()
            await asyncio.sleep(5)
            await client.send(GET[7:])
            assert parsed(await client.everything()).headers["connection"] == "close"
            assert not client.open

    @pytest.mark.parametrize("length", [1000, 300_000], ids=["small", "large"])
    @timed
    async def test_a_request_whose_body_is_on_its_way_is_answered(self, length):
        async with connected(counting()) as client:
            await client.send(post(length))
            client.protocol.shutdown()
            await asyncio.sleep(5)
            await client.send(bytes(length))
            one = parsed(await client.everything())
            assert (one.headers["connection"], one.body) == ("close", b"%d" % length)

    @timed
    async def test_all_requests_that_were_sent_at_once_are_answered(self):
        app = Held(counting())
        async with connected(app) as client:
            await client.send(GET * 3)
            client.protocol.shutdown()
            await asyncio.sleep(5)
            app.go_on.set()
            received = await client.everything()
            assert (received.count(b"HTTP/1.1 200"), received.count(b"connection: close")) == (3, 1)
            assert not client.open


@pytest.mark.promise("P10")
@timed
async def test_the_application_can_tell_whether_its_client_has_left_and_another_does_not_count():
    told = []

    async def telling(scope, receive, send) -> None:
        told.append(scope[CLIENT_LEFT]())

    async def seen(scope, receive, send) -> None:
        left = scope[CLIENT_LEFT]
        while not told or not told[-1]:
            told.append(left())
            await asyncio.sleep(400)

    async with connected(seen) as client:
        await client.send(GET)
        async with connected(telling) as another:  # it is over after a thousand seconds
            await another.send(GET)
        assert told == [False] * 4
        client.socket.close()
        await asyncio.sleep(400)
    assert told == [False] * 4 + [True]
