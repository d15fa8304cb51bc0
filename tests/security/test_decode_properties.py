"""Whatever the bytes are: decode gives an upright photo that fits what it says of it, or refuses in one of three ways."""

import functools
import math
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from app.errors import BrokenImage, TooLarge, UnsupportedImage
from app.inference.decode import FORMATS, OVERSAMPLING, decode
from tests.conftest import encoded
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
    """A valid photo after some accidents."""
    return damaged(draw(valid), draw(valid), draw(st.randoms(use_true_random=False)))


def outcome(data: bytes, side: int | None) -> str:
    """Decode, and hold the photo to all that it says of itself: its format, or why it is none."""
    try:
        photo = decode(data, MAX_PIXELS, side)
    except (TooLarge, UnsupportedImage, BrokenImage) as error:
        return type(error).__name__
    assert photo.image.mode == "RGB"
    assert photo.format in FORMATS
    assert photo.width * photo.height <= MAX_PIXELS
    assert photo.size == len(data)
    reduced = [tuple(math.ceil(length / by) for length in (photo.width, photo.height)) for by in (1, 2, 4, 8)]
    if photo.format == "JPEG" and side:
        assert photo.image.size in reduced
        assert photo.image.size == reduced[0] or min(photo.image.size) >= OVERSAMPLING * side
    else:
        assert photo.image.size == reduced[0]
    assert np.asarray(photo.image).shape == (*photo.image.size[::-1], 3), "its pixels are there"
    return photo.format


@given(st.binary(max_size=300) | st.builds(bytes.__add__, st.sampled_from(SIGNATURES), st.binary(max_size=200)), sides)
@always(max_examples=300)
def test_any_bytes_are_a_photo_or_are_refused(data, side):
    outcome(data, side)


@given(broken(), sides)
@always(max_examples=600)
def test_any_damaged_photo_is_a_photo_or_is_refused(data, side):
    outcome(data, side)


@given(valid, sides)
@always(max_examples=150)
def test_every_undamaged_photo_is_read(data, side):
    assert outcome(data, side) in FORMATS


def test_of_the_damaged_photos_some_are_read_and_some_are_refused_in_each_way():
    random = Random(1)
    found = list(PHOTOS.values())
    said = {outcome(damaged(random.choice(found), random.choice(found), random), None) for _ in range(3000)}
    assert said == {*FORMATS, "TooLarge", "UnsupportedImage", "BrokenImage"}


@pytest.mark.parametrize("name", sorted(PHOTOS))
def test_a_photo_that_ends_anywhere_is_a_photo_or_is_refused(name):
    data = PHOTOS[name]
    said = [outcome(data[:size], None) for size in range(0, len(data), 1 + len(data) // 60)]
    assert said[0] == "UnsupportedImage"


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
def test_a_format_that_loses_nothing_gives_the_picture_back(picture, how):
    kind, options = how
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
