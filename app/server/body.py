"""The bytes of a request's body come in; they reach the application in one piece, or are discarded after a refusal.

Uvicorn passes a body on in pieces of at most 64 kB: it copies each into a buffer and out again, and the application waits
for every one. For a photo of a few megabytes that is most of the cost of HTTP. `Body` is received directly into one buffer
that grows with the data (asyncio's BufferedProtocol), and the application gets it as one ASGI message.
"""

import asyncio
from typing import Any, Protocol

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

MIN_BUFFERED = 64 * 1024
"""Bytes still to come from which a body gets a buffer of its own."""
DISCARD_S = 2.0
"""How long data of a refused client is read and discarded, so that the client gets to read its answer."""
FIRST_PAUSE_S = 0.2
"""Before the first read of it: many clients read the answer meanwhile, and leave without sending the rest."""
PAUSE_S = 0.01
"""Between two reads of it, each of at most the size of _DISCARDED."""

_DISCARDED = bytearray(1024 * 1024)
"""The data of all refused bodies is written here, over and over."""


class Connection(Protocol):
    """What a body needs from its connection."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop

    def arrived(self, nbytes: int) -> None:
        """`nbytes` of a body arrived."""

    def body_complete(self) -> None:
        """The next data is a new request."""

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.BaseProtocol."""

    def pause_writing(self) -> None:
        """The client does not read what was written; see asyncio.BaseProtocol."""

    def resume_writing(self) -> None:
        """The client has read it; see asyncio.BaseProtocol."""


class _ConnectionEvents(asyncio.BufferedProtocol):
    """Passes events on to the connection while another protocol receives its data."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.BaseProtocol."""
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        """See asyncio.BaseProtocol."""
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """See asyncio.BaseProtocol."""
        self._connection.resume_writing()

    def eof_received(self) -> None:
        """Nothing more will arrive: the transport closes, as it does for uvicorn."""


class Body(_ConnectionEvents):
    """Receives the rest of one body, and is the application's `receive`."""

    def __init__(self, connection: Connection, cycle: RequestResponseCycle, length: int) -> None:
        super().__init__(connection)
        self._cycle = cycle
        self._remaining = length - len(cycle.body)
        self._length = length
        self._buffer = bytearray(min(length, max(MIN_BUFFERED, 2 * len(cycle.body))))  # it grows with the data
        self._buffer[: len(cycle.body)] = cycle.body
        cycle.body = bytearray()
        cycle.message_event.clear()  # the application waits until all of it is here
        cycle.receive = self._receive  # type: ignore[method-assign]

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the kernel may write: up to the body's end and no further, or to _DISCARDED after `forget`."""
        if not self._buffer:
            return memoryview(_DISCARDED)[: self._remaining]
        filled = self._length - self._remaining
        if filled == len(self._buffer):
            self._buffer += bytes(min(self._length, 2 * filled) - filled)  # an announced length alone takes no memory
        return memoryview(self._buffer)[filled:]

    def buffer_updated(self, nbytes: int) -> None:
        """Count the `nbytes` that were written."""
        self._remaining -= nbytes
        self._connection.arrived(nbytes)
        if not self._remaining and not self._cycle.disconnected:  # these bytes may have been too many
            self._cycle.more_body = False
            self._cycle.message_event.set()
            self._connection.body_complete()

    async def _receive(self) -> Any:
        """The application's `receive`: the whole body in one message, or a disconnect when the client is gone."""
        cycle = self._cycle
        if cycle.waiting_for_100_continue and not cycle.transport.is_closing():
            cycle.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            cycle.waiting_for_100_continue = False
        await cycle.message_event.wait()
        if cycle.disconnected or cycle.response_complete:
            return {"type": "http.disconnect"}
        cycle.message_event.clear()
        body = self._buffer
        self.forget()
        return {"type": "http.request", "body": body, "more_body": False}

    def forget(self) -> None:
        """Free the body and discard the rest of it."""
        self._buffer = bytearray()


class Discard(_ConnectionEvents):
    """The end of a connection: the answer is sent, and what the client still sends is discarded, slowly and not for long.

    If we closed at once, the kernel would send a reset, and many clients would never read the answer. Reading at full speed
    would cost as much as the photo that was refused.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._transport = connection.transport
        self._loop = connection.loop
        self._timeout = self._loop.call_later(DISCARD_S, self._transport.abort)
        self._resume = self._pause(FIRST_PAUSE_S)

    def _pause(self, seconds: float) -> asyncio.TimerHandle:
        self._transport.pause_reading()
        return self._loop.call_later(seconds, self._transport.resume_reading)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Memory that nobody reads."""
        return memoryview(_DISCARDED)

    def buffer_updated(self, nbytes: int) -> None:
        """Something arrived: pause before the next read."""
        self._resume = self._pause(PAUSE_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.BaseProtocol."""
        self._timeout.cancel()
        self._resume.cancel()
        super().connection_lost(exc)
