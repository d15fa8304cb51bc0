"""Small photos through every step: the fraction of a JPEG, damaged ones, and which of the orientations in a file counts."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from app.errors import BrokenImage, TooLarge, UnsupportedImage
from app.inference.decode import Photo, decode, enough
from tests.app.inference.hostile import GREEDY, chunk, png, segment, tiff
from tests.conftest import encoded

RED, WHITE = (200, 30, 40), (255, 255, 255)
WIDE = Image.new("RGB", (96, 64), RED)
WIDE.paste(WHITE, (0, 0, 32, 32))
"""White in its upper left corner."""

XMP = b"""<?xpacket begin=""?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
 tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>"""
XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"
TURNED = tiff([(274, 3, 1, 6)])
"""An EXIF block whose orientation is that of a phone held upright."""
COSTLY = tiff([(274, 3, 1, 6), *GREEDY], behind=20_000)
"""The same orientation in a block that Pillow is not to parse."""
NONSENSE = segment(0xE2, b"ICC_PROFILE\0")
"""A colour profile without content, for which Pillow's parser refuses the file."""


def exif(block: bytes) -> bytes:
    return segment(0xE1, b"Exif\0\0" + block)


def jpeg(*segments: bytes, picture: Image.Image = WIDE, **options: object) -> bytes:
    data = encoded(picture, "JPEG", quality=95, **options)
    return data[:2] + b"".join(segments) + data[2:]


def without_end(data: bytes) -> bytes:
    assert data.endswith(b"\xff\xd9")
    return data[:-2]


def is_turned(photo: Photo) -> bool:
    """Whether the corner that is stored as the upper left one is shown at the upper right, as orientation 6 says."""
    shown = photo.image.size == (photo.width, photo.height) == (64, 96)
    return shown and min(photo.image.getpixel((60, 4))) > 240 and max(photo.image.getpixel((4, 4))[1:]) < 60


def is_as_stored(photo: Photo) -> bool:
    shown = photo.image.size == (photo.width, photo.height) == (96, 64)
    return shown and min(photo.image.getpixel((4, 4))) > 240 and max(photo.image.getpixel((90, 4))[1:]) < 60


# The fraction at which a JPEG is decoded


def test_each_side_keeps_nearly_twice_the_pixels_of_the_networks_input():
    assert [enough(side) for side in (1, 10, 224, 384)] == [2, 19, 426, 730]


@pytest.mark.parametrize(
    ("max_pixels", "side", "size"),
    [
        *((10**6, None, (96, 64)), (10**6, 17, (96, 64)), (10**6, 16, (48, 32)), (10**6, 8, (24, 16)), (10**6, 1, (12, 8))),
        *((6144, None, (96, 64)), (6143, None, (48, 32)), (1536, None, (48, 32)), (1535, None, (24, 16))),
        *((768, None, (24, 16)), (6143, 17, (48, 32)), (1535, 16, (24, 16)), (768, 4, (12, 8))),
    ],
)
def test_a_jpeg_is_decoded_at_the_largest_fraction_that_is_enough_and_fits(max_pixels, side, size):
    photo = decode(jpeg(), max_pixels, side)
    assert (photo.image.size, photo.width, photo.height) == (size, 96, 64)


