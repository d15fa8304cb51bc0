"""Fourth step: a stage's feature map comes in; its statistics and thumbnails of its strongest channels go out."""

from dataclasses import dataclass

import numpy as np

from app.inference.drawing import colours, png

MAX_THUMBNAIL_SIDE = 112
"""Pixels on a thumbnail's longer side. A smaller map gets one pixel per value; in a larger one, each pixel is the mean of
2x2 values, or 3x3, and so on, as many as needed.
"""


@dataclass(frozen=True)
class Channel:
    """One channel of a stage: its index, its mean, its largest value (`peak`), and a PNG of it if requested."""

    index: int
    mean: float
    peak: float
    thumbnail: bytes | None


@dataclass(frozen=True)
class FeatureMap:
    """A summary of a stage's values: `shape` as in the contract; minimum, maximum and mean; `active`, the fraction of values
    above 0; and its strongest `channels`, strongest first.
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
    """Summarize a feature map, (height, width, channels) or (n,) float32.

    The strongest channels are those with the largest mean magnitude. All thumbnails of a stage share one colour scale
    (see `colours.scale`), so a dark channel is a weak one. A unit of a dense stage becomes a picture of one pixel.
    """
    planes = np.ascontiguousarray(colours.as_picture(values).transpose(2, 0, 1))  # ONNX Runtime's own layout: no copy
    flat = planes.reshape(len(planes), -1)
    means, peaks, low = _means(flat), flat.max(axis=1), float(flat.min())
    strength = means if low >= 0 else _means(np.abs(flat))
    order = np.argsort(-strength, kind="stable")[:channels]
    pictures: list[bytes] | list[None] = [None] * len(order)
    if thumbnails:
        bottom, top, colormap = colours.scale(low, float(peaks.max()))
        levels = colours.indices(planes[order], bottom, top)
        small = np.stack([colours.reduce(plane, MAX_THUMBNAIL_SIDE) for plane in levels])
        pictures = png.encode_levels_batch(small, colormap)
    chosen = [
        Channel(int(index), float(means[index]), float(peaks[index]), thumbnail)
        for index, thumbnail in zip(order, pictures, strict=True)
    ]
    return FeatureMap(
        stage=stage,
        kind=kind,
        shape=values.shape,
        min=low,
        max=float(peaks.max()),
        mean=float(means.mean(dtype=np.float64)),
        active=float(np.count_nonzero(flat > 0) / flat.size),
        channels=tuple(chosen),
    )


def _means(flat: np.ndarray) -> np.ndarray:
    """The mean of each row, (n, m) float32 to (n,) float32, or float64 where a sum of finite values is not finite otherwise.
    einsum is faster than `mean`, which sums pairwise.
    """
    sums = np.einsum("ij->i", flat)
    if not np.isfinite(sums).all():  # edits can make such large values
        sums = np.einsum("ij->i", flat, dtype=np.float64, casting="same_kind")
    means: np.ndarray = sums / sums.dtype.type(flat.shape[1])
    return means
