"""Files that no camera writes, each built to cost a parser much time or memory; and real ones, which pass."""

import contextlib
import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
import skimage.data
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from app.errors import BrokenImage, TooLarge, UnsupportedImage
from app.inference import image_checks
from app.inference.decode import MAX_PIXELS, decode
from tests.app.inference.hostile import GREEDY, bombs, chunk, png, segment, tiff
from tests.conftest import ROOT, encoded


@pytest.fixture(scope="module")
def small(cat_image) -> Image.Image:
    return cat_image.resize((64, 48))


def jpeg_with(small: Image.Image, inserted: bytes, **options: object) -> bytes:
    data = encoded(small, "JPEG", **options)
    return data[:2] + inserted + data[2:]


@pytest.mark.promise("P22")
@pytest.mark.parametrize("order", ["<", ">"])
def test_tags_that_claim_more_data_than_there_is_are_never_read(small, order, monkeypatch):
    """A TIFF is made of tags and refused; other photos are read without them."""
    exif = tiff(GREEDY, behind=20_000, order=order)
    with pytest.raises(BrokenImage, match="claims more than"):
        decode(exif + bytes(30_000))
    monkeypatch.setattr(ImageFileDirectory_v2, "load", lambda *_: 1 / 0)
    for data in (
        jpeg_with(small, segment(0xE1, b"Exif\0\0" + exif)),
        jpeg_with(small, segment(0xE2, b"MPF\0" + exif)),
        png(chunk(b"eXIf", exif)),
    ):
        assert decode(data).animated is False


def test_a_hostile_block_in_a_format_that_pillow_reads_late_is_not_read_at_all(small):
    """A WebP's orientation is looked up after its pixels; the photo is left as it is stored."""
    data = encoded(small, "WEBP", exif=tiff(GREEDY, behind=20_000))
    assert decode(data).image.size == small.size


def test_tags_that_are_said_to_begin_behind_their_block_are_not_looked_for(small):
    """They would lie in the picture's own bytes, which a parser that gets the block alone never sees."""
    block = b"Exif\0\0II*\0" + struct.pack("<I", 300) + bytes(20)
    data = jpeg_with(small, segment(0xE1, block))
    assert image_checks.check(data, MAX_PIXELS) == data
    assert decode(data).image.size == small.size


@pytest.mark.promise("P22")
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_hostile_block_in_an_avif_loses_its_tags(small, order):
    block = tiff(GREEDY, behind=20_000, order=order)
    data = encoded(small, "AVIF")[:12] + bytes(100) + block + bytes(30_000)
    parsed = image_checks.check(data, MAX_PIXELS)
    assert len(parsed) == len(data)
    assert image_checks.affordable(parsed, 112, len(parsed))
    assert not image_checks.affordable(data, 112, len(data))


@pytest.mark.promise("P21")
def test_a_directory_of_too_many_tags_is_refused():
    big = b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, 2**40) + bytes(1000)
    for data in (tiff([(1, 1, 1, 1)] * 3000), big):
        with pytest.raises(BrokenImage, match="tags"):
            decode(data)


@pytest.mark.promise("P18")
@pytest.mark.parametrize("coded", [2, 3, 4, 32771, 32809, 34676])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_from_a_fax_machine_is_not_read(coded, order):
    value = coded if order == "<" else coded << 16
    with pytest.raises(UnsupportedImage, match=f"compression {coded}"):
        decode(tiff([(256, 4, 1, 64), (257, 4, 1, 700_000), (259, 3, 1, value)], behind=1000, order=order))


@pytest.mark.parametrize(("kind", "count"), [(4, 1), (6, 1), (8, 1), (9, 1), (3, 2)])
def test_a_tiff_that_states_its_compression_in_another_way_is_refused(kind, count):
    with pytest.raises(BrokenImage, match="single short integer"):
        decode(tiff([(256, 4, 1, 64), (257, 4, 1, 64), (259, kind, count, 3)], behind=1000))


@pytest.mark.promise("P19")
@pytest.mark.parametrize("size", [(1, 70_000), (70_000, 1)])
def test_a_photo_of_a_few_pixels_in_a_million_rows_is_refused(size):
    with pytest.raises(TooLarge, match="65535 per side"):
        decode(encoded(Image.new("1", size), "PNG"))
    assert decode(encoded(Image.new("1", (1, 10_000)), "PNG")).height == 10_000


