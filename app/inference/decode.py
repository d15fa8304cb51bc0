"""First step: a photo's bytes come in, the upright RGB image goes out."""

import hashlib
import io
import math
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageChops, PngImagePlugin

from app.errors import BrokenImage, Overloaded, RequestError, TooLarge, UnsupportedImage
from app.inference import format_names, heif, image_checks, jpeg

_PILLOW_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""By Pillow's names. Pillow's other parsers never see a byte."""

FORMATS = (*_PILLOW_FORMATS, "HEIC")
"""The accepted formats. HEIC is read by libheif, which is not registered with Pillow."""

_ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")  # a TIFF has pages, not frames

MAX_PIXELS = 50_000_000
"""Most pixels that are decoded: 8,660 x 5,773, more than a phone's HEIC has (48 megapixels = 8,064 x 6,048)."""

JPEG_FACTOR = 8
"""A JPEG that is decoded at a fraction may have this many times the pixels: 400 megapixels, of which an eighth each way is
6 megapixels in memory. Phones take up to 200, panoramas have 60 and more.
"""

MAX_SIDE = 65_535
"""Largest accepted width or height, the limit of JPEG itself. Pillow stores a pointer and more for each row, so a photo of
1 x 50,000,000 pixels would take a gigabyte.
"""

OVERSAMPLING = 1.9
"""A photo decoded at reduced size has at least this many pixels per side for each pixel of the network's input. Most phones
take photos of 12 megapixels whose shorter side has 2,976 to 3,024 pixels, or of 48 megapixels with twice that. A quarter and
an eighth of them are 744 to 756, just below twice the 384 of `cat`; with 2, they would be decoded at twice that size.
"""

MAX_TEXT_BYTES = 8 * 1024 * 1024
"""Limit on all of a PNG's decompressed text chunks together; Pillow holds them all in memory."""


@dataclass(frozen=True)
class Photo:
    """An upright photo: mode-RGB `image` as people see it, its size in pixels after rotation, and its file format.

    `image` may be smaller than `width` x `height`; see `decode`. `animated` means that the file has further frames, which
    are ignored. `size` is the file's length in bytes, `sha256` its digest.
    """

    image: Image.Image
    width: int
    height: int
    format: str
    animated: bool
    size: int
    sha256: str


