"""A manifest comes in, a CSV file with a line for each photo; the photos that may be learned from go out."""

import csv
from dataclasses import dataclass
from pathlib import Path

from training.config import CLASSES, Refinement
from training.errors import TrainingError

MISLABELLED = Path(__file__).with_name("mislabelled.csv")
"""Photos of ../shared/data that do not show what their label says, with what they show."""


BOXED, ONE_IN = "animalpose", 7
"""The source whose cats have boxes, and of how many of its cats one is held out too."""


REFINED = ("train", "train2")
"""The splits that `training.refine` learns from."""


@dataclass(frozen=True)
class Photo:
    """One line: the photo's path, its class index, the source it comes from and what it shows.

    `boxes` are those of its cats where they are known: left, top, right, bottom as fractions of the photo's sides.
    """

    path: Path
    label: int
    source: str
    kind: str
    boxes: tuple[tuple[float, ...], ...] = ()


def read(
    files: list[Path], folder: Path, splits: tuple[str, ...] | None = None, classes: tuple[str, ...] | None = CLASSES
) -> list[Photo]:
    """The photos of some splits, in the manifests' order, without the mislabelled ones.

    Args:
        files: manifests, with the columns split, label, source and file, and kind and cats_at (boxes) where they are known.
        folder: holds a folder for each split.
        splits: names of them; all by default.
        classes: the labels that may stand there; with None any may, and each photo's label is 0.

    Raises TrainingError for a manifest that cannot be read, or without a photo of those splits.
    """
    wrong = mislabelled()
    photos = []
    for manifest in files:
        try:
            with manifest.open(newline="") as lines:
                for line in csv.DictReader(lines):
                    if (splits is None or line["split"] in splits) and line["file"] not in wrong:
                        path = folder / line["split"] / line["file"]
                        kind = line.get("kind") or line["source"]
                        label = classes.index(line["label"]) if classes else 0
                        photos.append(Photo(path, label, line["source"], kind, _boxes(line.get("cats_at") or "")))
        except (OSError, KeyError, ValueError) as error:
            raise TrainingError(f"{manifest} is no manifest of photos: {error}") from error
    if not photos:
        raise TrainingError(f"{' and '.join(map(str, files))} hold no photo of {' and '.join(splits or ('any split',))}")
    return photos


def _boxes(text: str) -> tuple[tuple[float, ...], ...]:
    """Boxes from "0.1 0.2 0.5 0.9; 0.6 0.2 0.8 0.4". Raises ValueError for anything else."""
    boxes = tuple(tuple(float(number) for number in box.split()) for box in text.split(";") if box.strip())
    if any(len(box) != 4 for box in boxes):
        raise ValueError(f"{text} must have four numbers for each cat")
    return boxes


def kinds(files: list[Path]) -> dict[tuple[str, str], str]:
    """What each photo shows, by its split and its path below the split's folder. Raises TrainingError as `read` does."""
    photos = read(files, Path(), classes=None)
    return {(photo.path.parts[0], str(Path(*photo.path.parts[1:]))): photo.kind for photo in photos}


def mislabelled() -> dict[str, str]:
    """What a mislabelled photo shows, by the photo's file name."""
    with MISLABELLED.open(newline="") as lines:
        return {line["file"]: line["reason"] for line in csv.DictReader(lines)}


def is_held_out(index: int, photo: Photo, recipe: Refinement) -> bool:
    """Whether the photo of that index teaches nothing."""
    boxed = photo.source == BOXED and photo.label == 0
    return photo.source in recipe.held_out or (boxed and index % ONE_IN == 0)
