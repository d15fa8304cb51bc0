"""Photos whose pixels are whole and whose rest is not, as phones, editors and broken transfers leave them."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from app.errors import BrokenImage, TooLarge, UnsupportedImage
from app.inference.decode import decode
from tests.app.inference.hostile import segment, tiff
from tests.conftest import ROOT, encoded

CASES = ROOT.parent / "shared" / "cases"
OPTIONS = [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 4}]


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(decode(data).image)


def with_segment(data: bytes, marker: int, body: bytes) -> bytes:
    return data[:2] + segment(marker, body) + data[2:]


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("no-eoi.jpg", (451, 300)),
        ("byte-order-lies.jpg", (451, 300)),
        ("random-directory.jpg", (451, 300)),
        ("mpo-garbage-index.jpg", (451, 300)),
        ("panorama-59mp.jpg", (16382, 3628)),
    ],
)
def test_a_photo_that_people_really_have_is_read(name, size):
    if not (CASES / name).exists():
        pytest.skip(f"needs {name} of the shared cases")
    photo = decode((CASES / name).read_bytes(), side=224)
    assert (photo.format, photo.width, photo.height) == ("JPEG", *size)


def test_deep_planes_of_the_shared_cases_are_never_noise():
    if not (CASES / "rgb16-planar.tif").exists():
        pytest.skip("needs rgb16-planar.tif of the shared cases")
    with pytest.raises(UnsupportedImage, match="planes of 16 bits"):
        decode((CASES / "rgb16-planar.tif").read_bytes())


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("ending", [b"", b"\xff", b"\0" * 100, b"\xff\xff"])
def test_a_jpeg_without_its_end_marker_is_read(cat_image, options, ending):
    data = encoded(cat_image, "JPEG", **options)
    assert np.array_equal(pixels(data[:-2] + ending), pixels(data))


@pytest.mark.promise("P25")
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("left", [0.4, 0.7, 0.95])
def test_a_jpeg_that_lacks_pixels_is_refused(cat_image, options, left):
    data = encoded(cat_image, "JPEG", **options)
    with pytest.raises(BrokenImage):
        decode(data[: int(left * len(data))])
    with pytest.raises(BrokenImage):
        decode(data[: int(left * len(data))], side=30)


def test_a_jpeg_that_lacks_its_last_bytes_is_refused(cat_image):
    data = encoded(cat_image, "JPEG")
    for lacking in range(3, 60, 4):
        with pytest.raises(BrokenImage):
            decode(data[: -2 - lacking])


@pytest.mark.promise("P25")
def test_a_progressive_jpeg_that_lacks_a_whole_scan_is_refused(cat_image):
    data = encoded(cat_image, "JPEG", progressive=True)
    with pytest.raises(BrokenImage):
        decode(data[: data.rindex(b"\xff\xda")])


NONSENSE = {
    "random bytes": b"II*\0\x08\0\0\0" + np.random.default_rng(3).bytes(400),
    "a byte order that lies": b"II" + tiff([(0x010F, 2, 4, 65), (0x0112, 3, 1, 6 << 16)], order=">")[2:],
    "too many tags": b"MM\0*\0\0\0\x08\xff\xff" + bytes(100),
    "values outside": tiff([(0x8769, 4, 1, 2**31), (0x010F, 2, 2**31, 2**31)]),
    "no directory": b"II*\0\xff\xff\xff\x7f",
    "no tiff": b"nothing of the kind",
    "nothing": b"",
}


@pytest.mark.promise("P22")
@pytest.mark.parametrize("name", NONSENSE)
def test_a_jpeg_with_nonsense_for_exif_is_read_as_it_is_stored(cat_image, name):
    plain = encoded(cat_image, "JPEG")
    assert np.array_equal(pixels(with_segment(plain, 0xE1, b"Exif\0\0" + NONSENSE[name])), pixels(plain))


@pytest.mark.parametrize("name", NONSENSE)
def test_a_jpeg_with_a_nonsense_index_shows_its_first_picture(cat_image, name):
    plain = encoded(cat_image, "JPEG")
    pair = encoded(cat_image, "MPO", save_all=True, append_images=[Image.new("RGB", cat_image.size, "blue")])
    at = pair.index(b"MPF\0")
    size = int.from_bytes(pair[at - 2 : at]) - 6
    damaged = pair[: at + 4] + NONSENSE[name][:size].ljust(size, b"\xa5") + pair[at + 4 + size :]
    assert np.array_equal(pixels(damaged), pixels(pair))
    assert np.array_equal(pixels(with_segment(plain, 0xE2, b"MPF\0" + NONSENSE[name])), pixels(plain))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_a_maker_note_that_is_claimed_thrice_costs_the_photo_nothing(cat_image, kind):
    note = (0x927C, 7, 40_000, 200)
    exif = tiff([(0x0112, 3, 1, 6), note, note, note, note, note, note, note], behind=40_000)
    exif = b"Exif\0\0" + exif if kind == "JPEG" else exif
    assert decode(encoded(cat_image, kind, exif=exif)).image.size in ((300, 451), (451, 300))
    if kind != "AVIF":  # whose orientation lies outside of the block
        assert decode(encoded(cat_image, kind, exif=exif)).image.size == (300, 451), "and it is turned as the block says"


def test_a_cmyk_jpeg_of_plain_polarity_keeps_its_colours(cat_image):
    """Adobe's marker says that values are stored inverted; without it they are not."""
    inverted = encoded(cat_image.convert("CMYK"), "JPEG", quality=95)
    plain = encoded(Image.fromarray(255 - np.asarray(cat_image.convert("CMYK")), "CMYK"), "JPEG", quality=95)
    at = plain.index(b"\xff\xee")
    plain = plain[:at] + plain[at + 2 + int.from_bytes(plain[at + 2 : at + 4]) :]
    for data in (inverted, plain):
        assert np.abs(pixels(data).astype(int) - np.asarray(cat_image, int)).mean() < 6


