"""HEIC photos to attack with, small and of every kind; they are made with an encoder that the service does not have."""

import io

import numpy as np
from PIL import Image


def heics(picture: Image.Image, clear: Image.Image, deep: np.ndarray) -> dict[str, bytes]:
    """HEIC photos: plain, transparent, turned, of 10 bits, grey, and one of several."""
    import pillow_heif  # the encoder, which the service does not have

    def encoded(image: object, **options: object) -> bytes:
        out = io.BytesIO()
        image.save(out, **options)
        return out.getvalue()

    def heif(image: Image.Image) -> object:
        return pillow_heif.from_pillow(image)

    turned = Image.Exif()
    turned[0x0112] = 6
    several = heif(picture)
    several.add_from_pillow(picture.rotate(180))
    ten_bits = pillow_heif.from_bytes("RGB;16", picture.size, np.stack([deep] * 3, 2).astype("<u2").tobytes())
    return {
        "heic": encoded(heif(picture)),
        "heic-alpha": encoded(heif(clear)),
        "heic-turned": encoded(heif(picture), exif=turned.tobytes()),
        "heic-deep": encoded(ten_bits),
        "heic-grey": encoded(heif(picture.convert("L"))),
        "heic-several": encoded(several, primary_index=1),
    }
