"""Values come in, colours go out: two colour scales for all pictures, with zero always at a fixed colour.

Values that cannot be negative run from near-black (zero) through purple and orange to pale yellow. Values of both signs
run from blue through white (zero) to brown. Lightness changes steadily with distance from zero, so the scales can be read
without telling hues apart.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_SEQUENTIAL = ((10, 9, 28), (72, 28, 110), (180, 62, 92), (248, 160, 62), (255, 249, 205))
_DIVERGING = ((16, 58, 130), (92, 152, 212), (247, 247, 247), (214, 142, 60), (122, 58, 4))


def _ramp(anchors: tuple[tuple[int, int, int], ...]) -> np.ndarray:
    """Interpolate anchors, spread evenly, to (255, 3) uint8. The count is odd, so that zero has a colour of its own."""
    anchor_steps = np.linspace(0, 1, len(anchors))
    steps = np.linspace(0, 1, 255)
    return (
        np.stack([np.interp(steps, anchor_steps, channel) for channel in zip(*anchors, strict=True)], axis=1)
        .round()
        .astype(np.uint8)
    )


SEQUENTIAL = _ramp(_SEQUENTIAL)
DIVERGING = _ramp(_DIVERGING)
COLOURS = tuple(_ramp(((0, 0, 0), full)) for full in ((255, 70, 70), (70, 255, 70), (90, 90, 255)))
"""For the three channels of a photo: from black to red, green and blue, a little pale so that dark blue can be seen."""

_LEGEND_HEIGHT, _MIN_LEGEND_WIDTH, _MAX_LEGEND_WIDTH = 26, 180, 420  # pixels; the height includes its margin


def as_picture(values: np.ndarray) -> np.ndarray:
    """A stage's values as (height, width, channels): (n,) becomes a picture of one pixel with n channels."""
    return values if values.ndim == 3 else values.reshape(1, 1, -1)


def scale(low: float, high: float) -> tuple[float, float, np.ndarray]:
    """The ends of the colour scale for values from `low` to `high`, and its colours, (255, 3) uint8.

    Without negative values the scale runs from 0 to `high`; with them, from -m to m, where m is the largest magnitude.
    """
    if low >= 0:
        return 0.0, high or 1.0, SEQUENTIAL
    largest = max(-low, high)
    return -largest, largest, DIVERGING


def indices(values: np.ndarray, bottom: float, top: float) -> np.ndarray:
    """Values as levels of a colour scale, uint8 from 0 to 254, of the same shape."""
    levels = np.subtract(values, np.float32(bottom), dtype=np.float32)
    levels *= np.float32(254 / (top - bottom))
    np.rint(levels, out=levels)
    np.clip(levels, 0, 254, out=levels)
    rounded: np.ndarray = levels.astype(np.uint8)
    return rounded


def reduce(levels: np.ndarray, side: int) -> np.ndarray:
    """Shrink levels, (height, width) uint8, to at most `side` pixels per side by averaging blocks as small as possible."""
    factor = -(-max(levels.shape) // side)
    return np.asarray(Image.fromarray(np.ascontiguousarray(levels)).reduce(factor)) if factor > 1 else levels


def add_legend(image: Image.Image, bottom: float, top: float, colours: np.ndarray) -> Image.Image:
    """The picture on white, above a bar of its colour scale that is labelled at both ends and, if signed, at zero."""
    paper = Image.new("RGB", (max(image.width, _MIN_LEGEND_WIDTH), image.height + _LEGEND_HEIGHT), "white")
    paper.paste(image, (0, 0))
    upper, width = image.height + 6, min(paper.width, _MAX_LEGEND_WIDTH)
    bar = colours[np.linspace(0, len(colours) - 1, width).astype(int)][np.newaxis].repeat(_LEGEND_HEIGHT - 8, axis=0)
    paper.paste(Image.fromarray(bar), (0, upper))
    draw, font, middle = ImageDraw.Draw(paper), ImageFont.load_default(12), upper + (_LEGEND_HEIGHT - 8) / 2
    draw.text((4, middle), f"{bottom:.3g}", "white", font, "lm")
    if bottom < 0:
        draw.text((width / 2, middle), "0", "black", font, "mm")
    draw.text((width - 4, middle), f"{top:.3g}", "white" if bottom < 0 else "black", font, "rm")
    return paper
