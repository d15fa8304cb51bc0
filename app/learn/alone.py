"""A store's folder comes in; it is held for one process that learns or rolls back, and another one is refused."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = ".learning.lock"


@contextmanager
def alone(networks: Path) -> Iterator[None]:
    """Hold the folder of a store's networks. The operating system lets it go when the process ends, however it ends.

    Raises ValueError while another process holds it, and OSError where the folder cannot be written.
    """
    networks.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(networks / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(f"another process is learning or rolling back in {networks}; wait until it is done") from error
        yield
    finally:
        os.close(descriptor)
