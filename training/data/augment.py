"""A batch of stored photos comes in, the same photos seen slightly differently go out.

Random choices come from one integer seed, so that a resumed run sees the photos that the interrupted one would have seen,
on any backend. Pixels stay bytes until the last moment, and OpenCV moves them: what this takes, the network that learns
meanwhile does not get (benchmarks/training.json).
"""

import math

import cv2
import numpy as np

from training.config import Recipe

LUMA = np.array([0.299, 0.587, 0.114])
"""How bright red, green and blue are (ITU-R BT.601)."""


def augment(images: np.ndarray, recipe: Recipe, side: int, seed: int) -> np.ndarray:
    """Random views of a batch.

    Args:
        images: (n, S, S, 3) uint8, stored a little larger than the network's input.
        recipe: how far the views may differ from the photos.
        side: height and width of the views, in pixels.
        seed: of every random choice in this batch.

    Returns:
        (n, side, side, 3) float32, 0..255.
    """
    random = np.random.default_rng(seed)
    views = _move(images, recipe, side, random).astype(np.float32)
    _relight(views, recipe, random)
    _hide(views, recipe, random)
    return views


def _move(images: np.ndarray, recipe: Recipe, side: int, random: np.random.Generator) -> np.ndarray:
    """Mirror, rotate, zoom, stretch and shift in a single resampling; what lies beyond the edge is its reflection."""
    count, stored = images.shape[:2]
    angle = np.radians(random.uniform(-recipe.rotate, recipe.rotate, count))
    zoom = np.exp(random.uniform(math.log(recipe.zoom[0]), math.log(recipe.zoom[1]), count))
    stretch = np.exp(random.uniform(-recipe.stretch, recipe.stretch, count) / 2)
    mirror = np.where(random.random(count) < 0.5, -1.0, 1.0)
    move_x, move_y = random.uniform(-recipe.shift, recipe.shift, (2, count)) * stored
    # Output pixel (x, y) reads the input at (a0 x + a1 y + a2, b0 x + b1 y + b2): turn about the centre, then scale.
    scale = stored / side / zoom
    scale_x, scale_y = scale * stretch, scale / stretch
    a0, a1 = np.cos(angle) * scale_x * mirror, -np.sin(angle) * scale_y
    b0, b1 = np.sin(angle) * scale_x * mirror, np.cos(angle) * scale_y
    centre_out, centre_in = (side - 1) / 2, (stored - 1) / 2
    a2 = centre_in + move_x - (a0 + a1) * centre_out
    b2 = centre_in + move_y - (b0 + b1) * centre_out
    transforms = np.stack([a0, a1, a2, b0, b1, b2], axis=1).reshape(count, 2, 3)
    views = np.empty((count, side, side, 3), np.uint8)
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for image, transform, view in zip(images, transforms, views, strict=True):
        cv2.warpAffine(image, transform, (side, side), dst=view, flags=how, borderMode=cv2.BORDER_REFLECT)
    return views


def _relight(views: np.ndarray, recipe: Recipe, random: np.random.Generator) -> None:
    """Change brightness, contrast and saturation, in place; take the colour out of some."""
    bright, contrast = np.exp(random.uniform(-recipe.light, recipe.light, (2, len(views))))
    saturation = np.exp(random.uniform(-recipe.colour, recipe.colour, len(views)))
    saturation[random.random(len(views)) < recipe.grey] = 0.0
    # All three are linear in the pixel, so they are one 3x3 matrix and one offset a photo: the pixels are read once.
    for number, view in enumerate(views):
        matrix = saturation[number] * np.eye(3) + (1 - saturation[number]) * LUMA
        offset = (1 - contrast[number]) * np.mean(cv2.mean(view)[:3])
        matrix = np.column_stack([contrast[number] * matrix, np.full(3, offset)])
        cv2.transform(view, bright[number] * matrix, dst=view)
    np.clip(views, 0, 255, out=views)


def _hide(views: np.ndarray, recipe: Recipe, random: np.random.Generator) -> None:
    """Cover a rectangle of up to half the side with grey in a share of the photos (random erasing, Zhong et al. 2017)."""
    side = views.shape[1]
    centres = random.uniform(0, side, (len(views), 2))
    halves = random.uniform(0, side / 4, (len(views), 2))
    first = np.ceil((centres - halves).clip(min=0)).astype(int)
    last = np.ceil(centres + halves).astype(int)
    for number in np.flatnonzero(random.random(len(views)) < recipe.hide):
        (top, left), (bottom, right) = first[number], last[number]
        views[number, top:bottom, left:right] = 127
