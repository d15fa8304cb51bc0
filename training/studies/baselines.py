"""Baselines: two models that anybody can use instead, measured on the same photos.

    python -m training.studies.baselines --set val-pets=photos/val-pets --out benchmarks/references.json

The first is EfficientNet-Lite0 as Google trained it on ImageNet, with its own preprocessing: the probabilities of its five
classes of cats are summed. The second is the cat-face cascade that OpenCV ships (Howse 2014), which answers yes or no.
"""

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.special import softmax
from tqdm import tqdm

from app.errors import CatscopeError
from app.inference.decode import decode
from training.data.dataset import photos
from training.errors import Parser, TrainingError, run
from training.evaluate import named_sets
from training.fitting.checkpoint import replace
from training.fitting.frozen import frozen
from training.measuring.metrics import figures
from training.networks import pretrained

SIDE = 224
CROP = 0.875
"""The side of the central square that ImageNet networks are measured on, as a fraction of the photo's shorter side."""

Model = Callable[[Image.Image], float]
"""An upright RGB image -> a probability of cat, 0..1."""


def main() -> None:
    """Read the command line, measure, print the table."""
    parser = Parser(prog="python -m training.studies.baselines", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--set", dest="sets", action="append", required=True, metavar="NAME=DIR", help="photos to measure on"
    )
    parser.add_argument("--out", required=True, type=Path, help="file to write the figures to")
    arguments = parser.parse_args()
    sets = named_sets(arguments.sets)
    models = {"imagenet": imagenet(), "cascade": cascade()}
    measured = {name: measure(models, folder, name) for name, folder in sets.items()}
    results = {
        "command": f"python -m training.studies.baselines {shlex.join(sys.argv[1:])}",
        "models": {
            "imagenet": "EfficientNet-Lite0 at 224, central crop of 0.875, five cat classes summed",
            "cascade": "OpenCV's haarcascade_frontalcatface_extended, any detection",
        },
        "sets": measured,
    }
    replace(arguments.out, json.dumps(results, indent=1) + "\n")
    for name, by_model in measured.items():
        print(name, *(f"{model} {by_model[model]['accuracy']['value']:.3f}" for model in models))


def imagenet() -> Model:
    """The original network, with the probabilities of its cat classes summed."""
    see = frozen(pretrained.pretrained(SIDE), ["head"])
    state = pretrained.read(pretrained.weights_file())

    def probability(image: Image.Image) -> float:
        (head,) = see(central(image)[np.newaxis].astype(np.float32))
        logits = head[0].mean(axis=(0, 1)) @ state["_fc.weight"].T + state["_fc.bias"]
        return float(softmax(logits)[pretrained.CATS].sum())

    return probability


def central(image: Image.Image) -> np.ndarray:
    """The central square as ImageNet networks see it, (SIDE, SIDE, 3) uint8."""
    side = round(min(image.size) * CROP)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.resize((SIDE, SIDE), Image.Resampling.BICUBIC, (left, top, left + side, top + side))
    return np.asarray(square)


def cascade() -> Model:
    """1 where OpenCV's cascade finds a cat's face, else 0. Raises TrainingError when OpenCV 4 is not installed."""
    try:
        import cv2

        path = Path(cv2.__file__).parent / "data" / "haarcascade_frontalcatface_extended.xml"
        detectors = [cv2.CascadeClassifier(str(path)) for _ in range(os.cpu_count() or 1)]
    except (ImportError, AttributeError) as error:
        raise TrainingError("the cascade needs OpenCV 4: pip install 'opencv-python-headless<5'") from error

    def probability(image: Image.Image) -> float:
        detector = detectors.pop()  # one must not be used by two threads at once
        try:
            grey = cv2.equalizeHist(np.asarray(image.convert("L")))
            return float(len(detector.detectMultiScale(grey, scaleFactor=1.1, minNeighbors=3)) > 0)
        finally:
            detectors.append(detector)

    return probability


def measure(models: dict[str, Model], folder: Path, name: str) -> dict[str, Any]:
    """Each model's figures on the photos below `folder`; broken photos are left out."""
    files = photos(folder)
    answers = [
        (label, row)
        for (_, label), row in zip(files, tqdm(_answers(models, files), total=len(files), desc=name), strict=True)
        if row is not None
    ]
    is_cat = np.array([label == 0 for label, _ in answers])
    result = {}
    for column, model in enumerate(models):
        all_metrics = figures(np.array([row[column] for _, row in answers]), is_cat, (0.5, 0.5))
        reported = ("accuracy", "recall", "false_alarm_rate", "roc_auc")
        result[model] = {figure: asdict(value) if (value := all_metrics[figure]) else None for figure in reported}
    return {"photos": len(answers)} | result


def _answers(models: dict[str, Model], files: list[tuple[Path, int]]) -> Iterator[list[float] | None]:
    def answer(file: tuple[Path, int]) -> list[float] | None:
        try:
            image = decode(file[0].read_bytes()).image
        except (CatscopeError, OSError):
            return None
        return [model(image) for model in models.values()]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(answer, files)


if __name__ == "__main__":
    run(main)
