"""What is familiar: at most one in twenty of the photos that were taught is not, and what is unlike them is not."""

import numpy as np
import pytest

from app.inference import familiarity
from app.inference.networks.onnx.other_classes import LAST
from app.teach.familiar import fit, known, limit
from app.teach.judges import folded

CHANNELS = 60


def photos(count: int, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """So many photos of each class, (n, 2, CHANNELS), each class strong in ten channels of its own, and their labels."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), count)
    means = random.gamma(2.0, 0.1, (len(labels), 2, CHANNELS))
    for label in range(classes):
        means[labels == label, :, 10 * label : 10 * label + 10] += 1
    return means.astype(np.float32), labels


@pytest.mark.parametrize(("count", "beyond"), [(5, 0), (19, 0), (20, 1), (39, 1), (40, 2), (1000, 50)])
def test_at_most_one_in_twenty_exceeds_the_limit(count, beyond):
    distances = np.random.default_rng(0).permutation(count) / count
    assert (distances > limit(distances)).sum() == beyond


@pytest.mark.parametrize("count", [5, 20])
def test_other_photos_of_the_classes_are_familiar_and_what_is_unlike_them_is_not(count):
    means, labels = photos(count)
    known, distances = fit(means, labels, folded(labels, range(len(labels))), 3)
    assert (distances > known.limit).mean() <= 0.05
    others, _ = photos(50, seed=1)
    assert (known.distances(others[:, 0]) > known.limit).mean() < 0.15
    strangers, _ = photos(20, classes=5, seed=2)
    assert (known.distances(strangers[60:, 0]) > known.limit).all()


def test_distances_are_those_of_photos_that_were_not_seen():
    """Each photo is one of a kind: seen, it would be near; unseen, it is as far as any."""
    random = np.random.default_rng(0)
    labels = np.arange(20) % 2
    means = np.repeat(random.gamma(0.1, 1.0, (20, 1, 2000)).astype(np.float32), 2, axis=1)
    known, distances = fit(means, labels, folded(labels, range(20)), 2)
    assert distances.min() > known.distances(means[:, 0]).max()


def test_what_is_known_is_the_direction_of_each_class():
    means, labels = photos(7)
    looks = known(means, labels, 3)
    assert (looks.stage, looks.limit, looks.unit.dtype) == (LAST, np.inf, np.float32)
    assert np.allclose(looks.centre, means.reshape(-1, CHANNELS).mean(axis=0))
    for label in range(3):
        own = familiarity.levels(means)[labels == label].reshape(-1, CHANNELS).mean(axis=0)
        assert np.allclose(looks.levels[label], own / np.linalg.norm(own))
        own = familiarity.deviations(means, looks.centre, looks.unit)[labels == label].reshape(-1, CHANNELS).mean(axis=0)
        assert np.allclose(looks.deviations[label], own / np.linalg.norm(own))


def test_a_photos_distance_is_that_of_its_first_view_from_the_other_folds():
    means, labels = photos(6)
    means[:, 1] = means[::-1, 1]
    folds = folded(labels, range(len(labels)))
    looks, distances = fit(means, labels, folds, 3)
    for fold in folds:
        rest = [index for index in range(len(labels)) if index not in fold]
        assert np.allclose(distances[fold], known(means[rest], labels[rest], 3).distances(means[fold, 0]))
    assert looks.limit == limit(distances)
