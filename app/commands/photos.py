"""Paths of photos and folders come in; the paths of all photos in them go out, one at a time, in a stable order."""

import functools
import os
import stat
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from app.commands import streams
from app.errors import TooLarge
from app.inference.format_names import UNREAD_SUFFIXES
from app.teach.photos import Skipped

SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".avif", ".avifs")
) | {".heic", ".heif", ".hif", ".heics"}
"""Of the supported formats. In a folder, files with other suffixes are skipped, and those that are photos or videos
are counted; a file named explicitly is always tried.
"""

STDIN = "-"

KEPT_BY_STORAGE = frozenset(
    ("@eadir", "#recycle", "@recycle", "@__thumb", "#snapshot", "@recently-snapshot", "__macosx", "$recycle.bin")
)
"""Folders that storage devices, macOS' archives and Windows add: thumbnails, deleted files, snapshots. In small letters."""


def count(paths: list[str]) -> int:
    """The number of photos that `walk` yields, for a progress bar."""
    return sum(1 for _ in walk(paths))


def walk(paths: list[str], passed_over: Counter[str] | None = None) -> Iterator[str]:
    """Yield every photo, searching folders recursively in alphabetical order.

    Only the names in the folders along the current path are in memory. Links to folders are not followed, since they may
    form cycles; hidden files and folders are skipped, and those that only storage devices keep; devices and named pipes in a
    folder too. A path that does not exist is yielded, and so is a link that leads nowhere: reading it fails.
    `passed_over` counts photos and videos of formats that are not read, by the names of the formats.
    """
    for path in paths:
        if path != STDIN and os.path.isdir(path):
            yield from _inside(path, Counter() if passed_over is None else passed_over)
        else:
            yield path


def say_passed_over(formats: Counter[str]) -> None:
    """Name the formats that `walk` has passed over, if any."""
    if formats:
        named = ", ".join(f"{count} {name}" for name, count in sorted(formats.items()))
        streams.say(f"passed over, because the format is not read: {named}")


def key(path: str) -> str:
    """The same text for one photo however its folder is spelt: relative, absolute, or by a link to the folder."""
    if path == STDIN:
        return path
    folder, name = os.path.split(path.rstrip("/") or "/")
    return os.path.join(_real(folder), name)


def read(path: str, max_bytes: int) -> bytes:
    """A photo's bytes; `-` is standard input. Raises TooLarge for more than `max_bytes`, and OSError."""
    if path == STDIN and sys.stdin is None:
        raise OSError("standard input is closed")
    with sys.stdin.buffer if path == STDIN else Path(path).open("rb") as file:
        size = max_bytes if path == STDIN else min(max_bytes, os.fstat(file.fileno()).st_size)
        data = file.read(size + 1)  # asking for no more than there is saves memory that would be zeroed in vain
        if len(data) > size:  # it has grown, or its size is not known before
            data += file.read(max_bytes + 1 - len(data))
    if len(data) > max_bytes:
        raise TooLarge(f"The file is larger than the {max_bytes} bytes accepted (CATSCOPE_MAX_BYTES).")
    return data


@functools.lru_cache(maxsize=1024)
def _real(folder: str) -> str:
    return os.path.realpath(folder)


def _inside(folder: str, passed_over: Counter[str]) -> Iterator[str]:
    levels = [iter([(folder, True)])]  # no recursion: folders may be nested more deeply than Python's calls
    while levels:
        path, is_folder = next(levels[-1], ("", False))
        if not path:
            levels.pop()
        elif not is_folder:
            yield path
        else:
            try:
                levels.append(iter(_children(path, passed_over)))
            except OSError:
                yield path  # reading it fails again, and that error is reported


def _children(folder: str, passed_over: Counter[str]) -> list[tuple[str, bool]]:
    """The paths of folders to search and of photos to read in a folder, and whether each is a folder."""
    children = []
    with os.scandir(folder) as entries:
        for entry in sorted((entry for entry in entries if entry.name[0] != "."), key=lambda entry: entry.name):
            suffix = os.path.splitext(entry.name)[1].lower()
            if entry.is_dir(follow_symlinks=False):
                if entry.name.lower() not in KEPT_BY_STORAGE:
                    children.append((entry.path, True))
            elif suffix in SUFFIXES and _is_file(entry, unknown=True):
                children.append((entry.path, False))
            elif suffix in UNREAD_SUFFIXES and _is_file(entry, unknown=False):
                passed_over[UNREAD_SUFFIXES[suffix]] += 1
    return children


def _is_file(entry: "os.DirEntry[str]", unknown: bool) -> bool:
    """Whether it is a file or a link to one; `unknown` for a link that leads nowhere or in a circle."""
    try:
        return stat.S_ISREG(entry.stat().st_mode)
    except OSError:
        return unknown


def say_not_used(skipped: Sequence[Skipped], shown: int) -> None:
    """Say which photos are not used and why, of the first `shown`, and how many more there are."""
    for photo in skipped[:shown]:
        streams.say(f"not used: {photo.name}: {photo.why}")
    if len(skipped) > shown:
        streams.say(f"and {len(skipped) - shown} more are not used")
