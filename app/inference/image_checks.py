"""Before the first step: a file's bytes come in; files built to exhaust a parser are refused before a parser sees them.

Pillow reads headers in Python, one segment, chunk or tag at a time, and stores each. A malicious file can have millions of
them, tags that each claim the whole file, or a picture of ten pixels that is drawn a thousand times. The checks here walk
the same structures, count, and store nothing; for a real photo they take microseconds. The formats are specified in
ITU T.81 (JPEG), the PNG specification, GIF89a, TIFF 6.0 (also used by EXIF) and BigTIFF.
"""

import re
import struct
from collections.abc import Iterator

from app.errors import BrokenImage, TooLarge, UnsupportedImage
from app.inference import jpeg

MAX_SEGMENTS = 2_000
"""In a JPEG before its first scan: 20 MB of metadata need 320 segments of 64 kB each."""
MAX_SCANS = 100
"""In a JPEG; progressive ones have about ten."""
MAX_SCANNED_PIXELS = 1_000_000_000
"""Pixels x scans of a JPEG: every scan covers the whole picture, however few bytes it has."""
BYTES_PER_PIXEL = 4
"""That Pillow takes for a pixel of a photo."""
MAX_CHUNKS = 1_000
"""In a PNG, not counting its pixel chunks, of which there may be fifty times as many."""
MAX_BLOCKS = 250_000
"""In a GIF's first two frames: 20 MB are 80,000 blocks of 255 bytes."""
MAX_TAGS = 2_000
"""In a TIFF or an EXIF block."""
MAX_JUNK_BYTES = 64 * 1024
"""Between a JPEG's segments, belonging to none of them."""

COMPRESSIONS = (1, 5, 6, 7, 8, 32773, 32946, 34925, 50000, 50001)
"""Accepted in a TIFF: none, LZW, JPEG old and new, deflate, PackBits, deflate's old number, LZMA, Zstandard, WebP. Fax
compressions are left out: faxes are not photos, and libtiff writes a line to standard error for each row it cannot read.
"""

_COMPRESSION, _ORIENTATION, _CHANNELS, _PLANES, _SHORT = 259, 274, 277, 284, 3
_TOGETHER, _SEPARATE = 1, 2
"""Whether the channels of each pixel lie side by side, or each channel in a plane of its own."""
_TIFF_HEADERS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_NEXT_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])", re.DOTALL)

_SIGNATURES = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "GIF": rb"GIF8[79]a",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "WEBP": rb"RIFF....WEBP",
    "AVIF": rb"....ftypavi[fs]",
    "HEIC": rb"....ftyp(?:hei[cxms]|hev[cxms])",
    "BMP": rb"BM",  # after AVIF, whose first four bytes may be any length
}
_SIGNATURE = re.compile(b"|".join(b"(?P<%s>%s)" % (name.encode(), sign) for name, sign in _SIGNATURES.items()), re.DOTALL)


def signature(data: bytes) -> str | None:
    """The format that a file's first bytes announce, by Pillow's name or as HEIC, or None."""
    match = _SIGNATURE.match(data)
    if match:
        return match.lastgroup
    if data[4:12] in (b"ftypmif1", b"ftypmsf1"):  # a container for either; the compatible brands tell
        size = min(int.from_bytes(data[:4]), 256)
        brands = {data[at : at + 4] for at in range(16, size, 4)}
        return "HEIC" if any(brand[:3] in (b"hei", b"hev") for brand in brands) else "AVIF" if b"avif" in brands else None
    return None


def check(data: bytes, max_pixels: int) -> bytes:
    """Refuse a file that would cost a parser much time or memory for nothing. Files of other formats pass, and so do broken
    files whose parser fails fast. Returns the bytes to parse: the file, with metadata that would cost too much hidden.

    Raises:
        BrokenImage: the file's structure is far larger than any photo's.
        UnsupportedImage: a TIFF with a compression that photos never use.
        TooLarge: one of a GIF's first two frames has more than `max_pixels`; Pillow may allocate it at once. Or a JPEG of
            more than `max_pixels` has several scans, and its coefficients take more memory than `max_pixels` do.
    """
    kind = signature(data)
    if kind == "JPEG":
        return _check_jpeg(data, max_pixels)
    if kind == "PNG":
        _check_png(data)
    elif kind == "GIF":
        _check_gif(data, max_pixels)
    elif kind == "TIFF":
        check_tags(data, 0, len(data), photo=True)
        return _without_planes(data)
    elif kind == "AVIF":
        return _check_avif(data)
    return data


