"""The API keys that are accepted: those of the settings, and those of a file that may change while the service runs."""

import hmac
import logging
import time
from collections.abc import Callable
from pathlib import Path

from app.settings import Settings

log = logging.getLogger("catscope")

LOOK_S = 1.0
"""How often the file is looked at, at most."""


class Keys:
    """Keys by which clients are admitted; without any, everybody is.

    The file holds a key a line; empty lines and lines that begin with # say nothing. To replace a key, write the new one
    beside the old, let the clients change, then take the old one out. A file that cannot be read any more, or holds no key,
    changes nothing: it never opens the service to everybody.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises ValueError when the file cannot be read, or holds no key."""
        self._fixed = [key.encode() for key in settings.api_keys]
        self._path = settings.api_keys_file if settings.api_keys_file != Path() else None
        self._clock = clock
        self._looked = clock()
        self._seen = self._stamp()
        self._from_file = self._read() if self._path else []

    def __bool__(self) -> bool:
        return bool(self._fixed or self._path)

    def accepts(self, sent: str) -> bool:
        """Whether this is one of the keys; it takes as long for a wrong one as for a right one."""
        if self._path and self._clock() - self._looked >= LOOK_S:
            self._look()
        matches = [hmac.compare_digest(sent.encode(), key) for key in (*self._fixed, *self._from_file)]
        return any(matches)

    def _look(self) -> None:
        self._looked = self._clock()
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._from_file = self._read()
            log.info("%d API keys are read from %s", len(self._from_file), self._path)
        except ValueError as error:
            log.error("%s; the keys of before stay", error)

    def _stamp(self) -> tuple[int, int, int] | None:
        """What changes when the file does: also a link that leads elsewhere, as a Kubernetes secret is replaced."""
        try:
            found = self._path.stat() if self._path else None
        except OSError:
            return None
        return (found.st_ino, found.st_mtime_ns, found.st_size) if found else None

    def _read(self) -> list[bytes]:
        assert self._path
        try:
            lines = self._path.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"CATSCOPE_API_KEYS_FILE {self._path} cannot be read: {error}") from error
        keys = [line.strip().encode() for line in lines if line.strip() and not line.lstrip().startswith("#")]
        if not keys:
            raise ValueError(f"CATSCOPE_API_KEYS_FILE {self._path} holds no key")
        return keys
