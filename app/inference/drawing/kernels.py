"""A convolution's kernel comes in; a PNG of its filters, with a legend of the colour scale, goes out."""

import numpy as np
from PIL import Image

from app.inference.drawing import colours, png

_MAX_WIDTH, _MAX_FILTER_WIDTH = 1600, 320  # pixels
_MAX_WEIGHT_SIDE = 14  # pixels per weight
_MAX_ROW = 4  # up to this many input channels side by side, more in a square grid


def draw_kernel(kernel: np.ndarray) -> bytes:
    """Draw a kernel, (height, width, inputs, filters) float32: a column for each filter, a row for each input channel.

    Each weight is a square of one colour: blue below zero, white at zero, brown above.
    """
    filters, columns = kernel.shape[3], kernel.shape[1]
    return _draw(kernel, max(1, min(_MAX_WEIGHT_SIDE, _MAX_WIDTH // (filters * (columns + 1)))))


def draw_filter(kernel: np.ndarray, channel: int) -> bytes:
    """Draw one filter of a kernel on its own colour scale: a square of weights for each input channel."""
    height, width, inputs, _ = kernel.shape
    across = inputs if inputs <= _MAX_ROW else round(inputs**0.5)
    padded = np.zeros((height, width, -(-inputs // across) * across), kernel.dtype)
    padded[:, :, :inputs] = kernel[:, :, :, channel]
    squares = padded.reshape(height, width, -1, across)  # as if each row of squares were an input channel
    return _draw(squares, max(1, min(_MAX_WEIGHT_SIDE, _MAX_FILTER_WIDTH // (across * (width + 1)))))


def _draw(weights: np.ndarray, cell: int) -> bytes:
    """Draw `weights`, (height, width, down, across), each of them `cell` pixels wide and high."""
    rows, columns, down, across = weights.shape
    gap = max(1, cell // 2)
    largest = float(np.abs(weights).max()) or 1.0
    levels = colours.indices(weights, -largest, largest)
    cells = colours.DIVERGING[levels].transpose(2, 0, 3, 1, 4)  # down, rows, across, columns, RGB
    cells = cells.repeat(cell, axis=1).repeat(cell, axis=3)
    sheet = np.full((down, rows * cell + gap, across, columns * cell + gap, 3), 255, np.uint8)
    sheet[:, : rows * cell, :, : columns * cell] = cells
    pixels = sheet.reshape(down * (rows * cell + gap), across * (columns * cell + gap), 3)
    image = Image.fromarray(pixels)
    return png.encode_image(colours.add_legend(image, -largest, largest, colours.DIVERGING))
