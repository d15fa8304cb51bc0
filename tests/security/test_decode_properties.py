"""Whatever the bytes are: decode returns an upright photo that fits its description, or refuses in one of three ways."""

import functools
import math
import struct
import subprocess
import sys
import zlib
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from app.errors import BrokenImage, TooLarge, UnsupportedImage
from app.inference.decode import FORMATS, JPEG_FACTOR, OVERSAMPLING, decode
from tests.conftest import ROOT, encoded
from tests.security.fuzz_upload import damaged
from tests.security.fuzz_upload import photos as made

always = functools.partial(
    settings, derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
PHOTOS = made()
SIGNATURES = [photo[:size] for photo in PHOTOS.values() for size in (4, 12, 30)]
MAX_PIXELS = 200_000

valid = st.sampled_from(sorted(PHOTOS)).map(PHOTOS.__getitem__)
sides = st.none() | st.integers(1, 64)


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A valid photo after some mutations."""
    return damaged(draw(valid), draw(valid), draw(st.randoms(use_true_random=False)))


def outcome(data: bytes, side: int | None) -> str:
    """Decode, and check the photo against its own description; returns its format, or the name of the refusal."""
    try:
        photo = decode(data, MAX_PIXELS, side)
    except (TooLarge, UnsupportedImage, BrokenImage) as error:
        return type(error).__name__
    assert photo.image.mode == "RGB"
    assert photo.format in FORMATS
    assert photo.image.width * photo.image.height <= MAX_PIXELS
    assert photo.width * photo.height <= MAX_PIXELS * (JPEG_FACTOR if photo.format == "JPEG" else 1)
    assert photo.size == len(data)
    reduced = [tuple(math.ceil(length / by) for length in (photo.width, photo.height)) for by in (1, 2, 4, 8)]
    whole = photo.width * photo.height <= MAX_PIXELS
    if photo.format == "JPEG" and (side or not whole):
        assert photo.image.size in reduced
        assert photo.image.size == reduced[0] or not whole or min(photo.image.size) >= OVERSAMPLING * side
    elif photo.format == "HEIC" and side:
        assert photo.image.size == reduced[0] or min(photo.image.size) >= OVERSAMPLING * side
    else:
        assert photo.image.size == reduced[0]
    assert np.asarray(photo.image).shape == (*photo.image.size[::-1], 3), "its pixels are there"
    return photo.format


@pytest.mark.promise("P24")
@given(st.binary(max_size=300) | st.builds(bytes.__add__, st.sampled_from(SIGNATURES), st.binary(max_size=200)), sides)
@always(max_examples=300)
def test_any_bytes_are_a_photo_or_are_refused(data, side):
    outcome(data, side)


@pytest.mark.promise("P24")
@given(broken(), sides)
@always(max_examples=600)
def test_any_damaged_photo_is_a_photo_or_is_refused(data, side):
    outcome(data, side)


@given(valid, sides)
@always(max_examples=150)
def test_every_undamaged_photo_is_read(data, side):
    assert outcome(data, side) in FORMATS


def test_some_damaged_photos_are_read_and_some_are_refused_in_each_way():
    random = Random(1)
    samples = list(PHOTOS.values())
    outcomes = {outcome(damaged(random.choice(samples), random.choice(samples), random), None) for _ in range(3000)}
    assert outcomes == {*FORMATS, "TooLarge", "UnsupportedImage", "BrokenImage"}


@pytest.mark.promise("P24")
@pytest.mark.parametrize("name", sorted(PHOTOS))
def test_a_photo_that_is_cut_anywhere_is_a_photo_or_is_refused(name):
    data = PHOTOS[name]
    outcomes = [outcome(data[:size], None) for size in range(0, len(data), 1 + len(data) // 60)]
    assert outcomes[0] == "UnsupportedImage"


def mended(png: bytes) -> bytes:
    """A PNG whose first chunk has the right checksum."""
    return png[:29] + struct.pack(">I", zlib.crc32(png[12:29])) + png[33:]


GIANTS = {
    "gif": b"GIF89a\1\0\1\0\x80\0\0" + bytes(6) + b"\x21\xf9\4\x08\0\0\0\0\x2c\0\0\0\0\xff\xff\xff\xff\0\2\2\x44\1\0;",
    "bmp": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 0, 0, 0, 62, 40, 1, 49_999_999, 1, 1, 0, 0, 0, 0, 0, 0) + bytes(108),
    "png": mended(PHOTOS["png"][:16] + struct.pack(">II", 1, 49_999_999) + PHOTOS["png"][24:]),
}
"""Files of some bytes that claim to have more pixels than are read, or more lines."""

LITTLE_MEMORY = """
import resource, sys
from app.errors import RequestError
from app.inference.decode import decode
decode(sys.stdin.buffer.read(int(sys.argv[1])))  # a small one: what reads them is there
used = int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (used + 100_000_000,) * 2)
try:
    print(decode(sys.stdin.buffer.read()).format)
