"""The checks of images to the last byte: what is just within each limit passes, and one more of it is refused."""

import struct

import pytest

from app.errors import BrokenImage, TooLarge, UnsupportedImage
from app.inference import image_checks, jpeg
from app.inference.image_checks import MAX_CHUNKS, MAX_JUNK_BYTES, MAX_SCANS, MAX_SEGMENTS, MAX_TAGS
from tests.app.inference.hostile import GREEDY, chunk, segment, tiff

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SCAN = segment(0xDA, b"\x01\x01\0\0\x3f\0")
FULL_COLOURS, HALVED_BOTH_WAYS = b"\x11\x11\x11", b"\x22\x11\x11"


def frame(width: int, height: int, factors: bytes = FULL_COLOURS, marker: int = 0xC2) -> bytes:
    """A JPEG's frame with a component for each sampling factor; a progressive one unless told otherwise."""
    components = b"".join(bytes([number, factor, 0]) for number, factor in enumerate(factors, 1))
    return segment(marker, struct.pack(">BHHB", 8, height, width, len(factors)) + components)


def photo(*segments: bytes) -> bytes:
    return b"\xff\xd8" + b"".join(segments)


def passes(data: bytes, max_pixels: int = 1_000_000) -> bool:
    """Whether it goes to the parser as it came."""
    return image_checks.check(data, max_pixels) is data


# The orientation of a block that costs too much to be parsed


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("value", "expected"), [*((value, value) for value in range(1, 9)), (0, 1), (9, 1), (65535, 1)])
def test_the_orientation_is_the_one_that_is_stated(order, value, expected):
    stated = value if order == "<" else value << 16
    tags = [(271, 2, 4, 0), (274, 3, 1, stated), (274, 3, 1, stated + 1)]
    assert image_checks.orientation(tiff(tags, order=order)) == expected


@pytest.mark.parametrize("tag", [(273, 3, 1, 6), (274, 4, 1, 6), (274, 3, 2, 6)])
def test_another_tag_states_no_orientation(tag):
    assert image_checks.orientation(tiff([tag])) == 1


def test_a_block_that_ends_before_its_orientation_states_none():
    block = tiff([(271, 2, 4, 0), (274, 3, 1, 6)])
    assert image_checks.orientation(block[: 8 + 2 + 12 + 10]) == 6
    for end in range(8 + 2 + 12 + 10):
        assert image_checks.orientation(block[:end]) == 1


def test_a_directory_may_lie_anywhere_in_its_block():
    block = tiff([(274, 3, 1, 8)])
    moved = block[:4] + struct.pack("<I", 108) + bytes(100) + block[8:]
    assert image_checks.orientation(moved) == 8
    assert image_checks.orientation(block[:4] + b"\xff" * 4 + block[8:]) == 1


def test_the_orientation_is_looked_for_in_as_many_tags_as_are_parsed():
    tags = [(1, 1, 1, 1)] * (MAX_TAGS - 1) + [(274, 3, 1, 3)]
    assert image_checks.orientation(tiff(tags)) == 3
    assert image_checks.orientation(tiff([(1, 1, 1, 1), *tags])) == 1


# JPEG