@pytest.mark.parametrize("values", ["uint16", "uint32", "float32"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_tiff_of_deep_planes_is_refused_by_name(cat_image, values, compression):
    import tifffile

    planes = np.moveaxis(np.asarray(cat_image), 2, 0).astype(values) * (1 if values == "float32" else 257)
    out = io.BytesIO()
    codec = {"compression": compression} if compression else {}
    tifffile.imwrite(out, planes, photometric="rgb", planarconfig="separate", **codec)
    with pytest.raises(UnsupportedImage if values == "uint16" else (UnsupportedImage, BrokenImage)):
        decode(out.getvalue())


def test_a_tiff_of_byte_planes_or_of_deep_pixels_is_read(cat_image):
    import tifffile

    for array, plan in (
        (np.moveaxis(np.asarray(cat_image), 2, 0), "separate"),
        (np.asarray(cat_image).astype(np.uint16) * 257, "contig"),
    ):
        out = io.BytesIO()
        tifffile.imwrite(out, array, photometric="rgb", planarconfig=plan)
        assert np.array_equal(pixels(out.getvalue()), np.asarray(cat_image))


def jpeg_of(width: int, height: int, **options: object) -> bytes:
    return encoded(Image.new("L", (width, height), 90), "JPEG", **options)


def test_a_jpeg_of_200_megapixels_is_read_at_a_fraction():
    """16,320 x 12,240, as phones take them."""
    photo = decode(jpeg_of(16_320, 12_240), side=224)
    assert (photo.width, photo.height, photo.image.size) == (16_320, 12_240, (2040, 1530))


@pytest.mark.promise("P19")
def test_a_jpeg_that_claims_more_than_eight_times_the_pixels_is_refused():
    data = jpeg_of(64, 64).replace(struct.pack(">HH", 64, 64), struct.pack(">HH", 20_100, 20_000))
    with pytest.raises(TooLarge, match="20000 x 20100"):
        decode(data, side=224)


@pytest.mark.parametrize("rest", [b"", b"\0\0", b"\xff" * 40, bytes(12), b"\0\x0c\x03\1\0\2\x11\0\x03\x11\0\x3f\0"])
@pytest.mark.parametrize("frame", [0xC0, 0xC2])
@pytest.mark.parametrize(
    "body", [b"\0\0\0", b"\0\2", b"\0\x08\x08\xff\xff\xff\xff\0", b"\0\x0b\x08\xff\xff\xff\xff\1\1\0\0"]
)
def test_a_jpeg_that_ends_within_its_headers_is_broken_or_too_large(frame, body, rest):
    with pytest.raises((BrokenImage, TooLarge)):
        decode(b"\xff\xd8\xff" + bytes([frame]) + body + b"\xff\xda" + rest)