def _without_planes(data: bytes) -> bytes:
    """A TIFF, without the claim that its channels lie in planes of their own if there is one channel: it means nothing then,
    and Pillow takes the plane for a colour, and forgets whether 0 is white and which byte of a value is the first.
    """
    order = _order(data, 0)
    channels, separate = 1, 0
    for tag, kind, count, at in _tags(data, 0, len(data)):
        value = struct.unpack_from(order + "H", data, at)[0] if (kind, count) == (_SHORT, 1) else 0
        if tag == _CHANNELS:
            channels = value
        elif tag == _PLANES and value == _SEPARATE:
            separate = at
    if channels != 1 or not separate:
        return data
    return data[:separate] + struct.pack(order + "H", _TOGETHER) + data[separate + 2 :]


def _check_avif(data: bytes) -> bytes:
    """Check everything that may be its EXIF block, which can be anywhere and which Pillow reads at once. A block that costs
    too much loses its tags.
    """
    changed: bytearray | None = None
    for header in _TIFF_HEADERS[:2]:
        at = data.find(header)
        while at >= 0:
            if not affordable(data, at, len(data)):
                changed = changed or bytearray(data)
                first = at + struct.unpack_from("<I" if header[:2] == b"II" else ">I", data, at + 4)[0]
                changed[first : first + 2] = b"\0\0"
            at = data.find(header, at + 1)
    return data if changed is None else bytes(changed)


def _check_jpeg(data: bytes, max_pixels: int) -> bytes:
    hidden: list[int] = []
    before, segments, junk = 2, 0, 0
    pixels = components = frame = 0
    for marker, start, at in jpeg.markers(data):
        junk += start - before
        before = at
        if jpeg.has_segment(marker):
            segments += 1
            inside = start + 4
            if marker == 0xE1 and data[inside : inside + 6] == b"Exif\0\0":
                hidden += [] if affordable(data, inside + 6, at) else [inside]
            elif marker == 0xE2 and data[inside : inside + 4] == b"MPF\0":
                hidden += [] if affordable(data, inside + 4, at) else [inside]
            elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
                pixels = int.from_bytes(data[inside + 1 : inside + 3]) * int.from_bytes(data[inside + 3 : inside + 5])
                sequential = marker != 0xC2  # a progressive JPEG has several scans
                components = data[inside + 5] if sequential and len(data) > inside + 5 else 0
                frame = inside
            elif marker == 0xDA:
                if not components or data[inside : inside + 1] != bytes([components]):
                    _check_coefficients(data, frame, pixels, max_pixels)
                    _check_scans(data, start, pixels)
                break
        else:
            junk += 1
        if segments > MAX_SEGMENTS or junk > MAX_JUNK_BYTES:
            raise BrokenImage(f"The JPEG file is broken: no scan begins within its first {segments} segments.")
    return jpeg.hidden(data, hidden) if hidden else data


def _check_coefficients(data: bytes, frame: int, pixels: int, max_pixels: int) -> None:
    """Refuse a large JPEG of several scans that takes more than `max_pixels` in memory: all its coefficients are held there
    until the last scan, two bytes for each, whatever the size at which it is decoded.
    """
    if pixels <= max_pixels:
        return
    count = int.from_bytes(data[frame + 5 : frame + 6])
    factors = data[frame + 7 : frame + 6 + 3 * count : 3] or b"\x11"  # no components: the parser refuses it
    sampled = [(factor >> 4) * (factor & 15) for factor in factors]
    held = (
        2 * pixels * sum(sampled) // max(1, max(factor >> 4 for factor in factors) * max(factor & 15 for factor in factors))
    )
    if held > BYTES_PER_PIXEL * max_pixels:
        raise TooLarge(
            f"The JPEG of {pixels} pixels has several scans, so that it takes {held} bytes of memory; "
            f"at most {max_pixels} pixels or {BYTES_PER_PIXEL * max_pixels} bytes are accepted."
        )


