"""A photo's bytes come in; a file named by their SHA-256 goes out, in a folder or wherever fsspec reaches.

A photo lies at ab/abcd..., by the first two digits of its digest. A folder of this machine gets it by renaming a file that
is complete, so a process that is killed leaves no half photo under that name; elsewhere one upload puts it there, which
object stores do all or nothing. What is read is compared with its name.
"""

import contextlib
import hashlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from app.errors import NotFound, StoreUnavailable

log = logging.getLogger("catscope")


class Photos:
    """Photos by content below `url`, any that fsspec takes, or a folder."""

    def __init__(self, url: str | Path) -> None:
        """Raises ValueError for a URL whose kind is not known, or whose package is not installed."""
        from fsspec.core import url_to_fs  # takes a fifth of a second; only who keeps photos waits for it
        from fsspec.implementations.local import LocalFileSystem

        try:
            self._files, self._root = url_to_fs(str(url), use_listings_cache=False)
        except (ValueError, ImportError) as error:
            raise ValueError(f"CATSCOPE_KEEP_PHOTOS is {str(url)!r}: {error}") from error
        self._here = isinstance(self._files, LocalFileSystem)

    def write(self, sha256: str, photo: bytes, token: str) -> None:
        """Put a photo there, unless it is there already. `token` names the unfinished file, see `discard`.

        Raises StoreUnavailable where it cannot be written.
        """
        path = self._path(sha256)
        with self._reachable("written"):
            with contextlib.suppress(FileNotFoundError):
                if self._files.info(path)["size"] == len(photo):
                    return
            if not self._here:
                self._files.pipe_file(path, photo)
                return
            part = self._part(sha256, token)
            for folder in (self._root, os.path.dirname(path)):
                os.makedirs(folder, mode=0o700, exist_ok=True)
            try:
                with open(part, "wb", opener=_private) as file:
                    file.write(photo)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(part, path)
            except OSError:
                self.discard(sha256, token)
                raise

    def read(self, sha256: str) -> bytes:
        """A photo's bytes. Raises NotFound for one that is not there or damaged, StoreUnavailable where nothing is read."""
        with self._reachable("read"):
            try:
                photo: bytes = self._files.cat_file(self._path(sha256))
            except FileNotFoundError:
                raise NotFound(f"The photo {sha256} is not kept.") from None
        if hashlib.sha256(photo).hexdigest() != sha256:
            log.error("the kept photo %s is damaged: its digest is another", sha256)
            raise NotFound(f"The photo {sha256} is damaged.")
        return photo

    def delete(self, sha256: str) -> None:
        """Delete a photo, if it is there. Raises StoreUnavailable where that cannot be done."""
        with self._reachable("deleted"), contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._path(sha256))

    def discard(self, sha256: str, token: str) -> None:
        """Delete what a write of that token has left behind, if anything."""
        if self._here:
            with contextlib.suppress(OSError):
                os.remove(self._part(sha256, token))

    def _path(self, sha256: str) -> str:
        return f"{self._root.rstrip('/')}/{sha256[:2]}/{sha256}"

    def _part(self, sha256: str, token: str) -> str:
        return f"{self._path(sha256)}.{token}.part"

    @contextlib.contextmanager
    def _reachable(self, what: str) -> Iterator[None]:
        """Whatever goes wrong there, as StoreUnavailable."""
        try:
            yield
        except NotFound:
            raise
        except Exception as error:  # each kind of storage raises exceptions of its own
            reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            raise StoreUnavailable(f"Photos cannot be {what} where they are kept: {reason}.") from error


def _private(path: str, flags: int) -> int:
    """Opens a file that only the service's user may read."""
    return os.open(path, flags, 0o600)