@pytest.mark.parametrize("size", [(4, 64), (64, 4)])
def test_a_thin_jpeg_may_be_decoded_at_a_pixel_in_width(size):
    photo = decode(jpeg(picture=Image.new("RGB", size)), max_pixels=40)
    assert photo.image.size == (size[0] // 4, size[1] // 4)


def test_a_small_jpeg_is_not_decoded_smaller_than_it_has_to_be():
    assert decode(jpeg(picture=Image.new("RGB", (8, 8))), max_pixels=10).image.size == (2, 2)


@pytest.mark.parametrize("max_pixels", [767, 383, 90, 1])
def test_a_jpeg_has_at_most_eight_times_the_pixels(max_pixels):
    told = f"The photo has 96 x 64 = 6144 pixels; at most {max_pixels} are accepted, and of a JPEG"
    with pytest.raises(TooLarge, match=told):
        decode(jpeg(), max_pixels, 1)


def test_a_jpeg_that_is_not_reduced_has_the_pixels_of_any_decoder():
    for options in ({}, {"progressive": True}, {"subsampling": 2}):
        data = jpeg(**options)
        assert np.array_equal(np.asarray(decode(data).image), np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_other_formats_are_decoded_whole_or_not_at_all(kind):
    data = encoded(WIDE, kind)
    assert decode(data, 6144, 1).image.size == (96, 64)
    with pytest.raises(TooLarge, match=r"= 6144 pixels; at most 6143 are accepted\.$"):
        decode(data, 6143, 1)


def test_a_heic_is_reduced_to_what_is_enough():
    photo = decode(encoded(WIDE, "HEIC"), side=16)
    assert (photo.image.size, photo.width, photo.height) == ((48, 32), 96, 64)
    assert min(photo.image.getpixel((4, 4))) > 235


# Which orientation counts


@pytest.fixture
def unparsed(monkeypatch):
    """From here on Pillow fails when it parses an EXIF block, which costs a photo its orientation."""

    def fails(*_: object) -> None:
        raise AssertionError("Pillow parses an EXIF block")

    return lambda: monkeypatch.setattr(Image.Exif, "load", fails)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_block_that_costs_too_much_turns_the_photo_unparsed(kind, unparsed):
    plain, costly = (jpeg(exif(block)) if kind == "JPEG" else encoded(WIDE, kind, exif=block) for block in (TURNED, COSTLY))
    assert is_turned(decode(plain))
    unparsed()
    assert is_turned(decode(costly))
    if kind != "JPEG":  # of which Pillow reads the resolution, too, so that it is mended
        assert is_as_stored(decode(plain)), "it would have been parsed"


@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
def test_a_costly_block_in_a_text_as_imagemagick_writes_it_is_one_too(prefix, unparsed):
    info = PngImagePlugin.PngInfo()
    digits = (prefix + COSTLY).hex()
    lines = [digits[at : at + 72] for at in range(0, len(digits), 72)]
    info.add_text("Raw profile type exif", "\n".join(["", "exif", f"{len(digits) // 2:8}", *lines, ""]))
    data = encoded(WIDE, "PNG", pnginfo=info)
    unparsed()
    assert is_turned(decode(data))


def test_without_an_exif_block_the_orientation_of_xmp_counts():
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    for data in (jpeg(segment(0xE1, XMP_NAME + XMP)), encoded(WIDE, "PNG", pnginfo=info), encoded(WIDE, "WEBP", xmp=XMP)):
        assert is_turned(decode(data))


def test_a_photo_without_any_is_as_it_is_stored():
    assert is_as_stored(decode(jpeg()))
    assert is_as_stored(decode(encoded(WIDE, "PNG")))
    assert is_as_stored(decode(jpeg(exif(tiff([(271, 2, 4, 0)])))))


# JPEGs that a parser refuses


def test_pillow_alone_refuses_metadata_without_sense():
    with pytest.raises(OSError, match="cannot identify"):
        Image.open(io.BytesIO(jpeg(NONSENSE)))


@pytest.mark.parametrize("damaged", [without_end(jpeg()), jpeg(NONSENSE), without_end(jpeg(NONSENSE))])
def test_a_damaged_jpeg_shows_the_pixels_of_the_whole_one(damaged):
    whole, photo = decode(jpeg()), decode(damaged)
    assert is_as_stored(photo)
    assert np.array_equal(np.asarray(photo.image), np.asarray(whole.image))
    assert (photo.format, photo.animated, photo.size) == ("JPEG", False, len(damaged))


@pytest.mark.parametrize("block", [TURNED, COSTLY], ids=["plain", "costly"])
def test_a_damaged_jpeg_is_turned_as_its_exif_block_says(block):
    """Whatever comes before or behind the block."""
    xmp = segment(0xE1, XMP_NAME + XMP.replace(b'"6"', b'"3"'))
    for segments in ([exif(block)], [xmp, exif(block), xmp], [segment(0xEF, b"Exif"), exif(block), segment(0xE2, b"ICC")]):
        assert is_turned(decode(without_end(jpeg(*segments))))
        assert is_turned(decode(jpeg(*segments, NONSENSE)))


def test_a_profile_that_looks_like_an_exif_block_turns_nothing():
    assert is_as_stored(decode(without_end(jpeg(segment(0xE2, b"Exif\0\0" + TURNED)))))


@pytest.mark.parametrize("damaged", [without_end(jpeg()), jpeg(NONSENSE)])
def test_a_damaged_jpeg_is_decoded_at_a_fraction_too(damaged):
    assert decode(damaged, side=16).image.size == (48, 32)
    assert decode(damaged, max_pixels=1535).image.size == (24, 16)
    with pytest.raises(TooLarge, match="96 x 64"):
        decode(damaged, max_pixels=700)


@pytest.mark.parametrize("side", [None, 8])
@pytest.mark.parametrize("segments", [[], [NONSENSE]])
def test_a_jpeg_that_lacks_pixels_is_refused_for_what_its_parser_says(segments, side):
    noise = Image.fromarray(np.random.default_rng(5).integers(0, 256, (64, 96, 3), np.uint8))
    data = jpeg(*segments, picture=noise)
    for share in (0.5, 0.9):
        with pytest.raises(BrokenImage, match=r"^The JPEG file is broken: "):
            decode(data[: int(share * len(data))], side=side)
    with pytest.raises(BrokenImage, match=r"^The JPEG file is broken: "):
        decode(without_end(jpeg(picture=noise, progressive=True))[:-400])


def test_a_broken_png_is_not_mended():
    data = encoded(WIDE, "PNG")
    with pytest.raises(BrokenImage, match=r"^The PNG file is broken: "):
        decode(data[: len(data) // 2])


# What Pillow makes of some files


def test_a_jpeg_with_further_pictures_is_a_jpeg():
    data = encoded(WIDE, "MPO", save_all=True, append_images=[Image.new("RGB", WIDE.size, "blue")])
    assert Image.open(io.BytesIO(data)).format == "MPO"
    photo = decode(data, side=8)
    assert (photo.format, photo.animated, photo.image.size) == ("JPEG", False, (24, 16))


def cmyk(kind: str, adobe: bool) -> bytes:
    """A red picture; Adobe's marker says that a JPEG's values are stored inverted."""
    values = np.asarray(Image.new("CMYK", (16, 16), (0, 255, 255, 0)))
    if kind != "JPEG":
        return encoded(Image.fromarray(values, "CMYK"), kind)
    data = encoded(Image.fromarray(values if adobe else 255 - values, "CMYK"), "JPEG", quality=95)
    at = data.index(b"\xff\xee")
    return data if adobe else data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4]) :]


@pytest.mark.parametrize(("kind", "adobe"), [("JPEG", True), ("JPEG", False), ("TIFF", True)])
def test_red_in_four_inks_is_red(kind, adobe):
    red, green, blue = decode(cmyk(kind, adobe)).image.getpixel((8, 8))
    assert (red > 240, green < 15, blue < 15) == (True, True, True)


def written(values: np.ndarray, **options: object) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, values, **options)
    return out.getvalue()


