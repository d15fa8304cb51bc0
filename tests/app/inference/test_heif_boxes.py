"""What is read of a HEIC file's boxes, to the byte: versions, widths of numbers, and what is just within each limit."""

import struct

import pytest

from app.errors import BrokenImage, TooLarge, UnsupportedImage
from app.inference import heif
from app.inference.heif import MAX_BOXES, MAX_DEPTH, MAX_ITEMS
from tests.app.inference.heics import FTYP, ISPE, PRIMARY, box, configured, file_with, infe, ispe, located, with_meta

EARLY = "The HEIC file is broken: one of its boxes ends too early."


def refusal(kind: type[Exception], data: bytes, max_pixels: int = 4096, max_side: int = 1000) -> str:
    with pytest.raises(kind) as refused:
        heif.check(data, max_pixels, max_side)
    assert type(refused.value) is kind
    return str(refused.value)


def passes(data: bytes, max_pixels: int = 4096, max_side: int = 1000) -> bool:
    heif.check(data, max_pixels, max_side)
    return True


def read(*boxes: bytes) -> heif._Meta:
    meta, data = heif._Meta(), with_meta(*boxes)
    heif._read(data, 0, len(data), meta)
    return meta


# Boxes


def test_a_box_has_its_length_in_four_bytes_or_in_eight_or_ends_with_the_file():
    data = (
        b"xy" + box(b"free", b"abc") + struct.pack(">I4sQ", 1, b"wide", 18) + b"de" + struct.pack(">I4s", 0, b"last") + b"fg"
    )
    parts = [(kind, data[begin:end]) for kind, begin, end in heif._boxes(data, 2, len(data))]
    assert parts == [(b"free", b"abc"), (b"wide", b"de"), (b"last", b"fg")]
    assert list(heif._boxes(box(b"free", b""), 0, 8)) == [(b"free", 8, 8)]
    assert list(heif._boxes(box(b"free", b""), 0, 7)) == []


def test_a_box_that_reaches_beyond_its_container_ends_with_it():
    assert list(heif._boxes(struct.pack(">I4s", 99, b"free") + bytes(20), 0, 12)) == [(b"free", 8, 12)]


@pytest.mark.parametrize("head", [struct.pack(">I4s", 7, b"free"), struct.pack(">I4sQ", 1, b"free", 15)])
def test_a_box_shorter_than_its_own_head_is_the_last(head):
    assert list(heif._boxes(box(b"skip", b"") + head + bytes(20), 0, 50)) == [(b"skip", 8, 8)]


def test_lengths_have_no_sign():
    assert list(heif._boxes(struct.pack(">I4s", 2**32 - 8, b"free") + bytes(20), 0, 28)) == [(b"free", 8, 28)]
    assert list(heif._boxes(struct.pack(">I4sQ", 1, b"free", 2**64 - 8) + bytes(20), 0, 36)) == [(b"free", 16, 36)]


def test_a_box_that_ends_within_its_head_is_broken():
    assert refusal(BrokenImage, FTYP + struct.pack(">I4s", 1, b"meta") + b"\0\0") == EARLY
    assert refusal(BrokenImage, with_meta(PRIMARY)[:-6]) == EARLY
    assert refusal(BrokenImage, with_meta(PRIMARY)[:-2]) == "The HEIC file is broken: it has no primary image."
    assert refusal(BrokenImage, FTYP + box(b"meta", bytes(4) + box(b"infe", b""))) == EARLY


# Items and properties


def test_the_primary_item_has_its_number_in_two_bytes_or_in_four():
    assert read(box(b"pitm", b"\0\0\0\0" + b"\1\2\3\4")).primary == 0x0102
    assert read(box(b"pitm", b"\1\0\0\0" + b"\1\2\3\4\5")).primary == 0x01020304


def test_an_items_kind_is_behind_its_number_in_two_bytes_or_in_four():
    narrow = box(b"infe", b"\2\0\0\0\1\2\0\0hvc1\0")
    wide = box(b"infe", b"\3\0\0\0\1\2\3\4\0\0grid\0")
    old = box(b"infe", b"\1\0\0\0\0\7\0\0name")
    meta = read(box(b"iinf", b"\0\0\0\0\0\3" + narrow + wide + old))
    assert {number: item.kind for number, item in meta.items.items()} == {0x0102: b"hvc1", 0x01020304: b"grid"}
    assert read(box(b"iinf", b"\1\0\0\0\0\0\0\1" + narrow)).items.keys() == {0x0102}


def test_properties_are_kept_in_order_with_their_content():
    meta = read(box(b"iprp", box(b"ipco", box(b"pixi", b"abc") + ISPE)))
    assert meta.properties == [(b"pixi", b"abc"), (b"ispe", ISPE[8:])]


