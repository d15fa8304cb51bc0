"""A JPEG that a parser refuses comes in; the same picture without what the parser stumbled over goes out.

Phones, editors and broken transfers leave files whose pixels are whole and whose rest is not: no end marker, nonsense in the
EXIF block or in the index of further pictures. Every viewer shows them.
"""

import re
from collections.abc import Iterator
from random import Random

END = b"\xff\xd9"
HIDDEN = 0xEF
"""The marker of a segment that no parser looks into, APP15; it replaces the markers of segments to be passed over."""
FILLER = bytes(Random(1).choices(range(1, 255), k=4096))  # noqa: S311  # no secret: any bytes but 255
"""Stands where a scan may lack bytes."""

_SCAN = re.compile(rb"\xff\xda", re.DOTALL)
_METADATA = (0xE1, 0xE2)
"""APP1, EXIF and XMP; APP2, colour profiles and the index of further pictures."""


def markers(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Each marker up to the first scan, where it starts and where what belongs to it ends: its segment, or itself if it
    has no length. Between that end and the next start lies junk.
    """
    at = 2
    while (start := data.find(b"\xff", at)) >= 0 and start + 4 <= len(data):
        marker = data[start + 1]
        if has_segment(marker):
            at = start + 2 + max(2, int.from_bytes(data[start + 2 : start + 4]))
        else:
            at = start + (1 if marker == 0xFF else 2)
        yield marker, start, at
        if marker == 0xDA:
            return


def has_segment(marker: int) -> bool:
    """Whether a length and content follow the marker; not after padding, and not after markers that stand alone."""
    return not (marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD9)


def segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, begin and end of each segment before the first scan, that scan's header included; the two marker bytes are
    just before the length, four bytes before the begin.
    """
    return ((marker, start + 4, end) for marker, start, end in markers(data) if has_segment(marker))


def hidden(data: bytes, begins: list[int]) -> bytes:
    """The same file with the segments that begin there passed over by parsers; nothing else moves."""
    changed = bytearray(data)
    for begin in begins:
        changed[begin - 3] = HIDDEN
    return bytes(changed)


def without_metadata(data: bytes) -> bytes:
    """The same picture, with none of its EXIF, XMP, colour profile and index left to be read."""
    return hidden(data, [begin for marker, begin, _ in segments(data) if marker in _METADATA])


def endings(data: bytes) -> tuple[bytes, bytes] | None:
    """The file with an end marker, and with filler before that; None if it has all scans' ends or lacks a scan.

    A decoder makes the same picture of both if, and only if, no scan lacks bytes: it reads the filler in their place.
    """
    if not _complete(data):
        return None
    whole = data.rstrip(b"\xff")
    return whole + END, whole + FILLER + END


def _complete(data: bytes) -> bool:
    """Whether the scans bring every coefficient of every component in full precision."""
    kinds = {marker: begin for marker, begin, _ in segments(data)}
    frame = next((begin for marker, begin in kinds.items() if 0xC0 <= marker <= 0xC2), None)
    if frame is None or 0xDA not in kinds:
        return False
    components = data[frame + 6 : frame + 6 + 3 * int.from_bytes(data[frame + 5 : frame + 6]) : 3]
    left = {(component, coefficient) for component in components for coefficient in range(64)}
    for match in _SCAN.finditer(data, kinds[0xDA] - 4):
        at = match.end() + 2
        count = int.from_bytes(data[at : at + 1])
        table = at + 1 + 2 * count
        if count > 4 or table + 3 > len(data):
            continue
        first, last, precision = data[table : table + 3]
        if precision & 15 == 0:
            scanned = {data[at + 1 + 2 * n] for n in range(count)}
            left -= {(component, n) for component in scanned for n in range(first, last + 1)}
    return not left