@pytest.mark.parametrize("channels", [3, 4])
def test_a_tiff_of_deep_planes_is_told_what_is_read(channels):
    planes = np.full((channels, 8, 9), 257 * 90, np.uint16)
    extra = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    with pytest.raises(UnsupportedImage) as refused:
        decode(written(planes, photometric="rgb", planarconfig="separate", **extra))
    assert str(refused.value) == (
        "The TIFF file has its colours in separate planes of 16 bits, which is not read; "
        "8 bits are, and 16 bits with the colours of each pixel side by side."
    )


def planes_of(bits: list[int], planes: int | None, values: bytes) -> bytes:
    """A TIFF of 2 x 1 pixels with so many bits in each channel, by hand."""
    grey = len(bits) == 1
    entries = [(256, 3, 1, 2), (257, 3, 1, 1), (258, 3, len(bits), 0), (259, 3, 1, 1), (262, 3, 1, 1 if grey else 2)]
    count = len(entries) + 4 + (planes is not None)
    behind = 8 + 2 + 12 * count + 4
    entries[2] = (258, 3, len(bits), bits[0] if grey else behind)
    entries += [(273, 4, 1, behind + 2 * len(bits)), (277, 3, 1, len(bits)), (278, 3, 1, 1), (279, 4, 1, len(values))]
    entries += [] if planes is None else [(284, 3, 1, planes)]
    return tiff(entries) + struct.pack(f"<{len(bits)}H", *bits) + values


def test_deep_values_in_one_plane_are_read_whatever_is_said_of_planes():
    image = decode(planes_of([1], 2, b"\x80")).image
    assert [image.getpixel((x, 0)) for x in (0, 1)] == [WHITE, (0, 0, 0)]
    grey = struct.pack("<2H", 0x1234, 0xAB00)
    for planes in (None, 1):
        image = decode(planes_of([16], planes, grey)).image
        assert [image.getpixel((x, 0))[0] for x in (0, 1)] == [0x12, 0xAB]
    colours = struct.pack("<6H", 0x1100, 0x2200, 0x3300, 0x4400, 0x5500, 0x6600)
    for planes in (None, 1):
        image = decode(planes_of([16, 16, 16], planes, colours)).image
        assert [image.getpixel((x, 0)) for x in (0, 1)] == [(0x11, 0x22, 0x33), (0x44, 0x55, 0x66)]


def test_byte_planes_are_read():
    image = decode(
        written(np.array([[[1, 2]], [[3, 4]], [[5, 6]]], np.uint8), photometric="rgb", planarconfig="separate")
    ).image
    assert [image.getpixel((x, 0)) for x in (0, 1)] == [(1, 3, 5), (2, 4, 6)]


@pytest.mark.parametrize("kind", ["PPM", "ICO", "TGA", "PCX"])
def test_a_format_that_pillow_knows_and_nobody_promised_is_not_read(kind):
    with pytest.raises(UnsupportedImage, match="accepted formats are JPEG"):
        decode(encoded(WIDE, kind))


@pytest.mark.parametrize(
    ("mode", "clear"), [("L", 7), ("RGB", (1, 2, 3)), ("P", 0)], ids=["a grey", "a colour", "one of a palette"]
)
def test_a_value_that_stands_for_transparent_is_white(mode, clear):
    image = Image.new(mode, (2, 1), clear)
    if mode == "P":
        image.putpalette([0, 0, 0, 9, 9, 9])
    image.putpixel((1, 0), 1 if mode == "P" else 9 if mode == "L" else (9, 9, 9))
    shown = decode(encoded(image, "PNG", transparency=clear)).image
    assert [shown.getpixel((x, 0)) for x in (0, 1)] == [WHITE, (9, 9, 9)]


def test_texts_of_a_png_that_unpack_to_megabytes_are_not_held():
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(900_000)))
    assert decode(png(text)).width == 8
    with pytest.raises(BrokenImage, match="PNG"):
        decode(png(text * 10))
