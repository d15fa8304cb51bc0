"""The accepted API keys: those in the settings, and those in a file that may change while the service runs."""

import hmac
import logging
import time
from collections.abc import Callable
from pathlib import Path

from app.settings import Settings

log = logging.getLogger("catscope")

CHECK_S = 1.0
"""Seconds between two checks of the file."""


class ApiKeys:
    """ApiKeys that admit clients; without any, everybody is admitted.

    The file holds one key per line; empty lines and lines that begin with # are ignored. To replace a key, add the new one,
    let the clients change, then remove the old one. If the file becomes unreadable or empty, the previous keys stay valid:
    it never opens the service to everybody.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises ValueError when the file cannot be read, or holds no key."""
        self._fixed = [key.encode() for key in settings.api_keys]
        self._path = settings.api_keys_file if settings.api_keys_file != Path() else None
        self._clock = clock
        self._checked = clock()
        self._last_stamp = self._stamp()
        self._from_file = self._read() if self._path else []

    def __bool__(self) -> bool:
        return bool(self._fixed or self._path)

    def accepts(self, sent: str) -> bool:
        """Whether this is one of the keys; a wrong key takes as long as a right one."""
        if self._path and self._clock() - self._checked >= CHECK_S:
            self._check_file()
        matches = [hmac.compare_digest(sent.encode(), key) for key in (*self._fixed, *self._from_file)]
        return any(matches)

    def _check_file(self) -> None:
        self._checked = self._clock()
        stamp = self._stamp()
        if stamp == self._last_stamp:
            return
        self._last_stamp = stamp
        try:
            self._from_file = self._read()
            log.info("read %d API keys from %s", len(self._from_file), self._path)
        except ValueError as error:
            log.error("%s; keeping the previous keys", error)

    def _stamp(self) -> tuple[int, int, int, int] | None:
        """Changes when the file does, or who may read it, or when a link points elsewhere, as when Kubernetes replaces a
        secret.
        """
        try:
            status = self._path.stat() if self._path else None
        except OSError:
            return None
        return (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size) if status else None

    def _read(self) -> list[bytes]:
        assert self._path
        try:
            lines = self._path.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"CATSCOPE_API_KEYS_FILE {self._path} cannot be read: {error}") from error
        keys = [line.strip().encode() for line in lines if line.strip() and not line.lstrip().startswith("#")]
        if not keys:
            raise ValueError(f"CATSCOPE_API_KEYS_FILE {self._path} contains no key")
        return keys
