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
    planes = values if values.ndim == 3 else values.reshape(1, 1, -1)
    low, high = float(planes.min()), float(planes.max())
    strength = np.abs(planes).mean(axis=(0, 1))
    order = np.argsort(-strength, kind="stable")[:channels]
    bottom, top, colours = palette.scale(low, high)
    chosen = []
    for index in order:
        plane = planes[:, :, index]
        picture = None
        if thumbnails:
            picture = palette.png(palette.indices(plane, bottom, top), colours, LARGEST_THUMBNAIL)
        chosen.append(Channel(int(index), float(plane.mean()), float(plane.max()), picture))
    return FeatureMap(
        stage=stage,
        kind=kind,
        shape=values.shape,
        min=low,
        max=high,
        mean=float(planes.mean()),
        active=float(np.count_nonzero(planes > 0) / planes.size),
        channels=tuple(chosen),
    )
