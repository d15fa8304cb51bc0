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
from typing import NamedTuple, NoReturn

from app.server.drain import stop_accepting
from app.settings import Settings

log = logging.getLogger("catscope")


RESTART_S = 1.0
"""A process that died is replaced at once, but not more often than this."""


FAILED_RESTART_S = 5.0
"""The same for a process that failed to start, or that the system could not give."""


_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP) if hasattr(signal, "SIGHUP") else ()


class _Child(NamedTuple):
    """A process: its place among them, from 0, and when it was started."""

    place: int
    started: float


class Processes:
    """Several processes that serve one socket. Each calls `serve` with that socket and a `ParentLink`; it returns the exit
    status. `shared` is the folder of their metrics.

    A process that ends on its own is replaced. SIGTERM and SIGINT are forwarded and end everything; SIGHUP is forwarded.
    When a process fails to start (exit status 1) and none ever served, everything ends: another attempt would fail too.
    Where the system has no process to give, the others serve on until it has; if it has none at first, everything ends.
    """

    def __init__(
        self, settings: Settings, listening: socket.socket, serve: Callable[[socket.socket, "ParentLink"], int], shared: str
    ) -> None:
        self._settings, self._listening, self._serve, self._shared = settings, listening, serve, shared
        self._children: dict[int, _Child] = {}  # by process id
        self._stopping = False
        self._ever_served = False
        self._alive = os.pipe()  # never written; its end of file means that the parent is gone
        self._ready = os.pipe()  # a byte from each process once it serves
        os.set_blocking(self._ready[0], False)

    def run(self) -> int:
        """Serve until a signal arrives; returns the exit status."""
        status = 0
        for number in _FORWARDED:
            signal.signal(number, self._forward)
        self._start_missing()
        if self._missing() and not self._children:  # none at all: nothing says that there ever will be one
            self._stopping, status = True, 1
        while self._children or self._missing():
            pid, raw = self._wait()
            if pid in self._children:  # in a container the parent is init, which inherits what the dead leave behind
                status = self._ended(pid, os.waitstatus_to_exitcode(raw)) or status
            elif not pid:
                time.sleep(FAILED_RESTART_S)
            self._start_missing()
        shutil.rmtree(self._shared, ignore_errors=True)
        return status

    def _missing(self) -> bool:
        """Whether there are fewer processes than there should be."""
        return not self._stopping and len(self._children) < self._settings.processes

    def _wait(self) -> tuple[int, int]:
        """The id of a process that has ended, and its status. Waits for one, except where a process is missing, which has to
        be tried again: the id may be 0 then.
        """
        with contextlib.suppress(ChildProcessError):  # there is none left
            return os.waitpid(-1, 0 if self._children and not self._missing() else os.WNOHANG)
        return 0, 0

    def _ended(self, pid: int, code: int) -> int:
        """Note that a process ended, and wait until it may be replaced. Returns 1 where that ends everything, else 0."""
        from app.telemetry import metrics

        child = self._children.pop(pid)
        metrics.leave_place(child.place)
        if self._stopping:
            return 0
        with contextlib.suppress(BlockingIOError):
            self._ever_served = bool(os.read(self._ready[0], 1000)) or self._ever_served
        if code == 1 and not self._ever_served:
            self._forward(signal.SIGTERM, None)
            return 1
        log.error("process %d ended with %d; starting another", pid, code)
        time.sleep(max(0.0, (FAILED_RESTART_S if code == 1 else RESTART_S) - (time.monotonic() - child.started)))
        return 0

    def _start_missing(self) -> None:
        """Start the processes that are missing, or as many as the system allows; `run` tries the others again."""
        try:
            while self._missing():
                self._start()
        except OSError as error:  # a limit of processes, or no memory; those that serve are well
            log.error("cannot start a process: %s", error.strerror)

    def _start(self) -> None:
        """Start a process. Raises OSError where the system has none to give."""
        place = min(set(range(self._settings.processes)) - {child.place for child in self._children.values()})
        signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED)  # until the child has handlers of its own
        try:
            pid = os.fork()
            if not pid:
                self._child(place)
            self._children[pid] = _Child(place, time.monotonic())
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)
        if self._stopping:
            os.kill(pid, signal.SIGTERM)

    def _child(self, place: int) -> NoReturn:
        """Serve in the process that has just been started, and end it."""
        code = 1
        try:
            from app.telemetry import metrics

            metrics.take_place(place)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the server handles it
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)
            os.setpgid(0, 0)  # Ctrl-C in a terminal reaches the parent alone, which forwards it
            os.close(self._alive[1])
            code = self._serve(self._listening, ParentLink(self._alive[0], self._ready[1]))
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else 1
        except BaseException:
            log.exception("a process failed to start")
        finally:
            with contextlib.suppress(OSError, ValueError):  # whatever happens, what the parent does is not for this process
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
