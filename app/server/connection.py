"""The bytes of a connection come in; requests go out, and a client that sends too much, too slowly or no HTTP is cut off.

Uvicorn parses, and runs the application. This module adds the limits that apply before a request exists: how large a
request's head may be and how long it may take, how slowly a body may arrive, how long an answer may stay unread. Clients
get these refusals as problems, like all others.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app import problems
from app.capacity import CLIENT_LEFT, UploadBudget
from app.errors import BadRequest, HeadTooLarge, Overloaded, RequestError, TooSlow
from app.server.body import MIN_BUFFERED, Body, Discard
from app.server.upgrade import Parser
from app.telemetry import metrics, request_id


@dataclass(frozen=True)
class ConnectionLimits:
    """What one connection may do. Times in seconds, sizes in bytes."""

    max_bytes: int
    streamed: Callable[[str, str], bool] = field(default=lambda method, path: False)
    """Of a method and a path: whether the application reads such a body piece by piece, and it never is in memory whole."""
    uploads: UploadBudget = field(default_factory=lambda: UploadBudget(2**63))
    head_s: float = 10.0
    """For a request's head, from the start of the connection or from the head's first byte."""
    max_head_bytes: int = 64 * 1024
    body_s: float = 20.0
    """For a body, plus a second for every `min_bytes_per_s` bytes received."""
    min_bytes_per_s: int = 16 * 1024
    unread_s: float = 30.0
    """For a client to read some of the answer."""
    last_request_s: float = 1.0
    """How long an idle connection still accepts a request while the service shuts down."""


class Protocol(HttpToolsProtocol):
    """Uvicorn's HTTP/1.1 within ConnectionLimits; a body whose Content-Length is in MIN_BUFFERED..max_bytes is a `Body`."""

    def __init__(self, limits: ConnectionLimits, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.parser = Parser(self)  # type: ignore[assignment]
        self._limits = limits
        self._timer: asyncio.TimerHandle | None = None  # for the head or the body we are waiting for
        self._unread_timer: asyncio.TimerHandle | None = None
        self._in_head = False
        self._head_bytes = 0  # parsed bytes of the head's lines
        self._head_received = 0  # bytes received before the head was complete
        self._request_ended = False  # within the bytes at hand
        self._body_started = 0.0  # the loop's time when the body began
        self._received = 0  # bytes of bodies whose requests have no answer yet
        self._held = 0  # those of them that are in memory
        self._body: Body | None = None
        self._last_cycle: RequestResponseCycle | None = None
        self._stopping = False  # the next request is the connection's last

    # What comes in

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As uvicorn; then wait for the first request."""
        super().connection_made(transport)
        metrics.connections.inc()
        self._start_timer(self._limits.head_s, self._head_timed_out)

    def data_received(self, data: bytes) -> None:
        """As uvicorn; then see what is still to come: a head, a body, a large body, or nothing."""
        self._request_ended = False
        super().data_received(data)
        if self._is_closed():
            return
        if self._in_head and not self._request_ended:  # or else most of the bytes may be those of the request before
            self._head_received += len(data)
        if self._head_received > self._limits.max_head_bytes:
            self._refuse(self._too_large())
            return
        cycle = self.cycle
        if cycle is not self._last_cycle:
            self._last_cycle = cycle
            self._body_started = self.loop.time()
            self._buffer_body(cycle)
        if self._timer:
            return
        if cycle and cycle.more_body and not cycle.response_complete:
            self._start_timer(self._limits.body_s, self._body_timed_out)
        elif self._in_head or cycle is None or cycle.response_complete:
            self._start_timer(self._limits.head_s, self._head_timed_out)

    def _buffer_body(self, cycle: RequestResponseCycle) -> None:
        """Receive the rest of a large body into one buffer."""
        if not cycle.more_body or self.pipeline:
            return
        length = self._content_length()
        if self._is_streamed(cycle):
            return
        if length <= self._limits.max_bytes and length - len(cycle.body) >= MIN_BUFFERED:
            self.flow.resume_reading()
            self._body = Body(self, cycle, length)
            self.transport.set_protocol(self._body)

    def _content_length(self) -> int:
        """The body's length according to its headers, 0 where they name none."""
        return next((int(value) for name, value in self.headers if name == b"content-length"), 0)

    def _is_streamed(self, cycle: RequestResponseCycle) -> bool:
        return self._limits.streamed(cycle.scope["method"], cycle.scope["path"])

    def arrived(self, nbytes: int) -> None:
        """Count `nbytes` of a body, which stay in memory until its request is answered, unless it is streamed."""
        if self.cycle.response_complete:
            return
        self._received += nbytes
        if self._is_streamed(self.cycle):
            return
        self._held += nbytes
        uploads = self._limits.uploads
        uploads.bytes += nbytes
        metrics.held_bytes.set(uploads.bytes)
        if uploads.bytes > uploads.max_bytes:
            self._refuse(Overloaded(f"Upload memory is full ({uploads.max_bytes} bytes); retry shortly."))

    def body_complete(self) -> None:
        """Take the connection back: what comes next is a new request. The parser never saw the body and would wait for it,
        so a new parser replaces it.
        """
        self._cancel()
        self.parser = Parser(self)  # type: ignore[assignment]
        self.transport.set_protocol(self)

    # Callbacks of uvicorn's parser

    def on_message_begin(self) -> None:
        """As uvicorn."""
        super().on_message_begin()
        self._in_head, self._head_bytes, self._head_received = True, 0, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """As uvicorn, but ignore the trailers of a chunked body: nothing reads them."""
        if self._in_head:
            self._head_bytes += len(name) + len(value) + 4  # the colon, the space and the line's end
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """As uvicorn; this class then closes the connection when the answer is complete."""
        if self._is_closed():  # data behind a refused request
            return
        if self._head_bytes + len(self.url) > self._limits.max_head_bytes:
            raise self._too_large()  # the parser's callback: uvicorn takes it for malformed HTTP
        self._cancel()
        self._in_head = False
        super().on_headers_complete()
        cycle = self.cycle
        cycle.scope[CLIENT_LEFT] = lambda: cycle.disconnected  # type: ignore[literal-required]  # ours, beside ASGI's
        self.cycle.transport = _ResponseTransport(self, self.cycle)  # type: ignore[assignment]
        self.cycle.keep_alive = self.cycle.keep_alive and not self._stopping

    def on_body(self, body: bytes) -> None:
        """As uvicorn."""
        if not self._is_closed():
            super().on_body(body)
            self.arrived(len(body))

    def on_message_complete(self) -> None:
        """As uvicorn."""
        self._cancel()
        self._request_ended = True
        super().on_message_complete()

    # What goes out

    def on_response_complete(self) -> None:
        """As uvicorn; the memory of the request's body is free again."""
        if self._body:
            self._body.forget()
            self._body = None
        if not self.pipeline:
            self._release()
        if self._is_closed():
            self.server_state.total_requests += 1
        else:
            super().on_response_complete()

    def leave(self, cycle: RequestResponseCycle) -> None:
        """Close the connection after its last answer, leaving the client time to read it."""
        self._cancel()
        if cycle.more_body:
            self._linger()
        else:
            self._close()

    def _linger(self) -> None:
        """Send nothing more, and discard what still arrives until the client leaves."""
        self.transport.set_protocol(Discard(self))
        self.transport.write_eof()

    def send_400_response(self, msg: str) -> None:
        """Where uvicorn answers malformed HTTP."""
        too_large = self._in_head and self._head_bytes + len(self.url) > self._limits.max_head_bytes
        self._refuse(self._too_large() if too_large else BadRequest("The bytes received are not an HTTP/1.1 request."))

    def _too_large(self) -> HeadTooLarge:
        return HeadTooLarge(
            f"The request's head, its first line and headers, has more than {self._limits.max_head_bytes} bytes."
        )

    def _refuse(self, error: RequestError) -> None:
        """Answer a request that never reached the application, or stop waiting for the rest of one; then close."""
        cycle = self.cycle
        waiting = cycle is not None and not cycle.response_complete
        if (waiting and (cycle.response_started or not cycle.more_body)) or self.pipeline:
            cycle.keep_alive = False  # an answer is on its way; this one cannot overtake it
            self.transport.pause_reading()
            return
        if waiting:
            cycle.disconnected = True  # do not send the application's answer any more
            cycle.message_event.set()
        if self._body:
            self._body.forget()
            self._body = None
        self._release()
        identity = (request_id.ID.encode(), request_id.new_id().encode())
        self.transport.write(problems.raw(error, [*self.server_state.default_headers, identity]))
        metrics.cut_off(error.status)
        self._cancel()
        self._linger()

    # Time

    def _start_timer(self, seconds: float, timed_out: Callable[[], None]) -> None:
        self._cancel()
        self._timer = self.loop.call_later(seconds, timed_out)

    def _cancel(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _head_timed_out(self) -> None:
        self._timer = None
        if self._in_head:
            self._refuse(TooSlow(f"The request's head did not arrive within {self._limits.head_s:g} s."))
        else:
            self._close()

    def _body_timed_out(self) -> None:
        """The body's time is over, unless enough of it has arrived."""
        self._timer = None
        remaining = (
            self._body_started + self._limits.body_s + self._received / self._limits.min_bytes_per_s - self.loop.time()
        )
        if remaining > 0:
            self._start_timer(remaining, self._body_timed_out)
        elif self.cycle.response_complete:  # early: whatever follows it would be taken for the next request's answer
            self._close()
        else:
            self._refuse(TooSlow(f"The request's body arrived too slowly: {self._received} bytes so far."))

    def pause_writing(self) -> None:
        """As uvicorn: much of an answer is still unread."""
        super().pause_writing()
        self._start_reading_timer()

    def _start_reading_timer(self) -> None:
        self._unread_timer = self.loop.call_later(
            self._limits.unread_s, self._reading_timed_out, self.transport.get_write_buffer_size()
        )

    def _stop_reading_timer(self) -> None:
        if self._unread_timer:
            self._unread_timer.cancel()
            self._unread_timer = None

    def _reading_timed_out(self, before: int) -> None:
        """Abort unless the client has read something since `before` bytes were unread."""
        if self.transport.get_write_buffer_size() >= before:
            self.transport.abort()
        else:
            self._start_reading_timer()

    def resume_writing(self) -> None:
        """As uvicorn: the client has read it."""
        super().resume_writing()
        self._stop_reading_timer()

    # The end

    def timeout_keep_alive_handler(self) -> None:
        """Nothing arrived within the keep-alive time."""
        self._close()

    def shutdown(self) -> None:
        """The service shuts down: answer what has begun, and a request that is just on its way."""
        self._stopping = True
        if self.pipeline:
            self.pipeline[0][0].keep_alive = False
        elif self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        elif not self._in_head:
            self.loop.call_later(self._limits.last_request_s, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if not self._in_head and (self.cycle is None or self.cycle.response_complete):
            self._close()

    def _close(self) -> None:
        """Close when everything is written; do not wait for a client that does not read."""
        if self.transport.is_closing():
            return
        if self.transport.get_write_buffer_size() and not self._unread_timer:
            self._start_reading_timer()
        self.transport.close()

    def _is_closed(self) -> bool:
        """Whether further data is ignored."""
        return self.transport.is_closing() or isinstance(self.transport.get_protocol(), Discard)

    def _release(self) -> None:
        if self._held:
            self._limits.uploads.bytes -= self._held
            metrics.held_bytes.set(self._limits.uploads.bytes)
        self._received = self._held = 0

    def connection_lost(self, exc: Exception | None) -> None:
        """As uvicorn; stop all timers and free all memory."""
        self._cancel()
        self._release()
        metrics.connections.dec()
        super().connection_lost(exc)
        self._stop_reading_timer()
        self._unset_keepalive_if_required()


class _ResponseTransport:
    """The transport as uvicorn's response sees it; it leaves closing to the connection."""

    def __init__(self, connection: Protocol, cycle: RequestResponseCycle) -> None:
        self._connection, self._cycle = connection, cycle
        self.write = connection.transport.write
        self.is_closing = connection.transport.is_closing

    def close(self) -> None:
        self._connection.leave(self._cycle)
