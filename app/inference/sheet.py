"""A stage's feature map comes in; one picture of all its channels, on one colour scale, goes out."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from app.inference import palette

LARGEST_CELL = 112
"""Pixels on the longer side of a channel's picture; larger maps are averaged, smaller ones keep a pixel a value."""

GAP = 1
"""Pixels between two channels, white."""


@dataclass(frozen=True)
class Sheet:
    """Channel i lies in row i // columns and column i % columns; each `cell` is (height, width) pixels and GAP lies between.

    Colour runs from `bottom` to `top` as `palette.scale` has it: from zero, or to both sides of it.
    """

    image: Image.Image
    columns: int
    cell: tuple[int, int]
    bottom: float
    top: float


def sheet(values: np.ndarray) -> Sheet:
    """Draw every channel of a feature map, (height, width, channels) or (n,) float32."""
    planes = palette.as_picture(values)
    bottom, top, colours = palette.scale(float(planes.min()), float(planes.max()))
    channels = palette.indices(planes, bottom, top).transpose(2, 0, 1)
    if max(channels.shape[1:]) > LARGEST_CELL:
        channels = np.stack([_reduced(channel) for channel in channels])
    count, height, width = channels.shape
    columns = max(1, round((count * (height + GAP) / (width + GAP)) ** 0.5))
    rows = -(-count // columns)
    paper = len(colours)  # the place behind the scale's last colour
    cells = np.full((rows * columns, height + GAP, width + GAP), paper, np.uint8)
    cells[:count, :height, :width] = channels
    pixels = cells.reshape(rows, columns, height + GAP, width + GAP).swapaxes(1, 2).reshape(rows * (height + GAP), -1)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.putpalette(colours.tobytes() + b"\xff\xff\xff")
    return Sheet(image, columns, (height, width), bottom, top)


def _reduced(channel: np.ndarray) -> np.ndarray:
    image = Image.fromarray(channel)
    image.thumbnail((LARGEST_CELL, LARGEST_CELL), Image.Resampling.BOX)
    return np.asarray(image)


def plane(values: np.ndarray, channel: int) -> bytes:
    """A PNG of one channel, a pixel a value, on the colour scale of its whole stage."""
    planes = palette.as_picture(values)
    bottom, top, colours = palette.scale(float(planes.min()), float(planes.max()))
    return palette.png(palette.indices(planes[:, :, channel], bottom, top), colours)


def with_legend(drawn: Sheet) -> bytes:
    """The sheet as a PNG for people: small maps enlarged, every pixel to a square, over a legend of the colour scale."""
    larger = max(1, min(8, 640 // drawn.image.width))
    image = drawn.image.convert("RGB").resize(
        (drawn.image.width * larger, drawn.image.height * larger), Image.Resampling.NEAREST
    )
    colours = palette.SEQUENTIAL if drawn.bottom == 0 else palette.DIVERGING
    return palette.encode(palette.above_legend(image, drawn.bottom, drawn.top, colours))
