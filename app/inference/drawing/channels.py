"""A stage's feature map comes in; one picture of all its channels, on one colour scale, goes out."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from app.inference.drawing import colours, png

MAX_CELL_SIDE = 112
"""Pixels on the longer side of a channel's picture; larger maps are averaged, smaller ones get one pixel per value."""

GAP = 1
"""White pixels between two channels."""


@dataclass(frozen=True)
class Sheet:
    """Channel i is in row i // columns, column i % columns; each `cell` is (height, width) pixels, with GAP between cells.

    The colour scale runs from `bottom` to `top`; see `colours.scale`.
    """

    image: Image.Image
    columns: int
    cell: tuple[int, int]
    bottom: float
    top: float


def sheet(values: np.ndarray) -> Sheet:
    """Draw every channel of a feature map, (height, width, channels) or (n,) float32."""
    planes = colours.as_picture(values)
    bottom, top, colormap = colours.scale(float(planes.min()), float(planes.max()))
    channels = colours.indices(planes, bottom, top).transpose(2, 0, 1)
    if max(channels.shape[1:]) > MAX_CELL_SIDE:
        channels = np.stack([_reduce(channel) for channel in channels])
    count, height, width = channels.shape
    columns = max(1, round((count * (height + GAP) / (width + GAP)) ** 0.5))
    rows = -(-count // columns)
    paper = len(colormap)  # the palette index after the scale's last colour
    cells = np.full((rows * columns, height + GAP, width + GAP), paper, np.uint8)
    cells[:count, :height, :width] = channels
    pixels = cells.reshape(rows, columns, height + GAP, width + GAP).swapaxes(1, 2).reshape(rows * (height + GAP), -1)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.putpalette(colormap.tobytes() + b"\xff\xff\xff")
    return Sheet(image, columns, (height, width), bottom, top)


def _reduce(channel: np.ndarray) -> np.ndarray:
    image = Image.fromarray(channel)
    image.thumbnail((MAX_CELL_SIDE, MAX_CELL_SIDE), Image.Resampling.BOX)
    return np.asarray(image)


def colour_sheet(values: np.ndarray) -> Sheet:
    """Draw a photo, (height, width, 3) of 0..255, as its three channels side by side, in their own colours from 0 to 255."""
    cells = [Image.open(io.BytesIO(colour_plane(values, channel))).convert("RGB") for channel in range(3)]
    for cell in cells:
        cell.thumbnail((MAX_CELL_SIDE, MAX_CELL_SIDE), Image.Resampling.BOX)
    width, height = cells[0].size
    image = Image.new("RGB", (3 * (width + GAP), height + GAP), "white")
    for channel, cell in enumerate(cells):
        image.paste(cell, (channel * (width + GAP), 0))
    return Sheet(image, 3, (height, width), 0.0, 255.0)


def colour_plane(values: np.ndarray, channel: int) -> bytes:
    """A PNG of one channel of a photo in its own colour, one pixel per value, black at 0 and full at 255."""
    return png.encode_levels(colours.indices(values[:, :, channel], 0.0, 255.0), colours.COLOURS[channel])


def plane(values: np.ndarray, channel: int) -> bytes:
    """A PNG of one channel, one pixel per value, on the colour scale of its whole stage."""
    planes = colours.as_picture(values)
    bottom, top, colormap = colours.scale(float(planes.min()), float(planes.max()))
    return png.encode_levels(colours.indices(planes[:, :, channel], bottom, top), colormap)


def with_legend(sheet: Sheet) -> bytes:
    """The sheet as a PNG for people: each pixel of a small map enlarged to a square, above a legend of the colour scale."""
    factor = max(1, min(8, 640 // sheet.image.width))
    size = (sheet.image.width * factor, sheet.image.height * factor)
    image = sheet.image.convert("RGB").resize(size, Image.Resampling.NEAREST)
    colormap = colours.SEQUENTIAL if sheet.bottom == 0 else colours.DIVERGING
    return png.encode_image(colours.add_legend(image, sheet.bottom, sheet.top, colormap))
