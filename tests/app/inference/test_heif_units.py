"""The sizes that HEVC pictures state in their own headers, to the bit; and small pictures through the decoder."""

import io
import struct
import sys

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from app.errors import BrokenImage, TooLarge, UnsupportedImage
from app.inference import heif
from app.inference.heif import MAX_ITEMS, PADDING
from tests.app.inference.heics import ISPE, box, file_with, golomb, located, sps, unit
from tests.app.inference.test_heif_boxes import passes, refusal
from tests.conftest import encoded

EARLY = "The HEIC file is broken: the header of one of its pictures ends too early."
MOST = 1000 + PADDING
"""The longest side that a header may state where 1000 pixels are accepted."""
TOO_WIDE = sps(MOST + 1, 9 + PADDING)
TOLD = "The photo has 1001 x 9 pixels; at most 1000 per side are accepted."


def says(unit: bytes, max_pixels: int = 1000 * 9, max_side: int = 1000) -> str:
    """What is said of a picture with this unit, or nothing."""
    try:
        heif._check_unit(unit, max_pixels, max_side)
    except (BrokenImage, TooLarge) as error:
        return str(error)
    return ""


# Sequence parameter sets


def test_a_side_may_have_padding_beyond_each_limit():
    assert says(sps(MOST, 9 + PADDING)) == ""
    assert says(sps(9 + PADDING, MOST)) == ""
    assert says(TOO_WIDE, 10**9) == TOLD
    assert says(sps(9 + PADDING, MOST + 1), 10**9) == "The photo has 9 x 1001 pixels; at most 1000 per side are accepted."
    assert says(sps(MOST, 10 + PADDING)) == "The photo has 1000 x 10 = 10000 pixels; at most 9000 are accepted."
    for size in ((1, MOST), (PADDING, MOST), (MOST, PADDING), (MOST, 1), (1, 1)):
        assert says(sps(*size), max_pixels=999) == "", "of no width, or no height, beside the padding"


def bits(
    layers: int = 0, flags: str = "", levels: str = "", before: str = "1111", number: int = 0, colours: str = ""
) -> str:
    """All that comes before the size, with ones wherever nothing is looked at."""
    return f"{before}{layers:03b}1" + "1" * 96 + flags + levels + golomb(number) + (colours or golomb(1))


SIZE = golomb(MOST + 1) + golomb(9 + PADDING)


@pytest.mark.parametrize(
    "head",
    [
        bits(),
        bits(before="0000"),
        bits(number=15),
        bits(colours=golomb(0)),
        bits(colours=golomb(2)),
        bits(colours=golomb(3) + "0"),
        bits(colours=golomb(3) + "1"),
        bits(colours=golomb(4)),
        bits(1, "00" + "11" * 7),
        bits(1, "10" + "11" * 7, "1" * 88),
        bits(1, "01" + "11" * 7, "1" * 8),
        bits(2, "1101" + "11" * 6, "1" * 96 + "1" * 8),
        bits(7, "00" * 6 + "10" + "11", "1" * 88),
        bits(6, "11" * 6 + "00" * 2, "1" * 96 * 6),
    ],
)
def test_a_size_is_found_behind_whatever_comes_before_it(head):
    assert says(unit(head + SIZE), 10**9) == TOLD
    assert says(unit(head + golomb(MOST) + golomb(9)), 10**9) == ""


@pytest.mark.parametrize("width", [0, 1, 2, 3, 1001 + PADDING, 65_535, 2**31])
def test_numbers_have_as_many_bits_as_they_need(width):
    told = "" if width <= MOST else f"The photo has {width - PADDING} x 9 pixels; at most 1000 per side are accepted."
    assert says(unit(bits() + golomb(width) + golomb(9 + PADDING)), 10**15) == told


def test_a_header_may_end_with_its_size_and_not_before():
    whole = bits() + golomb(510) + golomb(40)
    assert len(whole) % 8 == 0
    assert says(unit(whole)) == ""
    assert says(unit(whole)[:-1]) == EARLY
    assert says(b"\x42\x01") == EARLY
    assert says(b"\x42\x01" + bytes(400)) == EARLY, "a number of nothing but zeros"


@pytest.mark.parametrize("first", [0x42, 0x43, 0xC2])
def test_a_unit_tells_its_type_in_six_bits(first):
    assert says(bytes([first]) + TOO_WIDE[1:], 10**9) == TOLD


