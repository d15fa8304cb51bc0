"""Signals and sockets come in; a service that starts, reloads and stops without losing a request goes out.

One process serves, or several under a parent that only watches them: it starts one anew that died, passes signals on, and
holds the listening socket, so that what the kernel has accepted waits for a process that is there.
"""

import asyncio
import contextlib
import ctypes
import functools
import logging
import os
import shutil
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

import uvicorn

from app.protocol import Guard, Protocol
from app.service import Service
from app.settings import Settings

log = logging.getLogger("catscope")

GRACE_S = 30
"""How long requests under way are waited for when the service is stopped."""
BACKLOG = 2048
SOON_S = 1.0
"""A process that died is started anew at once, but not more often than this."""
LATER_S = 5.0
"""The same for a process that could not serve."""
ACCEPT_S = 0.05
"""How long connections that the kernel has made are accepted when the service is stopped."""
SO_ATTACH_FILTER = 26
"""Linux' number for it; Python's socket module has no name for it."""

_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP) if hasattr(signal, "SIGHUP") else ()


class Server(uvicorn.Server):
    """Uvicorn's server, with a reload at SIGHUP and a shutdown that takes in what the kernel has accepted."""

    def __init__(self, config: uvicorn.Config, service: Service, line: "Line | None" = None) -> None:
        super().__init__(config)
        self._service = service
        self._line = line  # to the parent, if there is one

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Uvicorn's own; from now on SIGHUP means to load the networks again."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(NotImplementedError, AttributeError, ValueError):  # where there are no such signals
            loop.add_signal_handler(signal.SIGHUP, self._service.reload_soon)
        if self._line:
            loop.add_reader(self._line.alive, self._orphaned)
        await super().startup(sockets)
        if self._line:
            os.write(self._line.ready, b"!")

    def _orphaned(self) -> None:
        assert self._line
        asyncio.get_running_loop().remove_reader(self._line.alive)
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Uvicorn's own, after the connections that the kernel has made were accepted. A parent has already seen to it that
        there are no new ones; or there are others who take them.
        """
        if not self._line:
            for listening in sockets or []:
                refuse_new(listening)
        await asyncio.sleep(ACCEPT_S)
        await super().shutdown(sockets)


def config(settings: Settings, app: object, service: Service) -> uvicorn.Config:
    """How uvicorn is to serve the application."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        http=functools.partial(Protocol, Guard(settings.max_bytes, service.held)),  # type: ignore[arg-type]  # it is called
        host=settings.host,
        port=settings.port,
        log_config=None,  # app.__main__ has configured it
        access_log=False,  # app.sight writes one
        server_header=False,
        ws="none",
        backlog=BACKLOG,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=GRACE_S,
    )


def many_connections() -> None:
    """Let this process hold as many connections as the system allows; the usual limit is 1,024 files."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Processes:
    """Several processes that serve one socket. `serve` is what each does, with that socket and a `Line` to the parent; it
    returns the exit status. `shared` is the folder of their metrics.

    A process that ends on its own is started anew. SIGTERM and SIGINT are passed on and end everything, SIGHUP is passed on.
    When processes cannot be started (exit status 1) and none ever served, everything ends: they would not fare better again.
    """

    def __init__(
        self, settings: Settings, listening: socket.socket, serve: Callable[[socket.socket, "Line"], int], shared: str
    ) -> None:
        self._settings, self._listening, self._serve, self._shared = settings, listening, serve, shared
        self._children: dict[int, float] = {}  # process id: when it was started
        self._stopping = False
        self._ever_served = False
        self._alive = os.pipe()  # nothing is ever written; its end tells the children that the parent is gone
        self._ready = os.pipe()  # a byte from each process that serves
        os.set_blocking(self._ready[0], False)

    def run(self) -> int:
        """Serve until a signal ends it; the exit status."""
        from prometheus_client.multiprocess import mark_process_dead

        status = 0
        for number in _PASSED_ON:
            signal.signal(number, self._pass_on)
        for _ in range(self._settings.processes):
            self._start()
        while self._children:
            pid, raw = os.wait()
            started = self._children.pop(pid)
            code = os.waitstatus_to_exitcode(raw)
            mark_process_dead(pid)  # type: ignore[no-untyped-call]
            if self._stopping:
                continue
            with contextlib.suppress(BlockingIOError):
                self._ever_served = bool(os.read(self._ready[0], 1000)) or self._ever_served
            if code == 1 and not self._ever_served:
                status = 1
                self._pass_on(signal.SIGTERM, None)
                continue
            log.error("process %d ended with %d; another takes its place", pid, code)
            time.sleep(max(0.0, (LATER_S if code == 1 else SOON_S) - (time.monotonic() - started)))
            if not self._stopping:
                self._start()
        shutil.rmtree(self._shared, ignore_errors=True)
        return status

    def _start(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)  # a signal now would find the parent's handler in the child
        pid = os.fork()
        if pid:
            self._children[pid] = time.monotonic()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
            if self._stopping:
                os.kill(pid, signal.SIGTERM)
            return
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the server listens to it
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
        os.setpgid(0, 0)  # Ctrl-C in a terminal is the parent's to pass on
        os.close(self._alive[1])
        code = 1
        try:
            code = self._serve(self._listening, Line(self._alive[0], self._ready[1]))
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 1
        except BaseException:
            log.exception("a process could not serve")
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        if number != signal.SIGHUP and not self._stopping:
            self._stopping = True
            refuse_new(self._listening)
            self._listening.close()  # the children hold it still, and take in what was accepted
        for pid in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


@dataclass(frozen=True)
class Line:
    """A serving process's line to its parent: `alive` is readable when the parent is gone, a byte to `ready` says that it
    serves. Both are file descriptors.
    """

    alive: int
    ready: int


def bound(settings: Settings) -> socket.socket:
    """The socket to listen on. Raises OSError when the address cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    listening.setblocking(False)
    return listening


def refuse_new(listening: socket.socket) -> None:
    """Let nobody begin a connection to a socket that still listens, while those that have begun are accepted.

    A socket that is closed resets the connections that the kernel has made and nobody has accepted yet. So first a filter
    drops every packet that begins a connection (its TCP header has SYN set; the program is a classic BPF one, see the Linux
    kernel's networking/filter.rst), then what there is is accepted, and then the socket is closed: the client's kernel asks
    again after a second, and is refused or reaches whoever listens there then. Only Linux can do this.
    """
    drop_syn = (
        (0x30, 0, 0, 13),  # load the byte with the TCP header's flags
        (0x45, 0, 1, 0x02),  # is SYN set?
        (0x06, 0, 0, 0),  # yes: keep nothing of it
        (0x06, 0, 0, 0xFFFFFFFF),  # no: keep all of it
    )
    program = b"".join(struct.pack("HBBI", *instruction) for instruction in drop_syn)
    with contextlib.suppress(OSError, AttributeError):
        buffer = ctypes.create_string_buffer(program, len(program))
        address = struct.pack("HL", len(drop_syn), ctypes.addressof(buffer))
        listening.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, address)
