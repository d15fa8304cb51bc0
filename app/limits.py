"""What a request must pass before it is read: API key, rate limit, size of its body. Plain ASGI, so nothing is buffered."""

import math
import time
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.bodies import LARGEST_DROPPED
from app.errors import RateLimited, RequestError, TooLarge, Unauthorized
from app.keys import Keys
from app.problems import response
from app.settings import Settings

OPEN_PATHS = ("/health/", "/v2/health/", "/metrics", "/docs", "/openapi.json", "/web/")
"""Answered without a key and without counting: probes, documentation, and the page's files, as the page itself is."""


class Limits:
    """ASGI middleware that answers 401, 429 and 413 itself, and 503 when `check_room` raises Overloaded.

    Who is answered before a large body has arrived is told that the connection ends: it is not read for nothing.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        keys: Keys,
        clock: Callable[[], float] = time.monotonic,
        check_room: Callable[[], None] = lambda: None,
    ) -> None:
        self._app = app
        self._check_room = check_room
        self._keys = keys
        self._max_bytes = settings.max_bytes
        self._rate = Rate(settings.rate_limit, clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer with a problem."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        body = _Body(receive, send, self._max_bytes, _is_long(headers))
        try:
            if scope["path"] != "/" and not scope["path"].startswith(OPEN_PATHS):
                key = self._admit(headers)
                self._rate.take(key or (scope["client"] or ("",))[0])
            self._announced(headers)
            if scope["method"] == "POST":  # a photo that would be refused for want of room is refused before it is read
                self._check_room()
        except RequestError as error:
            await response(error, scope["path"])(scope, receive, body.send)
            return
        try:
            await self._app(scope, body.receive, body.send)
        except Exception:
            if not body.too_large:  # otherwise it is the application's surprise at a body that ended
                raise
        if body.too_large:
            answer = response(body.error(), scope["path"])
            answer.headers["Connection"] = "close"
            await answer(scope, receive, send)

    def _admit(self, headers: Headers) -> str:
        """The key that was sent, if keys are configured."""
        if not self._keys:
            return ""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        sent = headers.get("x-api-key") or (token if scheme.lower() == "bearer" else "")
        if not self._keys.accepts(sent):
            what = "The key that was sent is not one of them" if sent else "No key was sent"
            raise Unauthorized(f"{what}; send a valid key in the header X-API-Key or as Authorization: Bearer.")
        return sent

    def _announced(self, headers: Headers) -> None:
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._max_bytes:
            raise _too_large(f"announces {length}", self._max_bytes)


class _Body:
    """A request's body as it arrives. Once it is over the limit, the application is told that the client went away and
    whatever it still answers is dropped, so that the middleware can answer 413.
    """

    def __init__(self, receive: Receive, send: Send, max_bytes: int, long: bool) -> None:
        self._receive, self._send, self._max_bytes = receive, send, max_bytes
        self._outstanding = long
        self._read = 0
        self._answering = False
        self.too_large = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._read += len(message.get("body", b""))
        if self._read > self._max_bytes and not self._answering:
            self.too_large = True
            return {"type": "http.disconnect"}
        if not message.get("more_body"):
            self._outstanding = False
        return message

    async def send(self, message: Message) -> None:
        if not self.too_large:
            self._answering = True
            if self._outstanding and message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await self._send(message)

    def error(self) -> TooLarge:
        return _too_large(f"has sent {self._read} and goes on", self._max_bytes)


def _is_long(headers: Headers) -> bool:
    """Whether a body is announced that takes a while to arrive."""
    length = headers.get("content-length", "")
    return "transfer-encoding" in headers or (length.isdecimal() and int(length) > LARGEST_DROPPED)


def _too_large(what: str, most: int) -> TooLarge:
    return TooLarge(f"The request {what} bytes; at most {most} are accepted.")


class Rate:
    """A token bucket for each client: `per_minute` requests at once, refilled evenly; 0 means no limit."""

    _MOST_CLIENTS = 10_000

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}  # client: (tokens left, seconds of the clock)

    def take(self, client: str) -> None:
        """Count one request. Raises RateLimited, with the seconds until the next is answered, when none is left."""
        if not self._per_minute:
            return
        now = self._clock()
        tokens, then = self._buckets.pop(client, (float(self._per_minute), now))
        tokens = min(float(self._per_minute), tokens + (now - then) * self._per_minute / 60)
        allowed = tokens >= 1
        self._buckets[client] = (tokens - allowed, now)  # at the end: the dictionary stays in order of last use
        if len(self._buckets) > self._MOST_CLIENTS:
            del self._buckets[next(iter(self._buckets))]
        if not allowed:
            wait = math.ceil((1 - tokens) * 60 / self._per_minute)
            raise RateLimited(
                f"More than {self._per_minute} requests a minute came; the next is answered in {wait} s.", wait
            )
