"""Intervals that others have calculated, and photos that are alike to the last bit."""

import numpy as np
import pytest
from PIL import Image

from app.teach.alike import ALIKE, alike, fingerprint
from app.teach.figures import Figure, figure, share


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    [(50, 100, 0.4038, 0.5962), (10, 10, 0.7225, 1.0), (0, 10, 0.0, 0.2775), (1, 10, 0.0179, 0.4042), (1, 1, 0.2065, 1.0)],
)
def test_a_share_has_wilsons_interval(successes, count, low, high):
    assert share(successes, count) == Figure(successes / count, low, high, count)


def test_a_share_of_nothing_is_unknown():
    assert share(0, 0) is None


def test_a_figure_has_four_decimals():
    known = figure(np.float32(1 / 3), np.float64(0.12344), 0.98765, 7)
    assert (known.value, known.low, known.high, known.count) == (0.3333, 0.1234, 0.9877, 7)
    assert {type(known.value), type(known.low), type(known.high)} == {float}


def looks(*flipped: int, first: int = 128) -> np.ndarray:
    """A fingerprint whose first bits are set, with so many of its last bits set, and so many of its first not."""
    bits = np.arange(256) < first
    for at in flipped:
        bits[at] = ~bits[at]
    return bits


def test_fingerprints_are_alike_that_differ_in_few_bits():
    near, far = looks(*range(ALIKE)), looks(*range(ALIKE + 1))
    assert alike(np.stack([looks(), near])) == [0, 0]
    assert alike(np.stack([looks(), far])) == [0, 1]
    assert alike(np.stack([near, far, looks()])) == [0, 0, 0], "each looks like the one before it"
    other = np.arange(256) % 16 < 8
    assert alike(np.stack([looks(), other, looks(200), other ^ looks(first=3), looks()])) == [0, 1, 0, 1, 0]


def test_a_photo_and_its_mirror_image_are_alike(cat_image):
    mirrored = cat_image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    turned = cat_image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    seen = [fingerprint(image) for image in (cat_image, turned, mirrored, mirrored.resize((200, 100)))]
    assert alike(np.stack(seen)) == [0, 1, 0, 0]
    left_bright = np.arange(256) < 60
    mirror = ~left_bright.reshape(16, 16)[:, ::-1].ravel()
    for flips, group in ((ALIKE, 0), (ALIKE + 1, 1)):
        changed = mirror.copy()
        changed[-flips:] ^= True
        assert alike(np.stack([left_bright, changed])) == [0, group]
        assert alike(np.stack([changed, left_bright])) == [0, group]


@pytest.mark.parametrize(("ones", "group"), [(ALIKE, 1), (ALIKE + 1, 0), (255 - ALIKE, 0), (256 - ALIKE, 1)])
def test_photos_without_detail_are_like_no_other(ones, group):
    assert alike(np.stack([looks(first=ones), looks(first=ones)])) == [0, group]


def test_no_photo_is_alike_to_one_without_detail():
    assert alike(np.stack([looks(first=ALIKE), looks(first=ALIKE + 1)])) == [0, 1]


def test_a_fingerprint_says_where_it_gets_brighter():
    ramp = Image.fromarray(np.tile(np.arange(0, 170, 10, np.uint8), (16, 1)))
    assert fingerprint(ramp).tolist() == [True] * 256
    assert fingerprint(ramp.transpose(Image.Transpose.FLIP_LEFT_RIGHT)).tolist() == [False] * 256
    assert not fingerprint(Image.new("RGB", (50, 40), "red")).any()
    colours = Image.merge("RGB", (Image.new("L", ramp.size, 255), ramp, Image.new("L", ramp.size)))
    assert fingerprint(colours).tolist() == [True] * 256
    rows = np.zeros((16, 17), np.uint8)
    rows[3, 5] = 200
    assert np.flatnonzero(fingerprint(Image.fromarray(rows))).tolist() == [3 * 16 + 4]
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8))
    cells = np.asarray(noise.convert("L").resize((17, 16), Image.Resampling.LANCZOS), int)
    assert fingerprint(noise).tolist() == (np.diff(cells, axis=1) > 0).ravel().tolist()
