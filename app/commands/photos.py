"""Paths come in, as people write them; the photos that they mean go out, one after the other, in a stable order."""

import os
from collections.abc import Iterator
from pathlib import Path

SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".avif", ".avifs")
)
"""Of the formats that are read. Files with other names are passed over in a folder; a file that is named is always tried."""

STDIN = "-"


def count(paths: list[str]) -> int:
    """How many photos `walk` would find, for a progress bar."""
    return sum(1 for _ in walk(paths))


def walk(paths: list[str]) -> Iterator[str]:
    """Every photo, folders searched through and their names in order; no more than one folder's names are held at once.

    Links to folders are not followed, since they may lead in circles; hidden files and folders are left out. A path that
    does not exist is given as it is: whoever reads it finds out.
    """
    for path in paths:
        if path != STDIN and Path(path).is_dir():
            yield from _inside(path)
        else:
            yield path


def _inside(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            found = sorted(
                (entry.name, entry.is_dir(follow_symlinks=False))
                for entry in entries
                if entry.name[0] != "." and (entry.is_dir(follow_symlinks=False) or entry.is_file())
            )
    except OSError:
        yield folder  # reading it fails once more, and that is told
        return
    for name, is_folder in found:
        path = os.path.join(folder, name)
        if is_folder:
            yield from _inside(path)
        elif os.path.splitext(name)[1].lower() in SUFFIXES:
            yield path
