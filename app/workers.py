"""Work that takes a core comes in from the event loop; its result goes out, or a refusal when too much is waiting.

Decoding, resizing and running a network release the interpreter's lock, so threads keep every core busy, and the event
loop stays free to accept, to refuse and to answer health checks.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from app.errors import DeadlineExceeded, Overloaded

T = TypeVar("T")


class Workers:
    """A pool of `threads` with room for `max_waiting` more calls; each call has `deadline_s` seconds, waiting included.

    Use it from one event loop.
    """

    def __init__(self, threads: int, max_waiting: int, deadline_s: float) -> None:
        self._threads = threads or os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="catscope")
        self._most = self._threads + max_waiting
        self._deadline_s = deadline_s
        self._held = 0

    def check_room(self) -> None:
        """Raise Overloaded when a call that came now would be refused; asked before a request's body is read."""
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
        self._held += 1
        future = self._pool.submit(work)
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: _from_thread(loop, self._release))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self._deadline_s)
        except TimeoutError:
            raise DeadlineExceeded(f"The request waited longer than {self._deadline_s:g} s.") from None

    def close(self) -> None:
        """Wait for the calls under way; refuse new ones."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _release(self) -> None:
        self._held -= 1


def _from_thread(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    """Run `call` on the loop, unless the loop is closed already, when nobody counts any more."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(call)
