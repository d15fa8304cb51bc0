"""First step: a photo's bytes come in, the upright RGB image goes out."""

import hashlib
import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, PngImagePlugin

from app.errors import BrokenImage, Overloaded, TooLarge, UnsupportedImage
from app.inference import structure

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""The formats that are read, by Pillow's names for them; no other parser of Pillow's is ever handed a byte."""

_ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")  # a TIFF has pages, which nobody plays

MAX_PIXELS = 50_000_000
"""Width x height above which a photo is refused: 8,660 x 5,773, more than phones make (48 megapixels = 8,064 x 6,048)."""

MOST_SIDE = 65_535
"""Width or height above which a photo is refused, as much as a JPEG can have: Pillow keeps a pointer and more for each row;
a photo of 1 x 50,000,000 would take a gigabyte.
"""

OVERSAMPLING = 2
"""How many decoded pixels a side there are at least for each that the network gets, where a JPEG is not decoded whole."""

MOST_TEXT = 8 * 1024 * 1024
"""Bytes that a PNG's texts may have together when they are unpacked; Pillow keeps them all."""


@dataclass(frozen=True)
class Photo:
    """An upright photo: mode-RGB `image` as people see it, its size in pixels after turning, the format it came in.

    `image` may be smaller than `width` x `height`, see `decode`. `animated` says that more frames follow, which nobody looks
    at. `size` counts the bytes that it was decoded from, `sha256` is theirs.
    """

    image: Image.Image
    width: int
    height: int
    format: str
    animated: bool
    size: int
    sha256: str


def prepare() -> None:
    """Import the parsers of the common formats now, rather than while the first photo waits for them; and let them keep to
    themselves what they find odd: Python would remember each new warning for ever, and clients choose their words.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")
    Image.preinit()


def decode(data: bytes, max_pixels: int = MAX_PIXELS, side: int | None = None) -> Photo:
    """Decode the first frame of a photo, turn it upright and lay it on white.

    EXIF orientation is applied; transparent pixels lie on white; 16-bit values keep their high byte. Colour profiles are
    not applied. The header is read first: a photo of more than `max_pixels` is refused before its pixels are decoded.

    Who will reduce the photo to `side` pixels a side says so: a JPEG can be decoded at a half, a quarter or an eighth of its
    size for a fraction of the time (its cosine transforms are computed with fewer terms), and is, as long as
    `OVERSAMPLING` x `side` pixels remain each way.

    Raises:
        UnsupportedImage: the bytes are in none of `FORMATS`.
        TooLarge: width x height exceeds `max_pixels`, or one of them MOST_SIDE.
        BrokenImage: the format is known, the file cannot be decoded.
        Overloaded: there is no memory for it.
    """
    structure.check(data, max_pixels)
    image = _open(data)
    width, height = image.size
    if width * height > max_pixels:
        raise TooLarge(f"The photo has {width} x {height} = {width * height} pixels; at most {max_pixels} are accepted.")
    if max(width, height) > MOST_SIDE:
        raise TooLarge(f"The photo has {width} x {height} pixels; at most {MOST_SIDE} a side are accepted.")
    name = "JPEG" if image.format == "MPO" else str(image.format)  # MPO: a JPEG that carries further pictures behind it
    try:
        animated = image.format in _ANIMATED and bool(getattr(image, "is_animated", False))
        if side is not None and image.format in ("JPEG", "MPO"):
            image.draft(None, (OVERSAMPLING * side, OVERSAMPLING * side))
        image.load()
        turn = _turn(image)
        image = _on_white(image if turn is None else image.transpose(turn))
    except MemoryError as error:
        raise Overloaded(f"There is no memory for a photo of {width} x {height} pixels now.") from error
    except Exception as error:  # Pillow's parsers let many kinds escape when they meet hostile bytes
        raise BrokenImage(f"The {name} file is broken: {_reason(error)}.") from error
    if turn in _ON_ITS_SIDE:
        width, height = height, width
    return Photo(image, width, height, name, animated, len(data), hashlib.sha256(data).hexdigest())


def _open(data: bytes) -> Image.Image:
    """Read the header. Pillow's own pixel limit gives way to ours, which is stricter and is checked by the caller."""
    Image.MAX_IMAGE_PIXELS = None
    PngImagePlugin.MAX_TEXT_MEMORY = MOST_TEXT
    known = _signature(data)
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception as error:  # the same parsers, see decode
        if known:
            raise BrokenImage(f"The file begins like {known}, but its header is broken.") from error
        shown = data[:8].hex(" ") or "nothing"
        raise UnsupportedImage(
            f"The file of {len(data)} bytes begins with {shown}; accepted are {', '.join(FORMATS)}."
        ) from error


def _signature(data: bytes) -> str | None:
    """The format that the first bytes promise, or None."""
    if data[:3] == b"\xff\xd8\xff":
        return "JPEG"
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if data[:2] == b"BM":
        return "BMP"
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        return "AVIF"
    return None


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each orientation that EXIF knows; 1 is upright."""

_ON_ITS_SIDE = {_TURNS[orientation] for orientation in (5, 6, 7, 8)}


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What undoes the camera's rotation as EXIF states it; an unreadable EXIF block counts as upright."""
    try:
        exif = image.info.get("exif", b"").removeprefix(b"Exif\0\0") or _profile(image.info.get("Raw profile type exif", ""))
        structure.tags(exif, 0, len(exif))
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        return _TURNS.get(orientation)
    except Exception:  # a photo with a damaged EXIF block is still a photo
        return None


def _profile(text: str) -> bytes:
    """An EXIF block that ImageMagick wrote into a PNG's text: two lines for its name and length, then hexadecimal."""
    return bytes.fromhex("".join(text.split("\n")[3:])).removeprefix(b"Exif\0\0")


def _on_white(image: Image.Image) -> Image.Image:
    """Any mode to RGB: deep greys keep their high byte, transparency shows white."""
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        layer = image if image.mode == "RGBA" else image.convert("RGBA")
        image = Image.new("RGB", layer.size, "white")
        image.paste(layer, mask=layer)
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Grey values of more than 8 bits, (H, W), to uint8: 16-bit integers by their high byte, floats from 0..1 or 0..255."""
    if values.dtype.kind == "f":
        values = np.nan_to_num(values)
        bytes_of_range: np.ndarray = np.clip(values * (255 if values.max() <= 1 else 1), 0, 255)
        return bytes_of_range.astype(np.uint8)
    high_bytes: np.ndarray = np.clip(values, 0, 65535).astype(np.uint16) >> 8
    return high_bytes.astype(np.uint8)


def _reason(error: Exception) -> str:
    """Pillow's own words on one line, or the kind of failure where it says nothing."""
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
