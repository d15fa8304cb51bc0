"""Standard input, output and error, so that a closed, full or broken one ends a command with one line at most."""

import errno
import os
import sys
from contextlib import suppress
from typing import NoReturn

INTERRUPTED, BROKEN_PIPE = 130, 141
"""128 + SIGINT and 128 + SIGPIPE, as in shells."""


def reopen_closed() -> None:
    """Occupy descriptors 0 to 2 where the caller closed them; else files opened later would become standard streams.

    Standard output that was closed fails when something is written to it; standard error discards; sys.stdin stays None.
    """
    for descriptor, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, mode)  # takes the lowest free number, which is this one
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    with suppress(AttributeError):  # a test's replacement
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # names of files may be no text


def say(message: object) -> None:
    """Print one line to standard error, where that is possible."""
    with suppress(OSError):
        print(" ".join(str(message).splitlines()), file=sys.stderr, flush=True)


def reason(error: OSError) -> str:
    """The file and what is wrong with it, such as `photos.csv: No space left on device`."""
    text = error.strerror or str(error)
    return f"{os.fsdecode(error.filename)}: {text}" if isinstance(error.filename, str | bytes) else text


def end(status: object) -> NoReturn:
    """Flush standard output and exit with `status`, or with 2 and one line where it cannot be written."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still buffered is discarded at exit
        if error.errno == errno.EPIPE:
            sys.exit(BROKEN_PIPE)
        say(f"error: standard output cannot be written: {error.strerror}")
        sys.exit(2)
    sys.exit(status)  # type: ignore[arg-type]
