"""A HEIC file's bytes come in; its primary image goes out, upright. Its boxes are counted before the decoder sees them.

HEIC is what iPhones keep: an ISO base media file (ISO/IEC 14496-12) whose items (HEIF, ISO/IEC 23008-12) are HEVC pictures,
mostly a grid of tiles. libheif allocates what an item's properties and the pictures' own headers claim, so both are read
here first. Neither EXIF nor any other metadata is read: HEIF says that `irot` and `imir` alone turn the image, and libheif
applies them.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from app.errors import BrokenImage, TooLarge, UnsupportedImage

MAX_BOXES = 20_000
"""In the metadata; a 48-megapixel photo has a hundred tiles and fewer than a thousand boxes."""
MAX_DEPTH = 4
"""Of boxes in boxes: the metadata, the properties, their container; and of images that are made of images."""
MAX_ITEMS = 4_000
"""Pictures, tiles and metadata; also the most references of one item to its tiles."""
PADDING = 64
"""At most this many pixels more than the image has a coded picture, each way: it consists of whole blocks."""
TILES_PER_PIXEL = 4
"""The tiles that an image is assembled from have at most this many times the pixels that are accepted."""
STRIP_ROWS = 512
"""Rows that are reduced at once, so that the decoded image is never in memory twice."""

_CONTAINERS = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"iref": 4, b"iinf": None}
"""Boxes of boxes, with the bytes before their first; iinf's depend on its version."""
_CODED = (b"hvc1", b"hev1")
_DERIVED = (b"grid", b"iden", b"iovl")
_SPS = 33
"""The type of an HEVC unit with the size of its pictures."""


@dataclass
class _Item:
    """One item: its four-letter `kind`, the indices of its `properties` from 1 on, the items it is made from, and where
    its bytes are: by `method` 0 in the file, by 1 in the `idat` box.
    """

    kind: bytes = b""
    properties: list[int] = field(default_factory=list)
    parts: list[int] = field(default_factory=list)
    method: int = 0
    extents: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class _Meta:
    """What a file's `meta` box says: items by number, properties in order, the number of the primary item."""

    items: dict[int, _Item] = field(default_factory=dict)
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)
    primary: int = 0
    idat: int = 0
    sequence: bool = False
    boxes: int = 0

    def count(self, boxes: int = 1) -> None:
        self.boxes += boxes
        if self.boxes > MAX_BOXES:
            raise BrokenImage(f"The HEIC file is broken: it has more than {MAX_BOXES} boxes and pieces.")

    def item(self, number: int) -> _Item:
        if number not in self.items and len(self.items) >= MAX_ITEMS:
            raise BrokenImage(f"The HEIC file is broken: it has more than {MAX_ITEMS} items.")
        return self.items.setdefault(number, _Item())


def check(data: bytes, max_pixels: int, max_side: int) -> None:
    """Refuse a HEIC file whose decoding would take more memory or time than a photo of `max_pixels`.

    Raises:
        TooLarge: an image, a tile or a picture's own header claims more than `max_pixels`, or a side more than `max_side`.
        BrokenImage: its boxes, items or tiles are far more than any photo's, or claim more bytes than there are.
        UnsupportedImage: the file has no still image, or one that is not coded as HEVC.
    """
    try:
        _check(data, max_pixels, max_side)
    except (struct.error, IndexError) as error:
        raise BrokenImage("The HEIC file is broken: one of its boxes ends too early.") from error


def _check(data: bytes, max_pixels: int, max_side: int) -> None:
    meta = _Meta()
    _read(data, 0, len(data), meta)
    if not meta.primary and not meta.sequence:
        raise BrokenImage("The HEIC file is broken: it has no primary image.")
    if not meta.primary:
        raise UnsupportedImage("The file is a HEIC image sequence without a still image, which is not read.")
    claimed = sum(size for item in meta.items.values() for _, size in item.extents)
    if claimed > 2 * len(data):
        raise BrokenImage(f"The HEIC file is broken: its items claim {claimed} bytes; the file has {len(data)}.")
    for kind, body in meta.properties:
        if kind == b"ispe":
            _check_size(*_ispe(body), max_pixels, max_side)
    for kind, body in meta.properties:
        if kind == b"hvcC":
            for unit in _units_of_configuration(body):
                _check_unit(unit, max_pixels, max_side)
    for item in meta.items.values():
        if item.kind in _CODED:
            if item.method > 1:
                raise BrokenImage("The HEIC file is broken: a picture's bytes are said to be in another item.")
            start = meta.idat if item.method else 0
            stream = b"".join(data[start + at : start + at + size] for at, size in item.extents)
            _check_stream(stream, max_pixels, max_side)
    pixels = _pixels(meta, meta.primary, {})
    if pixels > TILES_PER_PIXEL * max_pixels:
        raise TooLarge(f"The HEIC photo is made of tiles with {pixels} pixels; at most {max_pixels} are accepted.")


