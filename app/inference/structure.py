"""Before the first step: a file's bytes come in; what no camera and no editor writes is refused before a parser meets it.

Pillow reads headers in Python, a segment, a chunk or a tag at a time, and keeps what it read. A file that is built for it
can have millions of them, tags that each claim the whole file, or a picture of ten pixels that is drawn a thousand times.
Here the same structures are walked with a count and nothing kept; a real photo costs some microseconds. The formats are
those of ITU T.81 (JPEG), the PNG specification, GIF89a, TIFF 6.0 (which is EXIF's too) and BigTIFF.
"""

import re
import struct

from app.errors import BrokenImage, TooLarge, UnsupportedImage

MOST_SEGMENTS = 2_000
"""Of a JPEG before its first scan: 20 MB of metadata need 320 of the 64 kB that each can hold."""
MOST_SCANS = 100
"""Of a JPEG; progressive ones have about ten."""
MOST_SCANNED = 1_000_000_000
"""Pixels x scans of a JPEG: every scan goes over the whole picture, however few bytes it has."""
MOST_CHUNKS = 1_000
"""Of a PNG beside those that hold its pixels, which may be fifty times as many."""
MOST_BLOCKS = 250_000
"""Of a GIF's first two frames: 20 MB are 80,000 of 255 bytes."""
MOST_TAGS = 2_000
"""Of a TIFF or an EXIF block."""
MOST_JUNK = 64 * 1024
"""Bytes between a JPEG's segments that belong to none."""

COMPRESSIONS = (1, 5, 6, 7, 8, 32773, 32946, 34925, 50000, 50001)
"""Of a TIFF: none, LZW, JPEG old and new, deflate, PackBits, deflate's old number, LZMA, Zstandard, WebP. Fax machines' own
are not among them: those are no photos, and libtiff writes a line to standard error for each row that it cannot read.
"""

_COMPRESSION, _SHORT = 259, 3
_TIFF_HEADERS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)


def check(data: bytes, max_pixels: int) -> None:
    """Do nothing for a file that is built as its format means it, or is none of these formats. Broken ones pass too, as
    long as they are cheap to find broken.

    Raises:
        BrokenImage: it would take a parser long, or much memory, for nothing.
        UnsupportedImage: a TIFF that is compressed as photos never are.
        TooLarge: one of a GIF's first two frames has more than `max_pixels`; Pillow may make it before it tells the size.
    """
    if data[:3] == b"\xff\xd8\xff":
        _jpeg(data)
    elif data[:8] == b"\x89PNG\r\n\x1a\n":
        _png(data)
    elif data[:6] in (b"GIF87a", b"GIF89a"):
        _gif(data, max_pixels)
    elif data[:4] in _TIFF_HEADERS:
        tags(data, 0, len(data), photo=True)
    elif data[4:12] in (b"ftypavif", b"ftypavis"):  # its EXIF may lie anywhere, and Pillow reads it at once
        for header in _TIFF_HEADERS[:2]:
            at = data.find(header)
            while at >= 0:
                tags(data, at, len(data))
                at = data.find(header, at + 1)


def _jpeg(data: bytes) -> None:
    at, segments, junk = 2, 0, 0
    pixels = parts = 0
    while True:
        start = data.find(b"\xff", at)
        if start < 0 or start + 4 > len(data):
            return
        junk += start - at
        marker = data[start + 1]
        if marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD9:  # padding, or a marker without a length
            at = start + (1 if marker == 0xFF else 2)
            junk += 1
        else:
            segments += 1
            length = int.from_bytes(data[start + 2 : start + 4])
            inside = start + 4
            at = start + 2 + max(2, length)
            if marker == 0xE1 and data[inside : inside + 6] == b"Exif\0\0":
                tags(data, inside + 6, at)
            elif marker == 0xE2 and data[inside : inside + 4] == b"MPF\0":
                tags(data, inside + 4, at)
            elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
                pixels = int.from_bytes(data[inside + 1 : inside + 3]) * int.from_bytes(data[inside + 3 : inside + 5])
                parts = data[inside + 5] if marker != 0xC2 and len(data) > inside + 5 else 0  # progressive: many scans
            elif marker == 0xDA:
                if not parts or data[inside : inside + 1] != bytes([parts]):
                    _scans(data, start, pixels)
                return
        if segments > MOST_SEGMENTS or junk > MOST_JUNK:
            raise BrokenImage(f"The JPEG file is broken: no scan begins within its first {segments} segments.")


