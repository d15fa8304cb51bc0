"""An exported network and photos come in; int8.onnx, its twin in 8-bit integers, goes out beside it."""

import hashlib
import json
import os
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace as with_fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnx

from app.errors import CatscopeError, NetworkError
from app.inference.decode import decode
from app.inference.networks import contract as contracts
from app.inference.networks.contract import INT8_FILE, Contract, Int8
from app.inference.networks.engines import integers
from app.inference.networks.engines.integers import IntegerTwin
from app.inference.networks.engines.network import ForwardPass
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.tensor import to_pixels
from app.teach import agreement
from training.data.dataset import photos
from training.data.splits import assign
from training.errors import TrainingError
from training.integers.observe import observe
from training.integers.twin import recipe, twin
from training.outputs import replace
from training.progress import Progress

CALIBRATED_ON = 256
"""Photos that the ranges of the integers follow from."""

TIMED_S = 3.0

HELD_OUT = "held out"
"""The name of the set to compare on where none is given."""

Labelled = tuple[Path, int]
Answers = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]
"""Those of the network and of its twin, (n, classes) float32; the labels (n,), indices of classes; the distances from what
was taught that both found, (n, 2), None of a network that was trained."""

T = TypeVar("T")


def export(folder: Path, data: Path, sets: Mapping[str, Path]) -> dict[str, Any]:
    """Write `folder`/int8.onnx, name it in `folder`/contract.json, and return the contract.

    Ranges follow from photos below `data`, those of the training split. The twin's answers are compared on `sets`, folders
    by name, or, without any, on the other photos below `data`.

    Raises TrainingError where the network cannot be run, where no photo can be read, or where the answers differ too much,
    see `agreement.objection`; what was there before is then left as it was.
    """
    try:
        known = contracts.load(folder)
        network = OnnxNetwork(known)
        model = onnx.load(known.verified("model.onnx"))
    except NetworkError as error:
        raise TrainingError(str(error)) from error
    chosen, others = _split(data, known.classes)
    compared = {name: photos(path, known.classes, every_class=False) for name, path in sets.items()} or {HELD_OUT: others}
    seen = observe(model, (pixels[0] for pixels in _each(known, chosen, lambda pixels: pixels, "finding ranges")))
    if not seen:
        raise TrainingError(f"no photo of the training split below {data} can be read")
    familiar = (known.familiarity.stage,) if known.familiarity else ()
    serialized = twin(model, seen, recipe(model, seen), familiar).SerializeToString(deterministic=True)
    digest = hashlib.sha256(serialized).hexdigest()
    with tempfile.TemporaryDirectory(prefix=".int8-", dir=folder) as temporary:
        path = Path(temporary) / INT8_FILE
        path.write_bytes(serialized)
        trial = with_fields(known, folder=path.parent, files={INT8_FILE: digest}, int8=Int8(agreement.LEAST_MARGIN))
        made = IntegerTwin(trial)
        answers = {name: _answers(network, made, files, name) for name, files in compared.items()}
        margin = agreement.margin(*(np.concatenate([answer[one] for answer in answers.values()]) for one in range(2)))
        limits: dict[str, Any] = {"margin": margin}
        if known.familiarity:
            distances = np.concatenate([far for *_, far in answers.values() if far is not None])
            limits["near"] = agreement.near(distances, known.familiarity.limit)
        trial = with_fields(trial, int8=Int8(**limits))
        agreed = {name: agreement.between(trial, *answer) for name, answer in answers.items()}
        if why := agreement.objection(agreed):
            raise TrainingError(f"{why}; nothing was written")
        plain: dict[str, Any] = json.loads((folder / "contract.json").read_text())
        plain["files"][INT8_FILE] = digest
        plain["int8"] = {
            **limits,
            "times_as_fast": _times_as_fast(network, made) if integers.has_vnni() else None,
            "calibrated_on": len(chosen),
            "sets": agreement.plain(agreed),
        }
        os.replace(path, folder / INT8_FILE)
    replace(folder / "contract.json", json.dumps(plain, indent=1, ensure_ascii=False) + "\n")
    return plain


def _split(data: Path, classes: Sequence[str]) -> tuple[list[Labelled], list[Labelled]]:
    """Some of the photos of the training split, for the ranges, and those of the other splits, of each class."""
    train: list[Labelled] = []
    others: list[Labelled] = []
    listed = photos(data, classes)
    for label in range(len(classes)):
        files = [file for file in listed if file[1] == label]
        digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path, _ in files]
        for file, split in zip(files, assign(digests), strict=True):
            (train if split == "train" else others).append(file)
    random.Random(0).shuffle(train)  # noqa: S311 - no secret depends on it
    return train[:CALIBRATED_ON], others


def _answers(network: OnnxNetwork, made: IntegerTwin, files: Sequence[Labelled], title: str) -> Answers:
    def both(pixels: np.ndarray) -> tuple[ForwardPass, ForwardPass]:
        return network.run(pixels.astype(np.float32)), made.run(pixels)

    labels: list[int] = []
    found = list(_each(network.contract, files, both, title, labels))
    if not found:
        raise TrainingError(f"no photo of the set {title} can be read")
    of_network, of_twin = (np.stack([one.probabilities for one in passes]) for passes in zip(*found, strict=True))
    distances = np.array([[one.distance for one in pair] for pair in found]) if network.contract.familiarity else None
    return of_network, of_twin, np.array(labels), distances


def _each(
    known: Contract,
    files: Sequence[Labelled],
    work: Callable[[np.ndarray], T],
    title: str,
    labels: list[int] | None = None,
) -> Iterator[T]:
    """What `work` makes of each photo as the network sees it, (1, height, width, 3) uint8; those that cannot be read are
    left out. The labels of the others are added to `labels`.
    """
    height, width, _ = known.input_shape

    def one(file: Labelled) -> T | None:
        try:
            image = decode(file[0].read_bytes(), side=max(height, width)).image
        except (CatscopeError, OSError):
            return None
        return work(to_pixels(image, height, width)[np.newaxis])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = Progress(len(files), title, "photo").over(pool.map(one, files))
        for (_, label), result in zip(files, results, strict=True):
            if result is not None:
                if labels is not None:
                    labels.append(label)
                yield result


def _times_as_fast(network: OnnxNetwork, made: IntegerTwin) -> float:
    pixels = np.zeros((1, *network.contract.input_shape), np.uint8)
    tensor = pixels.astype(np.float32)
    return round(integers.times_as_fast(lambda: network.run(tensor), lambda: made.run(pixels), TIMED_S), 2)