def associations(version: int, wide_indices: bool, entries: list[tuple[int, list[int]]]) -> bytes:
    body = bytes([version, 0, 0, wide_indices]) + struct.pack(">I", len(entries))
    for number, indices in entries:
        body += struct.pack(">IB" if version else ">HB", number, len(indices))
        body += b"".join(struct.pack(">H" if wide_indices else ">B", index) for index in indices)
    return box(b"ipma", body)


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("wide_indices", [False, True])
def test_each_item_has_its_properties(version, wide_indices):
    """The first bit of an index says that the property must be understood."""
    numbers = (0x010203, 0x0405) if version else (0x0203, 0x0405)
    most, bit = (0x7FFF, 0x8000) if wide_indices else (0x7F, 0x80)
    entries = [(numbers[0], [1, most | bit, 3 | bit]), (numbers[1], [2]), (7, [])]
    meta = read(box(b"iprp", associations(version, wide_indices, entries)))
    assert {number: item.properties for number, item in meta.items.items()} == {
        numbers[0]: [1, most, 3],
        numbers[1]: [2],
        7: [],
    }


def test_associations_end_with_their_box_and_with_their_count():
    whole = associations(0, False, [(1, [1]), (2, [2])])
    assert read(whole[:11] + b"\0" + whole[12:15] + b"\1" + whole[16:]).items.keys() == {1}, "of which one is counted"
    more = whole[:15] + b"\x09" + whole[16:]
    assert read(more, box(b"free", bytes(40))).items.keys() == {1, 2}
    assert read(whole[:12] + struct.pack(">I", 2**24) + whole[16:]).items.keys() == {1, 2}
    odd = box(b"ipma", more[8:] + b"\0\7")
    assert read(odd, box(b"free", bytes(40))).items.keys() == {1, 2}, "and a number without properties is no entry"
    assert read(associations(0, True, [(1, [0x0102])])[:-1] + b"\2").items[1].properties == [0x0102]


_Extent = tuple[int, int]
"""Offset and length."""


def locations(version: int, sizes: tuple[int, int, int, int], items: list[tuple[int, int, int, list[_Extent]]]) -> bytes:
    """Where items are, by number, method, base and extents; `sizes` are those of offset, length, base and index."""
    offset_size, length_size, base_size, index_size = sizes
    body = bytes([version, 0, 0, 0, offset_size << 4 | length_size, base_size << 4 | index_size])
    wide = 4 if version == 2 else 2
    body += len(items).to_bytes(wide)
    for number, method, base, extents in items:
        body += number.to_bytes(wide) + (struct.pack(">H", method) if version else b"") + b"\x0a\x0b"
        body += base.to_bytes(base_size) + struct.pack(">H", len(extents))
        for offset, length in extents:
            index = b"\x0c" * index_size if version else b""
            body += index + offset.to_bytes(offset_size) + length.to_bytes(length_size)
    return box(b"iloc", body)


@pytest.mark.parametrize("sizes", [(4, 4, 4, 4), (8, 4, 0, 0), (4, 8, 8, 0), (0, 4, 4, 8)])
@pytest.mark.parametrize("version", [0, 1, 2])
def test_an_items_bytes_are_where_its_location_says(version, sizes):
    base, offset = 0x01000000 if sizes[2] else 0, 0x020000 if sizes[0] else 0
    first = 0x00010002 if version == 2 else 2
    items = [(first, 0x11, base, [(offset, 0x0304), (offset, 0x0506)]), (7, 0x20, base, [(offset, 9)])]
    meta = read(locations(version, sizes, items))
    assert meta.items[first].extents == [(base + offset, 0x0304), (base + offset, 0x0506)]
    assert meta.items[7].extents == [(base + offset, 9)]
    assert (meta.items[first].method, meta.items[7].method) == ((1, 0) if version else (0, 0))


def test_an_extent_without_a_length_is_the_whole_file():
    data = with_meta(locations(0, (4, 4, 0, 0), [(1, 0, 0, [(3, 0)])]))
    meta = heif._Meta()
    heif._read(data, 0, len(data), meta)
    assert meta.items[1].extents == [(3, len(data))]


def test_locations_end_with_their_box_and_with_their_count():
    whole = locations(0, (4, 4, 0, 0), [(1, 0, 0, [(1, 1)]), (2, 0, 0, [(1, 1)])])
    assert read(whole[:14] + b"\0\1" + whole[16:]).items.keys() == {1}, "of which one is counted"
    for more in (9, 256):
        assert read(whole[:14] + struct.pack(">H", more) + whole[16:], box(b"free", bytes(40))).items.keys() == {1, 2}


