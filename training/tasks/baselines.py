"""Two models that anybody can use instead: photos come in, their figures go out; `training.studies.baselines` says which."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.special import softmax

from app.errors import CatscopeError
from app.inference.decode import decode
from training.data.dataset import photos
from training.errors import TrainingError
from training.fitting.frozen import frozen
from training.measuring.metrics import figures
from training.networks import pretrained
from training.progress import Progress

SIDE = 224
CROP = 0.875
"""The side of the central square that ImageNet networks are measured on, as a fraction of the photo's shorter side."""

Model = Callable[[Image.Image], float]
"""An upright RGB image -> a probability of cat, 0..1."""


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
    rows = Progress(len(files), name, "photo").over(_answers(models, files))
    answers = [(label, row) for (_, label), row in zip(files, rows, strict=True) if row is not None]
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
