"""A folder with a folder for each class, cat/ and not_cat/, comes in; pixel arrays in three fixed splits go out."""

import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from app.errors import CatscopeError
from app.inference.decode import decode
from app.inference.tensor import to_pixels
from training.config import CLASSES
from training.errors import TrainingError

SPLITS = ("train", "validation", "calibration")
HELD_OUT = 0.05
"""Share of the photos that goes to validation, and again to calibration."""

STORED = 1.12
"""Training photos are kept this much larger than the network's input, so that a zoomed view still has its detail; a recipe
may ask for another size."""

BOTH_CLASSES = "the same photo lies in two classes, neither is used"


@dataclass(frozen=True)
class Split:
    """Photos of one split: `pixels` (n, S, S, 3) uint8, `labels` (n,) int64, indices of classes, and the files' `paths`."""

    pixels: np.ndarray
    labels: np.ndarray
    paths: list[Path]


@dataclass
class Tally:
    """How many photos were used, and for each that was not, its path and the reason."""

    used: int = 0
    skipped: list[tuple[Path, str]] = field(default_factory=list)


def photos(folder: Path, classes: Sequence[str] = CLASSES) -> list[tuple[Path, int]]:
    """Every file below `folder`/cat and `folder`/not_cat, or the other classes' folders, with its label, in a stable order;
    hidden files are left out.

    Raises TrainingError for a missing folder or a class without a file.
    """
    if not folder.is_dir():
        raise TrainingError(f"{folder} is not a folder; it should hold the folders {' and '.join(classes)}")
    found: list[tuple[Path, int]] = []
    for label, name in enumerate(classes):
        inside = folder / name
        if not inside.is_dir():
            raise TrainingError(f"{folder} holds no folder {name}; it should hold {' and '.join(classes)}")
        files = sorted(p for p in inside.rglob("*") if p.is_file() and not _hidden(p.relative_to(inside)))
        if not files:
            raise TrainingError(f"{inside} holds no photo")
        found += [(file, label) for file in files]
    return found


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def split_of(digest: str) -> str:
    """The split that a photo belongs to, by the SHA-256 of its bytes in hex: its name and its neighbours play no part."""
    place = int(digest[:8], 16) / 16**8
    if place < HELD_OUT:
        return "validation"
    return "calibration" if place < 2 * HELD_OUT else "train"


def load(
    folder: Path, side: int, stored: float = STORED, classes: Sequence[str] = CLASSES
) -> tuple[dict[str, Split], Tally, str]:
    """Read, decode and resize every photo below `folder`, with a progress bar.

    A file that cannot be decoded is named, counted and skipped; of photos with the same bytes one is used, and none if
    they lie in two classes.

    Returns:
        The splits by name: `train` at `side` * `stored` pixels, the others at `side`, as the service would see them; the
        tally; a fingerprint of all photos and labels that were used.
    """
    files = photos(folder, classes)
    tally = Tally()
    labels: dict[str, int] = {}
    contested: set[str] = set()
    rows: dict[str, list[_Row]] = {name: [] for name in SPLITS}
    progress = tqdm(
        _decoded(files, side, round(side * stored)),
        total=len(files),
        desc="reading photos",
        unit="photo",
        dynamic_ncols=True,
    )
    for row in progress:
        if row.problem:
            reason = row.problem
        elif row.digest not in labels:
            labels[row.digest] = row.label
            rows[split_of(row.digest)].append(row)
            continue
        elif labels[row.digest] == row.label:
            reason = "the same photo was read before"
        else:
            if row.digest not in contested:
                first = next(r for r in rows[split_of(row.digest)] if r.digest == row.digest)
                tally.skipped.append((first.path, BOTH_CLASSES))
                progress.write(f"skipped {first.path}: {BOTH_CLASSES}", file=sys.stderr)
            contested.add(row.digest)
            reason = BOTH_CLASSES
        tally.skipped.append((row.path, reason))
        progress.write(f"skipped {row.path}: {reason}", file=sys.stderr)
    fingerprint = hashlib.sha256()
    splits = {}
    for name in SPLITS:
        kept = [row for row in rows[name] if row.digest not in contested]
        for row in kept:
            fingerprint.update(f"{row.digest} {row.label}\n".encode())
        tally.used += len(kept)
        splits[name] = _stack(kept, name, classes)
    return splits, tally, fingerprint.hexdigest()


@dataclass(frozen=True)
class _Row:
    """One file: its pixels, or the problem that kept it from having any."""

    path: Path
    label: int
    digest: str
    pixels: np.ndarray
    problem: str = ""


def _decoded(files: list[tuple[Path, int]], side: int, train_side: int) -> Iterator[_Row]:
    """The files in order, decoded on every core; only a few are ahead of their turn."""

    def read(file: tuple[Path, int]) -> _Row:
        path, label = file
        try:
            data = path.read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            size = train_side if split_of(digest) == "train" else side
            return _Row(path, label, digest, to_pixels(decode(data).image, size, size))
        except (CatscopeError, OSError) as error:
            return _Row(path, label, "", np.empty(0), problem=str(error))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(files), 256):
            yield from pool.map(read, files[start : start + 256])


def _stack(rows: list[_Row], name: str, classes: Sequence[str]) -> Split:
    labels = np.array([row.label for row in rows], np.int64)
    for label, title in enumerate(classes):
        if not (labels == label).any():
            raise TrainingError(f"no usable photo of class {title} fell into the {name} split; more photos are needed")
    return Split(np.stack([row.pixels for row in rows]), labels, [row.path for row in rows])
