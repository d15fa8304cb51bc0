"""The photos of the benchmarks, made from the photographs that scikit-image ships, so that anyone can reproduce them."""

import functools
import io
from pathlib import Path

import skimage.data
from PIL import Image

PHOTOGRAPHS = ("chelsea.png", "astronaut.png", "coffee.png", "rocket.jpg")
WEB = (500, 375)  # pixels, and about 50 kB
PHONE = (4000, 3000)  # 12 megapixels, and 3 to 5 MB


def web() -> list[bytes]:
    """JPEGs of a typical size for the web."""
    return [_jpeg(photograph, WEB, 82) for photograph in _photographs()]


def phone() -> list[bytes]:
    """JPEGs of the size of phone photos. The photographs are enlarged, and grain is added, since enlarging removes it."""
    return [_jpeg(photograph, PHONE, 90, grain=25.0) for photograph in _photographs()]


def as_of_a_phone(path: Path) -> bytes:
    """A photo enlarged to the size of a phone's, upright or not as it was, with the same grain: it has no more detail than
    before, but is decoded as one of that size is.
    """
    with Image.open(path) as image:
        size = PHONE if image.width >= image.height else PHONE[::-1]
        return _jpeg(image.convert("RGB"), size, 90, grain=25.0)


def _photographs() -> list[Image.Image]:
    folder = Path(skimage.data.__file__).parent
    return [Image.open(folder / name).convert("RGB") for name in PHOTOGRAPHS if (folder / name).exists()]


def _jpeg(image: Image.Image, size: tuple[int, int], quality: int, grain: float = 0.0) -> bytes:
    larger = image.resize(size, Image.Resampling.LANCZOS)
    if grain:
        larger = Image.blend(larger, _noise(size, grain), 0.25)
    out = io.BytesIO()
    larger.save(out, "JPEG", quality=quality)
    return out.getvalue()


@functools.cache
def _noise(size: tuple[int, int], grain: float) -> Image.Image:
    """Grey noise, made once, since making it takes longer than all the rest."""
    return Image.merge("RGB", [Image.effect_noise(size, grain)] * 3)
