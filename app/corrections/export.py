"""Corrections and their photos come in; a zip file goes out, in pieces.

It holds the photos in a folder for each label, as `catscope teach` takes them, those that are unsure in `unsure`; and
`corrections.jsonl`, a line for each correction as GET /corrections has it, with `file`, the photo's name in the zip file.
"""

import hashlib
import json
import os
import re
import tempfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from app.corrections.records import UNSURE, Correction, plain
from app.errors import NotFound
from app.inference.image_checks import signature

LINES = "corrections.jsonl"
KINDS = {
    "JPEG": ("image/jpeg", ".jpg"),
    "PNG": ("image/png", ".png"),
    "WEBP": ("image/webp", ".webp"),
    "GIF": ("image/gif", ".gif"),
    "BMP": ("image/bmp", ".bmp"),
    "TIFF": ("image/tiff", ".tiff"),
    "AVIF": ("image/avif", ".avif"),
    "HEIC": ("image/heic", ".heic"),
}
"""The media type and the suffix of each format that `app.inference.image_checks.signature` finds."""

MAX_FOLDER = 60
"""Characters of a label that its folder's name has."""

_ODD = re.compile(r"[^\w &()+,.'-]")
_RESERVED = re.compile(r"((con|prn|aux|nul|com\d|lpt\d)(\..*)?|unsure)?", re.IGNORECASE)
"""Names that Windows keeps for devices, the folder of unsure photos, and none at all."""

_PIECE = 256 * 1024
"""Bytes that are gathered before they are passed on."""

_EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The first time that a zip file can name."""


def pieces(corrections: Callable[[], Iterator[Correction]], photo: Callable[[str], bytes]) -> Iterator[bytes]:
    """The zip file's bytes. `corrections` lists all that belong in it, each time it is called; `photo` has a photo's bytes
    by its SHA-256. A photo that has been deleted meanwhile is left out, and `file` is null.
    """
    sink, names, folders = _Sink(), dict[tuple[str | None, str], str](), Folders()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as file:  # type: ignore[call-overload]  # it is only written to
        for correction in corrections():
            key = (correction.label, correction.sha256)
            if key in names:
                continue
            with suppress(NotFound):
                data = photo(correction.sha256)
                names[key] = f"{folders.of(correction.label)}/{correction.sha256}{kind_of(data)[1]}"
                file.writestr(zipfile.ZipInfo(names[key], max(_EARLIEST, correction.time.timetuple()[:6])), data)
            yield from sink.taken(_PIECE)
        with file.open(LINES, "w", force_zip64=True) as lines:
            for correction in corrections():
                line = plain(correction) | {"file": names.get((correction.label, correction.sha256))}
                lines.write(json.dumps(line).encode() + b"\n")
                yield from sink.taken(_PIECE)
    yield from sink.taken(0)


def write(path: Path, corrections: Callable[[], Iterator[Correction]], photo: Callable[[str], bytes]) -> int:
    """Write the zip file, whole or not at all, and return how many photos it has. Raises OSError."""
    count = 0

    def counted(sha256: str) -> bytes:
        nonlocal count
        data = photo(sha256)
        count += 1
        return data

    descriptor, part = tempfile.mkstemp(prefix=".export-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for piece in pieces(corrections, counted):
                file.write(piece)
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            os.remove(part)
        raise
    return count


class Folders:
    """The folders of labels in one zip file: no two labels share one, whatever system unpacks it."""

    def __init__(self) -> None:
        self._labels: dict[str, str] = {}

    def of(self, label: str | None) -> str:
        """The label where that is a plain name, else what is left of it and a part of its digest; `unsure` for None."""
        if label is None:
            return UNSURE
        name = _ODD.sub("_", label)[:MAX_FOLDER].strip(" .")
        same = unicodedata.normalize("NFC", name).casefold()
        if name == label and not _RESERVED.fullmatch(name) and self._labels.setdefault(same, label) == label:
            return name
        return f"{name or '_'}-{hashlib.sha256(label.encode('utf-8', 'backslashreplace')).hexdigest()[:8]}"


def kind_of(photo: bytes) -> tuple[str, str]:
    """A photo's media type and the suffix of its file, by its content."""
    return KINDS.get(signature(photo) or "", ("application/octet-stream", ""))


class _Sink:
    """A file that cannot be rewound: what is written to it is taken away piece by piece."""

    def __init__(self) -> None:
        self._held = bytearray()

    def write(self, data: bytes) -> int:
        self._held += data
        return len(data)

    def flush(self) -> None:
        """There is nothing to flush."""

    def taken(self, least: int) -> Iterator[bytes]:
        """What has been written, if that is more than so many bytes."""
        if len(self._held) > least:
            held, self._held = bytes(self._held), bytearray()
            yield held
