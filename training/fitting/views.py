"""Photos of a split come in; batches to learn from, and tensors to be validated on, go out.

There are two ways. A network that starts from nothing sees single photos, randomly changed (`training.data.augment`). A
network that starts from ImageNet sees scenes (`training.data.scenes`), through the layers that keep their weights
(`training.fitting.frozen`), and learns from each scene's label and from what larger networks see in it.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
from scipy.special import expit, logsumexp

from training.config import CLASSES, Recipe
from training.data.augment import augment
from training.data.dataset import Split
from training.data.scenes import compose
from training.fitting.frozen import frozen, in_chunks, in_turn
from training.networks.pretrained import SHARPNESS, START, pretrained

VALIDATION = 0
"""The epoch whose seeds make the scenes of the validation and calibration photos; training counts from 1."""


@dataclass(frozen=True)
class Batch:
    """What `train_on_batch` takes: `inputs` of the network, and `targets` and `weights`, one array for each output."""

    inputs: Any
    targets: Any
    weights: Any

    def __len__(self) -> int:
        return len(self.inputs)


class Views(Protocol):
    """How a network sees photos."""

    def batches(self, split: Split, epoch: int) -> Iterator[Batch]:
        """All photos of the split once, in an order and in views that depend on the recipe's seed and the epoch alone."""

    def validation_tensors(self, split: Split) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and labels for validating: the same at every call."""

    def photos(self, split: Split) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and labels of the photos as they are, for calibrating."""


class Photos:
    """Single photos: augmented for learning, as they are for validating.

    The next batches are made while the network learns from this one.
    """

    def __init__(self, recipe: Recipe, side: int) -> None:
        self.recipe, self.side = recipe, side

    def batches(self, split: Split, epoch: int) -> Iterator[Batch]:
        """See Views.batches."""
        count = len(self.recipe.classes)
        targets = np.eye(count, dtype=np.float32)[split.labels]
        weights = class_weights(split.labels, count)[split.labels]

        def batch(numbered: tuple[int, np.ndarray]) -> Batch:
            number, rows = numbered
            seed = (self.recipe.seed * 10_000 + epoch) * 100_000 + number
            return Batch(augment(split.pixels[rows], self.recipe, self.side, seed % 2**31), targets[rows], weights[rows])

        yield from in_turn(batch, list(enumerate(_rows(self.recipe, len(targets), epoch))))

    def validation_tensors(self, split: Split) -> tuple[np.ndarray, np.ndarray]:
        """See Views.validation_tensors."""
        return self.photos(split)

    def photos(self, split: Split) -> tuple[np.ndarray, np.ndarray]:
        """See Views.photos."""
        return split.pixels, split.labels


