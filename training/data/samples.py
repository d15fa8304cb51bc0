"""A folder of photos comes in; some of them as the service would see them, with their classes where folders name them."""

from pathlib import Path

import numpy as np

from app.errors import CatscopeError
from app.inference.decode import decode
from app.inference.tensor import to_tensor
from training.config import CLASSES
from training.data.dataset import photos
from training.errors import TrainingError

Sample = tuple[np.ndarray, int | None]
"""(1, height, width, 3) float32, 0..255, and the index of its class, or None."""


def has_classes(data: Path, classes: tuple[str, ...]) -> bool:
    """Whether `data` has a folder for each class."""
    return all((data / name).is_dir() for name in classes)


def samples(data: Path, count: int, size: tuple[int, int], classes: tuple[str, ...]) -> list[Sample]:
    """Up to `count` photos, of each class its share, or any where `data` holds no folders of classes.

    Raises TrainingError when none can be read.
    """
    paths: list[tuple[Path, int | None]]
    if classes == CLASSES or has_classes(data, classes):
        paths = list(photos(data, classes))
    else:
        paths = [(path, None) for path in sorted(data.rglob("*")) if path.is_file()]
    step = max(1, len(paths) // count)
    found: list[Sample] = []
    for path, label in paths[::step]:
        try:
            found.append((to_tensor(decode(path.read_bytes()).image, *size), label))
        except (CatscopeError, OSError):
            continue  # training names broken photos; one less to compare on
        if len(found) == count:
            break
    if not found:
        raise TrainingError(f"no photo below {data} can be read to compare on")
    return found
