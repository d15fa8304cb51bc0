"""HEIC files that claim what they do not have: refused before the decoder sees them."""

import struct

import pytest
from PIL import Image

from app.errors import BrokenImage, TooLarge, UnsupportedImage
from app.inference.decode import decode
from tests.app.inference.heics import FTYP, ISPE, PRIMARY, box, configured, file_with, ispe, located, sps
from tests.conftest import encoded


def claims(data: bytes, width: int, height: int) -> bytes:
    """The same file with another size in every `ispe` property."""
    at = data.index(b"ispe")
    while at >= 0:
        data = data[: at + 8] + struct.pack(">II", width, height) + data[at + 16 :]
        at = data.find(b"ispe", at + 4)
    return data


@pytest.mark.promise("P23")
@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (2**31, 2**31), (1_000_000, 10)])
def test_a_size_in_the_properties_is_refused_before_the_decoder_sees_it(width, height):
    with pytest.raises(TooLarge, match=f"{width} x {height}"):
        decode(claims(encoded(Image.new("RGB", (64, 64)), "HEIC"), width, height))


@pytest.mark.promise("P23")
def test_a_size_in_the_pictures_own_header_is_refused_wherever_it_is():
    unit = sps(60_000, 60_000)
    with pytest.raises(TooLarge, match="59936 x 59936"):
        decode(file_with([ISPE, configured(unit)]))
    with pytest.raises(TooLarge, match="59936 x 59936"):
        decode(file_with([ISPE, configured(sps(64, 64))], stream=struct.pack(">I", len(unit)) + unit))


@pytest.mark.promise("P23")
@pytest.mark.parametrize("options", [{"chroma": 3}, {"layers": 1}, {"layers": 6}], ids=str)
def test_a_size_behind_what_few_headers_have_is_refused_too(options):
    with pytest.raises(TooLarge, match="59936 x 59936"):
        decode(file_with([ISPE, configured(sps(60_000, 60_000, **options))]))


@pytest.mark.promise("P23")
def test_a_size_in_a_box_whose_own_length_takes_eight_bytes_is_refused():
    meta = box(b"meta", bytes(4) + PRIMARY + box(b"iprp", box(b"ipco", ispe(60_000, 60_000))))
    wide = struct.pack(">I4sQ", 1, b"meta", len(meta) + 8) + meta[8:]
    with pytest.raises(TooLarge, match="60000 x 60000"):
        decode(FTYP + wide)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (file_with([box(b"ispe", bytes(5))]), "one of its boxes ends too early"),
        (file_with([ISPE, configured(sps(64, 64)[:14])]), "the header of one of its pictures ends too early"),
        (FTYP + struct.pack(">I4s", 4, b"meta") + bytes(50), "it has no primary image"),
    ],
    ids=["a property", "a header", "a box shorter than its own head"],
)
def test_what_ends_too_early_is_broken(data, says):
    with pytest.raises(BrokenImage, match=says):
        decode(data)


@pytest.mark.parametrize(
    "behind", [b"\0" * 23, configured(sps(64, 64))[8:] + b"\0" * 9], ids=["no unit", "more behind its units"]
)
def test_a_configuration_is_read_to_the_end_of_its_units(behind):
    with pytest.raises(BrokenImage, match="HEIC file is broken"):
        decode(file_with([ISPE, box(b"hvcC", behind)]))


@pytest.mark.promise("P23")
def test_a_size_in_a_picture_that_lies_in_the_metadata_itself_is_refused():
    unit = sps(60_000, 60_000)
    stream = struct.pack(">I", len(unit)) + unit
    with pytest.raises(TooLarge, match="59936 x 59936"):
        decode(file_with([ISPE], more=box(b"idat", stream) + located(1, 0, len(stream))))


def test_a_picture_whose_bytes_are_said_to_be_in_another_item_is_refused():
    with pytest.raises(BrokenImage, match="in another item"):
        decode(file_with([ISPE], more=located(2, 0, 10)))


