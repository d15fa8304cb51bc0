"""A network and photos of cats come in; how often the heatmap's peak lies on the cat goes out."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.errors import CatscopeError
from app.inference import heatmap
from app.inference.decode import decode
from app.inference.networks.contract import Contract
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.tensor import to_tensor
from app.teach.figures import share
from training.data.dataset import photos
from training.data.manifest import Photo
from training.errors import TrainingError
from training.progress import Progress

SMALLEST, LARGEST = 0.3, 0.6


def load(contract: Contract) -> OnnxNetwork:
    """The network of a contract. Raises TrainingError where its file is another."""
    try:
        return OnnxNetwork(contract)
    except CatscopeError as error:
        raise TrainingError(str(error)) from error


def measure(network: OnnxNetwork, cats: Path, scenes: Path, seed: int = 0) -> dict[str, Any]:
    """Paste every cat once; the share of peaks inside its rectangle, of all and of those that were answered cat."""
    random = np.random.default_rng(seed)
    subjects = [path for path, label in photos(cats) if label == 0]
    backgrounds = [path for path, label in photos(scenes) if label == 1]
    inside, detected = [], []
    for subject in Progress(len(subjects), "pasting cats", "photo").over(subjects):
        background = backgrounds[int(random.integers(len(backgrounds)))]
        try:
            scene, box = paste(_read(background), _read(subject), random)
        except (CatscopeError, OSError):
            continue
        tensor = to_tensor(scene, *network.contract.input_shape[:2])
        answer = network.run(tensor, heatmap.stages_needed(network.contract))
        x, y = peak(heatmap.evidence(network, tensor, answer.stages, "cat"))
        inside.append(box[0] <= x <= box[2] and box[1] <= y <= box[3])
        detected.append(answer.probabilities[0] > 0.5)
    if not any(detected):
        raise TrainingError("no pasted cat was detected, so there is no peak to measure")
    return _shares(inside, detected)


def measure_boxes(network: OnnxNetwork, listed: list[Photo]) -> dict[str, Any]:
    """The share of peaks that lie in the box of a cat, of all these photos and of those that are answered cat."""
    inside, detected = [], []
    for photo in Progress(len(listed), "cats with boxes", "photo").over(listed):
        tensor = to_tensor(_read(photo.path), *network.contract.input_shape[:2])
        answer = network.run(tensor, heatmap.stages_needed(network.contract))
        x, y = peak(heatmap.evidence(network, tensor, answer.stages, "cat"))
        inside.append(any(left <= x <= right and top <= y <= bottom for left, top, right, bottom in photo.boxes))
        detected.append(answer.probabilities[0] > 0.5)
    return _shares(inside, detected)


def _shares(inside: list[bool], detected: list[bool]) -> dict[str, Any]:
    where_found = [hit for hit, was_detected in zip(inside, detected, strict=True) if was_detected]
    figures = {"inside": share(sum(inside), len(inside)), "inside_where_found": share(sum(where_found), len(where_found))}
    return {name: asdict(figure) for name, figure in figures.items() if figure}


def paste(
    scene: Image.Image, cat: Image.Image, random: np.random.Generator
) -> tuple[Image.Image, tuple[float, float, float, float]]:
    """The scene with the cat in it, and the cat's box: left, top, right, bottom as fractions of the scene's sides."""
    side = min(scene.size) * random.uniform(SMALLEST, LARGEST)
    slant = np.sqrt(cat.width / cat.height)
    width, height = min(scene.width, round(side * slant)), min(scene.height, round(side / slant))
    left, top = int(random.integers(0, scene.width - width + 1)), int(random.integers(0, scene.height - height + 1))
    made = scene.copy()
    made.paste(cat.resize((width, height), Image.Resampling.BILINEAR), (left, top))
    return made, (
        left / scene.width,
        top / scene.height,
        (left + width) / scene.width,
        (top + height) / scene.height,
    )


def peak(evidence: np.ndarray) -> tuple[float, float]:
    """The centre (x, y) of the cell with the most evidence, as fractions of the width and height."""
    row, column = np.unravel_index(int(np.argmax(evidence)), evidence.shape)
    return (float(column) + 0.5) / evidence.shape[1], (float(row) + 0.5) / evidence.shape[0]


def _read(path: Path) -> Image.Image:
    return decode(path.read_bytes()).image