def prepare() -> None:
    """Import the parsers of the common formats now, so that the first photo does not wait for them, and silence their
    warnings: Python remembers each new warning text for ever, and clients choose those texts.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")
    Image.preinit()


def decode(data: bytes, max_pixels: int = MAX_PIXELS, side: int | None = None) -> Photo:
    """Decode the first frame of a photo, rotate it upright and put it on a white background.

    EXIF orientation is applied; transparent pixels become white; 16-bit values keep their high byte. Colour profiles are
    not applied. The header is read first: a photo of more than `max_pixels` is refused before its pixels are decoded. What
    counts is the size at which it is decoded; see `JPEG_FACTOR`. A photo whose pixels are whole is read, though its metadata
    or its end marker are not: what cannot be read of those is dropped.

    `side` is the size, in pixels per side, to which the caller will shrink the photo. A JPEG can be decoded at a half, a
    quarter or an eighth of its size in a fraction of the time, because its cosine transforms need fewer terms. The smallest
    of these sizes that leaves `OVERSAMPLING` x `side` pixels each way is used, or the largest that `max_pixels` allows.

    Raises:
        UnsupportedImage: the bytes are in none of `FORMATS`; the message names the format that they are in.
        TooLarge: width x height, as decoded, exceeds `max_pixels`, or one of them exceeds MAX_SIDE.
        BrokenImage: the format is accepted, but the file cannot be decoded.
        Overloaded: there is not enough memory for the photo.
    """
    signature = image_checks.signature(data)
    if signature == "HEIC":
        return _heic(data, max_pixels, side)
    if signature == "TIFF" and (raw := format_names.raw_name(data)):
        raise _unsupported(data, raw)
    parsed = image_checks.check(data, max_pixels)
    try:
        image, width, height, name, animated = _decoded(parsed, max_pixels, side)
    except BrokenImage:
        if signature != "JPEG":
            raise
        image, width, height, name, animated = _mended(jpeg.without_metadata(parsed), parsed, max_pixels, side)
    return Photo(image, width, height, name, animated, len(data), hashlib.sha256(data).hexdigest())


_Decoded = tuple[Image.Image, int, int, str, bool]
"""The image, its upright width and height, its format, whether it is animated."""


def _mended(bare: bytes, data: bytes, max_pixels: int, side: int | None) -> _Decoded:
    """Decode a JPEG whose parser refused it, from `bare`, the file without metadata, if all its pixels are there. Raises
    what the parser says if they are not.
    """
    original = image_checks.orientation(_exif(data))
    try:
        decoded = _decoded(bare, max_pixels, side, original)
    except BrokenImage:
        ended = jpeg.endings(bare)
        if ended is None:
            raise
        decoded, filled = (_decoded(variant, max_pixels, side, original) for variant in ended)
        if decoded[0].tobytes() != filled[0].tobytes():
            raise
    return decoded


def _exif(data: bytes) -> bytes:
    """The EXIF block of a JPEG, or nothing."""
    blocks = (data[begin:end] for marker, begin, end in jpeg.segments(data) if marker in (0xE1, jpeg.HIDDEN))
    return next((block[6:] for block in blocks if block.startswith(b"Exif\0\0")), b"")


def _decoded(data: bytes, max_pixels: int, side: int | None, orientation: int | None = None) -> _Decoded:
    """Parse and decode; `orientation` replaces that of the metadata."""
    image = _open(data)
    width, height = image.size
    name = "JPEG" if image.format == "MPO" else str(image.format)  # MPO: a JPEG followed by further pictures
    if max(width, height) > MAX_SIDE:
        raise TooLarge(f"The photo has {width} x {height} pixels; at most {MAX_SIDE} per side are accepted.")
    if name == "JPEG":
        _reduce(image, max_pixels, side)
    if width * height > JPEG_FACTOR * max_pixels or image.width * image.height > max_pixels:
        more = f", and of a JPEG that can be decoded at a fraction, {JPEG_FACTOR} times as many" if name == "JPEG" else ""
        raise TooLarge(
            f"The photo has {width} x {height} = {width * height} pixels; at most {max_pixels} are accepted{more}."
        )
    if name == "TIFF":
        _refuse_deep_planes(image)
    try:
        animated = image.format in _ANIMATED and bool(getattr(image, "is_animated", False))
        image.load()
        transpose = _upright_transpose(image) if orientation is None else _TRANSPOSES.get(orientation)
        if image.mode == "CMYK" and name == "JPEG" and "adobe" not in image.info:
            image = ImageChops.invert(image)  # Pillow takes every CMYK JPEG for Adobe's, which store it inverted
        image = _on_white(image)
        image = image if transpose is None else image.transpose(transpose)
    except MemoryError as error:
        raise Overloaded(f"Not enough memory for a photo of {width} x {height} pixels; retry shortly.") from error
    except Exception as error:  # Pillow's parsers raise many kinds of exception on hostile bytes
        raise BrokenImage(f"The {name} file is broken: {_reason(error)}.") from error
    if transpose in _SWAPS_SIDES:
        width, height = height, width
    return image, width, height, name, animated


def enough(side: int) -> int:
    """The pixels that a side of a photo has at least after decoding, for a network whose input has `side`."""
    return math.ceil(OVERSAMPLING * side)


def _reduce(image: Image.Image, max_pixels: int, side: int | None) -> None:
    """Have a JPEG decoded at the fraction that `decode` promises, and at one that leaves no more than `max_pixels`."""
    width, height = image.size
    fits = next((by for by in (1, 2) if width * height <= by * by * max_pixels), 4)  # 16 is more than JPEG_FACTOR
    most = enough(side) if side is not None else max(width, height)
    image.draft(None, (max(1, min(most, width // fits)), max(1, min(most, height // fits))))


def _refuse_deep_planes(image: Image.Image) -> None:
    """Refuse a TIFF whose colours lie in planes of other than 8 bits, of which Pillow makes noise."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS, (1,))
    if tags.get(_PLANES) == 2 and set(bits) != {8}:  # a single plane is none, see image_checks
        raise UnsupportedImage(
            f"The TIFF file has its colours in separate planes of {max(bits)} bits, which is not read; "
            "8 bits are, and 16 bits with the colours of each pixel side by side."
        )


