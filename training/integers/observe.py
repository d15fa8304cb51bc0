"""A network and photos come in; what they make of each of its pictures goes out: the ranges that integers will stand for."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from app.inference.networks.runtime import session

SAMPLE = 400
"""Values of each activation and photo that its range is chosen from."""


@dataclass(frozen=True)
class Seen:
    """What photos made of an activation: smallest and largest value, the `mean` of each channel (channels,), and a `sample`
    of its values (n,). A channel has so many `positions`.
    """

    low: float
    high: float
    mean: np.ndarray
    sample: np.ndarray
    positions: int


def observe(model: onnx.ModelProto, photos: Iterable[np.ndarray]) -> dict[str, Seen]:
    """Run the network in float on photos, each (height, width, 3) uint8, and describe every activation that is a picture."""
    every = onnx.ModelProto()
    every.CopyFrom(model)
    del every.graph.output[:]
    names = [name for node in model.graph.node for name in node.output]
    every.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    runs, random = session(every.SerializeToString()), np.random.default_rng(0)
    rows: dict[str, list[tuple[float, float, np.ndarray, np.ndarray]]] = {}
    positions: dict[str, int] = {}
    for photo in photos:
        for name, values in zip(names, runs.run(names, {"image": photo[np.newaxis].astype(np.float32)}), strict=True):
            if values.ndim == 4:
                flat = values.reshape(values.shape[1], -1)
                drawn = random.choice(flat.ravel(), SAMPLE)
                positions[name] = flat.shape[1]
                rows.setdefault(name, []).append((flat.min(), flat.max(), flat.mean(axis=1), drawn))
    collected = {}
    for name, seen in rows.items():
        lows, highs, means, samples = zip(*seen, strict=True)
        collected[name] = Seen(
            low=float(min(lows)),
            high=float(max(highs)),
            mean=np.mean(means, axis=0),
            sample=np.concatenate(samples),
            positions=positions[name],
        )
    return collected
