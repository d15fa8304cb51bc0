"""A stranger's model file comes in; model.keras and history.json, which `training.export` goes on with, go out."""

import hashlib
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from scipy.optimize import linear_sum_assignment

from training import outputs
from training.config import check_classes, check_unsure
from training.data.samples import has_classes, samples
from training.errors import TrainingError
from training.importing import keras_import
from training.importing.colours import PREPROCESSED, Colours, preprocessing

TOLERANCE = 1e-4
"""Largest difference between Keras and the export: of any value in any stage, as a fraction of the stage's largest value
or of 1, whichever is more; probabilities are thus compared as they are."""

JUDGED = 120
"""Photos on which a network is tried."""
FAR_WORSE = 0.2
"""A difference of accuracy that no set of photos explains, where the intervals do not overlap either."""
Z = 2.58
"""Of 99 % intervals."""
EACH = 4
"""Photos a class, below which chance alone can make another order of the classes look better."""


@dataclass(frozen=True)
class Accuracy:
    """How many of `photos` were answered with the class of the folder that they lie in."""

    photos: int
    right: int

    @property
    def share(self) -> float:
        """0..1."""
        return self.right / self.photos

    def interval(self) -> tuple[float, float]:
        """Wilson's 99 % interval."""
        n, p = self.photos, self.share
        middle = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
        half = Z / (1 + Z * Z / n) * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
        return middle - half, middle + half

    def far_below(self, other: "Accuracy") -> bool:
        """Whether it is so much less than `other` that the photos cannot be the reason."""
        return other.share - self.share >= FAR_WORSE and other.interval()[0] > self.interval()[1]


def bring(
    file: Path,
    out: Path,
    classes: tuple[str, ...],
    data: Path,
    version: str = "1.0.0",
    scale: float | Sequence[float] = 1.0,
    offset: float | Sequence[float] = 0.0,
    unsure: float = 0.0,
    preprocess: str | None = None,
) -> Accuracy | None:
    """Write a network that was trained elsewhere to `out`, and return its accuracy on the photos below `data`, or None where
    they do not lie in folders of its classes.

    `preprocess` is one of PREPROCESSED, or None for `scale` and `offset`, each one number or one for each colour.
    Raises TrainingError when it holds what cannot be shown, when the plain network answers otherwise than it on photos below
    `data`, when it answers far better under another order of the classes or another scale, and when `out` holds something.
    """
    check_classes(classes)
    check_unsure(unsure)
    outputs.check_empty(out, version)
    before = preprocessing(preprocess, scale, offset)
    theirs = keras_import.load(file)
    try:
        ours, ending = keras_import.rewritten(theirs, len(classes), before)
    except (ValueError, TypeError, AttributeError, IndexError) as error:  # Keras' own, of layers that do not fit together
        raise TrainingError(f"{file} cannot be written in plain layers: {' '.join(str(error).split())[:200]}") from error
    compared = samples(data, JUDGED if has_classes(data, classes) else 16, theirs.input_shape[1:3], classes)
    for tensor, _ in compared[:: max(1, len(compared) // 16)]:
        expected = np.asarray(theirs(_seen(before, tensor), training=False), np.float64)
        probabilities = np.asarray(ours(tensor, training=False), np.float64)
        difference = keras_import.difference(expected, probabilities, ending)
        if not difference <= TOLERANCE:
            raise TrainingError(
                f"in plain layers the network answers otherwise by {difference:.2e}; at most {TOLERANCE} is accepted"
            )
    accuracy = _judged(theirs, before, compared, classes, data) if has_classes(data, classes) else None
    low = 1 - unsure if len(classes) == 2 else 0.0
    history = {
        "network": ours.name,
        "version": version,
        "classes": classes,
        "brought": {
            "file": file.name,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "preprocess": preprocess,
            "scale": scale,
            "offset": offset,
            "accuracy": None if accuracy is None else {"photos": accuracy.photos, "right": accuracy.right},
        },
        "calibration": {"band": {"low": min(low, unsure), "high": unsure}},
        "epochs": [],
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        ours.save(out / "model.keras")
        (out / "history.json").write_text(json.dumps(history, indent=1) + "\n")
    except OSError as error:
        raise TrainingError(f"{out} cannot be written: {error.strerror}") from error
    return accuracy


def _seen(before: Colours, tensor: np.ndarray) -> np.ndarray:
    """What the network itself is given for a photo."""
    return before.applied(tensor).astype(np.float32)


def _judged(theirs: keras.Model, before: Colours, photos: list[Any], classes: tuple[str, ...], data: Path) -> Accuracy:
    """The accuracy on photos whose folders say what they show.

    Raises TrainingError when another order of the classes, or another scale, is far better.
    """
    given = _confusion(theirs, before, photos, len(classes))
    total = len(photos)
    accuracy = Accuracy(total, int(np.trace(given)))
    straight = tuple(range(len(classes)))
    as_given = best = _balanced(given, straight)
    if as_given.share > 1 - FAR_WORSE:
        return accuracy
    ways: dict[str, Colours] = {"": before, "without --scale, --offset and --preprocess": preprocessing()}
    ways |= {"with --scale 1/255": preprocessing(None, 1 / 255)}
    ways |= {f"with --preprocess {name}": preprocessing(name) for name in PREPROCESSED}
    how = ""
    for way, colours in ways.items():
        confusion = given if not way else _confusion(theirs, colours, photos, len(classes))
        orders = [straight]
        if total >= EACH * len(classes):
            recalls = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
            orders.append(tuple(linear_sum_assignment(-recalls.T)[1]))  # of each output, the folder that fits it best
        for order in orders:
            tried = _balanced(confusion, order)
            if tried.right > best.right:
                names = f"with --classes {' '.join(classes[label] for label in order)}" if order != straight else ""
                best, how = tried, " and ".join(part for part in (way, names) if part)
    if as_given.far_below(best):
        raise TrainingError(
            f"of each class's photos below {data}, the network answers {as_given.share:.2f} rightly as it is given, "
            f"and {best.share:.2f} {how}; say how it was trained, the classes in the order of its outputs"
        )
    if as_given.interval()[0] <= 1 / len(classes):
        sys.stderr.write(
            f"warning: of {total} photos below {data}, it answers {accuracy.right} rightly, which guessing does too\n"
        )
    return accuracy


def _balanced(confusion: np.ndarray, order: tuple[int, ...]) -> Accuracy:
    """The accuracy if output i meant class `order`[i] and all classes had as many photos as the smallest.

    A network that always answers the same is then no better under any order.
    """
    counts = confusion.sum(axis=1)
    recalls = [confusion[label, output] / max(1, counts[label]) for output, label in enumerate(order)]
    photos = max(1, int(counts.min())) * len(order)
    return Accuracy(photos, round(photos * float(np.mean(recalls))))


def _confusion(theirs: keras.Model, before: Colours, photos: list[Any], classes: int) -> np.ndarray:
    """(classes, classes): photos by the class of their folder and by the largest output."""
    counts = np.zeros((classes, classes), int)
    for start in range(0, len(photos), 16):
        some = photos[start : start + 16]
        outputs = np.asarray(theirs(_seen(before, np.concatenate([tensor for tensor, _ in some])), training=False))
        if outputs.shape[1] == 1:
            last = theirs.outputs[0]._keras_history.operation
            middle = 0.5 if getattr(getattr(last, "activation", None), "__name__", "") == "sigmoid" else 0.0
            chosen = (outputs[:, 0] > middle).astype(int)
        else:
            chosen = outputs.argmax(axis=1)
        for (_, label), output in zip(some, chosen, strict=True):
            counts[label, output] += 1
    return counts
