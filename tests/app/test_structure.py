"""Files that no camera writes, each built to take a parser long or much memory; and real ones, which pass."""

import contextlib
import io
import struct
import subprocess
import sys
import zlib

import pytest
import skimage.data
from PIL import Image

from app.errors import BrokenImage, TooLarge, UnsupportedImage
from app.inference import structure
from app.inference.decode import MAX_PIXELS, decode
from tests.conftest import ROOT, encoded


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def tiff(entries: list[tuple[int, int, int, int]], behind: int = 0, order: str = "<") -> bytes:
    """A directory of (tag, type, count, value or offset)."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(entries))
    return head + b"".join(struct.pack(order + "HHII", *entry) for entry in entries) + bytes(4 + behind)


def png(*chunks: bytes, width: int = 8, height: int = 8) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(min(10_000, (width * 3 + 1) * height))))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + pixels + chunk(b"IEND")


@pytest.fixture(scope="module")
def small(cat_image) -> Image.Image:
    return cat_image.resize((64, 48))


def jpeg_with(small: Image.Image, inserted: bytes, **options: object) -> bytes:
    data = encoded(small, "JPEG", **options)
    return data[:2] + inserted + data[2:]


GREEDY = [(tag, 7, 30_000, 8) for tag in range(1, 1500)]
"""Tags that each claim the same thirty thousand bytes: 45 MB out of 48 kB."""


@pytest.mark.parametrize("order", ["<", ">"])
def test_tags_that_claim_more_than_there_is_are_refused_wherever_they_lie(small, order):
    exif = tiff(GREEDY, behind=20_000, order=order)
    for data in (
        jpeg_with(small, segment(0xE1, b"Exif\0\0" + exif)),
        jpeg_with(small, segment(0xE2, b"MPF\0" + exif)),
        exif + bytes(30_000),
        png(chunk(b"eXIf", exif)),
    ):
        with pytest.raises(BrokenImage, match="claims more than"):
            decode(data)


def test_a_hostile_block_in_a_format_that_pillow_reads_late_is_not_read_at_all(small):
    """What a WebP says of its orientation is looked at after its pixels; the photo stays as it lies."""
    data = encoded(small, "WEBP", exif=tiff(GREEDY, behind=20_000))
    assert decode(data).image.size == small.size


def test_a_hostile_block_in_an_avif_is_refused(small):
    with pytest.raises(BrokenImage, match="claims more than"):
        structure.check(encoded(small, "AVIF")[:12] + bytes(100) + tiff(GREEDY, behind=20_000) + bytes(30_000), MAX_PIXELS)


def test_a_directory_of_too_many_tags_is_refused():
    big = b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, 2**40) + bytes(1000)
    for data in (tiff([(1, 1, 1, 1)] * 3000), big):
        with pytest.raises(BrokenImage, match="tags"):
            decode(data)


@pytest.mark.parametrize("coded", [2, 3, 4, 32771, 32809, 34676])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_from_a_fax_machine_is_not_read(coded, order):
    value = coded if order == "<" else coded << 16
    with pytest.raises(UnsupportedImage, match=f"way {coded}"):
        decode(tiff([(256, 4, 1, 64), (257, 4, 1, 700_000), (259, 3, 1, value)], behind=1000, order=order))


@pytest.mark.parametrize(("kind", "count"), [(4, 1), (6, 1), (8, 1), (9, 1), (3, 2)])
def test_a_tiff_that_says_in_another_way_how_it_is_compressed_is_refused(kind, count):
    with pytest.raises(BrokenImage, match="one short number"):
        decode(tiff([(256, 4, 1, 64), (257, 4, 1, 64), (259, kind, count, 3)], behind=1000))


@pytest.mark.parametrize("size", [(1, 70_000), (70_000, 1)])
def test_a_photo_of_a_few_pixels_in_a_million_rows_is_refused(size):
    with pytest.raises(TooLarge, match="65535 a side"):
        decode(encoded(Image.new("1", size), "PNG"))
    assert decode(encoded(Image.new("1", (1, 10_000)), "PNG")).height == 10_000


def test_warnings_of_the_parsers_are_not_kept_for_ever():
    code = """
import sys
from app.inference.decode import decode, prepare
from PIL import TiffImagePlugin
from tests.app.test_structure import tiff
prepare()
for count in range(2, 200):
    try: decode(tiff([(256, 3, 1, 8), (257, 3, 1, 8), (262, 3, count, 8), (277, 3, count, 8)], behind=5000))
    except Exception: pass
print(len({*getattr(TiffImagePlugin, "__warningregistry__", ())} - {"version"}))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) == 0


