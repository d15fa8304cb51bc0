"""Judges find what tells classes apart, and score each photo as the network will that is made of them."""

import numpy as np
import pytest

from training.transfer.judges import FOLDS, fit, folds, means, out_of_fold


@pytest.fixture(scope="module")
def features() -> tuple[np.ndarray, np.ndarray]:
    """60 photos of 3 classes; at one of nine positions the channel of the class is larger."""
    random = np.random.default_rng(0)
    labels = np.arange(60) % 3
    values = random.random((60, 3, 3, 8))
    values[np.arange(60), random.integers(0, 3, 60), random.integers(0, 3, 60), labels] += 4
    return values.astype(np.float16), labels


def test_judges_tell_apart_what_they_learned_from(features):
    values, labels = features
    assert (fit(values, labels, 3, 0.005).scores(values).argmax(axis=1) == labels).mean() > 0.95


def test_photos_that_took_no_part_are_recognised_too(features):
    values, labels = features
    scores = out_of_fold(values, labels, np.arange(60), 3, 1, 0.005)
    assert (scores.argmax(axis=1) == labels).mean() > 0.9


def test_labels_without_any_meaning_are_not_recognised(features):
    values, labels = features
    shuffled = np.random.default_rng(1).permutation(labels)
    scores = out_of_fold(values, shuffled, np.arange(60), 3, 1, 0.005)
    assert (scores.argmax(axis=1) == shuffled).mean() < 0.6


def test_a_rare_class_counts_as_much_as_the_others(features):
    values, labels = features
    kept = np.flatnonzero((labels != 2) | (np.arange(60) < 9))
    scores = fit(values[kept], labels[kept], 3, 0.005).scores(values)
    assert (scores.argmax(axis=1) == labels)[labels == 2].mean() > 0.7


def test_fitting_twice_gives_the_same_judges(features):
    one, two = (fit(*features, 3, 0.05) for _ in range(2))
    assert np.array_equal(one.kernel, two.kernel)


def test_more_penalty_leaves_smaller_weights(features):
    sizes = [float((fit(*features, 3, penalty).kernel ** 2).sum()) for penalty in (0.001, 0.1, 1000.0)]
    assert sizes[0] > sizes[1] > sizes[2]
    assert sizes[2] < 1e-4


def test_each_photo_is_measured_once():
    labels = np.arange(40) % 2
    held_out = np.concatenate([rows for _, rows in folds(labels, np.arange(40), 1)])
    assert sorted(held_out) == list(range(40))


def test_photos_that_look_alike_are_on_one_side():
    labels, groups = np.arange(40) % 2, np.arange(40) // 4 * 2 + np.arange(40) % 2
    for rest, held_out in folds(labels, groups, 1):
        assert not set(groups[rest]) & set(groups[held_out])


def test_there_are_no_more_folds_than_photos_of_a_class():
    labels = np.array([0] * 30 + [1] * 3)
    assert len(folds(labels, np.arange(33), 1)) == 3 < FOLDS


def test_means_are_those_over_the_positions(features):
    assert means(features[0])[:, 0, 0] == pytest.approx(features[0].astype(float).mean(axis=(1, 2)), abs=2e-3)
