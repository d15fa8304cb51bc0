"""What a cage and the process in it tell each other: small JSON messages, and pixels in memory that both see.

What comes out of the cage is not trusted: a parser that was taken over may have written it.
"""

import json
from dataclasses import dataclass
from typing import Any

from PIL import Image

from app.errors import BrokenImage, Overloaded, RequestError, TooLarge, UnsupportedImage

LARGEST = 8192
"""Bytes of one message."""

_LONGEST_TEXT = 1000
_REFUSALS: dict[str, type[RequestError]] = {
    kind.__name__: kind for kind in (BrokenImage, Overloaded, TooLarge, UnsupportedImage)
}


@dataclass(frozen=True)
class Decoded:
    """A decoded photo: mode-RGB `image`, and `width`, `height`, `format`, `animated` as `Photo` has them."""

    image: Image.Image
    width: int
    height: int
    format: str
    animated: bool


class NoSense(Exception):
    """An answer from the cage that no decoder gives."""


def task(size: int, max_pixels: int, side: int | None) -> bytes:
    """The photo of `size` bytes at the beginning of the memory is to be decoded so."""
    return json.dumps({"size": size, "max_pixels": max_pixels, "side": side}).encode()


def told(message: bytes) -> tuple[int, int, int | None]:
    """A task: the photo's size in bytes, `max_pixels` and `side`."""
    asked = json.loads(message)
    return asked["size"], asked["max_pixels"], asked["side"]


def done(decoded: Decoded) -> bytes:
    """The photo is decoded; its pixels lie at the beginning of the memory, row by row, three bytes each."""
    known = {name: value for name, value in vars(decoded).items() if name != "image"}
    return json.dumps({"done": known | {"pixels": decoded.image.size}}).encode()


def refused(error: RequestError) -> bytes:
    """The photo was refused."""
    return json.dumps({"refused": type(error).__name__, "detail": str(error)[:_LONGEST_TEXT]}).encode()


def decoded(message: bytes, memory: Any, max_pixels: int, formats: tuple[str, ...]) -> Decoded:
    """The photo of such an answer. Raises the refusal, or NoSense."""
    try:
        answer = json.loads(message)
        if "refused" in answer:
            kind, detail = _REFUSALS[answer["refused"]], str(answer["detail"])[:_LONGEST_TEXT]
        else:
            told = answer["done"]
            width, height = told["pixels"]
            sizes = (width, height, told["width"], told["height"])
            if not all(type(size) is int and size > 0 for size in sizes) or width * height > max_pixels:
                raise NoSense(f"a photo of {width} x {height} pixels")
            if told["format"] not in formats:
                raise NoSense(f"a photo in the format {told['format']!r}")
            image = Image.frombytes("RGB", (width, height), memory[: 3 * width * height])
            return Decoded(image, told["width"], told["height"], told["format"], bool(told["animated"]))
    except (ValueError, TypeError, LookupError) as error:
        raise NoSense(str(error)) from error
    raise kind(detail)
