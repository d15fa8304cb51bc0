"""Several processes that serve one socket, under a parent that replaces those that die."""

import contextlib
import logging
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

from app.server.drain import stop_accepting
from app.settings import Settings

log = logging.getLogger("catscope")


RESTART_S = 1.0
"""A process that died is replaced at once, but not more often than this."""


FAILED_RESTART_S = 5.0
"""The same for a process that failed to start."""


_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP) if hasattr(signal, "SIGHUP") else ()


class Processes:
    """Several processes that serve one socket. Each calls `serve` with that socket and a `ParentLink`; it returns the exit
    status. `shared` is the folder of their metrics.

    A process that ends on its own is replaced. SIGTERM and SIGINT are forwarded and end everything; SIGHUP is forwarded.
    When a process fails to start (exit status 1) and none ever served, everything ends: another attempt would fail too.
    """

    def __init__(
        self, settings: Settings, listening: socket.socket, serve: Callable[[socket.socket, "ParentLink"], int], shared: str
    ) -> None:
        self._settings, self._listening, self._serve, self._shared = settings, listening, serve, shared
        self._children: dict[int, float] = {}  # process id: when it was started
        self._stopping = False
        self._ever_served = False
        self._alive = os.pipe()  # never written; its end of file means that the parent is gone
        self._ready = os.pipe()  # a byte from each process once it serves
        os.set_blocking(self._ready[0], False)

    def run(self) -> int:
        """Serve until a signal arrives; returns the exit status."""
        from prometheus_client.multiprocess import mark_process_dead

        status = 0
        for number in _FORWARDED:
            signal.signal(number, self._forward)
        for _ in range(self._settings.processes):
            self._start()
        while self._children:
            pid, raw = os.wait()
            started = self._children.pop(pid, None)
            if started is None:  # in a container the parent is init, which inherits what the dead leave behind
                continue
            code = os.waitstatus_to_exitcode(raw)
            mark_process_dead(pid)  # type: ignore[no-untyped-call]
            if self._stopping:
                continue
            with contextlib.suppress(BlockingIOError):
                self._ever_served = bool(os.read(self._ready[0], 1000)) or self._ever_served
            if code == 1 and not self._ever_served:
                status = 1
                self._forward(signal.SIGTERM, None)
                continue
            log.error("process %d ended with %d; starting another", pid, code)
            time.sleep(max(0.0, (FAILED_RESTART_S if code == 1 else RESTART_S) - (time.monotonic() - started)))
            if not self._stopping:
                self._start()
        shutil.rmtree(self._shared, ignore_errors=True)
        return status

    def _start(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED)  # until the child has handlers of its own
        pid = os.fork()
        if pid:
            self._children[pid] = time.monotonic()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)
            if self._stopping:
                os.kill(pid, signal.SIGTERM)
            return
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the server handles it
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)
        os.setpgid(0, 0)  # Ctrl-C in a terminal reaches the parent alone, which forwards it
        os.close(self._alive[1])
        code = 1
        try:
            code = self._serve(self._listening, ParentLink(self._alive[0], self._ready[1]))
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else 1
        except BaseException:
            log.exception("a process failed to start")
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _forward(self, number: int, frame: FrameType | None) -> None:
        if number != signal.SIGHUP and not self._stopping:
            self._stopping = True
            stop_accepting(self._listening)
            self._listening.close()  # the children still have it, and accept what is in its queue
        for pid in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


@dataclass(frozen=True)
class ParentLink:
    """A serving process's link to its parent, as two file descriptors: `alive` becomes readable when the parent is gone, and
    a byte written to `ready` reports that the process serves.
    """

    alive: int
    ready: int