def decode(data: bytes, max_pixels: int, max_side: int, target: int | None) -> tuple[Image.Image, int, int]:
    """Decode the primary image of a checked file; returns it and its upright width and height.

    With a `target`, the image is reduced by the largest whole factor that leaves `target` pixels each way. 10-bit values
    keep their high bits; an alpha channel stays. Raises what `check` raises, and the decoder's own exceptions.
    """
    try:
        import _pi_heif  # pi-heif's own classes read all metadata, too
    except ImportError as error:
        raise UnsupportedImage("The file is a HEIC photo, and pi-heif, which reads those, is not installed.") from error
    images: list[Any] = _pi_heif.load_file(data, 1, True, False, True, True, "", False)
    primary = next((image for image in images if image is not None and image.primary), None)
    if primary is None:
        raise ValueError("its primary image cannot be read")
    del images
    (width, height), _ = primary.size_mode
    _check_size(width, height, max_pixels, max_side)
    pixels = primary.data
    (width, height), mode = primary.size_mode
    _check_size(width, height, max_pixels, max_side)
    factor = max(1, min(width, height) // target) if target else 1
    return _reduced(pixels, (width, height), mode, primary.stride, factor), width, height


def _reduced(pixels: memoryview, size: tuple[int, int], mode: str, stride: int, factor: int) -> Image.Image:
    """The rows as an image, each `factor` x `factor` pixels averaged into one, strip by strip."""
    width, height = size
    if factor == 1:
        return Image.frombytes(mode, size, pixels, "raw", mode, stride)
    whole = Image.new(mode, (-(-width // factor), -(-height // factor)))
    rows = max(1, STRIP_ROWS // factor) * factor
    for top in range(0, height, rows):
        count = min(rows, height - top)
        strip = Image.frombytes(mode, (width, count), pixels[top * stride : (top + count) * stride], "raw", mode, stride)
        whole.paste(strip.reduce(factor), (0, top // factor))
    return whole


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Type, begin and end of the content of each box."""
    while at + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, at)
        begin = at + 8
        if size == 1:
            size, begin = struct.unpack_from(">Q", data, at + 8)[0], at + 16
        stop = end if size == 0 else at + size
        if stop < begin:
            return
        yield kind, begin, min(stop, end)
        at = stop


def _read(data: bytes, at: int, end: int, meta: _Meta, depth: int = 0) -> None:
    for kind, begin, stop in _boxes(data, at, end):
        meta.count()
        if kind in _CONTAINERS:
            skipped = _CONTAINERS[kind]
            if kind == b"iref":
                _read_references(data, begin, stop, meta)
            elif kind == b"ipco":
                for name, first, last in _boxes(data, begin, stop):
                    meta.properties.append((name, data[first:last]))
                    meta.count()
            elif depth < MAX_DEPTH:
                _read(data, begin + (skipped if skipped is not None else 8 if data[begin] else 6), stop, meta, depth + 1)
        elif kind == b"moov":
            meta.sequence = True
        elif kind == b"idat":
            meta.idat = begin
        elif kind == b"pitm":
            meta.primary = int.from_bytes(data[begin + 4 : begin + (8 if data[begin] else 6)])
        elif kind == b"infe" and data[begin] >= 2:
            wide = 4 if data[begin] >= 3 else 2
            number = int.from_bytes(data[begin + 4 : begin + 4 + wide])
            meta.item(number).kind = data[begin + 6 + wide : begin + 10 + wide]
        elif kind == b"ipma":
            _read_associations(data, begin, stop, meta)
        elif kind == b"iloc":
            _read_locations(data, begin, stop, meta)


def _read_references(data: bytes, at: int, end: int, meta: _Meta) -> None:
    wide = 4 if data[at] else 2
    for kind, begin, stop in _boxes(data, at + 4, end):
        meta.count()
        count = int.from_bytes(data[begin + wide : begin + wide + 2])
        if count > MAX_ITEMS:
            raise BrokenImage(f"The HEIC file is broken: an image claims to be made of {count} others.")
        if kind == b"dimg":
            meta.count(count)
            first = begin + wide + 2
            parts = [int.from_bytes(data[first + n * wide : first + (n + 1) * wide]) for n in range(count)]
            meta.item(int.from_bytes(data[begin : begin + wide])).parts += parts if first + count * wide <= stop else []


def _read_associations(data: bytes, at: int, end: int, meta: _Meta) -> None:
    wide, indices = (4 if data[at] else 2), (2 if data[at + 3] & 1 else 1)
    count = int.from_bytes(data[at + 4 : at + 8])
    at += 8
    while count and at + wide < end:
        item = meta.item(int.from_bytes(data[at : at + wide]))
        meta.count(1 + data[at + wide])
        for place in range(data[at + wide]):
            first = at + wide + 1 + place * indices
            item.properties.append(int.from_bytes(data[first : first + indices]) & (0x7FFF if indices == 2 else 0x7F))
        at += wide + 1 + data[at + wide] * indices
        count -= 1


def _read_locations(data: bytes, at: int, end: int, meta: _Meta) -> None:
    version = data[at]
    offset_size, length_size = data[at + 4] >> 4, data[at + 4] & 15
    base_size, index_size = data[at + 5] >> 4, data[at + 5] & 15 if version else 0
    wide = 4 if version >= 2 else 2
    count = int.from_bytes(data[at + 6 : at + 6 + wide])
    at += 6 + wide

    def number(size: int) -> int:
        nonlocal at
        at += size
        return int.from_bytes(data[at - size : at])

    while count and at < end:
        item = meta.item(number(wide))
        meta.count()
        method = number(2) & 15 if version else 0
        number(2)
        base, extents = number(base_size), number(2)
        meta.count(extents)
        for _ in range(extents):
            number(index_size)
            offset, length = base + number(offset_size), number(length_size)
            item.extents.append((offset, length or len(data)))
        item.method = method
        count -= 1


def _pixels(meta: _Meta, number: int, known: dict[int, int], depth: int = 0) -> int:
    """Pixels that are decoded for an item: its own, or those of all that it is made from."""
    if number in known:
        return known[number]
    known[number] = 0  # an item that is made from itself; libheif refuses it
    item = meta.items.get(number, _Item())
    if item.kind not in (*_CODED, *_DERIVED):
        coded = item.kind.decode("ascii", "backslashreplace")
        raise UnsupportedImage(f"The HEIF file's image is coded as {coded!r}, which is not read; HEVC is.")
    if depth > MAX_DEPTH:
        raise BrokenImage(f"The HEIC file is broken: images are made of others more than {MAX_DEPTH} times over.")
    if item.parts:
        known[number] = sum(_pixels(meta, part, known, depth + 1) for part in item.parts)
    else:
        properties = [meta.properties[index - 1] for index in item.properties if 0 < index <= len(meta.properties)]
        known[number] = max((width * height for width, height in map(_claimed, properties)), default=0)
    return known[number]


def _claimed(named: tuple[bytes, bytes]) -> tuple[int, int]:
    kind, body = named
    return _ispe(body) if kind == b"ispe" else (0, 0)


def _ispe(body: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", body, 4)
    return width, height


def _check_size(width: int, height: int, max_pixels: int, max_side: int) -> None:
    if width * height > max_pixels:
        raise TooLarge(f"The photo has {width} x {height} = {width * height} pixels; at most {max_pixels} are accepted.")
    if max(width, height) > max_side:
        raise TooLarge(f"The photo has {width} x {height} pixels; at most {max_side} per side are accepted.")


def _units_of_configuration(body: bytes) -> Iterator[bytes]:
    """The HEVC units in an `hvcC` property."""
    at = 23
    for _ in range(body[22]):
        count = int.from_bytes(body[at + 1 : at + 3])
        at += 3
        for _ in range(count):
            size = int.from_bytes(body[at : at + 2])
            yield body[at + 2 : at + 2 + size]
            at += 2 + size
            if at >= len(body):
                return


def _check_stream(stream: bytes, max_pixels: int, max_side: int) -> None:
    """Check the units of a coded picture, each behind its length in four bytes."""
    at = 0
    for _ in range(MAX_ITEMS + 1):
        if at + 6 > len(stream):
            return
        size = int.from_bytes(stream[at : at + 4])
        _check_unit(stream[at + 4 : at + 4 + min(size, 512)], max_pixels, max_side)
        at += 4 + size
    raise BrokenImage(f"The HEIC file is broken: one of its pictures has more than {MAX_ITEMS} units.")


def _check_unit(unit: bytes, max_pixels: int, max_side: int) -> None:
    """Check the size in an HEVC unit, if it has one (ITU H.265, 7.3.2.2); the decoder makes pictures of that size."""
    if len(unit) < 2 or unit[0] >> 1 & 63 != _SPS:
        return
    body = unit[2:512].replace(b"\0\0\3", b"\0\0")
    bits = int.from_bytes(body)
    left = 8 * len(body)

    def take(count: int) -> int:
        nonlocal left
        left -= count
        if left < 0:
            raise BrokenImage("The HEIC file is broken: the header of one of its pictures ends too early.")
        return bits >> left & (1 << count) - 1

    def golomb() -> int:
        zeros = 0
        while not take(1):
            zeros += 1
        return (1 << zeros) - 1 + take(zeros)

    layers = take(8) >> 1 & 7
    take(96)  # the general profile and level
    present = [(take(1), take(1)) for _ in range(layers)]
    take(2 * (8 - layers) if layers else 0)
    for profile, level in present:
        take(88 * profile + 8 * level)
    golomb()
    if golomb() == 3:
        take(1)
    width = golomb()
    height = golomb()
    _check_size(max(0, width - PADDING), max(0, height - PADDING), max_pixels, max_side)
