"""What can go wrong with a training command, and how it is said: one line on standard error and a non-zero exit."""

import sys
from collections.abc import Callable


class TrainingError(Exception):
    """A command cannot go on; `str(error)` is one sentence for the person who typed it."""


def run(command: Callable[[], None]) -> None:
    """Call a command's main function and end the process: 0 when done, 1 after a TrainingError, 130 after Ctrl-C."""
    try:
        command()
    except TrainingError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped\n")
        sys.exit(130)
