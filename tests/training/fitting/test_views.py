"""Scenes and photos as networks see them: all of them, in a known order, made once and cached."""

from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.config import CAT, TUTORIAL
from training.data.dataset import Split
from training.fitting import views as module
from training.fitting.frozen import frozen
from training.fitting.views import Batch, Photos, Scenes, class_weights
from training.networks.pretrained import pretrained

SIDE = 64
COUNT = 20
CATS = 8
RECIPE = replace(CAT, teachers=("lite1",), epochs=2, batch_size=8)
SINGLE = replace(TUTORIAL, batch_size=8)


@pytest.fixture(scope="module")
def split() -> Split:
    """Photos of randomly coloured tiles, CATS of which are labelled as cats."""
    random = np.random.default_rng(4)
    tiles = random.integers(0, 256, (COUNT, 8, 8, 3), np.uint8)
    labels = random.permutation([0] * CATS + [1] * (COUNT - CATS))
    paths = [Path(f"{number}.jpg") for number in range(COUNT)]
    return Split(tiles.repeat(SIDE // 8, axis=1).repeat(SIDE // 8, axis=2), labels, paths)


@pytest.fixture(scope="module")
def shared_scenes(tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    """A maker of scenes, shared because its networks take a second to build."""
    return Scenes(RECIPE, pretrained(SIDE), tmp_path_factory.mktemp("cached"))


@pytest.fixture
def scenes(shared_scenes, tmp_path) -> Scenes:
    """Scenes that are cached in a folder of the test's own, which does not exist yet."""
    scenes_copy = copy(shared_scenes)
    scenes_copy.folder = tmp_path / "cached"
    return scenes_copy


@pytest.fixture
def composed(monkeypatch) -> list[tuple[int, int]]:
    """The photo and the label of every scene that is composed."""
    calls: list[tuple[int, int]] = []
    compose = module.compose

    def spy(pixels, labels, subject, *rest):
        view, label = compose(pixels, labels, subject, *rest)
        calls.append((subject, label))
        return view, label

    monkeypatch.setattr(module, "compose", spy)
    return calls


@pytest.fixture(scope="module")
def epoch(shared_scenes, split, tmp_path_factory) -> list[Batch]:
    """The batches of the first epoch."""
    scenes_copy = copy(shared_scenes)
    scenes_copy.folder = tmp_path_factory.mktemp("epoch")
    return list(scenes_copy.batches(split, 1))


def by_row(batches: list[Batch], epoch: int, recipe=RECIPE) -> list[np.ndarray]:
    """Features, both targets and the scores' weights of each photo, in the order of the photos."""
    order = np.concatenate(list(module._rows(recipe, COUNT, epoch)))
    joined = [
        np.concatenate(parts)
        for parts in zip(*((b.inputs, b.targets[0], b.targets[1], b.weights[0]) for b in batches), strict=True)
    ]
    return [values[np.argsort(order)] for values in joined]


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


# Scenes


def test_a_scene_of_every_photo_is_made_once_per_epoch(scenes, split, composed):
    list(scenes.batches(split, 1))
    assert sorted(subject for subject, _ in composed) == list(range(COUNT))


def test_the_last_batch_is_the_remainder(epoch):
    assert [len(batch) for batch in epoch] == [8, 8, 4]


def test_every_photo_is_in_one_batch_of_an_epoch():
    order = np.concatenate(list(module._rows(RECIPE, COUNT, 1)))
    assert sorted(order) == list(range(COUNT))


def test_each_epoch_has_an_order_of_its_own():
    one, two = (np.concatenate(list(module._rows(RECIPE, COUNT, epoch))) for epoch in (1, 2))
    assert not np.array_equal(one, two)


def test_the_first_epoch_is_the_same_wherever_it_is_cached(scenes, split, epoch):
    assert same(by_row(list(scenes.batches(split, 1)), 1), by_row(epoch, 1))


def test_the_second_epoch_makes_no_scene(scenes, split, composed):
    list(scenes.batches(split, 1))
    composed.clear()
    list(scenes.batches(split, 2))
    assert composed == []


def test_the_second_epoch_shows_each_photo_as_the_first_did(scenes, split):
    first = by_row(list(scenes.batches(split, 1)), 1)
    assert same(by_row(list(scenes.batches(split, 2)), 2), first)


def test_a_restarted_run_shows_the_cached_scenes(shared_scenes, scenes, split, composed):
    first = by_row(list(scenes.batches(split, 1)), 1)
    composed.clear()
    again = copy(shared_scenes)
    again.folder = scenes.folder
    assert same(by_row(list(again.batches(split, 1)), 1), first)
    assert composed == []


def test_with_two_scenes_of_each_photo_the_second_epoch_shows_others(scenes, split):
    scenes.recipe = replace(RECIPE, scenes=2)
    features = [by_row(list(scenes.batches(split, number)), number)[0] for number in (1, 2)]
    assert not any(np.array_equal(one, two) for one, two in zip(*features, strict=True))


def test_with_two_scenes_of_each_photo_the_third_epoch_shows_the_first_ones(scenes, split):
    scenes.recipe = replace(RECIPE, scenes=2)
    first, _, third = [by_row(list(scenes.batches(split, number)), number) for number in (1, 2, 3)]
    assert same(first, third)


def test_a_complete_epoch_leaves_its_files_under_their_names(scenes, split):
    list(scenes.batches(split, 1))
    names = sorted(path.name for path in scenes.folder.iterdir())
    assert names == ["scenes-1-evidence.npy", "scenes-1-features.npy", "scenes-1-labels.npy"]


def stop_half_way(scenes: Scenes, split: Split) -> None:
    batches = scenes.batches(split, 1)
    next(batches)
    batches.close()


def test_half_an_epoch_leaves_nothing_that_looks_complete(scenes, split):
    stop_half_way(scenes, split)
    assert {path.suffix for path in scenes.folder.iterdir()} == {".part"}


def test_after_half_an_epoch_the_next_run_makes_all_scenes_again(scenes, split, composed):
    stop_half_way(scenes, split)
    composed.clear()
    list(scenes.batches(split, 1))
    assert sorted(subject for subject, _ in composed) == list(range(COUNT))


def test_after_half_an_epoch_the_next_run_equals_a_first_run(scenes, split, epoch):
    stop_half_way(scenes, split)
    assert same(by_row(list(scenes.batches(split, 1)), 1), by_row(epoch, 1))
    assert same(by_row(list(scenes.batches(split, 2)), 2), by_row(epoch, 1))


def test_an_epoch_with_one_of_its_files_missing_is_made_again(scenes, split, epoch):
    list(scenes.batches(split, 1))
    (scenes.folder / "scenes-1-evidence.npy").unlink()
    assert same(by_row(list(scenes.batches(split, 1)), 1), by_row(epoch, 1))


def test_the_cached_labels_are_those_of_the_scenes(scenes, split, composed):
    list(scenes.batches(split, 1))
    assert list(np.load(scenes.folder / "scenes-1-labels.npy")) == [label for _, label in sorted(composed)]


@pytest.fixture
def cats(scenes, split) -> np.ndarray:
    """Whether the scene of each photo shows a cat, in an epoch like `epoch`."""
    list(scenes.batches(split, 1))
    return np.load(scenes.folder / "scenes-1-labels.npy") == 0


def test_both_kinds_of_scene_occur(cats):
    assert 0 < cats.sum() < COUNT, "else the tests of targets and weights below say nothing"


def test_without_a_cat_the_target_is_exactly_not_cat(epoch, cats):
    scores = by_row(epoch, 1)[1]
    assert np.array_equal(scores[~cats], np.tile([0.0, 1.0], ((~cats).sum(), 1)))


def test_with_a_cat_the_target_is_at_least_a_half(epoch, cats):
    scores = by_row(epoch, 1)[1][cats, 0]
    assert ((scores >= 0.5) & (scores <= 1)).all()


def test_the_target_of_a_cat_grows_with_what_the_teachers_see():
    evidence = np.linspace(-3, 3, 7, dtype=np.float32)[:, None, None, None] * np.ones((1, 2, 2, 1), np.float32)
    targets = module._softened(np.zeros(7, int), evidence)[:, 0]
    assert (np.diff(targets) > 0).all()
    assert targets[[0, -1]] == pytest.approx([0.5, 1.0], abs=0.01)


def test_the_two_targets_of_the_scores_add_up_to_one(epoch):
    assert by_row(epoch, 1)[1].sum(axis=1) == pytest.approx(1.0)


def test_the_target_of_the_evidence_is_the_mean_of_the_teachers(scenes, split, epoch):
    see = scenes.teachers[0]
    scenes.teachers = [see, lambda photos: [see(photos)[0] + 2]]
    expected = by_row(epoch, 1)[2] + 1
    assert by_row(list(scenes.batches(split, 1)), 1)[2] == pytest.approx(expected, abs=1e-5)


def test_the_evidence_has_the_rows_and_columns_of_the_network(epoch):
    assert epoch[0].targets[1].shape == (8, SIDE // 32, SIDE // 32, 1)


def test_a_scene_without_a_cat_counts_as_much_more_as_the_recipe_says(epoch, cats, split):
    balance = class_weights(split.labels)
    expected = np.where(cats, balance[0], balance[1] * RECIPE.not_cat)
    assert by_row(epoch, 1)[3] == pytest.approx(expected)


def test_the_evidence_of_all_scenes_counts_equally(epoch):
    assert all((batch.weights[1] == 1).all() and len(batch.weights[1]) == len(batch) for batch in epoch)


def test_the_features_are_those_of_the_frozen_layer(epoch):
    assert epoch[0].inputs.shape == (8, *pretrained(SIDE).get_layer(RECIPE.frozen).output.shape[1:])


def test_the_training_data_is_float32(epoch):
    batch = epoch[0]
    assert {array.dtype for array in (batch.inputs, *batch.targets, *batch.weights)} == {np.dtype(np.float32)}


# Scenes for validation


@pytest.fixture(scope="module")
def validation(shared_scenes, split) -> tuple[np.ndarray, np.ndarray]:
    return shared_scenes.validation_tensors(split)


def test_validation_takes_twice_as_many_photos(validation):
    assert [len(values) for values in validation] == [2 * COUNT, 2 * COUNT]


def test_validation_takes_the_same_at_every_call(scenes, split, validation):
    assert same(list(scenes.validation_tensors(split)), list(validation))


def test_the_first_half_of_validation_is_the_photos_as_they_are(split, validation):
    (expected,) = frozen(pretrained(SIDE), [RECIPE.frozen])(split.pixels.astype(np.float32))
    assert validation[0][:COUNT] == pytest.approx(expected, rel=2e-3, abs=2e-3)


def test_the_first_half_of_the_labels_is_the_photos(split, validation):
    assert np.array_equal(validation[1][:COUNT], split.labels)


def test_the_second_half_of_the_labels_is_the_scenes(scenes, split, composed, validation):
    scenes.validation_tensors(split)
    assert list(validation[1][COUNT:]) == [label for _, label in sorted(composed)]


def test_validation_does_not_use_the_scenes_of_training(validation, epoch):
    learned, scenes = by_row(epoch, 1)[0], validation[0][COUNT:].astype(np.float32)
    assert not any(np.array_equal(one, two) for one, two in zip(learned, scenes, strict=True))


# Single photos


@pytest.fixture(scope="module")
def singles(split) -> list[Batch]:
    return list(Photos(SINGLE, 32).batches(split, 1))


def test_every_single_photo_is_seen_once_per_epoch(singles, split):
    targets = np.concatenate([batch.targets for batch in singles])
    order = np.concatenate(list(module._rows(SINGLE, COUNT, 1)))
    assert np.array_equal(targets, np.eye(2)[split.labels[order]])


def test_single_photos_have_the_networks_size(singles):
    assert [tuple(batch.inputs.shape) for batch in singles] == [(8, 32, 32, 3), (8, 32, 32, 3), (4, 32, 32, 3)]


def test_both_classes_of_single_photos_count_equally(singles):
    weights, targets = (np.concatenate([getattr(batch, name) for batch in singles]) for name in ("weights", "targets"))
    assert weights[targets[:, 0] == 1].sum() == pytest.approx(weights[targets[:, 1] == 1].sum())


def test_a_single_photo_counts_one_on_average(singles):
    assert np.concatenate([batch.weights for batch in singles]).mean() == pytest.approx(1)


def test_an_epoch_of_single_photos_can_be_repeated(singles, split):
    again = list(Photos(SINGLE, 32).batches(split, 1))
    assert all(np.array_equal(one.inputs, two.inputs) for one, two in zip(singles, again, strict=True))


def test_the_next_epoch_of_single_photos_is_another(singles, split):
    following = list(Photos(SINGLE, 32).batches(split, 2))
    assert not np.array_equal(singles[0].inputs, following[0].inputs)


def test_single_photos_are_validated_on_as_they_are(split):
    pixels, labels = Photos(SINGLE, 32).validation_tensors(split)
    assert np.array_equal(pixels, split.pixels)
    assert np.array_equal(labels, split.labels)


@pytest.mark.parametrize(("labels", "expected"), [([0, 1], [1, 1]), ([0, 1, 1, 1], [2, 2 / 3])])
def test_the_weight_of_a_class_is_worked_by_hand(labels, expected):
    assert class_weights(np.array(labels)) == pytest.approx(expected)
