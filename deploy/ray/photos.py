"""Paths and URLs of folders, buckets and photos come in; the photos in them, and their bytes, go out.

A source can be anything that fsspec has a driver for: a local path, s3://bucket/folder, gs://bucket/folder. A photo is
identified by its absolute path or its full URL.
"""

import os
import stat
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import fsspec

from app.commands.photos import SUFFIXES, walk

MAX_BYTES = 4 * 50_000_000 + 4096
"""The size of an uncompressed photo of 50 megapixels with transparency; no more of a larger file is read."""
READERS = 8
"""Photos that a process reads ahead while it works on another: an object store's latency exceeds its transfer time."""
TRIES = 3
WAIT_S = 0.5
"""Between the first and the second try; the wait doubles for each further one."""
FINAL = (FileNotFoundError, IsADirectoryError, PermissionError)
"""Errors that a retry would not change."""


class Unread(Exception):
    """A photo's bytes could not be read; a later run may succeed."""


def listed(sources: Iterable[str]) -> Iterator[str]:
    """Yield every photo in the sources once, as the search proceeds; only one folder's names are in memory at a time.

    A source is a folder, or a photo, which is accepted whatever its suffix. Raises OSError, or what the store's driver
    raises, if a folder in a store cannot be listed, since its photos would be missing silently.
    """
    for source in _outermost(sources):
        if "://" not in source:
            yield from map(_readable, walk([source]))
            continue
        store, path = _store(source)
        if not store.isdir(path):
            yield source
            continue
        for _, _, files in store.walk(path, on_error="raise", detail=True):
            for name, details in sorted(files.items()):
                if os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith("."):
                    yield store.unstrip_protocol(details["name"])


def _outermost(sources: Iterable[str]) -> list[str]:
    """The sources as absolute paths and URLs, without those inside another, whose photos would be listed twice."""
    full = dict.fromkeys(
        source.rstrip("/") if "://" in source else os.path.abspath(source)  # pathlib keeps `..`
        for source in sources
    )
    return [source for source in full if not any(source.startswith(other.rstrip("/") + "/") for other in full)]


def _readable(path: str) -> str:
    """The path with bytes that are not UTF-8 escaped, since Parquet cannot store them; reading that photo then fails."""
    return os.fsencode(path).decode(errors="backslashreplace")


def read_ahead(paths: list[str]) -> Iterator[tuple[str, bytes | Unread]]:
    """Yield each path with its bytes, or with the reason why they could not be read; read the next ones meanwhile."""
    with ThreadPoolExecutor(READERS) as pool:
        reading: deque[tuple[str, Future[bytes | Unread]]] = deque()
        for path in paths:
            reading.append((path, pool.submit(_read, path)))
            if len(reading) > READERS:
                path, future = reading.popleft()
                yield path, future.result()
        for path, future in reading:
            yield path, future.result()


def _read(path: str) -> bytes | Unread:
    """A photo's bytes, after up to TRIES tries, or the reason for the failure as an Unread."""
    for attempt in range(TRIES):
        try:
            return _bytes(path)
        except Exception as error:  # each store's driver raises its own exceptions
            reason = error
            if isinstance(error, FINAL):
                break
            if attempt + 1 < TRIES:
                time.sleep(WAIT_S * 2**attempt)
    message = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)
    return Unread(" ".join(message.split())[:300] or type(reason).__name__)


def _bytes(path: str) -> bytes:
    if "://" in path:
        store, inside = _store(path)
        try:
            data: bytes = store.cat_file(inside, start=0, end=MAX_BYTES)
            return data
        except Exception:  # S3 rejects a range of an empty object
            if store.size(inside) == 0:
                return b""
            raise
    with open(path, "rb", opener=_nonblocking) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise IsADirectoryError(None, "it is not a file")
        return file.read(MAX_BYTES)


def _nonblocking(path: str, flags: int) -> int:
    """Open without blocking: opening a pipe would otherwise wait for a writer."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _store(url: str) -> tuple[Any, str]:
    """The store of a URL, and the path in it. Listings are not cached: those of millions of photos would fill the memory."""
    store, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
    return store, path
