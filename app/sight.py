"""Every request comes through here once; a line in the log, numbers for Prometheus and headers on its answer come out.

Plain ASGI, outermost: what went wrong inside is answered here too, with a problem that tells nothing of the inside.
"""

import contextvars
import logging
import re
import secrets
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import metrics
from app.errors import Unforeseen
from app.problems import response

log = logging.getLogger("catscope.access")
mistakes = logging.getLogger("catscope")

ID = "X-Request-ID"
request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")
"""The id of the request that is being answered; the workers' threads see it too."""

_FIT = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""On every answer that does not say otherwise itself: data, which no browser is to take for a page."""


def new_id() -> str:
    """An id for a request whose client sent none: 16 hexadecimal digits."""
    return secrets.token_hex(8)


class Sight:
    """ASGI middleware: request ids, the access log, metrics, security headers, and the answer to mistakes of ours."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and watch it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent_id = Headers(scope=scope).get(ID, "")
        identity = sent_id if _FIT.fullmatch(sent_id) else new_id()
        token = request_id.set(identity)
        watched = _Watched(receive, send, identity)
        metrics.in_flight.inc()
        try:
            await self._app(scope, watched.receive, watched.send)
        except Exception:
            mistakes.exception("a mistake in Catscope, met by %s %s", scope["method"], scope["path"])
            if watched.status:
                raise  # half an answer is out: the connection is closed
            await response(Unforeseen("The request met a mistake in Catscope; its log says which."))(
                scope, watched.receive, watched.send
            )
        finally:
            metrics.in_flight.dec()
            self._tell(scope, watched)
            request_id.reset(token)

    def _tell(self, scope: Scope, watched: "_Watched") -> None:
        seconds = time.perf_counter() - watched.began
        route = getattr(scope.get("route"), "path", "")
        method = scope["method"] if route else ""  # a client may make up others
        metrics.answered(route, method, watched.status or GONE, seconds, watched.received, watched.sent)
        if not log.isEnabledFor(logging.INFO):
            return
        asked = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        fields = {
            "method": scope["method"],
            "path": asked.decode("ascii", "backslashreplace"),  # percent-encoded as it came: no line breaks
            "status": watched.status or GONE,
            "milliseconds": round(seconds * 1000, 1),
            "received": watched.received,
            "sent": watched.sent,
            "client": (scope["client"] or ("",))[0],
        }
        log.info("%s %s %s in %s ms", *list(fields.values())[:4], extra={"fields": fields})


GONE = 499
"""What the log and the metrics call a request whose client left before its answer; nginx's number for it."""


class _Watched:
    """One request's `receive` and `send`, with a count."""

    def __init__(self, receive: Receive, send: Send, identity: str) -> None:
        self._receive, self._send, self._identity = receive, send, identity
        self.began = time.perf_counter()
        self.received = self.sent = self.status = 0

    async def receive(self) -> Message:
        message = await self._receive()
        self.received += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers[ID] = self._identity
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        else:
            self.sent += len(message.get("body", b""))
        await self._send(message)
