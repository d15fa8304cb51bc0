"""Work that takes a core comes in from the event loop; its result goes out, or a refusal when too much is waiting.

Decoding, resizing and running a network release the interpreter's lock, so threads keep every core busy, and the event
loop stays free to accept, to refuse and to answer health checks.
"""

import asyncio
import contextvars
import math
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from app import metrics
from app.errors import DeadlineExceeded, Overloaded

T = TypeVar("T")


class Workers:
    """A pool of `threads` with room for `max_waiting` more calls; each call has `deadline_s` seconds, waiting included.

    Use it from one event loop.
    """

    def __init__(self, threads: int, max_waiting: int, deadline_s: float) -> None:
        self.threads = threads or cores()
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="catscope")
        self._most = self.threads + max_waiting
        self._deadline_s = deadline_s
        self._held = 0

    def check_room(self) -> None:
        """Raise Overloaded when a call that came now would be refused; asked before a request's body is read, too."""
        if self._held >= self._most:
            raise Overloaded(
                f"{self._held} requests are being worked on or waiting, which is as many as may; try again soon."
            )

    async def run(self, work: Callable[[], T]) -> T:
        """Do `work` on a thread and return what it returns.

        Raises Overloaded at once when every thread is busy and as many calls wait as may, and DeadlineExceeded when the
        time is over: a call that was still waiting is then never started, one that was being worked on ends unheard.
        """
        self.check_room()
        self._count(1)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def finished(done: Future[T]) -> None:
            """On the loop: the place is free again, and whoever still waits is told."""
            self._count(-1)
            if answer.done():
                return
            if done.cancelled():
                answer.cancel()
            elif error := done.exception():
                answer.set_exception(error)
            else:
                answer.set_result(done.result())

        working = self._pool.submit(contextvars.copy_context().run, work)
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
            working.cancel()  # does nothing to what has begun

    def _count(self, change: int) -> None:
        self._held += change
        metrics.working.set(min(self._held, self.threads))
        metrics.waiting.set(max(0, self._held - self.threads))

    def close(self) -> None:
        """Wait for the calls under way; refuse new ones."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def cores() -> int:
    """How many cores this process may use: those it is bound to, and no more than its control group's share of time.

    A container that was given half a core or two of 64 still sees all of them in `os.cpu_count`.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()  # microseconds of each period, or "max"
        return max(1, min(bound, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):
        return bound
