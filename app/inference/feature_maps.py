"""Fourth step: a stage's feature map comes in; its numbers and pictures of its strongest channels go out."""

from dataclasses import dataclass

import numpy as np

from app.inference import palette

LARGEST_THUMBNAIL = 112
"""Pixels on the longer side of a thumbnail at most. A smaller map keeps a pixel a value; of a larger one, each pixel is the
mean of 2x2 values, or of 3x3, as many as it takes.
"""


@dataclass(frozen=True)
class Channel:
    """One channel of a stage: its number, its mean and its largest value, and a PNG of it if one was asked for."""

    index: int
    mean: float
    peak: float
    thumbnail: bytes | None


@dataclass(frozen=True)
class FeatureMap:
    """What a stage computed: `shape` as in the contract, its smallest, largest and mean value, `active` (the fraction of
    values above 0) and its strongest `channels`, the strongest first.
    """

    stage: str
    kind: str
    shape: tuple[int, ...]
    min: float
    max: float
    mean: float
    active: float
    channels: tuple[Channel, ...]


def summarize(stage: str, kind: str, values: np.ndarray, channels: int, thumbnails: bool) -> FeatureMap:
    """Describe a feature map, (height, width, channels) or (n,) float32.

    The strongest channels are those with the largest mean magnitude. All thumbnails of a stage share one colour scale
    (see `palette.scale`), so that a dark channel is a weak one. A unit of a dense stage is a picture of one pixel.
    """
    planes = np.ascontiguousarray(palette.as_picture(values).transpose(2, 0, 1))  # as ONNX Runtime computed it: no copy
    flat = planes.reshape(len(planes), -1)
    means, peaks, low = _means(flat), flat.max(axis=1), float(flat.min())
    strength = means if low >= 0 else _means(np.abs(flat))
    order = np.argsort(-strength, kind="stable")[:channels]
    thumbnail: list[bytes] | list[None] = [None] * len(order)
    if thumbnails:
        bottom, top, colours = palette.scale(low, float(peaks.max()))
        places = palette.indices(planes[order], bottom, top)
        thumbnail = palette.pngs(np.stack([palette.reduced(plane, LARGEST_THUMBNAIL) for plane in places]), colours)
    chosen = [
        Channel(int(index), float(means[index]), float(peaks[index]), picture)
        for index, picture in zip(order, thumbnail, strict=True)
    ]
    return FeatureMap(
        stage=stage,
        kind=kind,
        shape=values.shape,
        min=low,
        max=float(peaks.max()),
        mean=float(means.mean()),
        active=float(np.count_nonzero(flat > 0) / flat.size),
        channels=tuple(chosen),
    )


def _means(flat: np.ndarray) -> np.ndarray:
    """The mean of each row, (n, m) float32 to (n,): einsum adds faster than `mean`, which adds in pairs."""
    means: np.ndarray = np.einsum("ij->i", flat) / np.float32(flat.shape[1])
    return means
