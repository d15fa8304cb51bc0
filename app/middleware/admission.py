"""Checks before a request is read: API key, rate limit, size of its body. Plain ASGI, so nothing is buffered."""

import time
from collections.abc import Callable

from starlette._utils import get_route_path
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.capacity import MAX_DISCARDED_BYTES, is_streamed
from app.errors import Forbidden, RequestError, TooLarge, Unauthorized, UnsupportedCoding
from app.middleware.api_keys import ApiKeys
from app.middleware.rate_limit import RateLimiter
from app.problems import response
from app.settings import Settings

OPEN_PATHS = ("/health/", "/v2/health/", "/metrics", "/docs", "/openapi.json", "/web/")
"""Answered without a key and not rate-limited, like the page itself: probes, documentation and the page's files."""


KEEPING = ("/teach", "/corrections", "/models")
"""Below these paths, POST and DELETE change what is kept."""


class Admission:
    """ASGI middleware that answers 401, 429, 413 and, for a compressed body, 415 itself, and 503 when `check_room` raises
    Overloaded.

    An answer before a large body has arrived closes the connection, so that the body need not be read.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        keys: ApiKeys,
        clock: Callable[[], float] = time.monotonic,
        check_room: Callable[[], None] = lambda: None,
    ) -> None:
        self._app = app
        self._check_room = check_room
        self._keys = keys
        self._max_bytes, self._max_streamed_bytes = settings.max_bytes, settings.max_teach_bytes
        self._origins = set(settings.cors_origins)
        self._rate = RateLimiter(settings.rate_limit, clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer with a problem."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        path = get_route_path(scope)
        max_bytes = self._max_streamed_bytes if is_streamed(scope["method"], path) else self._max_bytes
        body = _Body(receive, send, max_bytes, _is_long(headers))
        try:
            if path != "/" and not path.startswith(OPEN_PATHS):
                key = self._admit(headers)
                self._rate.take(key or (scope["client"] or ("",))[0])
            if scope["method"] in ("POST", "DELETE") and path.startswith(KEEPING):
                self._check_site(headers)
            _check_content_length(headers, max_bytes)
            _check_coding(headers)
            if scope["method"] == "POST":  # refuse a photo before reading it when there is no room
                self._check_room()
        except RequestError as error:
            await response(error, path)(scope, receive, body.send)
            return
        try:
            await self._app(scope, body.receive, body.send)
        except Exception:
            if not body.too_large:  # otherwise the application failed because the body was cut off
                raise
        if body.too_large:
            answer = response(body.error(), path)
            answer.headers["Connection"] = "close"
            await answer(scope, receive, send)

    def _admit(self, headers: Headers) -> str:
        """The key that was sent, if keys are configured."""
        if not self._keys:
            return ""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        sent = headers.get("x-api-key") or (token if scheme.lower() == "bearer" else "")
        if not self._keys.accepts(sent):
            what = "The key is not valid" if sent else "No key was sent"
            raise Unauthorized(f"{what}; send a valid key in the header X-API-Key or as Authorization: Bearer.")
        return sent

    def _check_site(self, headers: Headers) -> None:
        """Browsers send forms of any page to any address. Sec-Fetch-Site says whose page it is, but without TLS they send it
        to their own machine alone; then the Origin says it. Other clients send neither.
        """
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site is None:
            elsewhere = origin is not None and origin.partition("://")[2] != headers.get("host")
        else:
            elsewhere = site not in ("none", "same-origin")
        if elsewhere and not {"*", headers.get("origin", "")} & self._origins:
            raise Forbidden(
                "A page of another site cannot teach, correct or delete here; CATSCOPE_CORS_ORIGINS names exceptions."
            )


class _Body:
    """A request's body as it arrives. Over the limit, the application gets a disconnect and its answer is discarded, so
    that the middleware can answer 413.
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
        return _too_large(f"has already sent {self._read}", self._max_bytes)


def _check_content_length(headers: Headers, max_bytes: int) -> None:
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > max_bytes:
        raise _too_large(f"announces {length}", max_bytes)


def _check_coding(headers: Headers) -> None:
    """Photos are compressed already; a compressed body could grow without end."""
    coding = headers.get("content-encoding", "").strip().lower()
    if coding not in ("", "identity"):
        raise UnsupportedCoding(f"The body's content coding is {coding[:40]!r}; it must be sent without one.")


def _is_long(headers: Headers) -> bool:
    """Whether the headers announce a body that takes a while to arrive."""
    length = headers.get("content-length", "")
    return "transfer-encoding" in headers or (length.isdecimal() and int(length) > MAX_DISCARDED_BYTES)


def _too_large(what: str, most: int) -> TooLarge:
    return TooLarge(f"The request {what} bytes; at most {most} are accepted.")