@pytest.mark.promise("P23")
def test_a_picture_of_thousands_of_units_is_refused():
    with pytest.raises(BrokenImage, match="more than 4000 units"):
        decode(file_with([ISPE], stream=struct.pack(">I", 2) + b"\x02\x01" + (struct.pack(">I", 2) + b"\x02\x01") * 4000))


@pytest.mark.promise("P23")
def test_thousands_of_items_are_refused():
    infes = b"".join(box(b"infe", b"\2\0\0\0" + struct.pack(">HH", n, 0) + b"hvc1\0") for n in range(1, 4002))
    meta = PRIMARY + box(b"iinf", bytes(4) + struct.pack(">H", 4001) + infes)
    with pytest.raises(BrokenImage, match="more than 4000 items"):
        decode(FTYP + box(b"meta", bytes(4) + meta))


@pytest.mark.promise("P23")
def test_an_image_of_more_others_than_there_may_be_is_refused():
    references = box(b"iref", bytes(4) + box(b"dimg", struct.pack(">HH", 1, 4001)))
    with pytest.raises(BrokenImage, match="made of 4001 others"):
        decode(file_with([ISPE], more=references))


@pytest.mark.promise("P23")
def test_an_image_of_more_tiles_than_it_has_pixels_is_refused():
    grid = box(b"infe", b"\2\0\0\0\0\2\0\0grid\0")
    data = file_with([ispe(5000, 5000), configured(sps(64, 64))])
    references = box(b"iref", bytes(4) + box(b"dimg", struct.pack(">HH", 2, 100) + struct.pack(">H", 1) * 100))
    meta = data[data.index(b"meta") + 8 : data.index(b"mdat") - 4]
    meta = meta.replace(PRIMARY, box(b"pitm", bytes(4) + b"\0\2") + references + grid)
    with pytest.raises(TooLarge, match="2500000000 pixels"):
        decode(FTYP + box(b"meta", bytes(4) + meta))


@pytest.mark.promise("P23")
def test_an_image_that_is_made_of_another_and_so_on_is_refused():
    parts = b"".join(box(b"dimg", struct.pack(">HHH", n, 1, n + 1)) for n in range(1, 3000))
    infes = b"".join(box(b"infe", b"\2\0\0\0" + struct.pack(">HH", n, 0) + b"grid\0") for n in range(1, 3001))
    meta = PRIMARY + box(b"iinf", bytes(4) + struct.pack(">H", 3000) + infes)
    with pytest.raises(BrokenImage, match="made of others"):
        decode(FTYP + box(b"meta", bytes(4) + meta + box(b"iref", bytes(4) + parts)))


@pytest.mark.promise("P23")
def test_items_that_claim_the_file_again_and_again_are_refused():
    with pytest.raises(BrokenImage, match="claim 1000000 bytes"):
        decode(file_with([ISPE], claimed=1_000_000))


@pytest.mark.promise("P23")
def test_a_million_boxes_are_refused():
    data = FTYP
    with pytest.raises(BrokenImage, match="boxes"):
        decode(data + box(b"free", b"") * 1_000_000)
    with pytest.raises(BrokenImage, match="boxes"):
        decode(data + box(b"meta", bytes(4) + box(b"iprp", box(b"ipco", box(b"free", b"") * 1_000_000))))


def test_boxes_inside_each_other_are_refused():
    data = b""
    for _ in range(3000):
        data = box(b"meta", bytes(4) + data)
    with pytest.raises((BrokenImage, UnsupportedImage)):
        decode(FTYP + data)


@pytest.mark.promise("P18")
@pytest.mark.parametrize("kind", [b"av01", b"unci", b"jpeg", b"mski"])
def test_a_picture_of_another_coding_is_refused_by_its_name(kind):
    with pytest.raises(UnsupportedImage, match=kind.decode()):
        decode(file_with([ISPE], kind))


def test_a_file_without_a_still_image_is_refused():
    with pytest.raises(UnsupportedImage, match="image sequence"):
        decode(box(b"ftyp", b"hevc\0\0\0\0hevc") + box(b"moov", bytes(100)))