@pytest.mark.parametrize("first", [0x40, 0x44, 0x02, 0x62])
def test_a_unit_of_another_type_has_no_size(first):
    assert says(bytes([first]) + TOO_WIDE[1:]) == ""
    assert says(b"\x42") == says(b"") == ""


def test_bytes_that_only_tell_zeros_from_a_begin_are_left_out():
    """A 3 is put behind each two zeros."""
    plain = sps(60_000, 60_000)
    assert plain.count(b"\0\0") > 1
    escaped = plain.replace(b"\0\0", b"\0\0\3")
    assert says(escaped) == says(plain) != ""


# Where they are


def several(*arrays: list[bytes]) -> bytes:
    """A configuration of several arrays of units."""
    body = bytes(22) + bytes([len(arrays)])
    for array in arrays:
        body += b"\x21" + struct.pack(">H", len(array)) + b"".join(struct.pack(">H", len(one)) + one for one in array)
    return box(b"hvcC", body)


FINE, LONG = sps(64, 64), b"\x40" + b"\1" * 300
CUT = unit(bits() + golomb(40) + golomb(255))[:-1]
"""One that lacks its last byte, which is 0, and is not to take it from the length that follows."""


@pytest.mark.parametrize(
    "property_",
    [
        several([TOO_WIDE]),
        several([FINE, LONG], [TOO_WIDE]),
        several([LONG], [], [FINE, TOO_WIDE, LONG]),
        several([b"\x40\1"] * 255 + [TOO_WIDE]),
    ],
)
def test_every_unit_of_a_configuration_is_looked_at(property_):
    assert refusal(TooLarge, file_with([ISPE, property_]), 10**9) == TOLD
    assert refusal(TooLarge, file_with([property_, ISPE]), 10**9) == TOLD
    assert refusal(TooLarge, file_with([several([FINE]), property_]), 10**9) == TOLD


def test_a_configuration_ends_with_its_last_unit():
    assert passes(file_with([ISPE, several([FINE])]))
    assert passes(file_with([ISPE, box(b"hvcC", several([FINE])[8:] + b"\0\2\x42\1")]))
    assert passes(file_with([ISPE, box(b"hvcC", several([FINE])[8:] + several([TOO_WIDE])[8 + 23 :])]))
    assert passes(file_with([ISPE, box(b"hvcC", bytes(22) + b"\xff" + b"\x21\xff\xff")]))
    assert refusal(BrokenImage, file_with([ISPE, several([CUT, FINE])])) == EARLY
    told = "The HEIC file is broken: one of its boxes ends too early."
    assert refusal(BrokenImage, file_with([ISPE, box(b"hvcC", bytes(22))])) == told


def stream(*units: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(one)) + one for one in units)


def test_every_unit_of_a_picture_is_looked_at():
    for units in ([TOO_WIDE], [FINE, TOO_WIDE], [LONG + b"\1" * 70_000, TOO_WIDE, LONG]):
        assert refusal(TooLarge, file_with([ISPE], stream=stream(*units)), 10**9) == TOLD
    assert refusal(BrokenImage, file_with([ISPE], stream=stream(FINE, b"\x42\1"))) == EARLY
    assert refusal(BrokenImage, file_with([ISPE], stream=stream(CUT, FINE))) == EARLY
    assert passes(file_with([ISPE], stream=stream(FINE) + b"\0\0\0\1\x42"))
    assert passes(file_with([ISPE], b"grid", stream=stream(TOO_WIDE)), 10**9), "that of another item"


def test_a_picture_may_lie_in_pieces_and_in_the_metadata():
    whole = stream(FINE, TOO_WIDE)
    idat = box(b"idat", b"xyz" + whole)
    assert refusal(TooLarge, file_with([ISPE], more=idat + located(1, 3, len(whole))), 10**9) == TOLD
    beside = file_with([ISPE], stream=whole, more=box(b"idat", bytes(900)))
    assert refusal(TooLarge, beside, 10**9) == TOLD, "that of another item is none of its own"
    pieces = box(b"iloc", b"\1\0\0\0\x44\0\0\1" + struct.pack(">HHHHIIII", 1, 1, 0, 2, 3, 30, 33, len(whole) - 30))
    assert refusal(TooLarge, file_with([ISPE], more=idat + pieces), 10**9) == TOLD
    assert passes(file_with([ISPE], more=idat + located(1, 3, len(stream(FINE)))), 10**9)


def test_a_picture_may_have_as_many_units_and_no_more():
    units = [b"\x02\x01"] * MAX_ITEMS
    assert passes(file_with([ISPE], stream=stream(*units)))
    told = f"The HEIC file is broken: one of its pictures has more than {MAX_ITEMS} units."
    assert refusal(BrokenImage, file_with([ISPE], stream=stream(*units, b"\x02\x01"))) == told


