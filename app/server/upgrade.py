"""A request that offers another protocol comes in; it goes on to be read as the HTTP/1.1 that it also is.

A server may ignore the header Upgrade (RFC 9110, section 7.8). The clients of the JDK, Spring and Ktor and `curl --http2`
offer h2c with their first request. The parser stops behind such a request's head and would take its body for the next
request, so a new parser takes over, which has read a head that announces the same body, but without the offer.
"""

from typing import Any, Protocol

import httptools


class Callbacks(Protocol):
    """What the parser tells; see httptools. `headers` holds the lower-case names and the values of the latest head."""

    headers: list[tuple[bytes, bytes]]

    def on_message_begin(self) -> None:
        """A request begins."""

    def on_url(self, url: bytes) -> None:
        """A piece of its target."""

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""

    def on_headers_complete(self) -> None:
        """Its head has ended."""

    def on_body(self, body: bytes) -> None:
        """A piece of its body."""

    def on_message_complete(self) -> None:
        """It has ended."""


FRAMING = (b"content-length", b"transfer-encoding")
"""The headers that say where a body ends."""


class Parser:
    """httptools' parser of requests, for which an offered upgrade is a header like any other."""

    def __init__(self, callbacks: Callbacks) -> None:
        self._callbacks = callbacks
        self._parser = _parser(_Callbacks(callbacks, self, read=False))

    def feed_data(self, data: bytes) -> None:
        """Parse the bytes. Raises httptools.HttpParserError where they are no HTTP, HttpParserUpgrade for CONNECT."""
        rest = memoryview(data)
        while True:  # requests that offer an upgrade can follow each other in the same bytes
            try:
                self._parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                if self._parser.get_method() == b"CONNECT":
                    raise
                rest = rest[upgrade.args[0] :]
            else:
                return
            head = [b"%s: %s\r\n" % line for line in self._callbacks.headers if line[0] in FRAMING]
            self._parser = _parser(_Callbacks(self._callbacks, self, read=True))
            self._parser.feed_data(b"POST / HTTP/1.1\r\n" + b"".join(head) + b"\r\n")

    def should_upgrade(self) -> bool:
        """Whether the connection is a tunnel from here on: never, but for CONNECT."""
        return bool(self._parser.should_upgrade()) and self._parser.get_method() == b"CONNECT"

    def stops(self) -> bool:
        """Whether the parser is about to stop behind a head that offers an upgrade."""
        return bool(self._parser.should_upgrade()) and self._parser.get_method() != b"CONNECT"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)


def _parser(callbacks: Any) -> Any:
    parser = httptools.HttpRequestParser(callbacks)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn sets it
    return parser


class _Callbacks:
    """The callbacks of a connection. A request that offers an upgrade does not end with its head, and a head that was `read`
    before is not told again.
    """

    def __init__(self, callbacks: Callbacks, parser: Parser, read: bool) -> None:
        self._callbacks, self._parser, self._silent = callbacks, parser, read
        self.on_body = callbacks.on_body

    def on_message_begin(self) -> None:
        """See Callbacks, as of the others."""
        if not self._silent:
            self._callbacks.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._silent:
            self._callbacks.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._silent:
            self._callbacks.on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self._silent:
            self._callbacks.on_headers_complete()
        self._silent = False

    def on_message_complete(self) -> None:
        if not self._parser.stops():
            self._callbacks.on_message_complete()
