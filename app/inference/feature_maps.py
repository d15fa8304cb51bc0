"""Fourth step: a stage's feature map comes in; its numbers and pictures of its strongest channels go out."""

from dataclasses import dataclass

import numpy as np

from app.inference import palette

LARGEST_THUMBNAIL = 112
"""Pixels on the longer side of a thumbnail; larger maps are reduced by averaging, smaller ones keep a pixel a value."""


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
    means, peaks, low = flat.mean(axis=1), flat.max(axis=1), float(flat.min())
    strength = means if low >= 0 else np.abs(flat).mean(axis=1)
    order = np.argsort(-strength, kind="stable")[:channels]
    bottom, top, colours = palette.scale(low, float(peaks.max()))
    chosen = []
    for index in order:
        thumbnail = None
        if thumbnails:
            thumbnail = palette.png(palette.indices(planes[index], bottom, top), colours, LARGEST_THUMBNAIL)
        chosen.append(Channel(int(index), float(means[index]), float(peaks[index]), thumbnail))
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
