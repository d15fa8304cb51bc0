"""Errors of the training commands: one line on standard error and a non-zero exit status."""

import argparse
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from packaging.version import Version


class TrainingError(Exception):
    """A command cannot continue; `str(error)` is one sentence for the person who typed it."""


class Guessing(TrainingError):
    """The network was written, and may be no better than guessing."""


class Stopped(KeyboardInterrupt):
    """Ctrl-C in a command that can be continued; `str(error)` says how."""


class Parser(argparse.ArgumentParser):
    """A command line that reports a mistake in one line, without the usage, and accepts no abbreviated options."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        """Print the line and end the process with status 2."""
        self.exit(2, f"error: {message}; see --help\n")


def version(text: str) -> str:
    """An option's value, for argparse. Raises ValueError unless it is a version, such as 1.2.0."""
    Version(text)
    return text


def run(command: Callable[[], None]) -> None:
    """Call a command's main function.

    The exit status is 0 when done, 1 after a TrainingError or an OSError, 3 after Guessing, and 130 after Ctrl-C.
    """
    try:
        command()
    except Guessing as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(3)
    except TrainingError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {reason(error)}")
    except KeyboardInterrupt as error:
        sys.stderr.write("\n" + "; ".join(["stopped", *map(str, error.args)]) + "\n")
        sys.exit(130)


def reason(error: OSError) -> str:
    """The file and what is wrong with it in one line, such as `photos.csv: No space left on device`."""
    text = " ".join((error.strerror or str(error)).split())
    return f"{error.filename}: {text}" if error.filename else text
