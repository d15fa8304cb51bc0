"""The fourteen disguises of a photo."""

import numpy as np
import pytest
from PIL import Image

from app.inference.explain.guises import GUISES
from training.measuring.disguises import DISGUISES


def test_the_disguises_are_the_services_guises_and_two_more():
    assert list(DISGUISES) == [*GUISES, "zoomed_far_out", "jpeg_quality_20"]


@pytest.mark.parametrize("name", GUISES)
def test_a_guise_of_the_service_is_the_services_own(name):
    assert DISGUISES[name] is GUISES[name]


@pytest.mark.parametrize("name", DISGUISES)
def test_a_disguise_is_an_rgb_image(cat_image, name):
    assert DISGUISES[name](cat_image).mode == "RGB"


@pytest.mark.parametrize("name", DISGUISES)
def test_a_disguise_does_not_modify_the_photo(cat_image, name):
    photo = cat_image.copy()
    DISGUISES[name](photo)
    assert photo.tobytes() == cat_image.tobytes()


@pytest.mark.parametrize("name", ["zoomed_far_out", "jpeg_quality_20"])
def test_a_photo_keeps_its_size(cat_image, name):
    assert DISGUISES[name](cat_image).size == cat_image.size


@pytest.mark.parametrize("name", ["zoomed_far_out", "jpeg_quality_20"])
def test_a_photo_of_one_pixel_has_a_disguise(name):
    assert DISGUISES[name](Image.new("RGB", (1, 1), "red")).size == (1, 1)


def test_zoomed_far_out_is_a_sixteenth_of_the_photo_in_a_grey_field():
    pixels = np.asarray(DISGUISES["zoomed_far_out"](Image.new("RGB", (80, 40), "red")))
    expected = np.full((40, 80, 3), 127, np.uint8)
    expected[15:25, 30:50] = (255, 0, 0)
    assert np.array_equal(pixels, expected)


def test_jpeg_of_quality_20_loses_some_of_the_photo(cat_image):
    lost = np.abs(np.asarray(DISGUISES["jpeg_quality_20"](cat_image), int) - np.asarray(cat_image)).mean()
    assert 1 < lost < 15
