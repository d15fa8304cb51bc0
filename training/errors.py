"""What can go wrong with a training command, and how it is said: one line on standard error and a non-zero exit."""

import argparse
import sys
from collections.abc import Callable
from typing import Any, NoReturn


class TrainingError(Exception):
    """A command cannot go on; `str(error)` is one sentence for the person who typed it."""


class Parser(argparse.ArgumentParser):
    """A command line whose mistakes are answered in one line; --help shows the usage, and options are written in full."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        """End the process with 2 and the line."""
        self.exit(2, f"error: {message}; --help says what there is\n")


def run(command: Callable[[], None]) -> None:
    """Call a command's main function and end the process: 0 when done, 1 after a TrainingError, 130 after Ctrl-C."""
    try:
        command()
    except TrainingError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped\n")
        sys.exit(130)
