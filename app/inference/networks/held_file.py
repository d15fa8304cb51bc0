"""A file and the digest that it must have come in; its bytes as they were when it was opened go out."""

import contextlib
import hashlib
import mmap
import os
import weakref
from pathlib import Path

from app.errors import NetworkError


class HeldFile:
    """One file, held open, so that a file that is replaced still has its old bytes. Threads may share it.

    Raises OSError when it cannot be opened.
    """

    def __init__(self, path: Path, sha256: str) -> None:
        self.path, self.sha256 = path, sha256
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        self._verified = (0, 0, 0)

    def map(self) -> mmap.mmap:
        """Its bytes; close the map after use. Raises NetworkError if they were overwritten."""
        with contextlib.suppress(ValueError, OSError):  # an empty file cannot be mapped
            mapped = mmap.mmap(self._file, 0, access=mmap.ACCESS_READ)
            state = os.fstat(self._file)
            written = (state.st_size, state.st_mtime_ns, state.st_ctime_ns)  # a digest takes as long as decoding a photo
            if written == self._verified or hashlib.sha256(mapped).hexdigest() == self.sha256:
                self._verified = written
                return mapped
            mapped.close()
        raise NetworkError(f"{self.path} was overwritten in place; replace the file instead")
