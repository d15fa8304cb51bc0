"""The bytes of a connection come in; requests go out, and whoever sends too much, too slowly or no HTTP is cut off.

Uvicorn parses, and runs the application. Around it stand the limits that hold before there is a request at all: how long
and how large a request's head may be, how slowly a body may come, how long an answer may lie unread. What a client is told
then is a problem like any other.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app import metrics, problems, sight
from app.bodies import SMALLEST, Body, Held, Lingering
from app.errors import BadRequest, HeadTooLarge, Overloaded, RequestError, TooSlow


@dataclass(frozen=True)
class Guard:
    """What a connection may do. Times in seconds, sizes in bytes."""

    max_bytes: int
    held: Held = field(default_factory=lambda: Held(2**63))
    head_s: float = 10.0
    """For a request's head, from the connection's beginning or the head's first byte."""
    most_head: int = 64 * 1024
    body_s: float = 20.0
    """For a body, and a second more for each `slowest` bytes of it that came."""
    slowest: int = 16 * 1024
    unread_s: float = 30.0
    """For a client to take in some of the answer."""
    last_s: float = 1.0
    """How long an idle connection still takes a request when the service is being stopped."""


class Protocol(HttpToolsProtocol):
    """Uvicorn's HTTP/1.1 within a Guard; bodies with a Content-Length from SMALLEST to `max_bytes` come as `Body`."""

    def __init__(self, guard: Guard, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._guard = guard
        self._timer: asyncio.TimerHandle | None = None  # for the head or the body that is awaited
        self._unread: asyncio.TimerHandle | None = None
        self._in_head = False
        self._head = 0  # bytes of the head's lines that were parsed
        self._pieces = 0  # bytes that came before the head was complete
        self._began = 0.0  # the loop's time when the body began
        self._received = 0  # bytes of bodies whose requests are not answered yet
        self._body: Body | None = None
        self._seen: RequestResponseCycle | None = None
        self._last = False  # the next request is the connection's last

    # What comes in

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Uvicorn's own; and the first request is awaited."""
        super().connection_made(transport)
        metrics.connections.inc()
        self._await(self._guard.head_s, self._head_late)

    def data_received(self, data: bytes) -> None:
        """Uvicorn's own; then look what is still to come: a head, a body, a large body, or nothing."""
        super().data_received(data)
        if self._is_over():
            return
        self._pieces += len(data) if self._in_head else 0
        if self._pieces > self._guard.most_head:
            self._refuse(self._too_large())
            return
        cycle = self.cycle
        if cycle is not self._seen:
            self._seen = cycle
            self._began = self.loop.time()
            self._receive_at_once(cycle)
        if self._timer:
            return
        if cycle and cycle.more_body and not cycle.response_complete:
            self._await(self._guard.body_s, self._body_late)
        elif self._in_head or cycle is None or cycle.response_complete:
            self._await(self._guard.head_s, self._head_late)

    def _receive_at_once(self, cycle: RequestResponseCycle) -> None:
        """Let the rest of a large body be received into one buffer."""
        if not cycle.more_body or cycle.response_complete or self.pipeline:
            return
        length = self._announced()
        if length <= self._guard.max_bytes and length - len(cycle.body) >= SMALLEST:
            self.flow.resume_reading()
            self._body = Body(self, cycle, length)
            self.transport.set_protocol(self._body)

    def _announced(self) -> int:
        """The body's length as its headers say it, 0 where they do not."""
        if self.parser is None or self.parser.should_upgrade():
            return 0
        return next((int(value) for name, value in self.headers if name == b"content-length"), 0)

    def arrived(self, nbytes: int) -> None:
        """So many bytes of a body came, and are held until its request is answered."""
        if self.cycle.response_complete:
            return
        self._received += nbytes
        held = self._guard.held
        held.bytes += nbytes
        metrics.held_bytes.set(held.bytes)
        if held.bytes > held.most:
            self._refuse(
                Overloaded(f"More than {held.most} bytes of photos are being worked on or waiting; try again soon.")
            )

    def body_complete(self) -> None:
        """The connection is ours again; what comes next is a new request. The parser would wait for a body that went past
        it, so a new one takes its place.
        """
        self._cancel()
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn sets it
        self.transport.set_protocol(self)

    # What uvicorn's parser finds

    def on_message_begin(self) -> None:
        """Uvicorn's own."""
        super().on_message_begin()
        self._in_head, self._head, self._pieces = True, 0, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Uvicorn's own, but for the trailers of a body in chunks: nobody looks at them."""
        if self._in_head:
            self._head += len(name) + len(value) + 4  # the colon, the space and the line's end
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Uvicorn's own; when the answer is complete, the connection is ours to close."""
        if self._is_over():  # what came behind a request that was refused
            return
        if self._head + len(self.url) > self._guard.most_head:
            raise self._too_large()  # in the parser's callback: uvicorn hears that it is no HTTP
        self._cancel()
        self._in_head = False
        super().on_headers_complete()
        self.cycle.transport = _Door(self, self.cycle)  # type: ignore[assignment]
        self.cycle.keep_alive = self.cycle.keep_alive and not self._last

    def on_body(self, body: bytes) -> None:
        """Uvicorn's own."""
        if not self._is_over():
            super().on_body(body)
            self.arrived(len(body))

    def on_message_complete(self) -> None:
        """Uvicorn's own."""
        self._cancel()
        super().on_message_complete()

    # What goes out

    def on_response_complete(self) -> None:
        """Uvicorn's own; what was held of the request's body is free."""
        if self._body:
            self._body.forget()
            self._body = None
        if not self.pipeline:
            self._release()
        if self._is_over():
            self.server_state.total_requests += 1
        else:
            super().on_response_complete()

    def leave(self, cycle: RequestResponseCycle) -> None:
        """Close the connection now that the last answer was written, with time for the client to read it."""
        self._cancel()
        if cycle.more_body:
            self._linger()
        else:
            self._close()

    def _linger(self) -> None:
        """Nothing more is sent, and what still comes is dropped until the client leaves."""
        self.transport.set_protocol(Lingering(self))
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def send_400_response(self, msg: str) -> None:
        """Uvicorn's way to answer what is no HTTP."""
        too_large = self._in_head and self._head + len(self.url) > self._guard.most_head
        self._refuse(self._too_large() if too_large else BadRequest("What came is not an HTTP/1.1 request."))

    def _too_large(self) -> HeadTooLarge:
        return HeadTooLarge(f"The request's head, its first line and headers, has more than {self._guard.most_head} bytes.")

    def _refuse(self, error: RequestError) -> None:
        """Answer a request that never came to the application, or stop waiting for the rest of one; then leave."""
        cycle = self.cycle
        waiting = cycle is not None and not cycle.response_complete
        if (waiting and (cycle.response_started or not cycle.more_body)) or self.pipeline:
            cycle.keep_alive = False  # an answer is under way; this one cannot overtake it
            self.transport.pause_reading()
            return
        if waiting:
            cycle.disconnected = True  # what the application answers is no longer sent
            cycle.message_event.set()
        if self._body:
            self._body.forget()
            self._body = None
        self._release()
        identity = (sight.ID.encode(), sight.new_id().encode())
        self.transport.write(problems.raw(error, [*self.server_state.default_headers, identity]))
        metrics.cut_off(error.status)
        self._cancel()
        self._linger()

    # Time

    def _await(self, seconds: float, late: Callable[[], None]) -> None:
        self._cancel()
        self._timer = self.loop.call_later(seconds, late)

    def _cancel(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _head_late(self) -> None:
        self._timer = None
        if self._in_head:
            self._refuse(TooSlow(f"The request's head did not arrive within {self._guard.head_s:g} s."))
        else:
            self._close()

    def _body_late(self) -> None:
        """The time for the body is over, unless enough of it came."""
        self._timer = None
        left = self._began + self._guard.body_s + self._received / self._guard.slowest - self.loop.time()
        if left > 0:
            self._await(left, self._body_late)
        else:
            self._refuse(TooSlow(f"Of the request's body, {self._received} bytes came, and then too little in too long."))

    def pause_writing(self) -> None:
        """Uvicorn's own: much of an answer waits to be read."""
        super().pause_writing()
        if not self._unread:
            self._await_reading()

    def _await_reading(self) -> None:
        self._unread = self.loop.call_later(self._guard.unread_s, self._unread_late, self.transport.get_write_buffer_size())

    def _unread_late(self, before: int) -> None:
        """Whether the client has taken anything since so many bytes lay unread."""
        self._unread = None
        left = self.transport.get_write_buffer_size()
        if left and left >= before:
            self.transport.abort()
        elif left:
            self._await_reading()

    def resume_writing(self) -> None:
        """Uvicorn's own: it was read."""
        super().resume_writing()
        if self._unread:
            self._unread.cancel()
            self._unread = None

    # The end

    def timeout_keep_alive_handler(self) -> None:
        """Nothing came for long."""
        self._close()

    def shutdown(self) -> None:
        """The service is being stopped: what has begun is answered, and a request that is just on its way too."""
        self._last = True
        if self.pipeline:
            self.pipeline[0][0].keep_alive = False
        elif self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        elif not self._in_head:
            self.loop.call_later(self._guard.last_s, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if not self._in_head and (self.cycle is None or self.cycle.response_complete):
            self._close()

    def _close(self) -> None:
        """Close when everything is written; a client that does not take it in is not waited for."""
        if self.transport.is_closing():
            return
        if self.transport.get_write_buffer_size() and not self._unread:
            self._await_reading()
        self.transport.close()

    def _is_over(self) -> bool:
        """Whether nothing that comes is looked at any more."""
        return self.transport.is_closing() or isinstance(self.transport.get_protocol(), Lingering)

    def _release(self) -> None:
        if self._received:
            self._guard.held.bytes -= self._received
            metrics.held_bytes.set(self._guard.held.bytes)
            self._received = 0

    def connection_lost(self, exc: Exception | None) -> None:
        """Uvicorn's own; nothing is awaited or held any more."""
        self._cancel()
        self._release()
        metrics.connections.dec()
        super().connection_lost(exc)
        if self._unread:
            self._unread.cancel()
            self._unread = None
        self._unset_keepalive_if_required()


class _Door:
    """The transport as an answer sees it: closing it is the connection's to do."""

    def __init__(self, connection: Protocol, cycle: RequestResponseCycle) -> None:
        self._connection, self._cycle = connection, cycle
        self.write = connection.transport.write
        self.is_closing = connection.transport.is_closing

    def close(self) -> None:
        self._connection.leave(self._cycle)