def test_a_directory_that_lies_outside_of_the_file_is_just_broken(small):
    for exif in (
        b"II+\0\x08\0\0\0" + b"\xff" * 8 + bytes(8),
        b"II*\0" + struct.pack("<I", 2**31),
        b"II*\0",
        b"MM\0*" + struct.pack(">IH", 8, 5) + bytes(20),
    ):
        structure.check(exif, MAX_PIXELS)
        assert decode(jpeg_with(small, segment(0xE1, b"Exif\0\0" + exif))).width == 64


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
def test_a_jpeg_whose_scan_never_seems_to_come_is_refused(small, flood):
    with pytest.raises(BrokenImage, match="no scan begins"):
        decode(jpeg_with(small, flood))


def test_a_jpeg_that_goes_over_its_picture_again_and_again_is_refused(small):
    data = encoded(small, "JPEG", progressive=True)
    scan = data.rindex(b"\xff\xda")
    again = data[:scan] + data[scan:-2] * 300 + data[-2:]
    with pytest.raises(BrokenImage, match="gone over more than 100 times"):
        decode(again)
    large = data.replace(struct.pack(">HH", 48, 64), struct.pack(">HH", 5000, 9000))
    scan = large.rindex(b"\xff\xda")
    with pytest.raises(BrokenImage, match="45000000 pixels are gone over more than 22 times"):
        decode(large[:scan] + large[scan:-2] * 30 + large[-2:])


def test_what_lies_behind_a_picture_is_not_counted_as_its_scans(small):
    """Phones put a film behind the photo."""
    data = encoded(small, "JPEG", progressive=True)
    assert decode(data + b"\xff\xda" * 5000).width == 64


def test_a_jpeg_of_one_scan_is_not_searched_for_others(small, monkeypatch):
    monkeypatch.setattr(structure, "_scans", lambda *_: 1 / 0)
    structure.check(encoded(small, "JPEG"), MAX_PIXELS)
    structure.check(encoded(small.convert("L"), "JPEG"), MAX_PIXELS)
    with pytest.raises(ZeroDivisionError):
        structure.check(encoded(small, "JPEG", progressive=True), MAX_PIXELS)


def test_a_png_of_chunks_is_refused(small):
    for kind, many in ((b"ruSt", 1_100), (b"IDAT", 55_000)):
        with pytest.raises(BrokenImage, match="chunks"):
            decode(png(chunk(kind) * many))


def test_a_png_whose_texts_unpack_to_a_lot_is_refused():
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000)))
    with pytest.raises(BrokenImage):
        decode(png(text * 20))
    assert decode(png(text)).width == 8


def test_a_gif_of_blocks_is_refused(small):
    data = encoded(small, "GIF")
    for flood in (b"\x21\xfe" + b"\x01a" * 300_000 + b"\0", b"\x21\xfe\x01a\0" * 300_000, b"\0" * 300_000):
        at = 13 + 3 * 256
        with pytest.raises(BrokenImage, match="blocks"):
            decode(data[:at] + flood + data[at:])


def test_a_gif_whose_frame_would_be_made_before_its_size_is_told_is_refused():
    """Disposal method 2: Pillow makes a frame of that size while it opens the file."""
    control = b"\x21\xf9\x04\x08\0\0\0\0"
    frame = b"\x2c\0\0\0\0" + struct.pack("<HH", 40_000, 40_000) + b"\0\x08\x01\0\0"
    small = b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0"
    head = b"GIF89a\x01\0\x01\0\0\0\0"
    for data in (head + control + frame, head + control + small + control + frame):
        with pytest.raises(TooLarge, match="reaches to 40000 x 40000"):
            decode(data + b"\x3b")


def test_what_imagemagick_writes_into_a_pngs_text_turns_the_photo():
    exif = b"Exif\0\0" + tiff([(0x0112, 3, 1, 6)])
    text = f"\nexif\n{len(exif):8d}\n{exif.hex()}\n".encode()
    data = png(chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text)), width=8, height=4)
    assert (decode(data).width, decode(data).height) == (4, 8)


