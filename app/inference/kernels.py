"""A convolution's kernel comes in; a PNG of all its filters on one colour scale, with a legend, goes out."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from app.inference import palette

_WIDEST = 1600
_LARGEST_CELL = 14
_LEGEND = 26
_PAPER = (255, 255, 255)


def picture(kernel: np.ndarray) -> bytes:
    """Draw a kernel, (height, width, inputs, filters) float32: a column for each filter, a row for each input channel.

    Each weight is a square of one colour: blue below zero, white at zero, brown above. The legend names both ends.
    """
    rows, columns, inputs, filters = kernel.shape
    cell = max(1, min(_LARGEST_CELL, _WIDEST // (filters * (columns + 1))))
    gap = max(1, cell // 2)
    largest = float(np.abs(kernel).max()) or 1.0
    places = palette.indices(kernel, -largest, largest)
    colours = palette.DIVERGING[places].transpose(2, 0, 3, 1, 4)  # inputs, rows, filters, columns, RGB
    colours = colours.repeat(cell, axis=1).repeat(cell, axis=3)
    sheet = np.full((inputs, rows * cell + gap, filters, columns * cell + gap, 3), 255, np.uint8)
    sheet[:, : rows * cell, :, : columns * cell] = colours
    pixels = sheet.reshape(inputs * (rows * cell + gap), filters * (columns * cell + gap), 3)
    image = Image.new("RGB", (max(pixels.shape[1], 180), pixels.shape[0] + _LEGEND), _PAPER)
    image.paste(Image.fromarray(pixels), (0, 0))
    _legend(image, largest)
    return palette.encode(image)


def _legend(image: Image.Image, largest: float) -> None:
    """A bar of the colour scale along the lower edge, with its two ends and zero written on it."""
    top, width = image.height - _LEGEND + 6, min(image.width, 420)
    bar = palette.DIVERGING[np.linspace(0, 254, width).astype(int)][np.newaxis].repeat(_LEGEND - 8, axis=0)
    image.paste(Image.fromarray(bar), (0, top))
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(12)
    middle = top + (_LEGEND - 8) / 2
    draw.text((4, middle), f"-{largest:.3g}", "white", font, "lm")
    draw.text((width / 2, middle), "0", "black", font, "mm")
    draw.text((width - 4, middle), f"{largest:.3g}", "white", font, "rm")