def test_references_name_what_an_image_is_made_from():
    narrow = box(b"dimg", struct.pack(">HHHH", 0x0102, 2, 3, 0x0405)) + box(b"thmb", struct.pack(">HHH", 9, 1, 8))
    meta = read(box(b"iref", bytes(4) + narrow + box(b"dimg", struct.pack(">HHH", 6, 1, 7))))
    assert {number: item.parts for number, item in meta.items.items()} == {0x0102: [3, 0x0405], 6: [7]}
    again = box(b"dimg", struct.pack(">HHH", 1, 1, 2)) + box(b"dimg", struct.pack(">HHH", 1, 1, 3))
    assert read(box(b"iref", bytes(4) + again)).items[1].parts == [2, 3]
    wide = box(b"dimg", struct.pack(">IHII", 0x01020304, 2, 5, 0x06070809))
    assert read(box(b"iref", b"\1\0\0\0" + wide)).items[0x01020304].parts == [5, 0x06070809]


def test_a_reference_that_ends_too_early_names_nothing():
    assert (
        read(box(b"iref", bytes(4) + box(b"dimg", struct.pack(">HHHB", 1, 2, 3, 4))), box(b"free", b"")).items[1].parts == []
    )


def test_an_image_may_be_made_from_as_many_as_there_may_be_items():
    def made_from(count: int) -> bytes:
        return box(b"iref", bytes(4) + box(b"dimg", struct.pack(">HH", 1, count) + b"\0\1" * count))

    assert len(read(made_from(MAX_ITEMS)).items[1].parts) == MAX_ITEMS
    told = f"The HEIC file is broken: an image claims to be made of {MAX_ITEMS + 1} others."
    assert refusal(BrokenImage, file_with([ISPE], more=made_from(MAX_ITEMS + 1))) == told


def test_a_file_may_have_a_still_image_a_sequence_or_both():
    assert passes(file_with([ISPE]) + box(b"moov", b""))
    told = "The file is a HEIC image sequence without a still image, which is not read."
    assert refusal(UnsupportedImage, FTYP + box(b"moov", b"")) == told
    assert refusal(BrokenImage, FTYP) == "The HEIC file is broken: it has no primary image."


def test_as_many_boxes_and_what_they_list_are_read_and_no_more():
    """Of the file 12 boxes and a property; two for an item and its property, two for it and its extent, two for its parts."""
    two = box(b"iref", bytes(4) + box(b"dimg", struct.pack(">HHHH", 9, 2, 1, 1)))
    data = file_with([ISPE], more=two)
    room = MAX_BOXES - (12 + 1 + 2 + 2 + 2)
    assert passes(data + box(b"free", b"") * room)
    told = f"The HEIC file is broken: it has more than {MAX_BOXES} boxes and pieces."
    assert refusal(BrokenImage, data + box(b"free", b"") * (room + 1)) == told


def test_as_many_items_are_read_and_no_more():
    def items(last: int) -> bytes:
        return file_with([ISPE], more=b"".join(infe(number) for number in range(2, last + 1)))

    assert passes(items(MAX_ITEMS))
    told = f"The HEIC file is broken: it has more than {MAX_ITEMS} items."
    assert refusal(BrokenImage, items(MAX_ITEMS + 1)) == told


def test_boxes_lie_in_others_to_a_depth_and_what_is_below_is_not_read():
    inner = PRIMARY
    for _ in range(MAX_DEPTH):
        inner = box(b"iprp", inner)
    meta = heif._Meta()
    heif._read(inner, 0, len(inner), meta)
    assert meta.primary == 1
    meta, deeper = heif._Meta(), box(b"iprp", inner)
    heif._read(deeper, 0, len(deeper), meta)
    assert meta.primary == 0


# What items claim


def test_items_may_claim_the_file_twice():
    data = file_with([ISPE], claimed=0)
    for size, times in ((2 * len(data), "1"), (0, "2")):
        assert passes(data[: data.index(b"iloc") + 22] + struct.pack(">I", size) + data[data.index(b"iloc") + 26 :]), times
    more = 2 * len(data) + 1
    at = data.index(b"iloc") + 22
    told = f"The HEIC file is broken: its items claim {more} bytes; the file has {len(data)}."
    assert refusal(BrokenImage, data[:at] + struct.pack(">I", more) + data[at + 4 :]) == told


