"""What is said of a photo, and of one that is refused, to the letter; and each step of decoding on its own."""

import hashlib
import io

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from app.errors import BrokenImage, Overloaded, TooLarge, UnsupportedImage
from app.inference import decode as steps
from app.inference.decode import FORMATS, Photo, decode
from tests.app.inference.hostile import chunk, png, tiff
from tests.conftest import encoded

SMALL = Image.new("RGB", (6, 4), (200, 30, 40))
ACCEPTED = "accepted formats are JPEG, PNG, WEBP, GIF, BMP, TIFF, AVIF, HEIC."


def refusal(kind: type[Exception], *arguments: object, **options: object) -> str:
    with pytest.raises(kind) as refused:
        decode(*arguments, **options)
    assert type(refused.value) is kind
    return str(refused.value)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_photo_is_described_by_its_file(kind):
    data = encoded(SMALL, kind)
    photo = decode(data)
    described = (photo.width, photo.height, photo.format, photo.animated, photo.size, photo.sha256)
    assert described == (6, 4, kind, False, len(data), hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize(
    ("kind", "animated"), [("GIF", True), ("PNG", True), ("WEBP", True), ("AVIF", True), ("TIFF", False)]
)
def test_further_frames_are_an_animation_and_further_pages_are_none(kind, animated):
    further = [Image.new("RGB", SMALL.size, "blue")]
    assert decode(encoded(SMALL, kind, save_all=True, append_images=further)).animated is animated


def test_a_photo_of_too_many_pixels_is_told_what_is_accepted():
    sizes = "The photo has 6 x 4 = 24 pixels; at most"
    assert refusal(TooLarge, encoded(SMALL, "PNG"), max_pixels=23) == f"{sizes} 23 are accepted."
    assert decode(encoded(SMALL, "PNG"), max_pixels=24).width == 6
    large = encoded(SMALL.resize((600, 400)), "JPEG")
    more = "are accepted, and of a JPEG that can be decoded at a fraction, 8 times as many."
    assert refusal(TooLarge, large, max_pixels=29_999) == f"The photo has 600 x 400 = 240000 pixels; at most 29999 {more}"
    assert decode(large, max_pixels=30_000).image.size == (150, 100)


def test_a_photo_of_too_long_a_side_is_told_the_longest(monkeypatch):
    monkeypatch.setattr(steps, "MAX_SIDE", 6)
    assert decode(encoded(SMALL, "PNG")).width == 6
    for size in ((7, 1), (1, 7)):
        told = f"The photo has {size[0]} x {size[1]} pixels; at most 6 per side are accepted."
        assert refusal(TooLarge, encoded(Image.new("RGB", size), "PNG")) == told


def test_what_cannot_be_read_is_named_with_its_reason():
    assert refusal(UnsupportedImage, b"%PDF-1.7") == f"The file of 8 bytes is PDF; {ACCEPTED}"
    raw = tiff([(50706, 1, 4, 1)])
    assert refusal(UnsupportedImage, raw) == f"The file of {len(raw)} bytes is camera RAW (DNG); {ACCEPTED}"
    assert refusal(BrokenImage, b"BM" + bytes(9)) == "The file begins like BMP, but its header is broken."
    data = png(chunk(b"IDAT", b"no pixels"))
    assert refusal(BrokenImage, data).startswith("The PNG file is broken: ")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("two\n  lines. "), "two lines"),
        (ValueError("it stops..."), "it stops"),
        (ValueError("of mode X"), "of mode X"),
        (ValueError("x" * 300), "x" * 200),
        (ValueError(), "ValueError"),
        (OSError(" \n"), "OSError"),
    ],
)
def test_a_parsers_reason_is_one_line(error, reason):
    assert steps._reason(error) == reason


@pytest.mark.parametrize(("kind", "told"), [("PNG", "a photo of 6 x 4 pixels"), ("HEIC", "a HEIC photo")])
def test_a_photo_without_memory_for_it_is_told_to_come_again(kind, told, monkeypatch):
    def no_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(steps, "_on_white", no_memory)
    assert refusal(Overloaded, encoded(SMALL, kind)) == f"Not enough memory for {told}; retry shortly."


@pytest.mark.parametrize("kind", ["PNG", "HEIC"])
def test_what_a_parser_fails_with_is_the_reason(kind, monkeypatch):
    def fails(*_: object) -> None:
        raise ZeroDivisionError("by zero.")

    monkeypatch.setattr(steps, "_on_white", fails)
    assert refusal(BrokenImage, encoded(SMALL, kind)) == f"The {kind} file is broken: by zero."


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 255, 256, 65535, 70000, -5]], np.int32), [0, 0, 1, 255, 255, 0]),
        (np.array([[0, 255, 256, 65535]], np.uint16), [0, 0, 1, 255]),
        (np.array([[0.0, 0.5, 1.0, -1.0, np.nan]], np.float32), [0, 127, 255, 0, 0]),
        (np.array([[0.0, 1.0, 1.5, 300.0]], np.float32), [0, 1, 1, 255]),
        (np.array([[0.0, 1.5]], np.float32), [0, 1]),
    ],
)
def test_values_of_more_than_eight_bits_keep_what_eight_bits_can_hold(values, expected):
    reduced = steps._eight_bits(values)
    assert reduced.dtype == np.uint8
    assert reduced[0].tolist() == expected


