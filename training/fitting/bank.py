"""Photos and composed scenes come in; what the frozen layers compute for them goes out, stored in files.

Fine-tuning needs the same features again and again, and they take longer to compute than to learn from. A view is one row
in each of three files: `early` is where learning starts; `head` the last features before the classification (in bytes: they
lie between 0 and 6); `likeness` what the network that learning starts from says at each position.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from app.inference.decode import decode
from app.inference.tensor import to_pixels
from training.config import Composition
from training.data.manifest import Photo
from training.data.scenes import compose, plan
from training.errors import TrainingError
from training.fitting.frozen import CHUNK, frozen, in_turn
from training.outputs import replace
from training.progress import Progress

STORED = 256
"""Height and width, in pixels, of a photo before it becomes a part of a scene."""

LARGEST = 6.0
"""The upper bound of ReLU6."""

FLUSH = 64
"""Chunks between two entries into the record of progress."""

ARRAYS = ("early", "head", "likeness")


@dataclass(frozen=True)
class View:
    """One photo as it is (`turn` 0), or one of the scenes composed from it."""

    photo: int
    turn: int


@dataclass(frozen=True)
class Bank:
    """Views and their features.

    `labels` (n,) are class indices, `partners` (n,) indices of second photos or -1. `early` is (n, h, w, c) float16, `head`
    (n, h, w, c) uint8 and `likeness` (n, h, w, 1) float32; the first two stay in their files.
    """

    views: list[View]
    labels: np.ndarray
    partners: np.ndarray
    early: np.ndarray
    head: np.ndarray
    likeness: np.ndarray

    def heads(self, rows: np.ndarray) -> np.ndarray:
        """The last features of some views, (n, h, w, c) float32."""
        return np.asarray(self.head[rows] * np.float32(LARGEST / 255))


class Files:
    """The pixels of photos by index; each file is read when it is asked for."""

    def __init__(self, photos: list[Photo]) -> None:
        self.photos = photos

    def __getitem__(self, index: int) -> np.ndarray:
        """(STORED, STORED, 3) uint8."""
        return self.resized(index, STORED)

    def resized(self, index: int, side: int) -> np.ndarray:
        """(side, side, 3) uint8, as the service would see the photo."""
        return to_pixels(decode(self.photos[index].path.read_bytes()).image, side, side)


@dataclass(frozen=True)
class Composer:
    """How scenes are composed from all training photos; `scenery` (k,) are indices of photos of rooms and streets."""

    photos: list[Photo]
    composition: Composition
    scenery: np.ndarray
    seed: int


def fill(folder: Path, views: list[View], composer: Composer, network: keras.Model, taps: tuple[str, str, str]) -> Bank:
    """The bank of these views in `folder`: what is missing there is computed, and the progress shown.

    Args:
        folder: for the files, 340 kB a view at 384 pixels.
        views: of the composer's photos.
        composer: makes the scenes.
        network: in training form, with weights.
        taps: the names of its layers for `early`, `head` and `likeness`.

    Raises TrainingError if `folder` holds the bank of other views.
    """
    labels = np.array([photo.label for photo in composer.photos])
    plans = [
        plan(labels, view.photo, composer.composition, [composer.seed, view.turn, view.photo], composer.scenery)
        if view.turn
        else (-1, int(labels[view.photo]))
        for view in views
    ]
    _check(folder, views, composer)
    files, side = Files(composer.photos), network.input_shape[1]

    def pixels(row: int) -> np.ndarray:
        view = views[row]
        if not view.turn:
            return files.resized(view.photo, side)
        seed = [composer.seed, view.turn, view.photo]
        return compose(files, labels, view.photo, composer.composition, side, seed, composer.scenery)[0]

    _complete(folder, len(views), network, taps, pixels)
    early, head, likeness = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ARRAYS)
    partners, truth = (np.array(column) for column in zip(*plans, strict=True))
    return Bank(views, truth, partners, early, head, np.array(likeness))


def _check(folder: Path, views: list[View], composer: Composer) -> None:
    """Refuse a folder whose rows are those of other views."""
    names = [str(Path(*photo.path.parts[-3:])) for photo in composer.photos]
    text = repr((names, views, composer.composition, composer.scenery.tolist(), composer.seed))
    digest, file = hashlib.sha256(text.encode()).hexdigest(), folder / "views.sha256"
    folder.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        replace(file, digest)
    elif file.read_text() != digest:
        raise TrainingError(f"{folder} holds the features of other photos or scenes than these; remove it to start over")


def _complete(
    folder: Path, count: int, network: keras.Model, taps: tuple[str, str, str], pixels: Callable[[int], np.ndarray]
) -> None:
    """Compute the rows that are not there yet; `rows` in the folder says how many are."""
    progress = folder / "rows"
    done = int(progress.read_text()) if progress.exists() else 0
    if done == count:
        return
    see = frozen(network, list(taps))
    shapes = [network.get_layer(name).output.shape[1:] for name in taps]
    arrays = [
        np.lib.format.open_memmap(folder / f"{name}.npy", "r+" if done else "w+", kind, (count, *shape))
        for name, kind, shape in zip(ARRAYS, (np.float16, np.uint8, np.float32), shapes, strict=True)
    ]

    def features(rows: range) -> tuple[range, list[np.ndarray]]:
        early, head, likeness = see(np.stack([pixels(row) for row in rows]).astype(np.float32))
        return rows, [early, np.rint(head * (255 / LARGEST)), likeness]

    chunks = [range(start, min(start + CHUNK, count)) for start in range(done, count, CHUNK)]
    with Progress(count, "features", "view", done) as shown:
        for number, (rows, values) in enumerate(in_turn(features, chunks), 1):
            for array, value in zip(arrays, values, strict=True):
                array[rows.start : rows.stop] = value
            shown.reach(rows.stop)
            if number % FLUSH == 0 or number == len(chunks):
                for array in arrays:
                    array.flush()
                replace(progress, str(rows.stop))