def test_warnings_of_the_parsers_do_not_accumulate():
    code = """
import sys
from app.inference.decode import decode, prepare
from PIL import TiffImagePlugin
from tests.app.inference.hostile import tiff
prepare()
for count in range(2, 200):
    try: decode(tiff([(256, 3, 1, 8), (257, 3, 1, 8), (262, 3, count, 8), (277, 3, count, 8)], behind=5000))
    except Exception: pass
print(len({*getattr(TiffImagePlugin, "__warningregistry__", ())} - {"version"}))
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(result.stdout) == 0


def test_a_directory_outside_the_file_is_just_broken(small):
    for exif in (
        b"II+\0\x08\0\0\0" + b"\xff" * 8 + bytes(8),
        b"II*\0" + struct.pack("<I", 2**31),
        b"II*\0",
        b"MM\0*" + struct.pack(">IH", 8, 5) + bytes(20),
    ):
        image_checks.check(exif, MAX_PIXELS)
        assert decode(jpeg_with(small, segment(0xE1, b"Exif\0\0" + exif))).width == 64


@pytest.mark.promise("P21")
@pytest.mark.parametrize(
    "flood",
    [
        segment(0xE5, b"") * 50_000,
        b"\xff" * 100_000,
        segment(0xE5, b"") + b"\x00" * 100_000,
        b"\xff\x00" * 100_000,
    ],
    ids=["segments", "padding", "zeros", "escapes"],
)
def test_a_jpeg_whose_scan_never_seems_to_start_is_refused(small, flood):
    with pytest.raises(BrokenImage, match="no scan begins"):
        decode(jpeg_with(small, flood))


@pytest.mark.promise("P21")
def test_a_jpeg_that_rescans_its_picture_again_and_again_is_refused(small):
    data = encoded(small, "JPEG", progressive=True)
    scan = data.rindex(b"\xff\xda")
    again = data[:scan] + data[scan:-2] * 300 + data[-2:]
    with pytest.raises(BrokenImage, match="scans its 3072 pixels more than 100 times"):
        decode(again)
    large = data.replace(struct.pack(">HH", 48, 64), struct.pack(">HH", 5000, 9000))
    scan = large.rindex(b"\xff\xda")
    with pytest.raises(BrokenImage, match="scans its 45000000 pixels more than 22 times"):
        decode(large[:scan] + large[scan:-2] * 30 + large[-2:])


@pytest.mark.promise("P21")
@pytest.mark.parametrize(
    "between", [b"\xff\xfe\x00\x04\xff\xd9", b"\xff\xef\x00\x06\xff\xd9\xff\xd9"], ids=["a comment", "an application's data"]
)
def test_an_end_marker_inside_a_segment_hides_no_scan(small, between):
    data = encoded(small, "JPEG", progressive=True)
    first, last = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"][:: data.count(b"\xff\xda") - 1]
    assert first < last
    with pytest.raises(BrokenImage, match="more than 100 times"):
        decode(data[:last] + between + data[last:-2] * 300 + data[-2:])


def test_scans_in_a_segment_s_content_do_not_count(small):
    """A comment of a hundred and fifty markers of scans; and after it one that has no meaning, and one that stands alone."""
    data = encoded(small, "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    comment = b"\xff\xfe" + (2 + 300).to_bytes(2) + b"\xff\xda" * 150
    image_checks.check(data[:last] + comment + b"\xff\x01" + data[last:], 50_000_000)
    image_checks.check(data[:last] + comment + b"\xff\x02" + data[last:-2], 50_000_000)


def test_thousands_of_segments_between_scans_are_refused(small):
    data = encoded(small, "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    comment = b"\xff\xfe" + (2 + 300).to_bytes(2) + b"\xff\xda" * 150
    with pytest.raises(BrokenImage, match="more than 100 times"):
        decode(data[:last] + comment + b"\xff\xfe\x00\x02" * 2001 + data[last:])


def test_what_follows_a_picture_is_not_counted_as_its_scans(small):
    """Phones append a video to the photo."""
    data = encoded(small, "JPEG", progressive=True)
    assert decode(data + b"\xff\xda" * 5000).width == 64


def test_a_jpeg_of_one_scan_is_not_searched_for_others(small, monkeypatch):
    monkeypatch.setattr(image_checks, "_check_scans", lambda *_: 1 / 0)
    image_checks.check(encoded(small, "JPEG"), MAX_PIXELS)
    image_checks.check(encoded(small.convert("L"), "JPEG"), MAX_PIXELS)
    with pytest.raises(ZeroDivisionError):
        image_checks.check(encoded(small, "JPEG", progressive=True), MAX_PIXELS)


@pytest.mark.promise("P21")
def test_a_png_of_chunks_is_refused(small):
    for kind, count in ((b"ruSt", 1_100), (b"IDAT", 55_000)):
        with pytest.raises(BrokenImage, match="chunks"):
            decode(png(chunk(kind) * count))


def test_a_png_whose_texts_unpack_to_a_lot_is_refused():
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000)))
    with pytest.raises(BrokenImage):
        decode(png(text * 20))
    assert decode(png(text)).width == 8


@pytest.mark.promise("P21")
def test_a_gif_of_blocks_is_refused(small):
    data = encoded(small, "GIF")
    for flood in (b"\x21\xfe" + b"\x01a" * 300_000 + b"\0", b"\x21\xfe\x01a\0" * 300_000, b"\0" * 300_000):
        at = 13 + 3 * 256
        with pytest.raises(BrokenImage, match="blocks"):
            decode(data[:at] + flood + data[at:])


@pytest.mark.promise("P19")
def test_a_gif_whose_frame_would_be_made_before_its_size_is_known_is_refused():
    """Disposal method 2: Pillow makes a frame of that size while it opens the file."""
    control = b"\x21\xf9\x04\x08\0\0\0\0"
    frame = b"\x2c\0\0\0\0" + struct.pack("<HH", 40_000, 40_000) + b"\0\x08\x01\0\0"
    small = b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0"
    head = b"GIF89a\x01\0\x01\0\0\0\0"
    for data in (head + control + frame, head + control + small + control + frame):
        with pytest.raises(TooLarge, match="reaches to 40000 x 40000"):
            decode(data + b"\x3b")


def test_the_orientation_that_imagemagick_writes_into_a_pngs_text_is_applied():
    exif = b"Exif\0\0" + tiff([(0x0112, 3, 1, 6)])
    text = f"\nexif\n{len(exif):8d}\n{exif.hex()}\n".encode()
    data = png(chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text)), width=8, height=4)
    assert (decode(data).width, decode(data).height) == (4, 8)


@pytest.mark.parametrize("text", ["", "\nexif\n", "\nexif\n 4\nno hexadecimal", "\n\n\n" + "00" * 40])
def test_a_pngs_text_that_is_no_exif_counts_as_upright(text):
    data = png(chunk(b"tEXt", b"Raw profile type exif\0" + text.encode()), width=8, height=4)
    assert (decode(data).width, decode(data).height) == (8, 4)


@pytest.mark.parametrize("name", ["chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_real_photos_pass(name, kind):
    image = Image.open(Path(skimage.data.__file__).parent / name).convert("RGB")
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    options = {} if kind in ("BMP", "GIF") else {"exif": exif}
    image_checks.check(encoded(image, kind, **options), MAX_PIXELS)
    if kind == "JPEG":
        image_checks.check(encoded(image, kind, progressive=True, exif=exif, icc_profile=bytes(200_000)), MAX_PIXELS)
    if kind == "GIF":
        image_checks.check(
            encoded(image, kind, save_all=True, append_images=[image.rotate(10 * n) for n in range(5)]), MAX_PIXELS
        )


def test_a_file_that_is_cut_anywhere_raises_only_the_intended_error(small):
    exif = Image.Exif()
    exif[0x010F] = "a camera" * 10
    for kind in ("JPEG", "PNG", "GIF", "TIFF"):
        data = encoded(small, kind, **({} if kind == "GIF" else {"exif": exif}))
        for end in range(0, len(data), 7):
            with contextlib.suppress(BrokenImage):
                image_checks.check(data[:end], MAX_PIXELS)


@pytest.mark.promise("P19")
@pytest.mark.parametrize("kind", bombs())
def test_a_bomb_is_refused_by_the_size_that_it_claims(kind):
    with pytest.raises(TooLarge, match=str(MAX_PIXELS)):
        decode(bombs()[kind])


@pytest.mark.promise("P21")
def test_every_hostile_file_is_refused_in_less_than_fifty_megabytes():
    """All of them one after the other in one process, whose memory is measured; the largest file itself has 20 MB. Of one
    the pixels are whole, and it is read without its tags.
    """
    code = """
import resource
from app.errors import RequestError
from app.inference.decode import decode, prepare
from tests.app.inference.hostile import hostile
files = hostile()
prepare()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
accepted = []
for name, data in files.items():
    try:
        decode(data)
        accepted.append(name)
    except RequestError:
        pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, accepted)
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    kilobytes, accepted = result.stdout.strip().split(" ", 1)
    assert accepted == "['JPEG whose EXIF claims itself a thousand times']"
    assert int(kilobytes) < 50_000


def test_the_parts_of_these_files_are_photos_themselves():
    assert decode(png()).width == 8
    assert Image.open(io.BytesIO(png())).size == (8, 8)
