"""What a file's first bytes announce, and the blocks of a GIF, walked and counted to the last byte."""

import struct

import pytest

from app.errors import BrokenImage, TooLarge
from app.inference import image_checks
from app.inference.image_checks import MAX_BLOCKS


def container(major: bytes, *compatible: bytes, size: int | None = None, behind: bytes = b"") -> bytes:
    """A file that begins with an `ftyp` box, which claims `size` bytes."""
    body = b"ftyp" + major + bytes(4) + b"".join(compatible)
    return struct.pack(">I", len(body) + 4 if size is None else size) + body + behind


@pytest.mark.parametrize(
    ("data", "announced"),
    [
        (b"\xff\xd8\xff", "JPEG"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"GIF87a", "GIF"),
        (b"GIF88a", None),
        (b"II*\0", "TIFF"),
        (b"MM\0+", "TIFF"),
        (b"RIFF\n\0\n\0WEBP", "WEBP"),
        (b"BM", "BMP"),
        (container(b"avis"), "AVIF"),
        (container(b"heix"), "HEIC"),
        (container(b"hevm"), "HEIC"),
        (container(b"mif1", b"miaf", b"heic"), "HEIC"),
        (container(b"msf1", b"hevc", b"avif"), "HEIC"),
        (container(b"mif1", b"miaf", b"avif"), "AVIF"),
        (container(b"msf1", b"avif"), "AVIF"),
        (container(b"mif1", b"avif", b"miaf"), "AVIF"),
        (container(b"mif1", b"AVIF", b"HEIC"), None),
        (container(b"mif1"), None),
        (container(b"mif2", b"heic"), None),
        (container(b"mif1", b"\0avi", b"f\0\0\0"), None),
        (container(b"mif1", b"miaf", behind=b"heic"), None),
        (container(b"mif1", *[b"miaf"] * 59, b"avif"), "AVIF"),
        (container(b"mif1", *[b"miaf"] * 60, b"avif"), None),
        (container(b"mif1", size=2**32 - 1, behind=b"miaf" * 59 + b"heic"), "HEIC"),
        (container(b"mif1", size=257, behind=b"miaf" * 60 + b"heic"), None),
        (b"", None),
    ],
    ids=lambda value: value.hex()[:40] if isinstance(value, bytes) else str(value),  # pytest takes no others back
)
def test_a_files_first_bytes_announce_its_format(data, announced):
    assert image_checks.signature(data) == announced


HEAD = b"GIF89a\x01\0\x01\0\0\0\0"
COMMENT = b"\x21\xfe\x03abc\0"
"""Two blocks: one of three bytes, and the end."""


def picture(side: int = 1, table: int = 0, at: int = 0) -> bytes:
    """A frame of `side` x `side` pixels at that place, with a colour table of 2 ** `table` colours, none for 0; two blocks."""
    packed = 0x80 | table - 1 if table else 0x07  # a size, and no table
    colours = b"\x2c" * (3 << table if table else 0)  # each byte would begin a frame
    return b"\x2c" + struct.pack("<HHHHB", at, at, side, side, packed) + colours + b"\x02\x02\x44\x01\0"


def passes(data: bytes, max_pixels: int = 100) -> bool:
    return image_checks.check(data, max_pixels) is data


@pytest.mark.parametrize("table", range(9))
@pytest.mark.parametrize("of_frame", [True, False])
def test_what_follows_a_colour_table_is_found(table, of_frame):
    """A frame that is too large lies behind it, and none of its colours is taken for one."""
    if of_frame:
        begin = HEAD + COMMENT + picture(table=table)
    else:
        packed = 0x80 | table - 1 if table else 0x07
        begin = HEAD[:10] + bytes([packed, 0, 0]) + b"\x2c" * (3 << table if table else 0) + COMMENT
    assert passes(begin + picture())
    with pytest.raises(TooLarge, match="reaches to 11 x 11; at most 100"):
        image_checks.check(begin + COMMENT + picture(11), 100)


@pytest.mark.parametrize(("side", "at", "fits"), [(10, 0, True), (4, 6, True), (11, 0, False), (4, 7, False)])
def test_a_frame_reaches_as_far_as_pixels_are_accepted(side, at, fits):
    data = HEAD + picture(side, at=at)
    if fits:
        assert passes(data)
    else:
        with pytest.raises(TooLarge, match="reaches to 11 x 11"):
            image_checks.check(data, 100)


def test_the_first_two_frames_count_and_no_third():
    assert passes(HEAD + picture() * 2 + picture(11))
    with pytest.raises(TooLarge):
        image_checks.check(HEAD + picture() + picture(11), 100)


def test_a_frame_that_ends_within_its_head_is_none():
    head = picture(11)[:11]
    assert passes(HEAD + head[:10])
    with pytest.raises(TooLarge):
        image_checks.check(HEAD + head, 100)


@pytest.mark.parametrize("length", range(14))
def test_a_file_that_ends_within_its_head_passes(length):
    assert passes(HEAD[:length])


@pytest.mark.parametrize(
    ("before", "block", "each"),
    [(b"", b"\0", 1), (b"", b"\x3b", 1), (b"", b"\x21\xfe\0", 1), (b"", COMMENT, 2), (b"\x21\xfe", b"\x01a", 1)],
    ids=["nothing", "ends", "empty extensions", "comments", "one long comment"],
)
def test_a_gif_has_as_many_blocks_as_that_and_no_more(before, block, each):
    assert passes(HEAD + before + block * (MAX_BLOCKS // each - 1))
    assert passes(HEAD + before + block * (MAX_BLOCKS // each - 1) + b"\0")
    with pytest.raises(BrokenImage, match=f"its first frames have more than {MAX_BLOCKS} blocks"):
        image_checks.check(HEAD + before + block * (MAX_BLOCKS // each + 2), 100)


@pytest.mark.parametrize("cut", range(1, 8))
def test_a_block_that_ends_with_the_file_is_its_last(cut):
    assert passes(HEAD + COMMENT[:cut])
    assert passes(HEAD + picture() + COMMENT[:cut])