# Through the decoder


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    """Of soft colours, 70 x 66 pixels."""
    y, x = np.mgrid[0:66, 0:70]
    return Image.fromarray(np.stack([x * 3, y * 3, 255 - x - y], 2).astype(np.uint8))


@pytest.fixture(scope="module")
def file(picture) -> bytes:
    return encoded(picture, "HEIC")


def near(image: Image.Image, expected: Image.Image) -> bool:
    return float(np.abs(np.asarray(image.convert("RGB"), int) - np.asarray(expected, int)).mean()) < 4


@pytest.mark.parametrize(
    ("target", "size"), [(None, (70, 66)), (66, (70, 66)), (34, (70, 66)), (33, (35, 33)), (22, (24, 22))]
)
def test_a_picture_is_reduced_by_the_largest_factor_that_leaves_its_target(picture, file, target, size):
    image, width, height = heif.decode(file, 4620, 70, target)
    assert (image.size, width, height) == (size, 70, 66)
    assert near(image, picture.reduce(round(70 / size[0])))


def test_a_picture_smaller_than_its_target_is_not_enlarged(file):
    assert heif.decode(file, 10**6, 1000, 500)[0].size == (70, 66)


@pytest.mark.parametrize(("max_pixels", "max_side"), [(4619, 70), (4620, 69)])
def test_what_the_decoder_says_of_its_size_is_checked(file, max_pixels, max_side):
    with pytest.raises(TooLarge, match="The photo has 70 x 66"):
        heif.decode(file, max_pixels, max_side, None)


def test_ten_bits_become_eight(picture):
    out = io.BytesIO()
    values = (np.asarray(picture).astype("<u2") * 257).tobytes()
    pillow_heif.from_bytes("RGB;16", picture.size, values).save(out, quality=90)
    image, _, _ = heif.decode(out.getvalue(), 10**6, 1000, None)
    assert image.mode == "RGB"
    assert near(image, picture)


def test_transparency_stays(picture):
    clear = picture.convert("RGBA")
    clear.putalpha(128)
    image, _, _ = heif.decode(encoded(clear, "HEIC"), 10**6, 1000, 33)
    assert (image.mode, image.size) == ("RGBA", (35, 33))
    assert np.abs(np.asarray(image)[..., 3].astype(int) - 128).max() < 4


@pytest.mark.parametrize("primary", [0, 1])
def test_the_primary_of_two_is_decoded(picture, primary):
    both = pillow_heif.from_pillow(picture)
    both.add_from_pillow(Image.new("RGB", (80, 64), "blue"))
    out = io.BytesIO()
    both.save(out, primary_index=primary)
    assert heif.decode(out.getvalue(), 10**6, 1000, None)[1:] == ((70, 66), (80, 64))[primary]


def test_a_file_whose_primary_image_the_decoder_leaves_out_is_told_so(file, monkeypatch):
    import _pi_heif

    monkeypatch.setattr(_pi_heif, "load_file", lambda *_: [None])
    with pytest.raises(ValueError, match=r"^its primary image cannot be read$"):
        heif.decode(file, 10**6, 1000, None)


def test_without_its_decoder_the_file_is_told_what_is_missing(file, monkeypatch):
    monkeypatch.setitem(sys.modules, "_pi_heif", None)
    told = "The file is a HEIC photo, and pi-heif, which reads those, is not installed."
    with pytest.raises(UnsupportedImage) as refused:
        heif.decode(file, 10**6, 1000, None)
    assert str(refused.value) == told


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
@pytest.mark.parametrize("factor", [1, 2, 3, 7, 600])
@pytest.mark.parametrize("size", [(5, 1100), (9, 1024), (4, 3)])
def test_strips_are_reduced_to_what_the_whole_would_be(mode, factor, size):
    """Rows may have more bytes than pixels."""
    width, height = size
    stride = width * len(mode) + 5
    rows = np.random.default_rng(4).integers(0, 256, (height, stride), np.uint8)
    whole = Image.frombytes(mode, size, rows[:, : width * len(mode)].tobytes())
    reduced = heif._reduced(memoryview(rows.tobytes()), size, mode, stride, factor)
    expected = whole.reduce(factor)
    assert (reduced.mode, reduced.size) == (mode, expected.size)
    assert np.array_equal(np.asarray(reduced), np.asarray(expected))