class Scenes:
    """Composed scenes, seen by the layers that keep their weights, with the evidence that larger networks see in them.

    The targets of the scores are the truth where there is no cat, and half the truth, half the teachers' probability where
    there is one: a cat pasted too small or too dark to be seen should not be learned from. The targets of the evidence are
    the teachers' (distillation, Hinton et al. 2015, at each position of the map).

    A scene with its teachers' evidence takes longer to make than to learn from, so scenes are stored in files, and
    later epochs read them. Validating takes the photos as they are and one scene of each: the photos alone are
    too easy.
    """

    def __init__(self, recipe: Recipe, network: keras.Model, folder: Path) -> None:
        assert recipe.composition is not None
        self.recipe, self.composition, self.folder = recipe, recipe.composition, folder
        self.side = network.input_shape[1]
        self.see = frozen(network, [recipe.frozen])
        self.teachers = [frozen(pretrained(self.side, teacher), ["evidence"]) for teacher in recipe.teachers]

    def batches(self, split: Split, epoch: int) -> Iterator[Batch]:
        """See Views.batches."""
        balance = class_weights(split.labels) * np.array([1.0, self.recipe.not_cat], np.float32)
        turn = (epoch - 1) % self.recipe.scenes + 1
        files = [self.folder / f"scenes-{turn}-{name}.npy" for name in ("features", "evidence", "labels")]
        stored = [np.load(file, mmap_mode="r") for file in files] if all(file.exists() for file in files) else None
        writing = None if stored else _SceneFiles(files, len(split.labels))
        rows = list(_rows(self.recipe, len(split.labels), epoch))
        order = np.concatenate(rows)
        seen = _Rechunked(
            in_chunks(lambda numbers: self._scenes(split, turn, order[numbers]), len(order)) if writing else iter(())
        )
        for batch in rows:
            features, evidence, labels = [array[batch] for array in stored] if stored else seen.take(len(batch))
            if writing:
                writing.write(batch, (features, evidence, labels))
            weights = [balance[labels], np.ones((len(labels), 1, 1), np.float32)]
            yield Batch(features.astype(np.float32), [_softened(labels, evidence), evidence], weights)
        if writing:
            writing.finish()

    def validation_tensors(self, split: Split) -> tuple[np.ndarray, np.ndarray]:
        """See Views.validation_tensors."""
        everything = np.arange(len(split.labels))
        plain, truth = self.photos(split)
        inputs, labels = [plain], [truth]
        for scenes, truth_of_scenes in in_chunks(
            lambda numbers: self._composed(split, VALIDATION, everything[numbers]), len(everything)
        ):
            inputs.append(self.see(scenes)[0].astype(np.float16))
            labels.append(truth_of_scenes)
        return np.concatenate(inputs), np.concatenate(labels)

    def photos(self, split: Split) -> tuple[np.ndarray, np.ndarray]:
        """See Views.photos."""
        features = in_chunks(lambda numbers: self.see(split.pixels[numbers].astype(np.float32))[0], len(split.labels))
        return np.concatenate([part.astype(np.float16) for part in features]), split.labels

    def _composed(self, split: Split, turn: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A scene for each photo of `rows`, (n, side, side, 3) float32, and its label."""
        made = [
            compose(split.pixels, split.labels, int(row), self.composition, self.side, [self.recipe.seed, turn, int(row)])
            for row in rows
        ]
        return np.stack([view for view, _ in made]).astype(np.float32), np.array([label for _, label in made])

    def _scenes(self, split: Split, turn: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Features (float16), teachers' evidence and labels of one scene for each photo of `rows`."""
        scenes, labels = self._composed(split, turn, rows)
        evidence = np.mean([teacher(scenes)[0] for teacher in self.teachers], axis=0)
        return self.see(scenes)[0].astype(np.float16), evidence.astype(np.float32), labels


def _softened(labels: np.ndarray, evidence: np.ndarray) -> np.ndarray:
    """The probabilities (n, 2) to learn: half the teachers' where there is a cat, (0, 1) where there is none."""
    pooled = logsumexp(evidence, axis=(1, 2))[:, 0] - np.log(evidence.shape[1] * evidence.shape[2])
    cat = np.where(labels == 0, 0.5 + 0.5 * expit(pooled / SHARPNESS + START), 0.0)
    return np.stack([cat, 1 - cat], axis=1).astype(np.float32)


class _SceneFiles:
    """Arrays written row by row into files, which are renamed to their final names once complete."""

    def __init__(self, files: list[Path], count: int) -> None:
        self.files, self.count = files, count
        self.arrays: list[np.ndarray] = []

    def write(self, rows: np.ndarray, values: tuple[np.ndarray, ...]) -> None:
        if not self.arrays:
            self.files[0].parent.mkdir(parents=True, exist_ok=True)
            self.arrays = [
                np.lib.format.open_memmap(_part(file), "w+", array.dtype, (self.count, *array.shape[1:]))
                for file, array in zip(self.files, values, strict=True)
            ]
        for file_array, array in zip(self.arrays, values, strict=True):
            file_array[rows] = array

    def finish(self) -> None:
        self.arrays.clear()
        for file in self.files:
            os.replace(_part(file), file)


def _part(file: Path) -> Path:
    return file.with_name(f"{file.name}.part")


class _Rechunked:
    """Chunks of arrays, taken in portions of another size."""

    def __init__(self, chunks: Iterator[tuple[np.ndarray, ...]]) -> None:
        self._chunks = chunks
        self._left: tuple[np.ndarray, ...] = ()

    def take(self, count: int) -> tuple[np.ndarray, ...]:
        parts = [self._left or next(self._chunks)]
        while sum(len(part[0]) for part in parts) < count:
            parts.append(next(self._chunks))
        joined = tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        self._left = tuple(array[count:] for array in joined)
        return tuple(array[:count] for array in joined)


def _rows(recipe: Recipe, count: int, epoch: int) -> Iterator[np.ndarray]:
    order = np.random.default_rng([recipe.seed, epoch]).permutation(count)
    for start in range(0, count, recipe.batch_size):
        yield order[start : start + recipe.batch_size]


def class_weights(labels: np.ndarray, classes: int = len(CLASSES)) -> np.ndarray:
    """Class weights that balance the classes, 1 on average over the photos."""
    counts = np.bincount(labels, minlength=classes)
    return (len(labels) / (classes * counts)).astype(np.float32)