@pytest.mark.parametrize(
    ("mode", "colour", "shown"),
    [
        *(("RGBA", (10, 20, 30, 0), (255, 255, 255)), ("RGBA", (10, 20, 30, 255), (10, 20, 30))),
        *(("LA", (10, 0), (255, 255, 255)), ("La", (0, 0), (255, 255, 255)), ("RGBa", (0, 0, 0, 0), (255, 255, 255))),
        *(("L", 7, (7, 7, 7)), ("1", 1, (255, 255, 255)), ("I;16", 0x0712, (7, 7, 7)), ("F", 9.0, (9, 9, 9))),
        *(("F", 0.5, (127, 127, 127)), ("PA", (0, 0), (255, 255, 255)), ("RGBa", (30, 20, 10, 128), (157, 147, 137))),
        *(("I", 0x0712, (7, 7, 7)), ("CMYK", (0, 0, 0, 255), (0, 0, 0)), ("YCbCr", (0, 128, 128), (0, 0, 0))),
    ],
)
def test_every_mode_becomes_red_green_and_blue_on_white(mode, colour, shown):
    image = steps._on_white(Image.new(mode, (2, 1), colour))
    assert (image.mode, image.size, image.getpixel((1, 0))) == ("RGB", (2, 1), shown)


@pytest.mark.parametrize("kind", ["assocalpha", "unassalpha"])
def test_a_grey_tiff_with_transparency_lies_on_white(kind):
    """Greys that were multiplied by their opacity, or not: half of the light is the paper's."""
    import tifffile

    grey = 60 if kind == "assocalpha" else 120
    out = io.BytesIO()
    tifffile.imwrite(out, np.array([[[grey, 128], [0, 0]]], np.uint8), photometric="minisblack", extrasamples=[kind])
    half, none = np.asarray(decode(out.getvalue()).image)[0]
    assert half.tolist() == pytest.approx([187] * 3, abs=1)
    assert none.tolist() == [255, 255, 255]


def test_a_picture_that_needs_no_change_is_not_copied():
    assert steps._on_white(SMALL) is SMALL


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_each_orientation_turns_the_first_pixel_to_its_corner(orientation, kind):
    """And a text as ImageMagick writes it does the same in a PNG."""
    stored = Image.new("RGB", (32, 16))
    stored.paste("white", (0, 0, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    files = [encoded(stored, kind, exif=exif)]
    if kind == "PNG":
        block = (b"Exif\0\0" + tiff([(0x0112, 3, 1, orientation)])).hex()
        info = PngImagePlugin.PngInfo()
        info.add_text("Raw profile type exif", f"\nexif\n {len(block) // 2}\n{block[:72]}\n{block[72:]}\n")
        files.append(encoded(stored, kind, pnginfo=info))
    corners = ("top left", "top right", "bottom right", "bottom left") * 2
    for data in files:
        photo = decode(data)
        assert (photo.width, photo.height) == photo.image.size == ((32, 16) if orientation <= 4 else (16, 32))
        at = {
            "top left": (1, 1),
            "top right": (photo.width - 2, 1),
            "bottom left": (1, photo.height - 2),
            "bottom right": (photo.width - 2, photo.height - 2),
        }
        white = {name for name, place in at.items() if min(photo.image.getpixel(place)) > 200}
        assert white == {corners[orientation - 1]}


def test_preparing_silences_the_parsers_and_no_one_else():
    import warnings

    with warnings.catch_warnings():
        warnings.resetwarnings()
        steps.prepare()
        [entry] = warnings.filters
        assert (entry[0], entry[3].pattern) == ("ignore", r"PIL\.")


def test_a_photo_is_what_was_read_of_it():
    photo = Photo(SMALL, 6, 4, "PNG", False, 9, "abc")
    assert (photo.image, photo.size, photo.sha256) == (SMALL, 9, "abc")
    assert Image.open(io.BytesIO(encoded(SMALL, "PNG"))).size == (photo.width, photo.height)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("kind", "white_is_zero"),
    [(kind, white) for kind in ("bilevel", "uint8", "uint16", "float32") for white in (False, True)],
)
def test_one_channel_is_read_alike_whatever_is_said_of_planes(order, white_is_zero, kind):
    """Pillow takes a plane for a colour: it then reads white as black, or the bytes of a value in the wrong order."""
    if (order, kind, white_is_zero) == (">", "uint16", True):
        pytest.skip("Pillow does not read it")
    grey = np.tile(np.linspace(0, 255, 32), (24, 1))
    scale = {"uint8": 1, "uint16": 257, "float32": 1}
    if kind == "bilevel":
        values, bits = np.packbits(grey > 100, axis=1), 1
    else:
        values = (grey * scale[kind]).astype(np.dtype(kind).newbyteorder(order))
        bits = 8 * values.itemsize

    def of(planes: int) -> bytes:
        shorts = {256: 32, 257: 24, 258: bits, 259: 1, 262: 0 if white_is_zero else 1, 273: 0, 277: 1, 278: 24, 284: planes}
        shorts |= {279: values.nbytes, 339: 3 if kind == "float32" else 1}
        shorts[273] = 8 + 2 + 12 * len(shorts) + 4  # where its pixels begin
        entries = [(tag, 3, 1, value if order == "<" else value << 16) for tag, value in sorted(shorts.items())]
        return tiff(entries, order=order) + values.tobytes()

    image = decode(of(planes=2)).image
    assert image.tobytes() == decode(of(planes=1)).image.tobytes()
    first, last = image.getpixel((0, 0)), image.getpixel((31, 0))
    assert (first > last, first < last) == (white_is_zero, not white_is_zero)


def test_greys_of_12_bits_are_read_whole():
    """Two of them lie in three bytes."""
    shorts = {256: 2, 257: 1, 258: 12, 259: 1, 262: 1, 273: 8 + 2 + 12 * 9 + 4, 277: 1, 278: 1, 279: 3}
    image = decode(tiff([(tag, 3, 1, value) for tag, value in shorts.items()]) + bytes.fromhex("ABC123")).image
    assert [image.getpixel((x, 0))[0] for x in (0, 1)] == [0xAB, 0x12]
