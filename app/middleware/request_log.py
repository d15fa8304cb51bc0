"""Logs and counts every request, and adds headers to its answer.

Plain ASGI, outermost of ours: unexpected exceptions are answered here too, with a problem that reveals no internals.
"""

import logging
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.capacity import CLIENT_LEFT, client_left
from app.errors import ClientLeft, Unforeseen
from app.problems import response
from app.telemetry import metrics
from app.telemetry.request_id import ID, VALID, new_id, request_id

log = logging.getLogger("catscope.access")
errors = logging.getLogger("catscope")


HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""On every answer that does not set them itself: it is data, which no browser may treat as a page."""


class RequestLog:
    """ASGI middleware: request ids, the access log, metrics, security headers, and the answer to bugs in Catscope."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, measured and logged."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent_id = Headers(scope=scope).get(ID, "")
        identity = sent_id if VALID.fullmatch(sent_id) else new_id()
        token = request_id.set(identity)
        if CLIENT_LEFT in scope:
            client_left.set(scope[CLIENT_LEFT])
        measured = _MeasuredRequest(receive, send, identity)
        metrics.in_flight.inc()
        try:
            await self._app(scope, measured.receive, measured.send)
        except Exception:
            errors.exception("a bug in Catscope, while answering %s %s", scope["method"], scope["path"])
            if measured.status:
                raise  # half an answer is sent: close the connection
            await response(Unforeseen("A bug in Catscope prevented an answer; the log has the details."))(
                scope, measured.receive, measured.send
            )
        finally:
            metrics.in_flight.dec()
            self._log(scope, measured)
            request_id.reset(token)

    def _log(self, scope: Scope, measured: "_MeasuredRequest") -> None:
        seconds = time.perf_counter() - measured.began
        route = getattr(scope.get("route"), "path", "")
        method = scope["method"]
        known = method if route and method in METHODS else ""  # clients may invent others
        metrics.answered(route, known, measured.status or GONE, seconds, measured.received, measured.sent)
        if not log.isEnabledFor(logging.INFO):
            return
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        fields = {
            "method": method,
            "path": target.decode("ascii", "backslashreplace"),  # percent-encoded as it came: no line breaks
            "status": measured.status or GONE,
            "milliseconds": round(seconds * 1000, 1),
            "received": measured.received,
            "sent": measured.sent,
            "client": (scope["client"] or ("",))[0],
        }
        log.info("%s %s %s in %s ms", *list(fields.values())[:4], extra={"fields": fields})


METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "POST")
"""That metrics tell apart: those that some route answers."""

GONE = ClientLeft.status
"""Status in the log and the metrics of a request whose client left before its answer."""


class _MeasuredRequest:
    """One request's `receive` and `send`, with their bytes counted."""

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
