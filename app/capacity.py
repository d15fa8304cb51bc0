"""How much work runs at once: threads for CPU work, a limit on what may wait, a budget of memory for uploads.

Decoding, resizing and running a network release the interpreter lock, so threads keep every core busy, and the event
loop stays free to accept and refuse requests and to answer health checks.
"""

import asyncio
import contextvars
import math
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from app.errors import ClientLeft, DeadlineExceeded, Overloaded
from app.telemetry import metrics

T = TypeVar("T")

MAX_DISCARDED_BYTES = 1024 * 1024
"""Bytes of a refused request's body that are read and discarded, so that the connection can be used again. Opening a new
connection would cost both sides more.
"""

CLIENT_LEFT = "catscope.client_left"
"""Where the server puts the request's `client_left` in its ASGI scope; other servers put none there."""

client_left: contextvars.ContextVar[Callable[[], bool]] = contextvars.ContextVar("client_left", default=lambda: False)
"""Tells, on any thread, whether the client of the request that is being answered has closed its connection."""


class Workers:
    """A pool of `threads` with room for `max_waiting` more calls; each call has `deadline_s` seconds, waiting included.

    Use it from one event loop. Only calls that work on photos are `measured`.
    """

    def __init__(self, threads: int, max_waiting: int, deadline_s: float, measured: bool = True) -> None:
        self._measured = measured
        self.threads = threads or cores()
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="catscope")
        self._max_calls = self.threads + max_waiting
        self._deadline_s = deadline_s
        self._calls = 0

    def check_room(self) -> None:
        """Raise Overloaded when a call made now would be refused. Also checked before a request's body is read."""
        if self._calls >= self._max_calls:
            raise Overloaded(f"The queue is full: {self._calls} requests are running or waiting; retry shortly.")

    async def run(self, work: Callable[[], T]) -> T:
        """Do `work` on a thread and return what it returns.

        Raises Overloaded at once when every thread is busy and the queue is full, and DeadlineExceeded at the deadline: a
        waiting call is then never started, and the result of a running one is discarded. A call whose client has left when
        its turn comes is not started either, and raises ClientLeft. Where a thread is needed and the system grants none,
        raises Overloaded, too.
        """
        self.check_room()
        self._count(1)
        loop = asyncio.get_running_loop()
        left = client_left.get()
        held = [work]

        def unless_left() -> T:
            if left():
                raise ClientLeft("The client closed the connection before its turn came.")
            return held.pop()()

        answer: asyncio.Future[T] = loop.create_future()

        def finished(done: Future[T]) -> None:
            """On the loop: free the call's place in the queue and pass its outcome to the caller, if it still waits."""
            self._count(-1)
            if answer.done():
                return
            if done.cancelled():
                answer.cancel()
            elif error := done.exception():
                answer.set_exception(error)
            else:
                answer.set_result(done.result())

        try:
            working = self._pool.submit(contextvars.copy_context().run, unless_left)
        except RuntimeError as error:  # as under a limit of processes
            self._count(-1)
            held.clear()  # the pool keeps the call in its queue: it must hold no photo there, and do nothing later
            raise Overloaded("No thread can be started for this request; retry shortly.") from error
        working.add_done_callback(lambda done: None if loop.is_closed() else loop.call_soon_threadsafe(finished, done))
        deadline = asyncio.timeout(self._deadline_s)
        try:
            async with deadline:
                return await answer
        except TimeoutError:
            if not deadline.expired():
                raise  # the work's own
            raise DeadlineExceeded(f"The request waited longer than {self._deadline_s:g} s.") from None
        finally:
            working.cancel()  # has no effect on a running call

    def _count(self, change: int) -> None:
        self._calls += change
        if not self._measured:
            return
        metrics.working.set(min(self._calls, self.threads))
        metrics.waiting.set(max(0, self._calls - self.threads))

    def close(self) -> None:
        """Wait for running calls; refuse new ones."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def cores() -> int:
    """How many cores this process may use: those in its affinity mask, but no more than its control group's quota.

    A container with half a core, or two of 64, still sees all 64 in `os.cpu_count`.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()  # microseconds of each period, or "max"
        return max(1, min(usable, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):
        return usable


def is_streamed(method: str, path: str) -> bool:
    """Whether a request's body goes to disk as it arrives, whatever path a proxy serves the application at."""
    return method == "POST" and path.endswith("/teach")


class UploadBudget:
    """Bytes of request bodies in memory, of all requests that arrive, wait or run; at most `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0

    def check_room(self) -> None:
        """Raise Overloaded when the budget is used up."""
        if self.bytes >= self.max_bytes:
            raise Overloaded(f"Upload memory is full ({self.max_bytes} bytes); retry shortly.")
