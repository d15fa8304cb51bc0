"""Imports Keras: with a backend that can train, and without the lines that TensorFlow logs while it is imported.

Commands call `load_keras` once their arguments are right, because it takes seconds.
"""

import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from training.errors import TrainingError

BACKENDS = ("tensorflow", "jax", "torch")

LOGGED = re.compile(
    rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|[IWE]\d{4} \d\d:\d\d:\d\d|WARNING: All log messages before absl|"
    rb"oneDNN|To enable the following instructions"
)
"""The beginning of a line that TensorFlow logs. Which there are depends on the processor, and TF_CPP_MIN_LOG_LEVEL does not
silence those that are written before absl is initialised, such as that oneDNN is on.
"""


def load_keras() -> None:
    """Import Keras and its backend. Raises TrainingError where one of them is not installed, or cannot train."""
    chosen = os.environ.get("KERAS_BACKEND")
    if chosen and chosen not in BACKENDS:
        raise TrainingError(f"KERAS_BACKEND is {chosen}; it must be one of {', '.join(BACKENDS)}")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of functions that are traced again
    try:
        with _unlogged():
            import keras
    except (ImportError, ValueError) as error:  # ValueError: ~/.keras/keras.json names a backend that there is not
        why = " ".join(str(error).split())
        if chosen:
            raise TrainingError(f"KERAS_BACKEND is {chosen}, which cannot be imported: {why}") from error
        raise TrainingError(f"Keras cannot be imported: {why}; `make train-setup` installs what training needs") from error
    if keras.backend.backend() not in BACKENDS:
        raise TrainingError(
            f"Keras' backend is {keras.backend.backend()}; set KERAS_BACKEND to one of {', '.join(BACKENDS)}"
        )


@contextmanager
def _unlogged() -> Iterator[None]:
    """Drop what is LOGGED to file descriptor 2, by libraries in C++ too; other lines are written at the end."""
    try:
        stderr = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            if sys.stderr:
                sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            for line in held:
                if not LOGGED.match(line):
                    os.write(2, line)