@pytest.mark.parametrize(
    ("factors", "bytes_each"),
    [
        (FULL_COLOURS, 6),
        (HALVED_BOTH_WAYS, 3),
        (b"\x21\x11\x11", 4),
        (b"\x12\x11\x11", 4),
        (b"\x11", 2),
        (b"\x41\x11\x11", 3),
    ],
)
def test_coefficients_may_take_as_much_as_the_pixels_that_are_accepted(factors, bytes_each):
    """20 x 30 pixels with two bytes for each coefficient, and four for each accepted pixel."""
    data = photo(frame(30, 20, factors), SCAN)
    held = 600 * bytes_each
    most = min(600, -(-held // 4))
    assert passes(data, most)
    if most < 600:
        with pytest.raises(TooLarge, match=rf"600 pixels has several scans.* takes {held} bytes of memory") as refusal:
            image_checks.check(data, most - 1)
        assert f"at most {most - 1} pixels or {4 * (most - 1)} bytes" in str(refusal.value)


@pytest.mark.parametrize("factors", [b"", b"\0", b"\x0f\xf0"], ids=["no component", "no factor", "half of two"])
def test_a_frame_without_sense_is_left_to_the_parser(factors):
    assert passes(photo(frame(30, 20, factors), SCAN), 300)


@pytest.mark.parametrize("marker", [0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF])
def test_every_kind_of_frame_counts(marker):
    with pytest.raises(TooLarge, match="600 pixels"):
        image_checks.check(photo(frame(30, 20, marker=marker), SCAN), 100)


@pytest.mark.parametrize("marker", [0xC4, 0xC8, 0xCC, 0xD0, 0xBF])
def test_what_is_no_frame_does_not_count(marker):
    assert passes(photo(frame(30, 20, marker=marker), SCAN), 100)


def test_a_frame_in_one_scan_holds_no_coefficients_and_one_in_three_does():
    whole = segment(0xDA, b"\x03\x01\0\x02\0\x03\0\0\x3f\0")
    assert passes(photo(frame(30, 20, marker=0xC0), whole), 100)
    with pytest.raises(TooLarge):
        image_checks.check(photo(frame(30, 20), whole), 100)
    with pytest.raises(TooLarge):
        image_checks.check(photo(frame(30, 20, marker=0xC0), SCAN), 100)


@pytest.mark.parametrize(
    ("width", "height", "most"), [(8, 8, MAX_SCANS), (5000, 4000, 50), (65_000, 65_000, 1), (0, 0, MAX_SCANS)]
)
def test_a_picture_has_as_many_scans_as_its_pixels_allow(width, height, most):
    head = photo(frame(width, height))
    assert passes(head + SCAN * most, 2**40)
    assert passes(head + (SCAN * most + jpeg.END) * 3, 2**40), "what follows its end is another picture"
    for data in (head + SCAN * (most + 1), head + SCAN * (most + 1) + jpeg.END + SCAN, jpeg.END + head + SCAN * (most + 1)):
        with pytest.raises(BrokenImage, match=f"scans its {width * height} pixels more than {most} times"):
            image_checks._check_scans(data, data.index(SCAN), width * height)


def test_scans_and_ends_inside_of_metadata_are_none():
    assert passes(photo(segment(0xFE, SCAN * 200), frame(8, 8), SCAN * MAX_SCANS))
    with pytest.raises(BrokenImage, match="more than 100 times"):
        image_checks.check(photo(segment(0xFE, jpeg.END), frame(8, 8), SCAN * (MAX_SCANS + 1)), 1_000_000)


def test_as_many_segments_are_read_as_that_and_no_more():
    comment = segment(0xFE, b"")
    assert passes(photo(comment * MAX_SEGMENTS, SCAN))
    with pytest.raises(BrokenImage, match=f"no scan begins within its first {MAX_SEGMENTS + 1} segments"):
        image_checks.check(photo(comment * (MAX_SEGMENTS + 1), SCAN), 1_000_000)


@pytest.mark.parametrize("junk", [b"\0" * MAX_JUNK_BYTES, b"\xff" * MAX_JUNK_BYTES], ids=["junk", "padding"])
def test_as_much_junk_lies_between_segments_as_that_and_no_more(junk):
    comment = segment(0xFE, b"")
    assert passes(photo(comment, junk, comment, SCAN))
    with pytest.raises(BrokenImage, match="no scan begins"):
        image_checks.check(photo(comment, junk, junk[:1], comment, SCAN), 1_000_000)


GREEDY_TAGS = tiff(GREEDY, behind=20_000)
MODEST_TAGS = tiff([(274, 3, 1, 6)])


@pytest.mark.parametrize(
    ("blocks", "hidden"),
    [
        ([(0xE1, b"Exif\0\0" + MODEST_TAGS), (0xE2, b"MPF\0" + MODEST_TAGS)], []),
        ([(0xE1, b"Exif\0\0" + GREEDY_TAGS), (0xE2, b"MPF\0" + MODEST_TAGS)], [0]),
        ([(0xE1, b"Exif\0\0" + MODEST_TAGS), (0xE2, b"MPF\0" + GREEDY_TAGS)], [1]),
        ([(0xE2, b"MPF\0" + GREEDY_TAGS), (0xE1, b"Exif\0\0" + GREEDY_TAGS), (0xE2, b"MPF\0" + GREEDY_TAGS)], [0, 1, 2]),
        ([(0xE1, b"XMP \0\0" + GREEDY_TAGS), (0xE2, b"ICC\0" + GREEDY_TAGS), (0xE3, b"Exif\0\0" + GREEDY_TAGS)], []),
        ([(0xE2, b"Exif\0\0" + GREEDY_TAGS), (0xE1, b"MPF\0" + GREEDY_TAGS)], []),
    ],
)
def test_the_blocks_that_cost_too_much_are_hidden_and_no_other(blocks, hidden):
    data = photo(*(segment(marker, body) for marker, body in blocks), SCAN)
    parsed = image_checks.check(data, 1_000_000)
    markers = [marker for marker, *_ in jpeg.segments(parsed)][:-1]
    assert markers == [jpeg.HIDDEN if place in hidden else marker for place, (marker, _) in enumerate(blocks)]
    assert (parsed is data) == (not hidden)


# PNG


@pytest.mark.parametrize(
    ("kind", "most"), [(b"ruSt", MAX_CHUNKS), (b"IDAT", 50 * MAX_CHUNKS), (b"fdAT", 50 * MAX_CHUNKS), (b"idat", MAX_CHUNKS)]
)
def test_a_png_has_as_many_chunks_as_that_and_no_more(kind, most):
    end = chunk(b"IEND")
    assert passes(SIGNATURE + chunk(kind) * most + end)
    assert passes(SIGNATURE + end + chunk(kind) * 2 * most), "what follows its end does not count"
    with pytest.raises(BrokenImage, match=f"it has more than {most} chunks"):
        image_checks.check(SIGNATURE + chunk(kind) * (most + 1), 1_000_000)


def test_pixels_and_other_chunks_of_a_png_are_told_together():
    with pytest.raises(BrokenImage, match=f"it has more than {MAX_CHUNKS + 7} chunks"):
        image_checks.check(SIGNATURE + chunk(b"IDAT") * 7 + chunk(b"ruSt") * (MAX_CHUNKS + 1), 1_000_000)


@pytest.mark.parametrize("length", [2**31 - 1, 2**31, 2**32 - 1])
def test_a_chunk_that_claims_more_than_the_file_has_is_its_last(length):
    assert passes(SIGNATURE + struct.pack(">I4s", length, b"IDAT") + chunk(b"ruSt") * 2 * MAX_CHUNKS)


def test_a_chunk_of_which_only_the_head_is_there_counts():
    with pytest.raises(BrokenImage):
        image_checks.check(SIGNATURE + chunk(b"ruSt") * MAX_CHUNKS + chunk(b"ruSt")[:8], 1_000_000)
    assert passes(SIGNATURE + chunk(b"ruSt") * MAX_CHUNKS + chunk(b"ruSt")[:7])


# TIFF


def big_tiff(tags: list[tuple[int, int, int, int]], order: str = "<", behind: int = 0, count: int | None = None) -> bytes:
    """A BigTIFF with those tags; it claims `count` of them."""
    head = (b"II+\0" if order == "<" else b"MM\0+") + struct.pack(order + "HHQ", 8, 0, 16)
    head += struct.pack(order + "Q", len(tags) if count is None else count)
    return head + b"".join(struct.pack(order + "HHQQ", *tag) for tag in tags) + bytes(8 + behind)


MAKES = pytest.mark.parametrize("make", [tiff, big_tiff])
ORDERS = pytest.mark.parametrize("order", ["<", ">"])


@MAKES
@ORDERS
def test_a_directory_has_as_many_tags_as_that_and_no_more(make, order):
    assert passes(make([(1, 1, 1, 1)] * MAX_TAGS, order=order))
    with pytest.raises(BrokenImage, match=f"its metadata claims to have {MAX_TAGS + 1} tags"):
        image_checks.check(make([(1, 1, 1, 1)] * (MAX_TAGS + 1), order=order), 1)


def test_a_directory_that_claims_more_tags_than_can_be_counted_with_a_sign_is_refused():
    with pytest.raises(BrokenImage, match=str(2**64 - 1)):
        image_checks.check(big_tiff([], count=2**64 - 1, behind=100), 1)
    with pytest.raises(BrokenImage, match="65535"):
        image_checks.check(tiff([])[:8] + b"\xff\xff" + bytes(100), 1)


@pytest.mark.parametrize("start", [0, 1000])
@pytest.mark.parametrize(("kind", "size"), [(1, 1), (2, 1), (3, 2), (5, 8), (12, 8), (0, 0), (99, 0)])
@MAKES
def test_tags_claim_twice_the_block_and_a_little_and_no_more(make, start, kind, size):
    """Those that each claim a whole block; the last one is smaller, so that the sum is the most that passes."""
    entry = 12 if make is tiff else 20
    behind = 8 * 8192 - len(make([(1, kind, 1, 0)] * 5))
    block = 8 * 8192
    lengths = [block // max(1, size)] * 3

    def affordable(*lengths: int) -> bool:
        data = make([(1, kind, length, 0) for length in lengths], behind=behind + entry * (5 - len(lengths)))
        assert len(data) == block
        return image_checks.affordable(bytes(start) + data + bytes(9), start, start + block)

    assert affordable(*lengths, 0)
    assert affordable(*lengths, 1) == (size == 0)
    assert affordable(lengths[0] + 1, *lengths), "a value larger than its block is never read"


@MAKES
@ORDERS
def test_a_tiff_states_its_compression_and_only_some_are_read(make, order):
    def coded(value: int) -> bytes:
        width = {tiff: 4, big_tiff: 8}[make]
        stated = value if order == "<" else value << 8 * (width - 2)
        return make([(256, 3, 1, 0), (259, 3, 1, stated), (262, 3, 1, 0)], order=order)

    assert passes(coded(5))
    assert image_checks.affordable(coded(4), 0, 1000), "a block of metadata is no picture"
    with pytest.raises(UnsupportedImage, match="compression 4, which"):
        image_checks.check(coded(4), 1)
    with pytest.raises(BrokenImage, match=r"^The TIFF file is broken: its compression tag is not a single short integer\.$"):
        image_checks.check(make([(259, 4, 1, 5)], order=order), 1)


@MAKES
def test_tags_are_read_as_far_as_their_block_goes(make):
    entry = 12 if make is tiff else 20
    data = make([(1, 1, 1, 1), (259, 3, 1, 4)])
    end = len(data) - (4 if make is tiff else 8)
    with pytest.raises(UnsupportedImage):
        image_checks.check_tags(data, 0, end, photo=True)
    for cut in range(end - entry, end):
        image_checks.check_tags(data, 0, cut, photo=True)
        image_checks.check_tags(data[:cut], 0, 2**40, photo=True)


@MAKES
@pytest.mark.parametrize("start", [0, 7])
def test_a_block_begins_where_it_is_said_to(make, start):
    data = bytes(start) + make([(259, 3, 1, 4)], behind=30)
    with pytest.raises(UnsupportedImage):
        image_checks.check_tags(data, start, len(data), photo=True)
    image_checks.check_tags(data, start, start + 8, photo=True)
    image_checks.check_tags(data, start, start + 7, photo=True)
    image_checks.check_tags(b"XX" + data, start, len(data), photo=True)


@pytest.mark.parametrize("offset", [2**31, 2**32 - 1])
def test_a_directory_far_outside_is_none(offset):
    assert passes(b"II*\0" + struct.pack("<I", offset) + bytes(100))


# AVIF


@ORDERS
@pytest.mark.parametrize("behind", [0, 1, 500])
def test_every_block_of_an_avif_that_costs_too_much_loses_its_tags(order, behind):
    head = b"\0\0\0\x1cftypavif" + bytes(40)
    greedy = tiff(GREEDY, behind=500, order=order)
    data = head + greedy + bytes(behind) + tiff([(274, 3, 1, 6)]) + bytes(behind) + greedy + bytes(90_000)
    parsed = image_checks.check(data, 1)
    expected = bytearray(data)
    for place in (data.index(greedy) + 8, data.rindex(greedy) + 8):
        expected[place : place + 2] = bytes(2)  # the number of tags
    assert parsed == expected
    assert image_checks.check(parsed, 1) is parsed
    assert passes(head + tiff([(274, 3, 1, 6)], order=order) + bytes(1000))