def test_only_a_picture_needs_its_bytes_to_be_in_the_file():
    told = "The HEIC file is broken: a picture's bytes are said to be in another item."
    assert refusal(BrokenImage, file_with([ISPE], more=located(2, 0, 10))) == told
    assert passes(file_with([ISPE], more=located(1, 0, 10)))
    assert passes(file_with([ISPE], b"grid", more=located(2, 0, 10)))


def test_a_size_is_accepted_up_to_each_limit():
    assert passes(file_with([ispe(64, 64)]))
    told = "The photo has 64 x 65 = 4160 pixels; at most 4096 are accepted."
    assert refusal(TooLarge, file_with([ISPE, ispe(64, 65)])) == told
    assert passes(file_with([ispe(1000, 4)]))
    assert passes(file_with([ispe(4, 1000)]))
    told = "The photo has 1001 x 4 pixels; at most 1000 per side are accepted."
    assert refusal(TooLarge, file_with([ispe(1001, 4)])) == told
    told = "The photo has 4 x 1001 pixels; at most 1000 per side are accepted."
    assert refusal(TooLarge, file_with([ispe(4, 1001)])) == told
    assert passes(file_with([box(b"pixi", bytes(4) + struct.pack(">II", 9999, 9999)), ISPE])), "another property"


def grid(tiles: int, *properties: bytes, indices: list[int] | None = None) -> bytes:
    """A primary item of `tiles` times item 2, which has these properties, or those of some indices."""
    ipma = associations(0, False, [(2, list(range(1, len(properties) + 1)) if indices is None else indices)])
    references = box(b"iref", bytes(4) + box(b"dimg", struct.pack(">HH", 1, tiles) + b"\0\2" * tiles))
    items = box(b"iinf", bytes(4) + b"\0\2" + infe(1, b"grid") + infe(2))
    return with_meta(PRIMARY, items, box(b"iprp", box(b"ipco", b"".join(properties)) + ipma), references)


def test_tiles_have_at_most_four_times_the_pixels():
    assert passes(grid(4, ISPE))
    told = "The HEIC photo is made of tiles with 20480 pixels; at most 4096 are accepted."
    assert refusal(TooLarge, grid(5, ISPE)) == told
    assert refusal(TooLarge, grid(5, ispe(1, 1), ISPE, ispe(1, 1))) == told, "the largest of a tile's sizes counts"
    assert passes(grid(4000, box(b"pixi", ISPE[8:])), 999), "tiles of no size, which the decoder refuses"
    assert passes(grid(4000, ispe(9, 9), indices=[]), 999)


def test_a_tile_has_the_properties_of_its_indices():
    assert "20480 pixels" in refusal(TooLarge, grid(5, ISPE, ispe(1, 1), indices=[1]))
    for others in ([2], [0], [3], []):
        assert passes(grid(5, ISPE, ispe(1, 1), indices=others))
        assert passes(grid(5, ispe(1, 1), ISPE, indices=[0])), "there is none of this index"


def test_an_image_that_is_made_from_itself_has_no_pixels():
    itself = box(b"iref", bytes(4) + box(b"dimg", struct.pack(">HH", 1, 4000) + b"\0\1" * 4000))
    assert passes(file_with([ispe(9, 9)], b"iden", more=itself), 999)


def test_images_are_made_of_others_to_a_depth():
    def chain(length: int) -> bytes:
        """Item 1 made of 2, and so on; the last is a picture."""
        items = b"".join(infe(number, b"iovl") for number in range(1, length + 1)) + infe(length + 1, b"hev1")
        parts = b"".join(box(b"dimg", struct.pack(">HHH", number, 1, number + 1)) for number in range(1, length + 1))
        return with_meta(PRIMARY, box(b"iinf", bytes(6) + items), box(b"iref", bytes(4) + parts))

    assert passes(chain(MAX_DEPTH))
    told = f"The HEIC file is broken: images are made of others more than {MAX_DEPTH} times over."
    assert refusal(BrokenImage, chain(MAX_DEPTH + 1)) == told


@pytest.mark.parametrize(("kind", "told"), [(b"av01", "'av01'"), (b"\xff\0ab", r"'\\xff\x00ab'"), (b"", "''")])
def test_an_image_of_another_coding_is_told_which(kind, told):
    sentence = f"The HEIF file's image is coded as {told}, which is not read; HEVC is."
    assert refusal(UnsupportedImage, with_meta(PRIMARY, infe(1, kind)[: 20 + len(kind)] if kind else b"")) == sentence


@pytest.mark.parametrize("kind", [b"hvc1", b"hev1", b"grid", b"iden", b"iovl"])
def test_a_picture_and_what_is_made_of_pictures_is_read(kind):
    assert passes(file_with([ISPE, configured(b"\x40\1")], kind))