@pytest.mark.parametrize("name", ["chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_real_photos_pass(name, kind):
    image = Image.open(f"{skimage.data.data_dir}/{name}").convert("RGB")
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    options = {} if kind in ("BMP", "GIF") else {"exif": exif}
    structure.check(encoded(image, kind, **options), MAX_PIXELS)
    if kind == "JPEG":
        structure.check(encoded(image, kind, progressive=True, exif=exif, icc_profile=bytes(200_000)), MAX_PIXELS)
    if kind == "GIF":
        structure.check(
            encoded(image, kind, save_all=True, append_images=[image.rotate(10 * n) for n in range(5)]), MAX_PIXELS
        )


def test_cut_anywhere_nothing_but_the_error_that_is_meant_comes_out(small):
    exif = Image.Exif()
    exif[0x010F] = "a camera" * 10
    for kind in ("JPEG", "PNG", "GIF", "TIFF"):
        data = encoded(small, kind, **({} if kind == "GIF" else {"exif": exif}))
        for end in range(0, len(data), 7):
            with contextlib.suppress(BrokenImage):
                structure.check(data[:end], MAX_PIXELS)


def bombs() -> dict[str, bytes]:
    """Small files that say they are large."""
    size = 65_500
    grey = Image.new("L", (16, 16))
    jpeg = encoded(grey, "JPEG").replace(b"\x08\x00\x10\x00\x10", b"\x08" + struct.pack(">HH", size, size))
    gif = encoded(grey, "GIF")
    frame = gif.index(b"\x2c\0\0\0\0\x10\0\x10\0")
    wide = struct.pack("<HH", size, size)
    tif = encoded(grey, "TIFF")
    bmp = encoded(grey, "BMP")
    webp = bytearray(encoded(grey.convert("RGB"), "WEBP", save_all=True, append_images=[Image.new("RGB", (16, 16), "red")]))
    canvas = webp.index(b"VP8X") + 12
    webp[canvas : canvas + 6] = (16_382).to_bytes(3, "little") * 2
    return {
        "JPEG": jpeg,
        "PNG": png(chunk(b"IDAT", zlib.compress(bytes(10_000_000))), width=size, height=size),
        "GIF": gif[:6] + wide + gif[10:],
        "GIF whose frame is larger than itself": gif[: frame + 5] + wide + gif[frame + 9 :],
        "TIFF": tif.replace(struct.pack("<HHII", 256, 4, 1, 16), struct.pack("<HHII", 256, 4, 1, size)).replace(
            struct.pack("<HHII", 257, 4, 1, 16), struct.pack("<HHII", 257, 4, 1, size)
        ),
        "BMP": bmp[:18] + struct.pack("<ii", size, size) + bmp[26:],
        "WEBP": bytes(webp),
    }


def hostile() -> dict[str, bytes]:
    """Bombs and floods, the floods as large as a request may be."""
    jpeg = encoded(Image.new("RGB", (64, 48)), "JPEG")
    progressive = encoded(Image.new("RGB", (64, 48)), "JPEG", progressive=True)
    scan = progressive.rindex(b"\xff\xda")
    large = progressive[:scan].replace(struct.pack(">HH", 48, 64), struct.pack(">HH", 5000, 9000))
    gif = encoded(Image.new("P", (8, 8)), "GIF")
    most = 20_000_000
    exif = segment(0xE1, b"Exif\0\0" + tiff(GREEDY, 20_000))
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000)))
    return {f"{kind} that says it has billions of pixels": data for kind, data in bombs().items()} | {
        "JPEG of segments": jpeg[:2] + segment(0xE5, b"") * (most // 4) + jpeg[2:],
        "JPEG of padding": jpeg[:2] + b"\xff" * most + jpeg[2:],
        "JPEG of junk": jpeg[:2] + segment(0xE5, b"") + bytes(most) + jpeg[2:],
        "JPEG whose EXIF claims itself a thousand times": jpeg[:2] + exif + jpeg[2:],
        "JPEG that goes over 45 megapixels again and again": large + progressive[scan:-2] * 100_000 + b"\xff\xd9",
        "PNG of chunks": png(chunk(b"ruSt") * (most // 12)),
        "PNG of empty pieces": png(chunk(b"IDAT") * (most // 12)),
        "PNG whose texts unpack to a gigabyte": png(text * 1000),
        "GIF of blocks": gif[:13] + b"\x21\xfe" + b"\x01a" * (most // 2) + gif[13:],
        "TIFF whose tags claim itself a thousand times": tiff(GREEDY, most),
        "BigTIFF of a trillion tags": b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, 10**12) + bytes(most),
        "bytes of no format": bytes(most),
    }


@pytest.mark.parametrize("kind", bombs())
def test_a_bomb_is_refused_by_the_size_that_it_says_it_has(kind):
    with pytest.raises(TooLarge, match=str(MAX_PIXELS)):
        decode(bombs()[kind])


def test_whatever_is_hostile_is_refused_in_less_than_fifty_megabytes():
    """All of them one after the other in one process, whose own memory is what counts; the largest file has 20 MB itself."""
    code = """
import resource
from app.errors import RequestError
from app.inference.decode import decode, prepare
from tests.app.test_structure import hostile
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
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    kilobytes, accepted = done.stdout.strip().split(" ", 1)
    assert accepted == "[]"
    assert int(kilobytes) < 50_000


def test_the_pieces_of_this_test_are_photos_themselves():
    assert decode(png()).width == 8
    assert Image.open(io.BytesIO(png())).size == (8, 8)
