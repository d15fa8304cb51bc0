"""Scenes made of single-colour photos: the colours tell which photos a scene was made of, and how large they are."""

from dataclasses import fields, replace

import numpy as np
import pytest

from training.config import Composition
from training.data.scenes import compose, plan

SIDE = 96
RED, GREEN, BLUE = range(3)
NOTHING = Composition(
    pasted=0, beside=0, closest=1, rotate=0, stretch=0, grey=0, dark=0, blurred=0, hidden=0, noisy=0, recoded=0
)
"""Photos as they are, apart from mirroring and light."""
PASTED = replace(NOTHING, pasted=1.0)
BESIDE = replace(NOTHING, beside=1.0)


def solid(*colours: int, side: int = 48) -> np.ndarray:
    """A photo of pure red, green or blue for each of `colours`."""
    pixels = np.zeros((len(colours), side, side, 3), np.uint8)
    for index, colour in enumerate(colours):
        pixels[index, ..., colour] = 255
    return pixels


def noise(count: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Photos of many colours, half of them cats."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, 12, 12, 3), np.uint8)
    return pixels.repeat(4, axis=1).repeat(4, axis=2), np.arange(count) % 2


def shares(view: np.ndarray) -> np.ndarray:
    """The share of pixels that are more red, green or blue than anything else: whatever the light, a photo's own colour."""
    return np.bincount(view.argmax(axis=2).ravel(), minlength=3) / (view.shape[0] * view.shape[1])


def shown(view: np.ndarray) -> set[int]:
    return {colour for colour, share in enumerate(shares(view)) if share > 0.002}


def extent(view: np.ndarray, colour: int) -> tuple[int, int]:
    """Rows and columns from the first to the last pixel of a colour."""
    mask = view.argmax(axis=2) == colour
    return tuple(int(np.ptp(np.flatnonzero(mask.any(axis=axis)))) + 1 for axis in (1, 0))


# Seeds, shapes


@pytest.mark.parametrize("seed", range(8))
def test_the_same_seed_gives_the_same_view(seed):
    one, two = (compose(*noise(), 0, Composition(), SIDE, [7, 1, seed]) for _ in range(2))
    assert np.array_equal(one[0], two[0])
    assert one[1] == two[1]


@pytest.mark.parametrize("other", [[8, 1, 0], [7, 2, 0], [7, 1, 1]])
def test_another_seed_gives_another_view(other):
    views = [compose(*noise(), 0, Composition(), SIDE, seed)[0] for seed in ([7, 1, 0], other)]
    assert not np.array_equal(*views)


@pytest.mark.parametrize("composition", [Composition(), NOTHING, PASTED, BESIDE])
@pytest.mark.parametrize("side", [64, 97])
def test_views_are_squares_of_bytes(composition, side):
    for seed in range(15):
        view, _ = compose(*noise(), 1, composition, side, [seed])
        assert (view.shape, view.dtype) == ((side, side, 3), np.uint8)


def test_the_photos_stay_as_they_were():
    pixels, labels = noise()
    before = pixels.copy()
    for seed in range(30):
        compose(pixels, labels, 0, Composition(), SIDE, [seed])
    assert np.array_equal(pixels, before)


# Only a part of the photo


@pytest.mark.parametrize(("subject", "colour"), [(0, RED), (1, GREEN)])
def test_a_close_view_shows_nothing_but_its_photo(subject, colour):
    for seed in range(20):
        view, _ = compose(solid(RED, GREEN), np.array([0, 1]), subject, NOTHING, SIDE, [seed])
        assert shown(view) == {colour}


@pytest.mark.parametrize("subject", [0, 1])
def test_a_close_view_has_the_label_of_its_photo(subject):
    labels = {compose(solid(RED, GREEN), np.array([0, 1]), subject, NOTHING, SIDE, [seed])[1] for seed in range(20)}
    assert labels == {subject}


@pytest.mark.parametrize("closest", [0.1, 0.5, 1.0])
def test_a_close_view_shows_at_least_the_smallest_area(closest):
    """As many of sixteen stripes as fit on the side of a square of that area."""
    stripes = solid(RED)
    stripes[0, :, [x for x in range(48) if x // 3 % 2]] = (0, 255, 0)
    changes = []
    for seed in range(60):
        view, _ = compose(stripes, np.array([0]), 0, replace(NOTHING, closest=closest), SIDE, [seed])
        changes.append(int(np.count_nonzero(np.diff(view[SIDE // 2].argmax(axis=1)))))
    assert 16 * np.sqrt(closest) - 2 < min(changes) < 16 * np.sqrt(closest) + 2


# A photo in another


def test_a_cat_pasted_into_a_scene_is_a_cat():
    labels = {compose(solid(RED, GREEN), np.array([0, 1]), 0, PASTED, SIDE, [seed])[1] for seed in range(40)}
    assert labels == {0}


def test_something_else_pasted_into_a_scene_is_not_a_cat():
    labels = {compose(solid(RED, GREEN, BLUE), np.array([0, 1, 1]), 2, PASTED, SIDE, [seed])[1] for seed in range(40)}
    assert labels == {1}


def test_a_pasted_photo_and_its_scene_are_both_seen():
    for seed in range(40):
        view, _ = compose(solid(RED, GREEN), np.array([0, 1]), 0, PASTED, SIDE, [seed])
        assert shown(view) == {RED, GREEN}


@pytest.mark.parametrize(("subject", "own_colour"), [(0, RED), (9, GREEN)])
def test_no_cat_is_ever_the_scene(subject, own_colour):
    """All cats but the subject are blue."""
    pixels = solid(RED, *[BLUE] * 8, GREEN)
    labels = np.array([0] * 9 + [1])
    for seed in range(100):
        view, _ = compose(pixels, labels, subject, PASTED, SIDE, [seed])
        assert shown(view) <= {own_colour, GREEN}


@pytest.mark.parametrize(("smallest", "largest"), [(0.15, 0.8), (0.3, 0.3), (0.5, 0.7)])
def test_pasted_photos_are_no_larger_than_the_largest_size(smallest, largest):
    composition = replace(PASTED, smallest=smallest, largest=largest)
    for seed in range(150):
        view, _ = compose(solid(RED, GREEN), np.array([0, 1]), 0, composition, SIDE, [seed])
        assert max(extent(view, RED)) <= largest * SIDE + 1


@pytest.mark.parametrize(("smallest", "largest"), [(0.15, 0.8), (0.3, 0.3), (0.5, 0.7)])
def test_pasted_photos_are_no_smaller_than_the_smallest_size(smallest, largest):
    """Up to an eighth of it may lie outside on a side, and the soft edge of a fifth of it looks like the scene."""
    composition = replace(PASTED, smallest=smallest, largest=largest)
    for seed in range(150):
        view, _ = compose(solid(RED, GREEN), np.array([0, 1]), 0, composition, SIDE, [seed])
        assert min(extent(view, RED)) >= smallest * SIDE * 7 / 8 * 4 / 5 - 2


def test_sizes_from_the_smallest_to_the_largest_are_pasted():
    sizes = [
        max(extent(compose(solid(RED, GREEN), np.array([0, 1]), 0, PASTED, SIDE, [seed])[0], RED)) / SIDE
        for seed in range(150)
    ]
    assert (min(sizes) < 0.2, max(sizes) > 0.65) == (True, True)


def test_pasted_photos_are_almost_anywhere_in_the_scene():
    composition = replace(PASTED, smallest=0.2, largest=0.2)
    covered = np.zeros((SIDE, SIDE), bool)
    for seed in range(300):
        view, _ = compose(solid(RED, GREEN), np.array([0, 1]), 0, composition, SIDE, [seed])
        covered |= view.argmax(axis=2) == RED
    assert covered.mean() > 0.9


# Two photos beside each other


@pytest.mark.parametrize("subject", range(4))
def test_two_photos_are_a_cat_if_either_is(subject):
    pixels, labels = solid(RED, RED, GREEN, BLUE), np.array([0, 0, 1, 1])
    scenes = [compose(pixels, labels, subject, BESIDE, SIDE, [seed]) for seed in range(40)]
    assert [label == 0 for _, label in scenes] == [RED in shown(view) for view, _ in scenes]


def test_two_photos_show_a_photo_beside_every_other():
    pixels, labels = solid(RED, GREEN, BLUE), np.array([0, 1, 1])
    sets = {frozenset(shown(compose(pixels, labels, 1, BESIDE, SIDE, [seed])[0])) for seed in range(60)}
    assert sets == {frozenset({GREEN}), frozenset({GREEN, RED}), frozenset({GREEN, BLUE})}


def test_each_of_two_photos_has_at_least_a_third_of_the_view():
    for seed in range(60):
        parts = shares(compose(solid(RED, GREEN), np.array([0, 1]), 0, BESIDE, SIDE, [seed])[0])
        assert parts[RED] == pytest.approx(1, abs=0.01) or 0.33 < parts[RED] < 0.67


# How often


@pytest.mark.parametrize(("pasted", "beside"), [(0.3, 0.2), (0.0, 0.6), (0.7, 0.3)])
def test_each_kind_of_scene_is_made_as_often_as_requested(pasted, beside):
    """Counted by the share of the only red photo: small where it is pasted, about half where it has a neighbour."""
    composition = replace(NOTHING, pasted=pasted, beside=beside, smallest=0.3, largest=0.3)
    pixels, labels = solid(RED, *[GREEN] * 199, side=16), np.array([0] + [1] * 199)
    red = np.array([shares(compose(pixels, labels, 0, composition, 64, [seed])[0])[RED] for seed in range(600)])
    assert np.mean(red < 0.15) == pytest.approx(pasted, abs=0.07)
    assert np.mean((red > 0.15) & (red < 0.9)) == pytest.approx(beside, abs=0.07)


# What cameras do


def views(composition: Composition, pixels: np.ndarray, count: int = 40) -> list[np.ndarray]:
    return [compose(pixels, np.array([1] * len(pixels)), 0, composition, 64, [seed])[0] for seed in range(count)]


def test_only_light_changes_where_no_degradation_is_requested():
    for view in views(NOTHING, solid(RED)):
        assert len(np.unique(view.reshape(-1, 3), axis=0)) == 1


def test_where_all_views_are_grey_most_have_no_colour_at_all():
    """Three in ten keep a tint like that of old photos."""
    without = [np.ptp(view.astype(int), axis=2).max() == 0 for view in views(replace(NOTHING, grey=1.0), noise()[0], 200)]
    assert np.mean(without) == pytest.approx(0.7, abs=0.12)


def test_a_grey_view_has_at_most_one_tint():
    """It is so weak that no channel is far from another."""
    for view in views(replace(NOTHING, grey=1.0), noise()[0], 100):
        unclipped = view[(view > 40).all(axis=2) & (view < 255).all(axis=2)].astype(float)
        assert (unclipped.max(axis=1) / unclipped.min(axis=1)).max() < 1.1 / 0.9 + 0.05


def test_no_view_is_grey_where_none_is_requested():
    assert all(np.ptp(view.astype(int), axis=2).max() > 20 for view in views(NOTHING, noise()[0]))


def test_dark_views_have_little_more_than_half_the_light():
    grey = np.full((1, 48, 48, 3), 128, np.uint8)
    light = [np.mean(views(replace(NOTHING, dark=share), grey, 100)) for share in (0.0, 1.0)]
    assert light[1] / light[0] == pytest.approx(0.55, abs=0.05)


def test_blurred_views_have_weaker_edges():
    """Photos in which each pixel has another colour, seen as they are."""
    fine = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)

    def edges(share: float) -> float:
        blurred = views(replace(NOTHING, blurred=share), fine)
        return float(np.mean([np.abs(np.diff(view.astype(int), axis=1)).mean() for view in blurred]))

    assert edges(1.0) < 0.7 * edges(0.0)


def test_a_part_of_a_hidden_view_is_of_another_colour():
    for view in views(replace(NOTHING, hidden=1.0), solid(RED)):
        colours, counts = np.unique(view.reshape(-1, 3), axis=0, return_counts=True)
        assert len(colours) == 2
        assert 0.14**2 < counts.min() / counts.sum() < 0.46**2


def test_noisy_views_are_grainy():
    grey = np.full((1, 48, 48, 3), 128, np.uint8)
    assert all(view.std(axis=(0, 1)).min() > 1.5 for view in views(replace(NOTHING, noisy=1.0), grey))


def test_recoded_views_differ_by_what_jpeg_loses():
    """The random choices before the recoding are the same."""
    pairs = zip(views(NOTHING, noise()[0]), views(replace(NOTHING, recoded=1.0), noise()[0]), strict=True)
    differences = [np.abs(one.astype(int) - other).mean() for one, other in pairs]
    assert 1 < min(differences) <= max(differences) < 60


CHANGED = {
    "pasted": 1.0,
    "beside": 0.6,
    "smallest": 0.79,
    "largest": 0.16,
    "closest": 0.9,
    "rotate": 90.0,
    "stretch": 0.8,
    "grey": 1.0,
    "dark": 1.0,
    "blurred": 1.0,
    "hidden": 1.0,
    "noisy": 1.0,
    "recoded": 1.0,
}


@pytest.mark.parametrize("option", [field.name for field in fields(Composition) if field.name != "scenery"])
def test_every_option_has_an_effect(option):
    changed = replace(Composition(), **{option: CHANGED[option]})
    assert any(
        not np.array_equal(*(compose(*noise(), 0, each, 64, [seed])[0] for each in (Composition(), changed)))
        for seed in range(30)
    )


def test_a_pasted_photo_goes_into_a_scenery_as_often_as_the_composition_says():
    labels = np.array([0, 1, 1, 1])
    always, never = (replace(PASTED, scenery=share) for share in (1.0, 0.0))
    assert {plan(labels, 0, always, [seed], np.array([3]))[0] for seed in range(20)} == {3}
    assert {plan(labels, 0, never, [seed], np.array([3]))[0] for seed in range(40)} == {1, 2, 3}


def test_the_plan_names_the_photo_that_is_seen_in_the_view_and_its_label():
    pixels, labels = solid(RED, GREEN, BLUE), np.array([0, 1, 1])
    for seed in range(20):
        view, label = compose(pixels, labels, 0, PASTED, SIDE, [seed], np.array([1]))
        other, planned = plan(labels, 0, PASTED, [seed], np.array([1]))
        assert shown(view) == {RED, other}
        assert label == planned


def test_a_photo_beside_a_cat_is_planned_as_a_cat():
    beside = replace(NOTHING, beside=1.0)
    for seed in range(20):
        other, label = plan(np.array([0, 1, 1]), 1, beside, [seed])
        assert label == (0 if other == 0 else 1)


def test_a_view_of_one_photo_has_no_partner():
    assert plan(np.array([0, 1]), 1, NOTHING, [1]) == (-1, 1)
