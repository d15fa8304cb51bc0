"""Where a JPEG's segments begin and end, which of them are hidden, and when all of its coefficients are there."""

import struct

import pytest

from app.inference import jpeg
from tests.app.inference.hostile import segment

START, END = b"\xff\xd8", b"\xff\xd9"
PIXELS = b"\x11\x22\xff\x00\x33"
"""What follows the header of a scan; the third byte of it is 255, and no marker."""
ALONE = (0x00, 0x01, *range(0xD0, 0xDA))
"""Markers without a segment, but for those that fill."""


def frame(components: bytes, marker: int = 0xC2) -> bytes:
    """Of 8 x 8 pixels, with a component for each of the numbers."""
    body = b"".join(bytes([number, 0x11, 0]) for number in components)
    return segment(marker, struct.pack(">BHHB", 8, 8, 8, len(components)) + body)


def scan(components: bytes, first: int = 0, last: int = 63, precision: int = 0) -> bytes:
    """These coefficients of these components."""
    body = b"".join(bytes([number, 0]) for number in components)
    return segment(0xDA, bytes([len(components)]) + body + bytes([first, last, precision])) + PIXELS


def whole(*parts: bytes) -> bool:
    """Whether every coefficient is there, so that only the end marker is missing."""
    return jpeg.endings(START + b"".join(parts)) is not None


# Markers and segments


def test_each_marker_up_to_the_first_scan_has_its_begin_and_its_end():
    data = START + segment(0xE0, b"abc") + segment(0xDB, b"") + segment(0xDA, b"\1") + PIXELS + segment(0xE1, b"no marker")
    assert list(jpeg.markers(data)) == [(0xE0, 2, 9), (0xDB, 9, 13), (0xDA, 13, 18)]
    assert list(jpeg.segments(data)) == [(0xE0, 6, 9), (0xDB, 13, 13), (0xDA, 17, 18)]
    assert data[6:9] == b"abc"


def test_padding_and_markers_without_a_length_are_passed_over():
    for marker in ALONE:
        data = START + b"\xff\xff" + bytes([0xFF, marker]) + segment(0xE0, b"ab")
        assert list(jpeg.markers(data)) == [(0xFF, 2, 3), (0xFF, 3, 4), (marker, 4, 6), (0xE0, 6, 12)]
        assert list(jpeg.segments(data)) == [(0xE0, 10, 12)]


def test_every_other_marker_has_a_length():
    assert [marker for marker in range(256) if not jpeg.has_segment(marker)] == [*ALONE, 0xFF]


def test_junk_between_segments_belongs_to_none():
    assert list(jpeg.markers(START + b"xyz" + segment(0xE0, b"a") + b"u" + segment(0xE1, b""))) == [
        (0xE0, 5, 10),
        (0xE1, 11, 15),
    ]


@pytest.mark.parametrize("length", [0, 1, 2])
def test_a_segment_is_never_shorter_than_its_own_length(length):
    data = START + b"\xff\xe0" + struct.pack(">H", length) + segment(0xE1, b"")
    assert list(jpeg.markers(data)) == [(0xE0, 2, 6), (0xE1, 6, 10)]


def test_a_length_has_two_bytes_and_may_reach_beyond_the_file():
    data = START + b"\xff\xe0\x01\x04" + bytes(20)
    assert list(jpeg.markers(data)) == [(0xE0, 2, 264)]
    assert list(jpeg.segments(data)) == [(0xE0, 6, 264)]


def test_a_marker_at_the_end_needs_room_for_a_length():
    assert list(jpeg.markers(START + b"\xff\xe0\0\2")) == [(0xE0, 2, 6)]
    assert list(jpeg.markers(START + b"\xff\xe0\0")) == []
    assert list(jpeg.markers(START)) == []


# What a parser is not to see


def test_hidden_segments_keep_their_place_and_lose_their_marker():
    data = START + segment(0xE1, b"one") + segment(0xE2, b"two") + segment(0xE1, b"three")
    (_, first, _), _, (_, third, _) = jpeg.segments(data)
    kept = segment(0xE2, b"two")
    assert jpeg.hidden(data, [first, third]) == START + segment(0xEF, b"one") + kept + segment(0xEF, b"three")
    assert jpeg.hidden(data, []) == data


def test_metadata_are_the_segments_of_exif_and_of_profiles():
    others = [marker for marker in range(256) if jpeg.has_segment(marker) and marker not in (0xDA, 0xE1, 0xE2)]
    kept = b"".join(segment(marker, b"kept") for marker in others)
    rest = segment(0xDA, b"") + PIXELS + segment(0xE1, b"no segment")
    data = START + segment(0xE1, b"exif") + kept + segment(0xE2, b"profile") + rest
    assert jpeg.without_metadata(data) == START + segment(0xEF, b"exif") + kept + segment(0xEF, b"profile") + rest


