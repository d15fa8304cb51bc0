"""The bytes of a connection come in; a large body goes out in one piece, written once, where the kernel put it.

Uvicorn hands a body on in pieces of at most 64 kB: each is copied into its buffer, taken out of it, waited for by the
application and asked for anew. For a photo of some megabytes that is most of what HTTP costs. Here, once the headers have
announced a length, the rest of the body is received straight into a buffer of that length (asyncio's BufferedProtocol),
and the application gets it as one ASGI message.
"""

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

SMALLEST = 64 * 1024
"""Bytes still to come below which uvicorn's own way is as good."""

_NOWHERE = bytearray(1024 * 1024)
"""What still comes of a body that was refused is written here, one's over another's."""


class Protocol(HttpToolsProtocol):
    """Uvicorn's HTTP/1.1, but for bodies with a Content-Length from SMALLEST to `max_bytes`."""

    def __init__(self, max_bytes: int, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._max_bytes = max_bytes
        self._body: _Body | None = None
        self._seen: RequestResponseCycle | None = None

    def data_received(self, data: bytes) -> None:
        """Uvicorn's own; when a request has begun with these bytes, look whether a large body goes on behind them."""
        super().data_received(data)
        cycle = self.cycle
        if cycle is self._seen:
            return
        self._seen = cycle
        if not cycle.more_body or cycle.response_complete or self.pipeline or self.transport.is_closing():
            return
        length = self._announced()
        if length <= self._max_bytes and length - len(cycle.body) >= SMALLEST:
            self.flow.resume_reading()
            self._body = _Body(self, cycle, length)
            self.transport.set_protocol(self._body)

    def _announced(self) -> int:
        """The body's length as its headers say it, 0 where they do not."""
        if self.parser is None or self.parser.should_upgrade():
            return 0
        return next((int(value) for name, value in self.headers if name == b"content-length"), 0)

    def on_response_complete(self) -> None:
        """Uvicorn's own; and a body that nobody asked for, since the request was refused, is forgotten."""
        if self._body:
            self._body.forget()
            self._body = None
        super().on_response_complete()

    def body_complete(self) -> None:
        """The connection is ours again; what comes next is a new request. The parser would wait for a body that went past
        it, so a new one takes its place.
        """
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn sets it
        self.transport.set_protocol(self)


class _Body(asyncio.BufferedProtocol):
    """Receives the rest of one body, and answers the application's wish for it."""

    def __init__(self, connection: Protocol, cycle: RequestResponseCycle, length: int) -> None:
        self._connection, self._cycle = connection, cycle
        self._missing = length - len(cycle.body)
        self._buffer = bytearray(length)
        self._buffer[: len(cycle.body)] = cycle.body
        cycle.body = bytearray()
        cycle.message_event.clear()  # nothing is to be had before all is there
        cycle.receive = self._receive  # type: ignore[method-assign]  # until the body was handed over

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the kernel may write: to the body's end and no further, or to nowhere if the body was forgotten."""
        if not self._buffer:
            return memoryview(_NOWHERE)[: self._missing]
        return memoryview(self._buffer)[-self._missing :]

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes were written."""
        self._missing -= nbytes
        if not self._missing:
            self._cycle.more_body = False
            self._cycle.message_event.set()
            self._connection.body_complete()

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

    def eof_received(self) -> None:
        """Nothing more will come: the transport closes, as it does for uvicorn."""
        self._connection.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.BaseProtocol."""
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        """See asyncio.BaseProtocol."""
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """See asyncio.BaseProtocol."""
        self._connection.resume_writing()
