"""A batch of stored photos comes in, the same photos seen slightly differently go out.

Everything is computed with `keras.ops` from an integer seed, so that the same seed gives the same batch on any backend
that rounds alike, and a resumed run sees the photos that the interrupted one would have seen.
"""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from training.config import Recipe


def augment(images: np.ndarray, recipe: Recipe, side: int, seed: int) -> Any:
    """Random views of a batch.

    Args:
        images: (n, S, S, 3) uint8, stored a little larger than the network's input.
        recipe: how far the views may differ from the photos.
        side: height and width of the views, in pixels.
        seed: of every random choice in this batch.

    Returns:
        (n, side, side, 3) float32, 0..255, a tensor of the active Keras backend.
    """
    seeds = keras.random.SeedGenerator(seed)
    views = _move(ops.convert_to_tensor(images), recipe, side, seeds)
    views = _relight(views, recipe, seeds)
    return _hide(views, recipe, seeds)


def _uniform(shape: tuple[int, ...], low: float, high: float, seeds: keras.random.SeedGenerator) -> Any:
    return keras.random.uniform(shape, low, high, seed=seeds)


def _move(images: Any, recipe: Recipe, side: int, seeds: keras.random.SeedGenerator) -> Any:
    """Mirror, rotate, zoom, stretch and shift in a single resampling; what lies beyond the edge is its reflection."""
    count, stored = images.shape[0], images.shape[1]
    angle = _uniform((count,), -recipe.rotate, recipe.rotate, seeds) * (math.pi / 180)
    zoom = ops.exp(_uniform((count,), math.log(recipe.zoom[0]), math.log(recipe.zoom[1]), seeds))
    stretch = ops.exp(_uniform((count,), -recipe.stretch, recipe.stretch, seeds) / 2)
    mirror = ops.where(_uniform((count,), 0, 1, seeds) < 0.5, -1.0, 1.0)
    move_x = _uniform((count,), -recipe.shift, recipe.shift, seeds) * stored
    move_y = _uniform((count,), -recipe.shift, recipe.shift, seeds) * stored
    # Output pixel (x, y) reads the input at (a0 x + a1 y + a2, b0 x + b1 y + b2): turn about the centre, then scale.
    scale = stored / side / zoom
    scale_x, scale_y = scale * stretch, scale / stretch
    a0, a1 = ops.cos(angle) * scale_x * mirror, -ops.sin(angle) * scale_y
    b0, b1 = ops.sin(angle) * scale_x * mirror, ops.cos(angle) * scale_y
    centre_out, centre_in = (side - 1) / 2, (stored - 1) / 2
    a2 = centre_in + move_x - (a0 + a1) * centre_out
    b2 = centre_in + move_y - (b0 + b1) * centre_out
    zero = ops.zeros_like(a0)
    transform = ops.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=1)
    moved = ops.image.affine_transform(images, transform, interpolation="bilinear", fill_mode="reflect")
    return ops.cast(moved[:, :side, :side, :], "float32")


def _relight(images: Any, recipe: Recipe, seeds: keras.random.SeedGenerator) -> Any:
    """Change brightness, contrast and saturation; take the colour out of some."""
    count = images.shape[0]
    bright = ops.exp(_uniform((count, 1, 1), -recipe.light, recipe.light, seeds))
    contrast = ops.exp(_uniform((count, 1, 1), -recipe.light, recipe.light, seeds))
    saturation = ops.exp(_uniform((count, 1, 1), -recipe.colour, recipe.colour, seeds))
    saturation = ops.where(_uniform((count, 1, 1), 0, 1, seeds) < recipe.grey, 0.0, saturation)
    # All three are linear in the pixel, so they are one 3x3 matrix and one offset a photo: the pixels are read once.
    luma = ops.convert_to_tensor(np.array([[[0.299], [0.587], [0.114]]], np.float32))
    matrix = bright * contrast * (saturation * ops.eye(3) + (1 - saturation) * luma)
    offset = bright * (1 - contrast) * ops.mean(images, axis=(1, 2, 3))[:, None, None]
    side = images.shape[1]
    pixels = ops.reshape(images, (count, side * side, 3))
    return ops.reshape(ops.clip(ops.matmul(pixels, matrix) + offset, 0, 255), images.shape)


def _hide(images: Any, recipe: Recipe, seeds: keras.random.SeedGenerator) -> Any:
    """Cover a rectangle of up to half the side with grey in a share of the photos (random erasing, Zhong et al. 2017)."""
    count, height, width = images.shape[0], images.shape[1], images.shape[2]
    centre_y, centre_x = _uniform((count, 1, 1), 0, height, seeds), _uniform((count, 1, 1), 0, width, seeds)
    half_y, half_x = _uniform((count, 1, 1), 0, height / 4, seeds), _uniform((count, 1, 1), 0, width / 4, seeds)
    chosen = _uniform((count, 1, 1), 0, 1, seeds) < recipe.hide
    rows = ops.reshape(ops.arange(height, dtype="float32"), (1, height, 1))
    columns = ops.reshape(ops.arange(width, dtype="float32"), (1, 1, width))
    inside = ops.logical_and(ops.abs(rows - centre_y) < half_y, ops.abs(columns - centre_x) < half_x)
    covered = ops.logical_and(inside, chosen)[..., None]
    return ops.where(covered, 127.0, images)