def _heic(data: bytes, max_pixels: int, side: int | None) -> Photo:
    heif.check(data, max_pixels, MAX_SIDE)
    try:
        image, width, height = heif.decode(data, max_pixels, MAX_SIDE, enough(side) if side else None)
        image = _on_white(image)
    except RequestError:
        raise
    except MemoryError as error:
        raise Overloaded("Not enough memory for a HEIC photo; retry shortly.") from error
    except Exception as error:  # as in decode
        raise BrokenImage(f"The HEIC file is broken: {_reason(error)}.") from error
    return Photo(image, width, height, "HEIC", False, len(data), hashlib.sha256(data).hexdigest())


def _open(data: bytes) -> Image.Image:
    """Read the header. Pillow's own pixel limit is switched off: the caller checks a stricter one."""
    Image.MAX_IMAGE_PIXELS = None
    PngImagePlugin.MAX_TEXT_MEMORY = MAX_TEXT_BYTES
    known = image_checks.signature(data)
    try:
        return Image.open(io.BytesIO(data), formats=_PILLOW_FORMATS)
    except Exception as error:  # as in decode
        if known:
            raise BrokenImage(f"The file begins like {known}, but its header is broken.") from error
        raise _unsupported(data, format_names.name_of(data)) from error


def _unsupported(data: bytes, name: str) -> UnsupportedImage:
    return UnsupportedImage(f"The file of {len(data)} bytes is {name}; accepted formats are {', '.join(FORMATS)}.")


_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The transposition that undoes each EXIF orientation; 1 is upright."""

_BITS, _PHOTOMETRIC, _PLANES = 258, 262, 284
"""Tags of a TIFF."""
_WHITE_IS_ZERO = 0

_SWAPS_SIDES = {_TRANSPOSES[orientation] for orientation in (5, 6, 7, 8)}


def _upright_transpose(image: Image.Image) -> Image.Transpose | None:
    """The transposition that undoes the camera's rotation according to EXIF; None if EXIF is absent or unreadable."""
    try:
        text = image.info.get("Raw profile type exif", "")
        exif = image.info.get("exif", b"").removeprefix(b"Exif\0\0") or _exif_from_text(text)
        if exif:
            parsed = image_checks.affordable(exif, 0, len(exif))
        else:  # there is none, or image_checks hid it from Pillow
            exif = getattr(image, "app", {}).get("APP15", b"").removeprefix(b"Exif\0\0")
            parsed = not exif
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1) if parsed else image_checks.orientation(exif)
        return _TRANSPOSES.get(orientation)
    except Exception:  # a photo with a damaged EXIF block is still a photo
        return None


def _exif_from_text(text: str) -> bytes:
    """The EXIF block that ImageMagick writes into a PNG's text: lines for its name and length, then hexadecimal."""
    return bytes.fromhex("".join(text.split("\n")[3:])).removeprefix(b"Exif\0\0")


def _on_white(image: Image.Image) -> Image.Image:
    """Any mode to RGB: deep greys keep their high byte, transparent pixels become white."""
    if image.mode.startswith("I") or image.mode == "F":
        image = _grey(image)
    if image.mode == "La":  # a TIFF's greys, multiplied by their opacity already: Pillow knows only this way out of it
        image = image.convert("LA")
    if image.mode in ("RGBA", "RGBa", "LA", "PA") or "transparency" in image.info:
        layer = image if image.mode == "RGBA" else image.convert("RGBA")
        image = Image.new("RGB", layer.size, "white")
        image.paste(layer, mask=layer)
    return image if image.mode == "RGB" else image.convert("RGB")


def _grey(image: Image.Image) -> Image.Image:
    """Deep greys in 8 bits. Pillow passes those of a TIFF on as they are stored: 12 bits as numbers to 4095, and values of
    which 0 is white.
    """
    tags, values = getattr(image, "tag_v2", {}), np.asarray(image)
    grey = Image.fromarray(_eight_bits(values << 4 if tags.get(_BITS) == (12,) else values))
    return ImageChops.invert(grey) if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else grey


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Grey values of more than 8 bits, (H, W), to uint8: 16-bit integers by their high byte, floats from 0..1 or 0..255."""
    if values.dtype.kind == "f":
        values = np.nan_to_num(values)
        bytes_of_range: np.ndarray = np.clip(values * (255 if values.max() <= 1 else 1), 0, 255)
        return bytes_of_range.astype(np.uint8)
    high_bytes: np.ndarray = np.clip(values, 0, 65535).astype(np.uint16) >> 8
    return high_bytes.astype(np.uint8)


def _reason(error: Exception) -> str:
    """Pillow's error message on one line, or the exception's class if it has none."""
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
