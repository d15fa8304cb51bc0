"""Numbers come in, coloured PNG pictures go out; the same colours everywhere, with zero always at a colour of its own.

Values that cannot be negative run from near-black (zero) through purple and orange to pale yellow. Values of both signs
run from blue through white (zero) to brown. Both grow steadily in lightness away from zero or towards it, so that they
are read without telling hues apart, also by people who cannot.
"""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_SEQUENTIAL = ((10, 9, 28), (72, 28, 110), (180, 62, 92), (248, 160, 62), (255, 249, 205))
_DIVERGING = ((16, 58, 130), (92, 152, 212), (247, 247, 247), (214, 142, 60), (122, 58, 4))


def _ramp(anchors: tuple[tuple[int, int, int], ...]) -> np.ndarray:
    """Anchors spread evenly over 255 steps, (255, 3) uint8. An odd count, so that the middle one is a colour itself."""
    places = np.linspace(0, 1, len(anchors))
    steps = np.linspace(0, 1, 255)
    return (
        np.stack([np.interp(steps, places, channel) for channel in zip(*anchors, strict=True)], axis=1)
        .round()
        .astype(np.uint8)
    )


SEQUENTIAL = _ramp(_SEQUENTIAL)
DIVERGING = _ramp(_DIVERGING)

_LEGEND, _NARROWEST, _WIDEST = 26, 180, 420  # pixels: a legend's height with its margin, and how wide it may be


def as_picture(values: np.ndarray) -> np.ndarray:
    """What a stage computed as (height, width, channels): (n,) is a picture of one place with n channels."""
    return values if values.ndim == 3 else values.reshape(1, 1, -1)


def scale(low: float, high: float) -> tuple[float, float, np.ndarray]:
    """The ends of the colour scale for values from `low` to `high`, and its colours, (255, 3) uint8.

    Without negative values the scale runs from 0 to `high`; with them from -m to m, m being the largest magnitude.
    """
    if low >= 0:
        return 0.0, high or 1.0, SEQUENTIAL
    largest = max(-low, high)
    return -largest, largest, DIVERGING


def indices(values: np.ndarray, bottom: float, top: float) -> np.ndarray:
    """Values as places on a colour scale, uint8 from 0 to 254, of the same shape."""
    places = np.subtract(values, np.float32(bottom), dtype=np.float32)
    places *= np.float32(254 / (top - bottom))
    np.rint(places, out=places)
    np.clip(places, 0, 254, out=places)
    whole: np.ndarray = places.astype(np.uint8)
    return whole


def reduced(places: np.ndarray, side: int) -> np.ndarray:
    """Places of at most `side` pixels a side: each the mean of a block of as few as that takes, (height, width) uint8."""
    factor = -(-max(places.shape) // side)
    return np.asarray(Image.fromarray(np.ascontiguousarray(places)).reduce(factor)) if factor > 1 else places


def png(places: np.ndarray, colours: np.ndarray, alpha: np.ndarray | None = None) -> bytes:
    """A PNG with one pixel a value, (height, width) uint8 places on `colours`.

    `alpha`, (255,) uint8, is each colour's opacity; all are opaque without it. For large smooth pictures: each row is told
    as its difference from the row above, which is mostly nothing.
    """
    return pngs(places[np.newaxis], colours, alpha, _UP)[0]


def pngs(stack: np.ndarray, colours: np.ndarray, alpha: np.ndarray | None = None, row_filter: int = 0) -> list[bytes]:
    """Several small pictures of one size, (n, height, width), as PNGs; rows are told as they are.

    Written here rather than by Pillow's general writer, because thumbnails are many and small: the pictures are prepared
    together, only colours that occur go in, and repetitions are sought among neighbours only (zlib's Z_RLE): less
    time and hardly more bytes.
    """
    count, height, width = stack.shape
    occurs = np.zeros(256, bool)
    occurs[stack.ravel()] = True
    used = np.flatnonzero(occurs)
    renumbered = np.zeros(256, np.uint8)
    renumbered[used] = np.arange(len(used))
    numbers = np.frombuffer(stack.tobytes().translate(renumbered.tobytes()), np.uint8).reshape(stack.shape)
    rows = np.full((count, height, width + 1), row_filter, np.uint8)  # each row begins with the number of its filter
    rows[:, :, 1:] = numbers
    if row_filter == _UP:
        rows[:, 1:, 1:] -= numbers[:, :-1]
    head = _SIGNATURE + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, _BITS, _INDEXED, 0, 0, 0))
    head += _chunk(b"PLTE", colours[used].tobytes())
    if alpha is not None:
        head += _chunk(b"tRNS", alpha[used].tobytes())
    return [head + _chunk(b"IDAT", _deflated(picture.tobytes())) + _END for picture in rows]


def _deflated(data: bytes) -> bytes:
    deflate = zlib.compressobj(strategy=zlib.Z_RLE)
    return deflate.compress(data) + deflate.flush()


_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BITS, _INDEXED, _UP = 8, 3, 2


def _chunk(kind: bytes, data: bytes) -> bytes:
    """A part of a PNG file (W3C, Portable Network Graphics, third edition, section 5.3)."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


_END = _chunk(b"IEND", b"")


def above_legend(image: Image.Image, bottom: float, top: float, colours: np.ndarray) -> Image.Image:
    """The picture on white paper, over a bar of its colour scale with both ends, and zero between them, written on it."""
    paper = Image.new("RGB", (max(image.width, _NARROWEST), image.height + _LEGEND), "white")
    paper.paste(image, (0, 0))
    upper, width = image.height + 6, min(paper.width, _WIDEST)
    bar = colours[np.linspace(0, len(colours) - 1, width).astype(int)][np.newaxis].repeat(_LEGEND - 8, axis=0)
    paper.paste(Image.fromarray(bar), (0, upper))
    draw, font, middle = ImageDraw.Draw(paper), ImageFont.load_default(12), upper + (_LEGEND - 8) / 2
    draw.text((4, middle), f"{bottom:.3g}", "white", font, "lm")
    if bottom < 0:
        draw.text((width / 2, middle), "0", "black", font, "mm")
    draw.text((width - 4, middle), f"{top:.3g}", "white" if bottom < 0 else "black", font, "rm")
    return paper


def encode(image: Image.Image) -> bytes:
    """An image as the bytes of a PNG."""
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=6)
    return out.getvalue()
