"""SIGTERM and SIGINT while the service starts as process 1, which it is in a container.

The kernel drops a signal to process 1 that has no handler for it: `docker stop` during the start would be lost, the service
would become ready all the same, and be killed when its time is over. SIGINT has Python's own handler, which is not enough:
an exception that it raises is dropped where an import happens to call back into Python.
"""

import os
import signal
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import uvicorn

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def end_at_signals() -> None:
    """From now on, process 1 ends at once: it has accepted nothing yet. Others end without it."""
    if os.getpid() == 1:
        for number in _SIGNALS:
            signal.signal(number, _end)


def leave_signals_to(server: "uvicorn.Server") -> None:
    """From now on, process 1 stops as the server does.

    The server installs the same handlers itself, but afterwards restores what was there and raises the signal again, which
    must neither end the process before it has returned its status nor, in between, find no handler at all.
    """
    if os.getpid() == 1:
        for number in _SIGNALS:
            signal.signal(number, server.handle_exit)


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)  # as shells and Docker name it; an exception would have to pass through an import
