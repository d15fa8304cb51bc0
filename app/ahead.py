"""Items come in; what work makes of each goes out in their order, while threads are ahead with the next ones."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 4
"""Items per thread that may be in progress or finished before it is their turn."""


def in_order(work: Callable[[T], R], items: Iterable[T], threads: int) -> Generator[R]:
    """What `work` makes of each item, in their order. Only a few items are begun ahead of their turn, so many take no more
    memory than few.

    Whoever may stop before the end has to close it (`contextlib.closing`): the garbage collector might do so on one of its
    own threads, which cannot wait for itself.

    Raises what `work` raises, when it is that item's turn, and ValueError where so many threads cannot be started.
    """
    waiting: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="catscope-work")
    try:
        for item in items:
            try:
                waiting.append(pool.submit(work, item))
            except RuntimeError as error:
                raise ValueError(f"{threads} threads cannot be started; --threads N takes fewer") from error
            if len(waiting) > threads * AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
