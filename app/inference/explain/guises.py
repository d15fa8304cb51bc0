"""A photo comes in; the same photo in twelve guises goes out, to test whether a network still recognizes the cat."""

from collections.abc import Callable

from PIL import Image, ImageFilter, ImageOps

Guise = Callable[[Image.Image], Image.Image]

_GREY = (127, 127, 127)


def _original(image: Image.Image) -> Image.Image:
    return image


def _black_and_white(image: Image.Image) -> Image.Image:
    return image.convert("L").convert("RGB")


def _rotated(degrees: float) -> Guise:
    return lambda image: image.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=_GREY)


def _shifted(image: Image.Image) -> Image.Image:
    """Moved right and down by a sixth of each side; the uncovered part is grey."""
    canvas = Image.new("RGB", image.size, _GREY)
    canvas.paste(image, (image.width // 6, image.height // 6))
    return canvas


def _zoomed_in(image: Image.Image) -> Image.Image:
    """The middle two thirds of each side."""
    return ImageOps.crop(image, (image.width // 6, image.height // 6, image.width // 6, image.height // 6))


def zoomed_out(divisor: int) -> Guise:
    """Smaller by that factor, in the middle of a grey field."""

    def zoom(image: Image.Image) -> Image.Image:
        canvas = Image.new("RGB", image.size, _GREY)
        size = (max(1, image.width // divisor), max(1, image.height // divisor))
        small = image.resize(size, Image.Resampling.BILINEAR)
        canvas.paste(small, ((image.width - small.width) // 2, (image.height - small.height) // 2))
        return canvas

    return zoom


def _dark(image: Image.Image) -> Image.Image:
    return image.point(lambda value: value * 0.35)


def _blurred(image: Image.Image) -> Image.Image:
    """Gaussian blur with a radius of a fiftieth of the shorter side."""
    return image.filter(ImageFilter.GaussianBlur(min(image.size) / 50))


def _part_hidden(image: Image.Image) -> Image.Image:
    """A grey square over the lower right of the middle: two fifths of each side, a sixth of the photo."""
    hidden = image.copy()
    left, top = round(image.width * 0.45), round(image.height * 0.45)
    hidden.paste(_GREY, (left, top, left + round(image.width * 0.4), top + round(image.height * 0.4)))
    return hidden


GUISES: dict[str, Guise] = {
    "original": _original,
    "black_and_white": _black_and_white,
    "mirrored": ImageOps.mirror,
    "upside_down": ImageOps.flip,
    "rotated_left": _rotated(15),
    "rotated_right": _rotated(-15),
    "shifted": _shifted,
    "zoomed_in": _zoomed_in,
    "zoomed_out": zoomed_out(2),
    "dark": _dark,
    "blurred": _blurred,
    "part_hidden": _part_hidden,
}
"""Each guise by name: a function from an upright RGB image to another, of any size."""
