"""A convolution's kernel comes in; a PNG of its filters on one colour scale, with a legend, goes out."""

import numpy as np
from PIL import Image

from app.inference import palette

_WIDEST, _WIDEST_FILTER = 1600, 320  # pixels
_LARGEST_CELL = 14
_ONE_ROW = 4  # so many squares lie side by side, more in a square of squares


def picture(kernel: np.ndarray) -> bytes:
    """Draw a kernel, (height, width, inputs, filters) float32: a column for each filter, a row for each input channel.

    Each weight is a square of one colour: blue below zero, white at zero, brown above. The legend names both ends.
    """
    filters, columns = kernel.shape[3], kernel.shape[1]
    return _drawn(kernel, max(1, min(_LARGEST_CELL, _WIDEST // (filters * (columns + 1)))))


def filter_picture(kernel: np.ndarray, channel: int) -> bytes:
    """Draw one filter of a kernel, on a colour scale of its own: a square of weights for each input channel."""
    height, width, inputs, _ = kernel.shape
    across = inputs if inputs <= _ONE_ROW else round(inputs**0.5)
    padded = np.zeros((height, width, -(-inputs // across) * across), kernel.dtype)
    padded[:, :, :inputs] = kernel[:, :, :, channel]
    squares = padded.reshape(height, width, -1, across)  # laid out as if each row of squares were an input
    return _drawn(squares, max(1, min(_LARGEST_CELL, _WIDEST_FILTER // (across * (width + 1)))))


def _drawn(shown: np.ndarray, cell: int) -> bytes:
    """The squares of `shown`, (height, width, down, across), each weight `cell` pixels wide."""
    rows, columns, down, across = shown.shape
    gap = max(1, cell // 2)
    largest = float(np.abs(shown).max()) or 1.0
    places = palette.indices(shown, -largest, largest)
    colours = palette.DIVERGING[places].transpose(2, 0, 3, 1, 4)  # down, rows, across, columns, RGB
    colours = colours.repeat(cell, axis=1).repeat(cell, axis=3)
    sheet = np.full((down, rows * cell + gap, across, columns * cell + gap, 3), 255, np.uint8)
    sheet[:, : rows * cell, :, : columns * cell] = colours
    pixels = sheet.reshape(down * (rows * cell + gap), across * (columns * cell + gap), 3)
    image = Image.fromarray(pixels)
    return palette.encode(palette.above_legend(image, -largest, largest, palette.DIVERGING))
