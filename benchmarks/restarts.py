"""A JPEG with restart markers comes in; its two halves, JPEGs of their own, go out. What two threads make of that is timed.

After a restart marker the entropy coding starts afresh, so a decoder could begin there, too; without them a scan can only be
read from its beginning. No decoder that Python has does it. Here each half becomes a file: it keeps the header, with its own
height, and its part of the scan, cut where the numbers of the markers begin again at 0, as they must.
"""

import io
import re
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from app.inference.jpeg import END, segments

MARKER = re.compile(rb"\xff[\xd0-\xd7]")
"""In a scan, a byte 255 that is not a marker is followed by 0."""

PERIOD = 8
"""Restart markers are numbered from 0 to 7, again and again."""

MCU_ROWS = 16
"""Height of the blocks of a JPEG whose colours have half of its resolution, in pixels."""

THREADS = 2


def interval(data: bytes) -> int:
    """The blocks between two restart markers; 0 if the photo has none."""
    return next((int.from_bytes(data[begin : begin + 2]) for kind, begin, _ in segments(data) if kind == 0xDD), 0)


def with_markers(data: bytes) -> bytes:
    """The same picture with a restart marker after each row of blocks."""
    out = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        image.save(out, "JPEG", quality="keep", restart_marker_rows=1)
    return out.getvalue()


def halves(data: bytes) -> tuple[bytes, bytes]:
    """The upper and the lower half of such a picture, each a JPEG."""
    parts = list(segments(data))
    scan = parts[-1][2]
    at = next(begin + 1 for kind, begin, _ in parts if 0xC0 <= kind <= 0xC2)  # of the height, after a byte for the depth
    height = int.from_bytes(data[at : at + 2])
    rows = height // MCU_ROWS // 2 // PERIOD * PERIOD
    cut = [match.start() for match in MARKER.finditer(data, scan)][rows - 1]

    def header(rows_of_pixels: int) -> bytes:
        return data[:at] + rows_of_pixels.to_bytes(2) + data[at + 2 : scan]

    upper, lower = header(rows * MCU_ROWS), header(height - rows * MCU_ROWS)
    return upper + data[scan:cut] + END, lower + data[cut + 2 :]


def decode(data: bytes, factor: int) -> Image.Image:
    """The picture at 1/`factor` of its size."""
    image = Image.open(io.BytesIO(data))
    image.draft(None, (image.width // factor, image.height // factor))
    image.load()
    return image


def joined(parts: list[Image.Image]) -> Image.Image:
    """One picture of two halves."""
    whole = Image.new("RGB", (parts[0].width, sum(part.height for part in parts)))
    whole.paste(parts[0], (0, 0))
    whole.paste(parts[1], (0, parts[0].height))
    return whole


def measured(photos: list[bytes], factor: int, rounds: int) -> dict:
    """Milliseconds of a photo while nothing else runs, and photos a second while as many are decoded as there are threads:
    as one piece, and as two halves on two threads.
    """
    marked = [with_markers(photo) for photo in photos]
    pairs = ((joined([decode(half, factor) for half in halves(one)]), decode(one, factor)) for one in marked)
    same = all(split.tobytes() == whole.tobytes() for split, whole in pairs)
    with ThreadPoolExecutor(THREADS) as one_photo, ThreadPoolExecutor(THREADS) as many:

        def split(data: bytes) -> object:
            return joined(list(one_photo.map(decode, halves(data), [factor] * 2)))

        ways: dict[str, Callable[[bytes], object]] = {
            "no markers": lambda data: decode(data, factor),
            "as one piece": lambda data: decode(data, factor),
            "in two halves": split,
        }
        alone: dict[str, list[float]] = {name: [] for name in ways}
        busy: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                data = photos if name == "no markers" else marked
                for photo in data:
                    began = time.perf_counter()
                    way(photo)
                    alone[name].append(time.perf_counter() - began)
                began = time.perf_counter()
                list(many.map(way, data * THREADS))
                busy[name].append(len(data) * THREADS / (time.perf_counter() - began))
    return {
        "bytes_added": round(
            statistics.mean(len(one) / len(photo) for one, photo in zip(marked, photos, strict=True)) - 1, 4
        ),
        "same_pixels": same,
        "alone_ms": {name: round(statistics.median(values) * 1000, 1) for name, values in alone.items()},
        "busy_per_second": {name: round(statistics.median(values), 1) for name, values in busy.items()},
    }
