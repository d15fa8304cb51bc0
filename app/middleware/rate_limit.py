"""A token bucket for each client."""

import math
import time
from collections.abc import Callable

from app.errors import RateLimited


class RateLimiter:
    """A token bucket for each client: up to `per_minute` requests at once, refilled evenly; 0 means no limit."""

    _MAX_CLIENTS = 10_000

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}  # client: (tokens left, seconds of the clock)

    def take(self, client: str) -> None:
        """Count one request. Raises RateLimited, with the seconds until the next is answered, when none is left."""
        if not self._per_minute:
            return
        now = self._clock()
        tokens, then = self._buckets.pop(client, (float(self._per_minute), now))
        tokens = min(float(self._per_minute), tokens + (now - then) * self._per_minute / 60)
        allowed = tokens >= 1
        self._buckets[client] = (tokens - allowed, now)  # at the end: the dictionary stays in order of last use
        if len(self._buckets) > self._MAX_CLIENTS:
            del self._buckets[next(iter(self._buckets))]
        if not allowed:
            wait = math.ceil((1 - tokens) * 60 / self._per_minute)
            raise RateLimited(f"The limit is {self._per_minute} requests per minute; retry in {wait} s.", wait)
