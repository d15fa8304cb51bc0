"""A folder of photos, one subfolder a class, comes in; pixel arrays in three fixed splits go out."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from app.errors import CatscopeError
from app.inference.decode import decode
from app.inference.tensor import to_pixels
from app.teach import alike
from training.config import CLASSES
from training.data.splits import SPLITS, assign, split_of
from training.errors import TrainingError
from training.progress import Progress

NEAR_BELOW = 10_000
"""Among fewer photos than so many, those that look alike are looked for; more would take too long."""

STORED = 1.12
"""Training photos are stored this much larger than the network's input, so that a zoomed view keeps its detail; a recipe may
set another factor."""

BOTH_CLASSES = "the same photo is in two classes; neither copy is used"
LOOKS_LIKE = "looks like {}, which is in another class; neither is used"


@dataclass(frozen=True)
class Split:
    """Photos of one split: `pixels` (n, S, S, 3) uint8, `labels` (n,) int64, indices of classes, and the files' `paths`.

    Photos with the same number in `groups` (n,) look alike.
    """

    pixels: np.ndarray
    labels: np.ndarray
    paths: list[Path]
    groups: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))


@dataclass
class Tally:
    """How many photos were used, and for each that was not, its path and the reason."""

    used: int = 0
    skipped: list[tuple[Path, str]] = field(default_factory=list)


def photos(folder: Path, classes: Sequence[str] = CLASSES, every_class: bool = True) -> list[tuple[Path, int]]:
    """Every file below `folder`/cat and `folder`/not_cat, or the other classes' folders, with its label, in a stable order;
    hidden files are left out.

    Raises TrainingError for a missing folder or a class without a file; without `every_class`, only if no class has one.
    """
    if not folder.is_dir():
        raise TrainingError(f"{folder} is not a folder; it should hold the folders {' and '.join(classes)}")
    labelled: list[tuple[Path, int]] = []
    for label, name in enumerate(classes):
        inside = folder / name
        if not inside.is_dir() and every_class:
            raise TrainingError(f"{folder} has no folder {name}; it should hold {' and '.join(classes)}")
        files = sorted(p for p in inside.rglob("*") if p.is_file() and not _hidden(p.relative_to(inside)))
        if not files and every_class:
            raise TrainingError(f"{inside} contains no photo")
        labelled += [(file, label) for file in files]
    if not labelled:
        raise TrainingError(f"{folder} contains no photo in {' or '.join(classes)}")
    return labelled


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def load(
    folder: Path, side: int, stored: float = STORED, classes: Sequence[str] = CLASSES
) -> tuple[dict[str, Split], Tally, str]:
    """Read, decode and resize every photo below `folder`, and show the progress.

    A file that cannot be decoded is named, counted and skipped; of photos with the same bytes one is used, and none if
    they lie in two classes. Photos that look alike, such as one that was resized, come into the same split; in two classes
    none of them is used.

    Returns:
        The splits by name: `train` at `side` * `stored` pixels, the others at `side`, as the service would see them; the
        tally; a fingerprint of all photos and labels that were used.
    """
    files = photos(folder, classes)
    tally = Tally()
    labels: dict[str, int] = {}
    contested: set[str] = set()
    rows: list[_Row] = []
    progress = Progress(len(files), "reading photos", "photo")

    def skip(path: Path, reason: str) -> None:
        tally.skipped.append((path, reason))
        progress.say(f"skipped {path}: {reason}")

    for row in progress.over(_decoded(files, side, round(side * stored))):
        if row.problem:
            skip(row.path, row.problem)
        elif row.digest not in labels:
            labels[row.digest] = row.label
            rows.append(row)
        elif labels[row.digest] == row.label:
            skip(row.path, "a duplicate of a photo read before")
        else:
            if row.digest not in contested:
                skip(next(r for r in rows if r.digest == row.digest).path, BOTH_CLASSES)
            contested.add(row.digest)
            skip(row.path, BOTH_CLASSES)
    rows = [row for row in rows if row.digest not in contested]
    groups = list(range(len(rows)))
    if len(rows) < NEAR_BELOW and rows:
        groups = alike.alike(np.stack([row.looks for row in rows]))
        labels_of: dict[int, set[int]] = {}
        for row, group in zip(rows, groups, strict=True):
            labels_of.setdefault(group, set()).add(row.label)
        for row, group in zip(rows, groups, strict=True):
            if len(labels_of[group]) > 1:
                other = next(r for r, g in zip(rows, groups, strict=True) if g == group and r.label != row.label)
                skip(row.path, LOOKS_LIKE.format(other.path))
        kept = [index for index, group in enumerate(groups) if len(labels_of[group]) == 1]
        rows, groups = [rows[index] for index in kept], [groups[index] for index in kept]
    names = _assigned(rows, groups, len(classes))
    fingerprint = hashlib.sha256()
    splits = {}
    sizes = {name: round(side * stored) if name == "train" else side for name in SPLITS}
    for split in SPLITS:
        chosen = [index for index, name in enumerate(names) if name == split]
        usable = [_sized(rows[index], sizes[split]) for index in chosen]
        for row in usable:
            fingerprint.update(f"{row.digest} {row.label}\n".encode())
        tally.used += len(usable)
        splits[split] = _stack(usable, [groups[index] for index in chosen], split, classes)
    return splits, tally, fingerprint.hexdigest()


def counts(split: Split, classes: Sequence[str]) -> dict[str, int]:
    """How many photos of each class a split has."""
    return {name: int((split.labels == label).sum()) for label, name in enumerate(classes)}


def _assigned(rows: list["_Row"], groups: list[int], classes: int) -> list[str]:
    """The split of each photo, class by class; where too many look alike to fill three splits, each photo for itself."""
    names = [""] * len(rows)
    for label in range(classes):
        own = [index for index, row in enumerate(rows) if row.label == label]
        digests = [rows[index].digest for index in own]
        chosen = assign(digests, [groups[index] for index in own])
        if set(chosen) < set(SPLITS):
            chosen = assign(digests)
        for index, name in zip(own, chosen, strict=True):
            names[index] = name
    return names


@dataclass(frozen=True)
class _Row:
    """One file: its pixels, or the reason why it has none."""

    path: Path
    label: int
    digest: str
    pixels: np.ndarray
    looks: np.ndarray
    problem: str = ""


def _decoded(files: list[tuple[Path, int]], side: int, train_side: int) -> Iterator[_Row]:
    """The files in order, decoded on every core, at most 256 ahead."""

    def read(file: tuple[Path, int]) -> _Row:
        path, label = file
        try:
            data = path.read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            size = train_side if split_of(digest) == "train" else side
            image = decode(data).image
            return _Row(path, label, digest, to_pixels(image, size, size), alike.fingerprint(image))
        except (CatscopeError, OSError) as error:
            return _Row(path, label, "", np.empty(0), np.empty(0), problem=str(error))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(files), 256):
            yield from pool.map(read, files[start : start + 256])


def _sized(row: _Row, size: int) -> _Row:
    """The photo at another size, read again, if it came into another split than its place alone says."""
    if row.pixels.shape[0] == size:
        return row
    return replace(row, pixels=to_pixels(decode(row.path.read_bytes()).image, size, size))


def _stack(rows: list[_Row], groups: list[int], name: str, classes: Sequence[str]) -> Split:
    labels = np.array([row.label for row in rows], np.int64)
    for label, title in enumerate(classes):
        if not (labels == label).any():
            raise TrainingError(f"the {name} split got no usable photo of class {title}; add more photos")
    return Split(np.stack([row.pixels for row in rows]), labels, [row.path for row in rows], np.array(groups, np.int64))
