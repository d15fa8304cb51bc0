"""The disguises that networks are measured in.

These are the twelve guises that the service shows, and two more that only measurements need.
"""

import io

from PIL import Image

from app.inference.explain.guises import GUISES, Guise, zoomed_out


def _jpeg_quality_20(image: Image.Image) -> Image.Image:
    packed = io.BytesIO()
    image.save(packed, "JPEG", quality=20)
    return Image.open(packed).convert("RGB")


DISGUISES: dict[str, Guise] = GUISES | {"zoomed_far_out": zoomed_out(4), "jpeg_quality_20": _jpeg_quality_20}
"""Each disguise by name: a function from an upright RGB image to another."""
