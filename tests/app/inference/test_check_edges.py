"""Numbers in metadata that reach around its ends: backwards from the end, into what follows, or below zero."""

import functools
import struct

import pytest

from app.errors import BrokenImage, UnsupportedImage
from app.inference import image_checks
from app.inference.image_checks import MAX_SCANS, MAX_SEGMENTS, MAX_TAGS
from tests.app.inference.hostile import GREEDY, segment, tiff
from tests.app.inference.test_check_limits import ORDERS, SCAN, big_tiff, frame, passes, photo

FAX = [(259, 3, 1, 4)]
"""Tags of a picture that is refused, if they are looked at."""


# TIFF and EXIF


@ORDERS
def test_an_offset_beyond_the_file_does_not_count_from_its_end(order):
    """Its four bytes, or eight, are a number without a sign."""
    classic = tiff(FAX, order=order)
    assert passes(classic[:4] + struct.pack(order + "I", 2**32 - len(classic) + 8) + classic[8:])
    stated = tiff([(274, 3, 1, 6 if order == "<" else 6 << 16)], order=order)
    backwards = stated[:4] + struct.pack(order + "I", 2**32 - len(stated) + 8) + stated[8:]
    assert image_checks.orientation(backwards) == 1
    big = big_tiff([(259, 3, 1, 4 if order == "<" else 4 << 48)], order=order)
    with pytest.raises(UnsupportedImage):
        image_checks.check(big, 1)
    assert passes(big[:8] + struct.pack(order + "Q", 2**64 - len(big) + 16) + big[16:])


@ORDERS
@pytest.mark.parametrize("make", [tiff, big_tiff])
@pytest.mark.parametrize("half", [False, True])
def test_values_of_enormous_length_make_no_room_for_others(make, order, half):
    """A value that is longer than the file is never read; it does not count as less than nothing either."""
    most = 2**32 if make is tiff else 2**64
    length = most // 2 if half else most - 1
    with pytest.raises(BrokenImage, match=r"its metadata claims more than its \d+ bytes"):
        image_checks.check(make([(1, 1, length, 0)] * 500 + GREEDY, behind=20_000, order=order), 1)


def test_a_directory_may_begin_with_any_byte_and_ends_with_its_block():
    block = tiff(FAX)
    moved = block[:4] + struct.pack("<I", 43) + bytes(35) + block[8:]  # 43 is also what a BigTIFF has in its head
    with pytest.raises(UnsupportedImage):
        image_checks.check(moved, 1)
    behind = block[:8] + struct.pack("<H", MAX_TAGS + 1) + bytes(100)
    image_checks.check_tags(behind, 0, 8)
    with pytest.raises(BrokenImage, match="18761 tags"):  # its own first two letters
        image_checks.check(b"II*\0" + bytes(4), 1)


def short(make, order: str, tag: int, value: int) -> tuple[int, int, int, int]:
    """A tag with one short integer, which fills the beginning of its place."""
    return tag, 3, 1, value if order == "<" else value << (16 if make is tiff else 48)


@ORDERS
@pytest.mark.parametrize("make", [tiff, big_tiff])
def test_one_channel_lies_in_no_plane_of_its_own(make, order):
    made = functools.partial(make, behind=9, order=order)

    def of(*tags: tuple[int, int]) -> bytes:
        return made([short(make, order, tag, value) for tag, value in ((256, 2), *tags, (262, 2))])

    together = of((277, 1), (284, 1))
    assert passes(together)
    assert image_checks.check(of((277, 1), (284, 2)), 1) == together
    assert image_checks.check(of((284, 2)), 1) == of((284, 1)), "one channel unless it says otherwise"
    assert passes(of((284, 3)))
    assert passes(of((277, 1)))
    for channels in (0, 2, 3, 257):
        assert passes(of((277, channels), (284, 2)))
    long = (277, 4, 1, 3)
    assert passes(made([long, short(make, order, 284, 2)])), "three, though another type says so"
    assert passes(made([(284, 3, 2, short(make, order, 284, 2)[3])])), "two values of which Pillow takes neither"


def test_what_does_not_begin_as_a_tiff_has_no_tags():
    block = tiff([(259, 3, 1, 4 << 16)], order=">")
    with pytest.raises(UnsupportedImage):
        image_checks.check_tags(block, 0, len(block), photo=True)
    image_checks.check_tags(b"XX" + block[2:], 0, len(block), photo=True)


def test_the_orientation_is_one_of_the_tags_that_are_counted():
    block = tiff([(271, 2, 4, 0), (274, 3, 1, 6)])
    assert image_checks.orientation(block[:8] + struct.pack("<H", 1) + block[10:]) == 1
    assert image_checks.orientation(block[:8] + struct.pack("<H", 65535) + block[10:]) == 6


# AVIF


def test_every_block_between_two_others_loses_its_tags_and_a_big_tiff_is_none():
    head = b"\0\0\0\x1cftypavif" + bytes(40)
    greedy = tiff(GREEDY, behind=500)
    parsed = image_checks.check(head + greedy * 3 + bytes(90_000), 1)
    assert [at for at in range(len(parsed)) if parsed[at : at + 10] == greedy[:8] + bytes(2)] == [
        len(head) + n * len(greedy) for n in range(3)
    ]
    assert passes(head + big_tiff(GREEDY, behind=500) + bytes(90_000)), "Pillow reads none there"


# JPEG


def test_scans_without_a_frame_are_counted():
    assert passes(photo(SCAN * MAX_SCANS))
    with pytest.raises(BrokenImage, match="scans its 0 pixels more than 100 times"):
        image_checks.check(photo(SCAN * (MAX_SCANS + 1)), 1_000_000)


@pytest.mark.parametrize("marker", [0xC0, 0xC2])
def test_a_file_that_ends_within_its_frame_passes(marker):
    data = photo(frame(8, 8, marker=marker))
    for end in range(len(data)):
        assert passes(data[:end])


@pytest.mark.parametrize("marker", [0x02, 0xBF, 0xD8])
def test_a_marker_without_a_segment_hides_no_scans(marker):
    """Two bytes follow it that would be the length of one."""
    hiding = photo(frame(8, 8), SCAN, bytes([0xFF, marker]), b"\x7f\xff", SCAN * MAX_SCANS, bytes(2**15))
    with pytest.raises(BrokenImage, match="more than 100 times"):
        image_checks.check(hiding, 1_000_000)


@pytest.mark.parametrize("marker", [0xC0, 0xFE])
def test_a_segment_between_scans_is_passed_over(marker):
    assert passes(photo(frame(8, 8), SCAN, segment(marker, SCAN * 2 * MAX_SCANS), SCAN))


def test_as_many_segments_lie_between_scans_as_that_and_no_more():
    """Counted where there are many scans, or what looks like them."""
    counted = segment(0xFE, SCAN * 2 * MAX_SCANS)
    comment = segment(0xFE, b"")
    assert passes(photo(frame(8, 8), SCAN, counted, comment * (MAX_SEGMENTS - 2), b"\xff\xd9"))
    with pytest.raises(BrokenImage, match="more than 100 times"):
        image_checks.check(photo(frame(8, 8), SCAN, counted, comment * (MAX_SEGMENTS - 1), b"\xff\xd9"), 1_000_000)
