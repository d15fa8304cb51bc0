"""A photo comes in; the same photo in every disguise that networks are measured in goes out.

They are the twelve guises that the service shows, and two more that only a measurement needs.
"""

import io

from PIL import Image

from app.inference.guises import GUISES, Guise

_GREY = (127, 127, 127)


def _zoomed_far_out(image: Image.Image) -> Image.Image:
    """A quarter of the size, in the middle of a grey field."""
    canvas = Image.new("RGB", image.size, _GREY)
    small = image.resize((max(1, image.width // 4), max(1, image.height // 4)), Image.Resampling.BILINEAR)
    canvas.paste(small, ((image.width - small.width) // 2, (image.height - small.height) // 2))
    return canvas


def _jpeg_quality_20(image: Image.Image) -> Image.Image:
    packed = io.BytesIO()
    image.save(packed, "JPEG", quality=20)
    return Image.open(packed).convert("RGB")


DISGUISES: dict[str, Guise] = GUISES | {"zoomed_far_out": _zoomed_far_out, "jpeg_quality_20": _jpeg_quality_20}
"""Each disguise by name: a function from an upright RGB image to another."""
