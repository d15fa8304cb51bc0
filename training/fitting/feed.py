"""A view of photos comes in; the batches of one epoch after the other go out, as `keras.Model.fit` asks for them."""

import threading
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from training.data.dataset import Split
from training.fitting.views import Batch, Views

Inputs = tuple[Any, Any, Any]
"""Inputs, targets and weights of a batch."""


class Feed(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
    """The batches of the epoch under way, made in order and ahead of time by the view's own threads.

    Keras asks for more than it learns from: for the first two batches before it starts, to see their shapes, and for some
    behind an epoch's end when it trains on several devices. So a batch is not gone when it was handed out, but when the
    network has learned from it; whoever asks for it after that gets any batch, which Keras throws away.
    """

    def __init__(self, views: Views, split: Split, batch_size: int, epoch: int, replicas: int = 1) -> None:
        super().__init__()
        self.views, self.split, self.replicas = views, split, replicas
        whole, remainder = divmod(len(split.labels), batch_size)
        self._count = whole + (remainder >= replicas)  # a device cannot learn from no photo at all
        self._lock = threading.Lock()
        self._epoch = 0
        self._batches: Iterator[Batch] = iter(())
        self._made, self._ready = 0, dict[int, Inputs]()
        self._spare: Inputs = (None, None, None)
        self.begin(epoch)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Inputs:
        """Inputs, targets and weights of a batch, its size a multiple of `replicas`."""
        with self._lock:
            while self._made <= index:
                self._ready[self._made] = self._share(next(self._batches))
                self._made += 1
                if self._made == self._count:
                    for _ in self._batches:  # a view that stores its scenes does so after its last batch
                        pass
            self._spare = self._ready.get(index, self._spare)
            return self._spare

    def begin(self, epoch: int) -> None:
        """Go to the first batch of an epoch, counted from 1, unless that is where it stands."""
        with self._lock:
            if epoch != self._epoch:
                self._close()
                self._epoch, self._batches = epoch, self.views.batches(self.split, epoch)

    def learned(self, index: int) -> None:
        """Release the memory of a batch."""
        with self._lock:
            self._ready.pop(index, None)

    def close(self) -> None:
        """Stop making batches."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if hasattr(self._batches, "close"):
            self._batches.close()
        self._made = 0
        self._ready.clear()

    def _share(self, batch: Batch) -> Inputs:
        """The batch; for several devices a copy, without the photos that cannot be shared out evenly.

        A copy, since TensorFlow takes NumPy's memory as its own, cuts it into the devices' shares without moving it and
        then writes results over a share that it has read: the view's arrays would change under its hands.
        """
        parts = (batch.inputs, batch.targets, batch.weights)
        if self.replicas == 1:
            return _as_tuples(parts)
        count = len(batch) - len(batch) % self.replicas
        return _as_tuples(keras.tree.map_structure(lambda array: np.array(array[:count]), parts))


def _as_tuples(parts: Inputs) -> Inputs:
    """Lists as tuples: TensorFlow takes a list in a data set for one tensor."""
    inputs, targets, weights = (tuple(part) if isinstance(part, list) else part for part in parts)
    return inputs, targets, weights