def _check_scans(data: bytes, at: int, pixels: int) -> None:
    """Refuse a picture with too many scans, counted from the one at `at` to its end, as a decoder finds them: what a segment
    between them holds is neither a scan nor an end.
    """
    max_scans = min(MAX_SCANS, max(1, MAX_SCANNED_PIXELS // max(1, pixels)))
    if data.count(b"\xff\xda", at) <= max_scans:  # quick, but also counts what segments hold and what follows the picture
        return
    scans = segments = 0
    while (match := _NEXT_MARKER.search(data, at)) and match[1] != jpeg.END[1:]:
        marker, at = match[1][0], match.end()
        scans += marker == 0xDA
        segments += 1
        if scans > max_scans or segments > MAX_SEGMENTS:
            raise BrokenImage(f"The JPEG file is broken: it scans its {pixels} pixels more than {max_scans} times.")
        if marker >= 0xC0 and jpeg.has_segment(marker):  # those below have no meaning, and decoders look behind them at once
            at += int.from_bytes(data[at : at + 2])


def _check_png(data: bytes) -> None:
    at, others, pixel_chunks = 8, 0, 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind in (b"IDAT", b"fdAT"):
            pixel_chunks += 1
        else:
            others += 1
        if kind == b"IEND":
            return
        if others > MAX_CHUNKS or pixel_chunks > 50 * MAX_CHUNKS:
            raise BrokenImage(f"The PNG file is broken: it has more than {others + pixel_chunks - 1} chunks.")
        at += 12 + length


def _check_gif(data: bytes, max_pixels: int) -> None:
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
            if blocks > MAX_BLOCKS:
                break
            continue
        while at < len(data) and data[at] and blocks <= MAX_BLOCKS:
            at += data[at] + 1
            blocks += 1
        at += 1
        blocks += 1
        if blocks > MAX_BLOCKS:
            break
    if blocks > MAX_BLOCKS:
        raise BrokenImage(f"The GIF file is broken: its first frames have more than {MAX_BLOCKS} blocks.")


def affordable(data: bytes, start: int, end: int) -> bool:
    """Whether Pillow may read these tags, see `check_tags`."""
    try:
        check_tags(data, start, end)
    except BrokenImage:
        return False
    return True


def orientation(exif: bytes) -> int:
    """The orientation that a block's first directory states, 1..8, however damaged the rest is; 1 if it states none."""
    order = _order(exif, 0)
    try:
        at = struct.unpack_from(order + "I", exif, 4)[0] + 2
        for _ in range(min(MAX_TAGS, struct.unpack_from(order + "H", exif, at - 2)[0])):
            tag, kind, count, value = struct.unpack_from(order + "HHIH", exif, at)
            if (tag, kind, count) == (_ORIENTATION, _SHORT, 1):
                return int(value) if 1 <= value <= 8 else 1
            at += 12
    except struct.error:
        pass  # the block ends here
    return 1


def check_tags(data: bytes, start: int, end: int, photo: bool = False) -> None:
    """Check the first directory of a TIFF structure, a file or an EXIF block, between `start` and `end` of `data`.

    Raises BrokenImage for too many tags, or tags that together claim more bytes than there are; and, if the structure is the
    `photo` itself, UnsupportedImage for a compression that is not in COMPRESSIONS.
    """
    end = min(end, len(data))
    claimed = 0
    for tag, kind, length, at in _tags(data, start, end):
        if photo and tag == _COMPRESSION:
            if (kind, length) != (_SHORT, 1):
                raise BrokenImage("The TIFF file is broken: its compression tag is not a single short integer.")
            compression = struct.unpack_from(_order(data, start) + "H", data, at)[0]
            if compression not in COMPRESSIONS:
                raise UnsupportedImage(f"The TIFF file uses compression {compression}, which is not accepted.")
        size = length * _SIZES.get(kind, 0)
        claimed += size if size <= end - start else 0  # Pillow never reads a value larger than the file
        if claimed > 2 * (end - start) + MAX_JUNK_BYTES:
            raise BrokenImage(f"The file is broken: its metadata claims more than its {end - start} bytes.")


def _tags(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """The tags of the first directory: of each its number, its type, its count of values, and where they or their offset are
    in `data`. Raises BrokenImage for too many.
    """
    header = data[start : start + 16]
    if header[:4] not in _TIFF_HEADERS or len(header) < 8:
        return
    order = _order(data, start)
    big = 43 in header[2:4]
    try:
        at = start + struct.unpack_from(order + ("Q" if big else "I"), data, start + (8 if big else 4))[0]
        count = struct.unpack_from(order + ("Q" if big else "H"), data, at)[0]
    except (struct.error, OverflowError):  # it points outside the file
        return
    if at >= end:
        return
    if count > MAX_TAGS:
        raise BrokenImage(f"The file is broken: its metadata claims to have {count} tags.")
    at += 8 if big else 2
    for _ in range(count):
        if at + (20 if big else 12) > end:
            return
        tag, kind, length = struct.unpack_from(order + ("HHQ" if big else "HHI"), data, at)
        yield tag, kind, length, at + (12 if big else 8)
        at += 20 if big else 12


def _order(data: bytes, start: int) -> str:
    """That of the bytes in the TIFF structure's numbers, as `struct` takes it."""
    return "<" if data[start : start + 2] == b"II" else ">"
