"""Folders, buckets and files come in, as people write them; the photos that they mean, and their bytes, go out.

Whatever fsspec has a driver for can be named: a path of this machine, s3://bucket/folder, gs://bucket/folder. A photo is
known by its absolute path, or by its whole URL.
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

MOST_BYTES = 4 * 50_000_000 + 4096
"""What a photo of 50 megapixels takes without compression, with transparency; of a larger file no more is read."""
READERS = 8
"""Photos that a process reads ahead while it works on another: an object store takes longer to answer than to send."""
TRIES = 3
WAIT_S = 0.5
"""Between the first and the second try; twice as long between the next."""
FINAL = (FileNotFoundError, IsADirectoryError, PermissionError)
"""What another try would not change."""


class Unread(Exception):
    """A photo's bytes could not be had, which may be different another time."""


def listed(sources: Iterable[str]) -> Iterator[str]:
    """Every photo of the sources, once each, while they are being searched: no more than one folder's names are held.

    A source is a folder, or a photo, which is given whatever its name. Raises OSError, or what the store's driver raises,
    when a folder of a store cannot be listed: photos would be missing without a word.
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
            for name, found in sorted(files.items()):
                if os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith("."):
                    yield store.unstrip_protocol(found["name"])


def _outermost(sources: Iterable[str]) -> list[str]:
    """The sources in full, without those that lie within another: their photos would be found twice."""
    full = dict.fromkeys(
        source.rstrip("/") if "://" in source else os.path.abspath(source)  # pathlib keeps `..`
        for source in sources
    )
    return [one for one in full if not any(one.startswith(other.rstrip("/") + "/") for other in full)]


def _readable(path: str) -> str:
    """A name that is not UTF-8 cannot stand in a Parquet file: its odd bytes are spelt out, and nothing is found there."""
    return os.fsencode(path).decode(errors="backslashreplace")


def read_ahead(paths: list[str]) -> Iterator[tuple[str, bytes | Unread]]:
    """Each path with its bytes, or with the reason why they could not be had; the next ones are read meanwhile."""
    with ThreadPoolExecutor(READERS) as pool:
        reading: deque[tuple[str, Future[bytes | Unread]]] = deque()
        for path in paths:
            reading.append((path, pool.submit(_read, path)))
            if len(reading) > READERS:
                path, found = reading.popleft()
                yield path, found.result()
        for path, found in reading:
            yield path, found.result()


def _read(path: str) -> bytes | Unread:
    """A photo's bytes, with some patience; the reason as an Unread."""
    for attempt in range(TRIES):
        try:
            return _bytes(path)
        except Exception as error:  # each store's driver has exceptions of its own
            reason = error
            if isinstance(error, FINAL):
                break
            if attempt + 1 < TRIES:
                time.sleep(WAIT_S * 2**attempt)
    said = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)
    return Unread(" ".join(said.split())[:300] or type(reason).__name__)


def _bytes(path: str) -> bytes:
    if "://" in path:
        store, inside = _store(path)
        try:
            data: bytes = store.cat_file(inside, start=0, end=MOST_BYTES)
            return data
        except Exception:  # S3 knows no range of an empty object
            if store.size(inside) == 0:
                return b""
            raise
    with open(path, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise IsADirectoryError(None, "it is not a file")
        return file.read(MOST_BYTES)


def _without_waiting(path: str, flags: int) -> int:
    """Opening a pipe would wait for somebody who writes to it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _store(url: str) -> tuple[Any, str]:
    """The store of a URL, and the path inside. It keeps no listings: those of millions of photos would fill the memory."""
    store, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
    return store, path