def _scans(data: bytes, at: int, pixels: int) -> None:
    """How often the picture that begins with the scan at `at` is gone over."""
    most = min(MOST_SCANS, max(1, MOST_SCANNED // max(1, pixels)))
    if data.count(b"\xff\xda", at) <= most:  # what lies behind the picture counts too, but this is quick
        return
    scans = 0
    for found in _NEXT_MARKER.finditer(data, at):
        marker = found.group()[1]
        scans += marker == 0xDA
        if marker == 0xD9:
            return
        if scans > most:
            raise BrokenImage(f"The JPEG file is broken: its {pixels} pixels are gone over more than {most} times.")


def _png(data: bytes) -> None:
    at, others, pieces = 8, 0, 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind in (b"IDAT", b"fdAT"):
            pieces += 1
        else:
            others += 1
        if kind == b"eXIf":
            tags(data, at + 8, at + 8 + length)
        if kind == b"IEND":
            return
        if others > MOST_CHUNKS or pieces > 50 * MOST_CHUNKS:
            raise BrokenImage(f"The PNG file is broken: it has more than {others + pieces - 1} chunks.")
        at += 12 + length


def _gif(data: bytes, max_pixels: int) -> None:
    if len(data) < 13:
        return
    at = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
    blocks = frames = 0
    while at + 1 < len(data) and frames < 2:
        kind = data[at]
        if kind == 0x21:  # an extension
            at += 2
        elif kind == 0x2C and at + 10 < len(data):  # a frame
            frames += 1
            x, y, width, height = struct.unpack_from("<HHHH", data, at + 1)
            if (x + width) * (y + height) > max_pixels:
                raise TooLarge(
                    f"A frame of the GIF reaches to {x + width} x {y + height}; at most {max_pixels} pixels are accepted."
                )
            at += 11 + (3 << ((data[at + 9] & 7) + 1) if data[at + 9] & 0x80 else 0)
        else:
            at += 1
            blocks += 1
            if blocks > MOST_BLOCKS:
                break
            continue
        while at < len(data) and data[at] and blocks <= MOST_BLOCKS:
            at += data[at] + 1
            blocks += 1
        at += 1
        blocks += 1
        if blocks > MOST_BLOCKS:
            break
    if blocks > MOST_BLOCKS:
        raise BrokenImage(f"The GIF file is broken: its first frames have more than {MOST_BLOCKS} blocks.")


def tags(data: bytes, start: int, end: int, photo: bool = False) -> None:
    """The first directory of the TIFF structure, a file or an EXIF block, that lies in `data` from `start` to `end`.

    Raises BrokenImage when it has too many tags, or tags that together claim more bytes than there are; and where it is the
    `photo` itself, UnsupportedImage when its pixels are compressed in a way that is not in COMPRESSIONS.
    """
    end = min(end, len(data))
    header = data[start : start + 16]
    if header[:4] not in _TIFF_HEADERS or len(header) < 8:
        return
    order = "<" if header[:2] == b"II" else ">"
    big = 43 in header[2:4]
    try:
        at = start + struct.unpack_from(order + ("Q" if big else "I"), data, start + (8 if big else 4))[0]
        count = struct.unpack_from(order + ("Q" if big else "H"), data, at)[0]
    except (struct.error, OverflowError):  # it lies outside of the file
        return
    if at >= end:
        return
    if count > MOST_TAGS:
        raise BrokenImage(f"The file is broken: its metadata claims to have {count} tags.")
    at += 8 if big else 2
    claimed = 0
    for _ in range(count):
        if at + (20 if big else 12) > end:
            return
        tag, kind, length = struct.unpack_from(order + ("HHQ" if big else "HHI"), data, at)
        if photo and tag == _COMPRESSION:
            if (kind, length) != (_SHORT, 1):
                raise BrokenImage("The TIFF file is broken: how its pixels are compressed is not one short number.")
            coded = struct.unpack_from(order + "H", data, at + (12 if big else 8))[0]
            if coded not in COMPRESSIONS:
                raise UnsupportedImage(f"The TIFF file's pixels are compressed in way {coded}, which is not read.")
        size = length * _SIZES.get(kind, 0)
        claimed += size if size <= end - start else 0  # what claims more than there is, is never read
        if claimed > 2 * (end - start) + MOST_JUNK:
            raise BrokenImage(f"The file is broken: its metadata claims more than the {end - start} bytes that it has.")
        at += 20 if big else 12
