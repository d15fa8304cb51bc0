"""Random views of photos: repeatable, in range, and just the photo if the recipe asks for no change."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from training.config import TUTORIAL
from training.data.augment import augment

NEUTRAL = replace(TUTORIAL, rotate=0.0, zoom=(1.0, 1.0), stretch=0.0, shift=0.0, light=0.0, colour=0.0, grey=0.0, hide=0.0)


@pytest.fixture(scope="module")
def batch(request: pytest.FixtureRequest) -> np.ndarray:
    """Twelve crops of the cat, (12, 56, 56, 3) uint8."""
    image = request.getfixturevalue("cat_image").resize((150, 100))
    return np.stack([np.asarray(image.crop((x, y, x + 56, y + 56))) for x in range(0, 90, 15) for y in (0, 40)])


def views(images: np.ndarray, recipe=TUTORIAL, side: int = 50, seed: int = 1) -> np.ndarray:
    return np.asarray(augment(images, recipe, side, seed))


def mirrored(images: np.ndarray) -> np.ndarray:
    return images[:, :, ::-1]


def test_views_have_the_requested_size(batch):
    assert views(batch, side=50).shape == (12, 50, 50, 3)


def test_views_are_float32(batch):
    assert views(batch).dtype == np.float32


@pytest.mark.parametrize("seed", range(3))
def test_views_stay_from_0_to_255_however_far_the_light_changes(batch, seed):
    augmented = views(batch, replace(TUTORIAL, light=3.0, colour=3.0), seed=seed)
    assert (augmented.min(), augmented.max()) == (0, 255)


def test_views_hold_no_nan_for_black_and_white_photos():
    flat = np.stack([np.zeros((56, 56, 3), np.uint8), np.full((56, 56, 3), 255, np.uint8)])
    assert np.isfinite(views(flat)).all()


def test_the_same_seed_gives_the_same_batch_bit_for_bit(batch):
    assert np.array_equal(views(batch, seed=5), views(batch, seed=5))


def test_the_same_seed_gives_the_same_batch_whatever_was_drawn_before(batch):
    keras.utils.set_random_seed(1)
    first = views(batch, seed=5)
    keras.utils.set_random_seed(2)
    views(batch, seed=9)
    assert np.array_equal(views(batch, seed=5), first)


def test_another_seed_gives_another_batch(batch):
    first, second = views(batch, seed=5), views(batch, seed=6)
    assert (np.abs(first - second).mean(axis=(1, 2, 3)) > 1).all(), "every photo should be seen differently"


def test_two_photos_of_a_batch_are_augmented_differently(batch):
    twins = np.stack([batch[0]] * 8)
    augmented = views(twins)
    assert len({view.tobytes() for view in augmented}) == 8


def test_the_input_photos_are_not_modified(batch):
    before = batch.copy()
    views(batch)
    assert np.array_equal(batch, before)


def test_a_recipe_that_asks_for_nothing_gives_the_photo_or_its_mirror_image(batch):
    augmented = views(batch, NEUTRAL, side=56)
    straight = np.abs(augmented - batch).max(axis=(1, 2, 3))
    turned = np.abs(augmented - mirrored(batch)).max(axis=(1, 2, 3))
    assert np.minimum(straight, turned).max() <= 1, "rounding may move a value by one"


def test_a_recipe_that_asks_for_nothing_gives_half_of_the_photos_mirrored(batch):
    augmented = np.concatenate([views(batch, NEUTRAL, side=56, seed=seed) for seed in range(20)])
    share = (np.abs(augmented - mirrored(np.tile(batch, (20, 1, 1, 1)))).max(axis=(1, 2, 3)) <= 1).mean()
    assert 0.35 < share < 0.65, "240 coins: five standard deviations are 0.16"


def test_a_stored_photo_is_shrunk_to_the_whole_view(batch):
    """The corners of a photo with four corner colours are the corners of the view, or of its mirror image."""
    corners = np.zeros((1, 56, 56, 3), np.uint8)
    corners[0, :28, :28], corners[0, :28, 28:] = (255, 0, 0), (255, 0, 0)
    corners[0, 28:, :28], corners[0, 28:, 28:] = (0, 0, 255), (0, 255, 0)
    view = views(corners, NEUTRAL, side=50)[0]
    below = {tuple(view[-1, 0].round()), tuple(view[-1, -1].round())}
    assert tuple(view[0, 0].round()) == tuple(view[0, -1].round()) == (255, 0, 0)
    assert below == {(0, 0, 255), (0, 255, 0)}


def test_a_quarter_turn_stands_the_photo_on_its_side():
    half = np.zeros((1, 51, 51, 3), np.uint8)
    half[:, :25] = 200  # the upper half is light
    augmented = [views(half, replace(NEUTRAL, rotate=90.0), side=51, seed=seed)[0] for seed in range(30)]
    upper = np.array([view[:20].mean() - view[-20:].mean() for view in augmented])
    sideways = np.array([abs(view[:, :20].mean() - view[:, -20:].mean()) for view in augmented])
    assert (upper > -20).all(), "at most a quarter turn, so the light never comes to lie below"
    assert sideways.max() > 120, "some turn comes near a quarter"


def test_zoom_magnifies_the_middle():
    spot = np.zeros((1, 61, 61, 3), np.uint8)
    spot[:, 25:36, 25:36] = 255  # 11 of 61 pixels wide
    view = views(spot, replace(NEUTRAL, zoom=(3.0, 3.0)), side=61)[0]
    assert (view[30, :, 0] > 127).sum() == pytest.approx(33, abs=1)


def test_shift_moves_the_photo_by_at_most_its_share():
    spot = np.zeros((16, 60, 60, 3), np.uint8)
    spot[:, 28:32, 28:32] = 255
    augmented = views(spot, replace(NEUTRAL, shift=0.2), side=60)
    rows, columns = np.indices((60, 60))
    centres = [(np.average(rows, weights=v[..., 0]), np.average(columns, weights=v[..., 0])) for v in augmented]
    moved = np.abs(np.array(centres) - 29.5)
    assert moved.max() <= 0.2 * 60 + 0.5
    assert moved.max() > 5


def test_grey_removes_the_colour_of_all_photos_when_its_share_is_one(batch):
    augmented = views(batch, replace(NEUTRAL, grey=1.0), side=56)
    assert np.abs(augmented - augmented[..., :1]).max() < 1e-3


def test_grey_keeps_the_lightness_of_a_pixel(batch):
    augmented = views(batch, replace(NEUTRAL, grey=1.0), side=56)[..., 0]
    luma = batch @ np.array([0.299, 0.587, 0.114])
    assert np.minimum(np.abs(augmented - luma).max((1, 2)), np.abs(augmented - luma[:, :, ::-1]).max((1, 2))).max() < 1.1


def test_no_photo_loses_its_colour_when_the_share_is_zero(batch):
    augmented = views(batch, replace(TUTORIAL, grey=0.0, hide=0.0))
    assert (np.abs(augmented - augmented[..., :1]).max(axis=(1, 2, 3)) > 5).all()


def covered(hide: float) -> np.ndarray:
    """The share of grey 127 in each of 400 white photos."""
    white = np.full((400, 60, 60, 3), 255, np.uint8)
    return (views(white, replace(NEUTRAL, hide=hide), side=60) == 127).all(axis=-1).mean(axis=(1, 2))


def test_hide_covers_a_part_of_each_photo_when_its_share_is_one():
    assert (covered(1.0) > 0).mean() > 0.9, "a rectangle may be too thin to cover the middle of any pixel"


def test_hide_covers_at_most_half_of_each_side():
    assert 0.15 < covered(1.0).max() <= 0.26


def test_hide_covers_a_part_of_the_given_share_of_photos():
    assert (covered(0.25) > 0).mean() == pytest.approx(0.25, abs=0.11), "five standard deviations are 0.11"


def test_hide_leaves_every_other_pixel_as_it_was():
    white = np.full((32, 60, 60, 3), 255, np.uint8)
    augmented = views(white, replace(NEUTRAL, hide=1.0), side=60)
    assert set(np.unique(augmented.round(2))) == {127.0, 255.0}


def test_nothing_is_hidden_when_the_share_is_zero():
    white = np.full((32, 60, 60, 3), 255, np.uint8)
    assert views(white, NEUTRAL, side=60).min() > 254.9


def test_light_changes_how_bright_a_photo_is(batch):
    augmented = views(batch, replace(NEUTRAL, light=0.3), side=56)
    assert np.ptp(augmented.mean(axis=(1, 2, 3)) / batch.mean(axis=(1, 2, 3))) > 0.1


def test_light_gives_a_grey_photo_no_colour():
    grey = np.arange(16 * 40 * 40, dtype=np.uint32).reshape(16, 40, 40, 1).repeat(3, axis=3) % 251
    augmented = views(grey.astype(np.uint8), replace(NEUTRAL, light=0.5, colour=0.5), side=40)
    assert np.abs(augmented - augmented[..., :1]).max() < 1e-3


def test_colour_changes_how_colourful_a_photo_is_and_keeps_its_lightness(batch):
    def spread(images: np.ndarray) -> np.ndarray:
        return (images.max(axis=-1) - images.min(axis=-1)).mean(axis=(1, 2))

    augmented = views(batch, replace(NEUTRAL, colour=0.3), side=56)
    luma = np.array([0.299, 0.587, 0.114])
    assert (augmented @ luma).mean(axis=(1, 2)) == pytest.approx((batch @ luma).mean(axis=(1, 2)), abs=1)
    assert np.ptp(spread(augmented) / spread(batch.astype(float))) > 0.1