# Files without an end


@pytest.mark.parametrize("tail", [b"", b"\xff", b"\xff\xff\xff", b"\0\0", b"X"])
def test_an_end_is_put_behind_the_last_byte_and_behind_filler(tail):
    """Bytes 255 at the end would be the first half of a marker."""
    data = START + frame(b"\1") + scan(b"\1")
    plain, filled = jpeg.endings(data + tail)
    kept = data + tail.rstrip(b"\xff")
    assert plain == kept + END
    assert filled == kept + jpeg.FILLER + END
    assert len(jpeg.FILLER) > 1000
    assert b"\xff" not in jpeg.FILLER


@pytest.mark.parametrize("marker", [0xC0, 0xC1, 0xC2])
@pytest.mark.parametrize("components", [b"\1", b"\1\2\3", b"\1\2\3\4", b"RGB"])
def test_one_scan_of_every_component_is_the_whole_picture(marker, components):
    assert whole(frame(components, marker), scan(components))
    assert not whole(frame(components, marker), scan(components[1:] + b"x"))
    assert not whole(frame(components, marker), scan(b"x" + components[:-1]))


@pytest.mark.parametrize("marker", [0xBF, 0xC3, 0xC4, 0xC9])
def test_a_frame_of_another_kind_is_none(marker):
    assert not whole(frame(b"\1", marker), scan(b"\1"))


def test_without_a_frame_or_a_scan_there_is_no_picture():
    assert not whole(scan(b"\1"))
    assert not whole(frame(b"\1"))
    assert not whole()


def test_each_component_has_scans_of_its_own():
    frames = frame(b"\1\2")
    assert whole(frames, scan(b"\1"), scan(b"\2"))
    assert not whole(frames, scan(b"\1"), scan(b"\1"))
    assert not whole(frames, scan(b"\2"))


def test_each_coefficient_is_in_one_scan_or_another():
    frames = frame(b"\1")
    assert whole(frames, scan(b"\1", 0, 0), scan(b"\1", 1, 5), scan(b"\1", 6, 63))
    assert not whole(frames, scan(b"\1", 0, 0), scan(b"\1", 1, 5), scan(b"\1", 7, 63))
    assert not whole(frames, scan(b"\1", 0, 0), scan(b"\1", 2, 63))
    assert not whole(frames, scan(b"\1", 0, 62))
    assert not whole(frames, scan(b"\1", 1, 63))


@pytest.mark.parametrize("precision", [1, 2, 8, 0x21])
def test_a_coefficient_without_its_last_bit_is_not_there(precision):
    """Of two halves of a byte, the second says how many bits are still to come."""
    first = scan(b"\1", precision=precision)
    assert not whole(frame(b"\1"), first)
    assert whole(frame(b"\1"), first, scan(b"\1", precision=0x10))


def test_a_picture_in_the_metadata_is_not_the_picture():
    """An EXIF block mostly holds a small one, with scans of its own."""
    thumbnail = segment(0xE1, frame(b"\1") + scan(b"\1"))
    assert not whole(thumbnail, frame(b"\1"), scan(b"\1", 0, 0))
    assert whole(thumbnail, frame(b"\1"), scan(b"\1", 0, 0), scan(b"\1", 1, 63))


def test_a_scan_of_five_components_is_none():
    assert not whole(frame(b"\1\2\3\4\5"), scan(b"\1\2\3\4\5"))
    assert whole(frame(b"\1\2\3\4\5"), scan(b"\1\2\3\4"), scan(b"\5"))
    assert whole(frame(b"\1\2"), scan(b"\1"), scan(b"\1\2\3\4\5"), scan(b"\2")), "and those behind it still count"


def test_a_scan_that_ends_within_its_header_is_none():
    frames, last = frame(b"\1\2"), segment(0xDA, b"\1\2\0\0\x3f\0")
    assert whole(frames, scan(b"\1"), last)
    for end in range(len(last)):
        assert not whole(frames, scan(b"\1"), last[:end])
    assert whole(frame(b"\1"), scan(b"\1"), b"\xff\xda"), "one that is of no use does no harm"


def test_a_file_that_ends_behind_the_length_of_its_only_scan_has_none():
    assert not whole(frame(b"\1"), b"\xff\xda\0\x0c")


def test_a_frame_of_more_components_than_the_file_has_bytes_is_not_whole():
    claiming = frame(b"\1").replace(b"\1\1\x11", b"\xff\1\x11")
    assert not whole(claiming, scan(b"\1"))


def test_a_frame_without_content_is_left_to_the_parser():
    """It has no component, so none is missing; the file ends before the place of their number."""
    assert whole(segment(0xC2, b""), b"\xff\xda\0\x0c")
