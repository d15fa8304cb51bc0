"""training/fitting/feed.py: the batches that `fit` gets, whatever Keras asks for beside them."""

import numpy as np
import pytest

from training.data.dataset import Split
from training.fitting.feed import Feed
from training.fitting.views import Batch


class Numbered:
    """A view whose batches hold their epoch and their number."""

    def __init__(self, sizes: list[int]) -> None:
        self.sizes = sizes
        self.finished: list[int] = []

    def batches(self, split, epoch):
        for number, size in enumerate(self.sizes):
            inputs = np.full((size, 2), [epoch, number], np.float32)
            yield Batch(inputs, [inputs, inputs], inputs)
        self.finished.append(epoch)


def feed(view: Numbered, replicas: int = 1, epoch: int = 1) -> Feed:
    photos = sum(view.sizes)
    return Feed(view, Split(np.zeros((photos, 1)), np.zeros(photos), []), view.sizes[0], epoch, replicas)


def first_row(batch) -> list[float]:
    return batch[0][0].tolist()


def test_a_batch_that_was_looked_at_before_training_is_not_lost():
    batches = feed(Numbered([4, 4, 2]))
    assert [first_row(batches[i]) for i in (0, 1, 0, 1, 2)] == [[1, 0], [1, 1], [1, 0], [1, 1], [1, 2]]


def test_a_run_may_begin_with_a_later_epoch():
    assert first_row(feed(Numbered([4, 4]), epoch=5)[0]) == [5, 0]


def test_every_epoch_has_its_own_batches():
    batches = feed(Numbered([4, 4]))
    assert first_row(batches[0]) == [1, 0]
    batches.begin(2)
    assert [first_row(batches[i]) for i in (0, 1)] == [[2, 0], [2, 1]]


def test_devices_that_share_a_batch_get_memory_of_their_own():
    """TensorFlow writes over a share that it has read, so the view's arrays must not be that memory."""
    ours = np.zeros((4, 2), np.float32)

    class Same(Numbered):
        def batches(self, split, epoch):
            yield Batch(ours, [ours], ours)

    inputs, (targets,), weights = feed(Same([4]), replicas=2)[0]
    assert not any(np.shares_memory(ours, array) for array in (inputs, targets, weights))


def test_a_late_request_for_a_learned_batch_takes_none_from_the_network():
    batches = feed(Numbered([4, 4, 4]))
    batches[0]
    batches.learned(0)
    batches[0]
    assert [first_row(batches[i]) for i in (1, 2)] == [[1, 1], [1, 2]]


def test_a_view_is_exhausted_with_its_last_batch():
    view = Numbered([4, 2])
    batches = feed(view)
    batches[0]
    assert view.finished == []
    batches[1]
    assert view.finished == [1]


@pytest.mark.parametrize(("sizes", "learned"), [([4, 4, 3], [4, 4, 2]), ([4, 4, 1], [4, 4]), ([5, 5], [4, 4])])
def test_two_devices_share_every_batch_evenly(sizes, learned):
    batches = feed(Numbered(sizes), replicas=2)
    assert [len(batches[i][0]) for i in range(len(batches))] == learned
    assert [len(batches[i][1][0]) for i in range(len(batches))] == learned


def test_a_view_whose_last_batch_is_too_small_is_exhausted_too():
    view = Numbered([4, 1])
    batches = feed(view, replicas=2)
    batches[0]
    assert view.finished == [1]