except RequestError as error:
    print(type(error).__name__)
"""


@pytest.mark.promise("P19")
@pytest.mark.parametrize("kind", sorted(GIANTS))
def test_a_photo_of_too_many_pixels_is_refused_before_memory_is_taken_for_them(kind):
    small = PHOTOS[kind]
    command = [sys.executable, "-c", LITTLE_MEMORY, str(len(small))]
    result = subprocess.run(command, input=small + GIANTS[kind], capture_output=True, cwd=ROOT, timeout=60, check=True)
    assert result.stdout.decode().strip() == "TooLarge"


@pytest.mark.parametrize("kind", [1, 3, 4, 6, 8, 9])
@pytest.mark.parametrize("coded", [2, 3, 4])
def test_a_fax_is_refused_without_a_message_for_each_of_its_lines(coded, kind, capfd):
    """The library that reads it reports every wrong line on standard error, and it may have millions."""
    lines = 700
    tags = [
        (256, 4, 64),
        (257, 4, lines),
        (258, 3, 1),
        (259, kind, coded),
        (262, 3, 0),
        (273, 4, 122),
        (277, 3, 1),
        (278, 4, lines),
    ]
    tags.append((279, 4, 500))
    directory = b"".join(struct.pack("<HHII", tag, of, 1, value) for tag, of, value in tags)
    data = b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + directory + bytes(4) + Random(1).randbytes(500)
    assert outcome(data, None) in ("UnsupportedImage", "BrokenImage")
    assert capfd.readouterr().err == ""


@st.composite
def pictures(draw: st.DrawFn) -> Image.Image:
    """Noise, small, and of any shape."""
    shape = (draw(st.integers(1, 24)), draw(st.integers(1, 24)), 3)
    return Image.fromarray(np.random.default_rng(draw(st.integers(0, 1000))).integers(0, 256, shape, dtype=np.uint8))


def pixels(data: bytes) -> np.ndarray:
    photo = decode(data)
    assert (photo.width, photo.height) == photo.image.size
    return np.asarray(photo.image)


@given(pictures(), st.sampled_from([("PNG", {}), ("BMP", {}), ("TIFF", {}), ("WEBP", {"lossless": True})]))
@always(max_examples=100)
def test_a_lossless_format_returns_the_same_picture(picture, kind_and_options):
    kind, options = kind_and_options
    data = encoded(picture, kind, **options)
    assert np.array_equal(pixels(data), np.asarray(picture))
    assert decode(data).format == kind


UPRIGHT = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: stored.swapaxes(0, 1)[:, ::-1],
    7: lambda stored: stored.swapaxes(0, 1)[::-1, ::-1],
    8: lambda stored: stored.swapaxes(0, 1)[::-1],
}
"""By orientation, what people see of the pixels as they are stored: on which side their first row lies, and their first
column, as EXIF's table tells.
"""


@given(pictures(), st.sampled_from(["JPEG", "PNG", "WEBP", "TIFF", "AVIF"]), st.sampled_from(sorted(UPRIGHT)))
@always(max_examples=250)
def test_a_photo_comes_out_upright_however_the_camera_was_held(picture, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = pixels(encoded(picture, kind))
    assert np.array_equal(pixels(encoded(picture, kind, exif=exif)), UPRIGHT[orientation](stored))
