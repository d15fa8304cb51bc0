"""An object detector comes in, in ONNX and trained on COCO; a function from a photo's bytes to its cat score goes out.

The family that an export belongs to shows in the shape of its first output, for strides 8, 16 and 32:

    YOLOv5        (1, three boxes a cell, 5 + classes)    RGB 0..1
    YOLOX         (1, one box a cell, 5 + classes)        BGR 0..255, the photo at the top left
    YOLOv8 to 11  (1, 4 + classes, one box a cell)        RGB 0..1
    YOLOv10, 26   (1, boxes, 6): corners, score, class    RGB 0..1
    CenterNet     (1, classes, height, width)             RGB 0..255
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from app.inference.decode import decode
from app.inference.networks import runtime
from app.inference.tensor import to_pixels
from training.errors import TrainingError

CAT = 15
"""The class "cat" among COCO's 80, counted from 0."""

SIDE = 640
"""Pixels per side of the input where an export leaves them open: what YOLO's own commands use."""

GREY = 114
"""YOLO's own filling around a photo that is not square."""


@dataclass(frozen=True)
class Model:
    """`score` takes a photo's bytes and gives 0..1; `side` is the input's pixels per side, `size` the file's bytes."""

    score: Callable[[bytes], float]
    side: int
    size: int
    sha256: str


@dataclass(frozen=True)
class Layout:
    """How a family of exports reads a photo, with pixels of 0..`top`, and what its first output, less the first axis, says:
    `score` gives the highest confidence of the class "cat", 0..1.
    """

    top: float
    score: Callable[[np.ndarray], float]
    blue_first: bool = False
    top_left: bool = False


def onnx_detector(path: Path, side: int | None) -> Model:
    """A detector from its file. Raises TrainingError where it cannot be read."""
    try:
        return detector(path.read_bytes(), str(path), side)
    except OSError as error:
        raise TrainingError(f"{path} cannot be read: {error.strerror}") from error


def detector(model: bytes, name: str, side: int | None) -> Model:
    """A detector from a serialized ONNX model; `side` is used where its input, (1, 3, side, side), leaves that open.

    Raises TrainingError for a model that does not run, or whose input or output is none of those that are known.
    """
    try:
        session = runtime.session(model)
        given = session.get_inputs()[0]
        fixed = [one for one in given.shape[2:] if isinstance(one, int)]
        side = side or (fixed[0] if fixed else SIDE)
        if given.type != "tensor(float)" or len(given.shape) != 4 or any(one != side for one in fixed):
            raise ValueError(f"its input is a {given.type} of {given.shape}, not a tensor(float) of [1, 3, {side}, {side}]")
        probe = session.run(None, {given.name: np.full((1, 3, side, side), 0.5, np.float32)})[0]
        known = layout(probe.shape, side)
        if not 0 <= (confidence := known.score(probe[0])) <= 1:
            raise ValueError(f"it gives a confidence of {confidence:.3g}, which is not between 0 and 1")
    except Exception as error:  # the runtime's own exceptions share no base class
        raise TrainingError(f"{name} is no detector that is known here: {str(error).splitlines()[0]}") from error

    def score(data: bytes) -> float:
        image = decode(data, side=side).image
        return known.score(session.run(None, {given.name: letterbox(image, side, known)})[0][0])

    return Model(score, side, len(model), hashlib.sha256(model).hexdigest())


def letterbox(image: Image.Image, side: int, known: Layout) -> np.ndarray:
    """The whole photo in its own shape, as large as fits, on grey: (1, 3, side, side) float32, 0..known.top."""
    scale = side / max(image.size)
    width, height = (max(1, round(one * scale)) for one in image.size)
    left, top = (0, 0) if known.top_left else ((side - width) // 2, (side - height) // 2)
    pixels = np.full((side, side, 3), GREY, np.float32)
    pixels[top : top + height, left : left + width] = to_pixels(image, height, width)
    if known.blue_first:
        pixels = pixels[:, :, ::-1]
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[np.newaxis]) * np.float32(known.top / 255)


def layout(shape: tuple[int, ...], side: int) -> Layout:
    """The layout whose output has this shape. Raises ValueError where there is none."""
    cells = sum((side // stride) ** 2 for stride in (8, 16, 32))
    if len(shape) == 4 and shape[0] == 1 and shape[1] > CAT:  # CenterNet: a score for each class and place
        return Layout(255, lambda out: float(out[CAT].max()))
    if len(shape) == 3 and shape[0] == 1:
        _, first, second = shape
        if first == cells and second > 5 + CAT:  # YOLOX: a box a cell, whether it holds a thing, and which
            return Layout(255, _by_rows, blue_first=True, top_left=True)
        if first == 3 * cells and second > 5 + CAT:  # YOLOv5: three boxes a cell
            return Layout(1, _by_rows)
        if second == cells and first > 4 + CAT:  # YOLOv8 to 11
            return Layout(1, lambda out: float(out[4 + CAT].max()))
        if second == 6:  # YOLOv10 and 26: corners, confidence, class
            return Layout(1, lambda out: float(out[out[:, 5].round() == CAT, 4].max(initial=0)))
    raise ValueError(f"an output of shape {list(shape)} is not known for an input of {side} by {side}")


def _by_rows(out: np.ndarray) -> float:
    return float((out[:, 4] * out[:, 5 + CAT]).max())
