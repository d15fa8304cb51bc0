"""A JPEG's bytes come in; what the network sees goes out, by the service's way and by each that could replace it.

simplejpeg includes libjpeg-turbo, whose fractions are n/8; PyTurboJPEG has the same, but brings no library. ajpegli and
pyjpegli are the two bindings of jpegli, kornia-rs is that of zune-jpeg; none of the three can decode at a fraction.
cykooz-resizer is the binding of fast_image_resize, which reduces Pillow's images where they are.
"""

import functools
import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.inference import image_checks
from app.inference.decode import MAX_PIXELS, OVERSAMPLING, decode
from app.inference.networks.contract import load
from app.inference.tensor import to_pixels

CONTRACT = load(Path(__file__).parent.parent / "model" / "cat")
SIDE = CONTRACT.input_shape[0]


@dataclass(frozen=True)
class Way:
    """A candidate: `read` decodes a JPEG's bytes, `reduce` makes (SIDE, SIDE, 3) uint8, RGB, of what it returns."""

    read: Callable[[bytes], Any]
    reduce: Callable[[Any], np.ndarray]

    def __call__(self, data: bytes) -> np.ndarray:
        """Both."""
        return self.reduce(self.read(data))


def ours() -> str:
    """The name of the candidate that the service uses."""
    return _pillow_name(OVERSAMPLING)


def _pillow_name(times_as_large: float) -> str:
    return f"Pillow, a power of two, at least {times_as_large:g} times the network's size"


def ways() -> dict[str, Way]:
    """All candidates by name."""
    import ajpegli
    import cv2
    import cykooz_resizer
    import kornia_rs
    import pyjpegli
    import pyvips
    import simplejpeg

    cv2.setNumThreads(1)
    candidates = {"Pillow, whole": Way(lambda data: decode(data).image, _reduced)}
    for least in sorted({2.0, 1.9, OVERSAMPLING}, reverse=True):
        side = round(least * SIDE / OVERSAMPLING)
        candidates[_pillow_name(least)] = Way(lambda data, side=side: decode(data, side=side).image, _reduced)
    own = candidates[ours()]
    candidates["ours, reduced by cykooz-resizer"] = Way(own.read, functools.partial(_by_simd, cykooz_resizer))
    for least, fast in ((2.0, False), (1.9, False), (2.0, True)):
        name = f"simplejpeg, n/8, at least {least:g} times{', fast transforms' if fast else ''}"
        wanted = {"min_height": int(least * SIDE), "min_width": int(least * SIDE), "fastdct": fast, "fastupsample": fast}
        read = functools.partial(simplejpeg.decode_jpeg, colorspace="RGB", **wanted)
        candidates[name] = Way(_checked(read), reduced_array)
    candidates |= {
        "OpenCV, a power of two, at least 2 times": Way(
            _checked(lambda data: _opencv(cv2, data)), lambda a: _by_area(cv2, a)
        ),
        "pyvips, decodes and reduces in one pass": Way(_checked(lambda data: _one_pass(pyvips, data)), lambda array: array),
        "ajpegli (jpegli), whole": Way(_checked(ajpegli.imdecode), reduced_array),
        "pyjpegli (jpegli), whole": Way(_checked(pyjpegli.decode), _reduced_bytes),
        "kornia-rs (zune-jpeg), whole": Way(_checked(kornia_rs.io.decode_image_jpeg), reduced_array),
    }
    return candidates


def _checked(read: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """What the service does with every photo comes first, so that only the decoder differs."""

    def checked(data: bytes) -> Any:
        hashlib.sha256(data).hexdigest()
        return read(image_checks.check(data, MAX_PIXELS))

    return checked


def _reduced(image: Image.Image) -> np.ndarray:
    return to_pixels(image, SIDE, SIDE)


def reduced_array(array: np.ndarray) -> np.ndarray:
    """As the service reduces, what was decoded to (height, width, 3) uint8."""
    return _reduced(Image.fromarray(array))


def _reduced_bytes(decoded: tuple[bytes, int, int]) -> np.ndarray:
    pixels, width, height = decoded
    return _reduced(Image.frombytes("RGB", (width, height), pixels))


def _by_simd(cykooz_resizer: Any, image: Image.Image) -> np.ndarray:
    """The same filter as ours, in AVX2; values may differ by 1."""
    reduced = Image.new("RGB", (SIDE, SIDE))
    bilinear = cykooz_resizer.ResizeAlg.convolution(cykooz_resizer.FilterType.bilinear)
    cykooz_resizer.Resizer().resize_pil(image, reduced, cykooz_resizer.ResizeOptions(resize_alg=bilinear, use_alpha=False))
    return np.asarray(reduced)


def _opencv(cv2: Any, data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as header:
        shorter = min(header.size)
    flags = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}
    flag = next((flag for factor, flag in flags.items() if shorter / factor >= 2 * SIDE), cv2.IMREAD_COLOR)
    array: np.ndarray = cv2.imdecode(np.frombuffer(data, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION)
    return array


def _by_area(cv2: Any, array: np.ndarray) -> np.ndarray:
    """OpenCV's area interpolation averages almost as Pillow's bilinear does."""
    reduced: np.ndarray = cv2.cvtColor(cv2.resize(array, (SIDE, SIDE), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB)
    return reduced


def _one_pass(pyvips: Any, data: bytes) -> np.ndarray:
    image = pyvips.Image.thumbnail_buffer(data, SIDE, height=SIDE, size="force", no_rotate=True)
    array: np.ndarray = image.numpy()[:, :, :3]
    return array
