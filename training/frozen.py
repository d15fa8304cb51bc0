"""The layers that keep their weights: tensors of photos come in, what the rest of the network learns from goes out."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np

from app.inference.network import session
from training import onnx_graph

CHUNK = 8
"""Photos that one thread passes at a time."""

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
    """Whether Keras's backend sees anything but CPUs."""
    if keras.backend.backend() == "torch":  # Keras lists no devices of PyTorch
        import torch

        return bool(torch.cuda.is_available())
    return any(not device.lower().startswith("cpu") for device in keras.distribution.list_devices())


def rest(network: keras.Model, last_frozen: str) -> keras.Model:
    """The network behind the layer `last_frozen`, sharing its weights: it takes what that layer computes."""
    return keras.Model(network.get_layer(last_frozen).output, network.outputs, name=network.name)


def in_chunks(work: Callable[[range], Any], count: int, ahead: int = 0) -> Iterator[Any]:
    """`work` on ranges of up to CHUNK numbers below `count`; see `in_turn`."""
    yield from in_turn(work, [range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)], ahead)


def in_turn(work: Callable[[Any], Any], jobs: Sequence[Any], ahead: int = 0) -> Iterator[Any]:
    """`work` on each of `jobs`, on every core, in order, `ahead` of them before their turn."""
    ahead = ahead or 2 * (os.cpu_count() or 1)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting = [pool.submit(work, job) for job in jobs[:ahead]]
        try:
            for place in range(len(jobs)):
                done = waiting.pop(0).result()
                if place + ahead < len(jobs):
                    waiting.append(pool.submit(work, jobs[place + ahead]))
                yield done
        finally:
            for future in waiting:
                future.cancel()
