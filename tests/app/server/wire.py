"""A client and the protocol that serves it in one process, between them a pair of sockets, and a clock that nobody waits for.

Time passes only where nothing else is to be done, and at once: limits of seconds are tested to the millisecond, on machines
however slow.
"""

import asyncio
import contextlib
import functools
import selectors
import socket
import types
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import uvicorn
from prometheus_client import REGISTRY
from uvicorn.server import ServerState

from app.capacity import UploadBudget
from app.server.connection import ConnectionLimits, Protocol

KERNEL_BYTES = 100_000
"""That each socket's system holds, more or less, until the other side reads them."""

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Jumping(selectors.DefaultSelector):
    """Waits for nothing: where no socket is ready, the clock goes on to the next timer."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list:
        events = super().select(0)
        if not events:
            assert timeout is not None, "all wait for each other"
            self.now += timeout
        return events


class Loop(asyncio.SelectorEventLoop):
    """asyncio's, with that clock."""

    def __init__(self) -> None:
        self._clock = Jumping()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def timed(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an asynchronous test by that clock."""

    @functools.wraps(test)
    def run(*arguments: Any, **options: Any) -> None:
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(test(*arguments, **options))

    return run


def now() -> float:
    """Seconds since the test began."""
    return asyncio.get_running_loop().time()


async def settled() -> None:
    """All that can happen without a second's passing has happened."""
    await asyncio.sleep(1e-6)


class Client:
    """One end of a connection; the other is `protocol`."""

    def __init__(self, own: socket.socket, protocol: Protocol, uploads: UploadBudget, state: ServerState) -> None:
        own.setblocking(False)
        self.socket, self.protocol, self.uploads, self.state = own, protocol, uploads, state

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.socket, data)
        await settled()

    async def read(self, size: int = 2**20) -> bytes:
        """The next bytes, as soon as there are any; none where there will not be any more."""
        return await asyncio.get_running_loop().sock_recv(self.socket, size)

    async def heard(self) -> bytes:
        """What has come so far."""
        await settled()
        received = b""
        with contextlib.suppress(BlockingIOError):
            while piece := self.socket.recv(2**20):
                received += piece
                await settled()
        return received

    async def everything(self) -> bytes:
        """What comes until nothing more will."""
        received = b""
        while piece := await self.read():
            received += piece
        await settled()
        return received

    @property
    def open(self) -> bool:
        """Whether the service still has the connection."""
        return self.protocol in self.state.connections


def shown(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"catscope_{name}", labels) or 0


@contextlib.asynccontextmanager
async def connected(app: Callable, keep_alive_s: int = 75, left: int = 0, **limits: Any) -> AsyncIterator[Client]:
    """A client of `app`. Behind it nothing may be left over: no connection, no memory but the bytes that others have `left`,
    and nothing that goes wrong later.
    """
    loop, complaints = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    own, other = socket.socketpair()
    for one in (own, other):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)
    uploads = limits.setdefault("uploads", UploadBudget(10_000_000))
    state = ServerState()
    state.default_headers = [(b"server", b"catscope")]
    config = uvicorn.Config(app, timeout_keep_alive=keep_alive_s, lifespan="off", ws="none", log_level="critical")
    config.load()
    open_before = shown("connections")
    given = {"config": config, "server_state": state, "app_state": {}, "_loop": loop}  # as uvicorn gives it
    made = functools.partial(Protocol, ConnectionLimits(**{"max_bytes": 20_000_000} | limits), **given)
    client = Client(own, (await loop.connect_accepted_socket(made, other))[1], uploads, state)
    try:
        await settled()
        assert (client.open, shown("connections")) == (True, open_before + 1)
        yield client
    finally:
        own.close()
        await asyncio.sleep(0.25)  # where reading is paused, it is seen when that is over
    assert (state.connections, shown("connections")) == (set(), open_before)
    assert (uploads.bytes, shown("held_bytes")) == (left, left)
    await asyncio.sleep(1000)
    assert complaints == []


def counting(asked: list[Any] | None = None, **headers: str) -> Callable:
    """An application that reads a request's body and answers with its length. `asked` gets the messages that it received."""

    async def app(scope: dict, receive: Callable, send: Callable) -> None:
        size = 0
        while True:
            message = await receive()
            if asked is not None:
                asked.append(message)
            if message["type"] == "http.disconnect":
                return
            size += len(message["body"])
            if not message["more_body"]:
                break
        await answer(b"%d" % size, **headers)(scope, receive, send)

    return app


def answer(body: bytes, **headers: str) -> Callable:
    """An application that answers at once, and reads nothing."""

    async def app(scope: dict, receive: Callable, send: Callable) -> None:
        head = [(name.encode(), value.encode()) for name, value in ({"content-length": str(len(body))} | headers).items()]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})

    return app


class Held:
    """An application that reads a body, and answers when it is told to."""

    def __init__(self, application: Callable) -> None:
        self.go_on, self.begun, self._application = asyncio.Event(), 0, application

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        self.begun += 1
        await self.go_on.wait()
        await self._application(scope, receive, send)


def post(length: int | None, *headers: bytes, path: bytes = b"/") -> bytes:
    """The head of a request with a body, of that length or in chunks."""
    framing = b"Transfer-Encoding: chunked" if length is None else b"Content-Length: %d" % length
    return b"\r\n".join([b"POST " + path + b" HTTP/1.1", b"Host: x", framing, *headers, b"", b""])


def chunk(data: bytes) -> bytes:
    return b"%x\r\n" % len(data) + data + b"\r\n"


def parsed(received: bytes) -> types.SimpleNamespace:
    """One answer: its status, its headers and its body."""
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    assert len(body) == int(headers["content-length"])
    return types.SimpleNamespace(status=int(first.split()[1]), headers=headers, body=body)
