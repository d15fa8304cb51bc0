"""The bytes of a request's body come in; they go to the application in one piece, or nowhere when it was refused.

Uvicorn hands a body on in pieces of at most 64 kB: each is copied into its buffer, taken out of it, waited for by the
application and asked for anew. For a photo of some megabytes that is most of what HTTP costs. `Body` is received straight
into one buffer that grows with what comes (asyncio's BufferedProtocol), and the application gets it as one ASGI message.
"""

import asyncio
from typing import Any, Protocol

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from app.errors import Overloaded

SMALLEST = 64 * 1024
"""From how many bytes on a body that is still to come is worth a buffer of its own."""
LARGEST_DROPPED = 1024 * 1024
"""Up to how many bytes a body is read to its end and dropped when its request was refused. Ending the connection instead
costs both sides a new one, which is dearer than that.
"""
LINGER_S = 2.0
"""How long what a refused client still sends is taken in, so that it comes to read its answer."""
PAUSE_S = 0.01
"""Between two pieces of it, of at most the size of _NOWHERE."""

_NOWHERE = bytearray(1024 * 1024)
"""What still comes of bodies that were refused is written here, one's over another's."""


class Held:
    """How many bytes of bodies the process holds, of all requests that arrive, wait or are worked on; `most` of them."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.bytes = 0

    def check_room(self) -> None:
        """Raise Overloaded when no byte more is to be held."""
        if self.bytes >= self.most:
            raise Overloaded(f"{self.bytes} bytes of photos are being worked on or waiting, which is as much as may be.")


class Connection(Protocol):
    """What a body asks of the connection that it arrives by."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop

    def arrived(self, nbytes: int) -> None:
        """So many bytes of a body came."""

    def body_complete(self) -> None:
        """What comes next is a new request."""

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.BaseProtocol, as for what follows."""

    def pause_writing(self) -> None:
        """The client does not read what was written."""

    def resume_writing(self) -> None:
        """It has read it."""


class _Passing(asyncio.BufferedProtocol):
    """Tells the connection what it must know while bytes go past it."""

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
        """Nothing more will come: the transport closes, as it does for uvicorn."""


class Body(_Passing):
    """Receives the rest of one body, and answers the application's wish for it."""

    def __init__(self, connection: Connection, cycle: RequestResponseCycle, length: int) -> None:
        super().__init__(connection)
        self._cycle = cycle
        self._missing = length - len(cycle.body)
        self._length = length
        self._buffer = bytearray(min(length, max(SMALLEST, 2 * len(cycle.body))))  # it grows with what comes
        self._buffer[: len(cycle.body)] = cycle.body
        cycle.body = bytearray()
        cycle.message_event.clear()  # nothing is to be had before all is there
        cycle.receive = self._receive  # type: ignore[method-assign]  # until the body was handed over

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the kernel may write: to the body's end and no further, or to nowhere if the body was forgotten."""
        if not self._buffer:
            return memoryview(_NOWHERE)[: self._missing]
        filled = self._length - self._missing
        if filled == len(self._buffer):
            self._buffer += bytes(min(self._length, 2 * filled) - filled)  # what is announced alone takes no memory
        return memoryview(self._buffer)[filled:]

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes were written."""
        self._missing -= nbytes
        if not self._missing:
            self._cycle.more_body = False
            self._cycle.message_event.set()
            self._connection.body_complete()
        self._connection.arrived(nbytes)

    async def _receive(self) -> Any:
        """The application's `receive`: the whole body in one message, or that the client is gone."""
        cycle = self._cycle
        if cycle.waiting_for_100_continue and not cycle.transport.is_closing():
            cycle.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            cycle.waiting_for_100_continue = False
        await cycle.message_event.wait()
        if cycle.disconnected or cycle.response_complete:
            return {"type": "http.disconnect"}
        cycle.message_event.clear()
        whole = self._buffer
        self.forget()
        return {"type": "http.request", "body": whole, "more_body": False}

    def forget(self) -> None:
        """Hold the body no longer; what still comes of it is dropped. `receive` is uvicorn's own again."""
        self._buffer = bytearray()
        self._cycle.__dict__.pop("receive", None)


class Lingering(_Passing):
    """The last of a connection: the answer is sent, and what the client still sends is dropped, slowly and not for long.

    Closing at once would be answered by the kernel with a reset, upon which many clients never read the answer; reading on
    as fast as it comes costs as much as the photo that was refused.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._transport = connection.transport
        self._loop = connection.loop
        self._end = self._loop.call_later(LINGER_S, self._transport.abort)
        self._next = self._pause()

    def _pause(self) -> asyncio.TimerHandle:
        self._transport.pause_reading()
        return self._loop.call_later(PAUSE_S, self._transport.resume_reading)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Nowhere."""
        return memoryview(_NOWHERE)

    def buffer_updated(self, nbytes: int) -> None:
        """Something came: look again in a while."""
        self._next = self._pause()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.BaseProtocol."""
        self._end.cancel()
        self._next.cancel()
        super().connection_lost(exc)
