"""The frozen layers: tensors of photos come in, the features that the trainable part learns from go out."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np

from app.inference.networks.runtime import session
from training.importing import onnx_graph

CHUNK = 8
"""Photos that one thread passes through the network at a time."""

Frozen = Callable[[np.ndarray], list[np.ndarray]]
"""(n, H, W, 3) float32, 0..255 -> one array a tap, (n, h, w, c) or (n, c) float32; may be called from several threads."""


def frozen(network: keras.Model, taps: list[str]) -> Frozen:
    """A function from photos to what the layers named in `taps` compute for them.

    On a GPU or TPU Keras runs it. On a CPU ONNX Runtime does, one thread a call: five times as fast as Keras here.
    """
    if accelerated():
        tapped = keras.Model(network.input, [network.get_layer(name).output for name in taps])
        return lambda photos: [np.asarray(keras.ops.convert_to_numpy(o)) for o in tapped(photos, training=False)]
    exported = session(onnx_graph.build(network, taps).SerializeToString())

    def run(photos: np.ndarray) -> list[np.ndarray]:
        outputs = exported.run(taps, {"image": photos})
        return [output.transpose(0, 2, 3, 1) if output.ndim == 4 else output for output in outputs]

    return run


def accelerated() -> bool:
    """Whether Keras' backend sees anything but CPUs."""
    if keras.backend.backend() == "torch":  # Keras lists no devices of PyTorch
        import torch

        return bool(torch.cuda.is_available())
    return any(not device.lower().startswith("cpu") for device in keras.distribution.list_devices())


def trainable_part(network: keras.Model, last_frozen: str) -> keras.Model:
    """The layers behind `last_frozen` as a network that shares their weights; its input is that layer's output."""
    return keras.Model(network.get_layer(last_frozen).output, network.outputs, name=network.name)


def in_chunks(work: Callable[[range], Any], count: int, ahead: int = 0) -> Iterator[Any]:
    """`work` on ranges of up to CHUNK numbers below `count`; see `in_turn`."""
    yield from in_turn(work, [range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)], ahead)


def in_turn(work: Callable[[Any], Any], jobs: Sequence[Any], ahead: int = 0) -> Iterator[Any]:
    """`work` on each of `jobs`, on every core, in order, up to `ahead` of them in advance."""
    ahead = ahead or 2 * (os.cpu_count() or 1)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting = [pool.submit(work, job) for job in jobs[:ahead]]
        try:
            for index in range(len(jobs)):
                done = waiting.pop(0).result()
                if index + ahead < len(jobs):
                    waiting.append(pool.submit(work, jobs[index + ahead]))
                yield done
        finally:
            for future in waiting:
                future.cancel()
