"""Where a network is trained: on one device, or on all devices of this machine together.

Each device holds a copy of the network, learns from its share of every batch, and the gradients are averaged: the same
training, up to rounding, in less time. TensorFlow does so with `tf.distribute.MirroredStrategy`, JAX with Keras' own
`DataParallel`.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import numpy as np

from training.errors import TrainingError


class Devices:
    """One device, or all of them: GPUs where there are any, else CPUs."""

    def __init__(self, distribute: bool = False) -> None:
        self._strategy: Any = None
        if not distribute:
            return
        if keras.backend.backend() not in ("tensorflow", "jax"):
            raise TrainingError(f"--distribute works with TensorFlow and JAX, not with {keras.backend.backend()}")
        names = _best(keras.distribution.list_devices())
        if len(names) < 2:
            raise TrainingError(f"--distribute needs two devices or more, Keras sees {', '.join(names) or 'none'}")
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            self._strategy = tf.distribute.MirroredStrategy(names)
        else:
            keras.distribution.set_distribution(keras.distribution.DataParallel(devices=names, auto_shard_dataset=False))

    def scope(self) -> AbstractContextManager[Any]:
        """Networks and optimizers are made within it."""
        return self._strategy.scope() if self._strategy else nullcontext()

    @property
    def replicas(self) -> int:
        """How many devices share a batch, each with a copy of the network. TensorFlow wants shares of one size."""
        return int(self._strategy.num_replicas_in_sync) if self._strategy else 1

    def answer(self, network: keras.Model, inputs: np.ndarray) -> Any:
        """What the network answers to a batch."""
        if not self._strategy:
            return network.predict_on_batch(inputs)
        return network.predict(inputs, batch_size=len(inputs), verbose=0)


def _best(names: list[str]) -> list[str]:
    """The devices to use, of all that Keras lists."""
    faster = [name for name in names if not name.lower().startswith("cpu")]
    return faster or names
