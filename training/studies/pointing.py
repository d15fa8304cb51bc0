"""Measures how often the heatmap's peak lies on the cat.

Where a pasted cat is not detected, the map holds next to no evidence and its peak is noise; so the share is given both for
the photos that were answered "cat" and for all.

    python -m training.studies.pointing model/cat --cats photos/val-pets --scenes photos/val-objects \
        --out benchmarks/pointing.json

Each cat photo is made small and pasted into a scene, so that its position is known (the pointing game, Zhang et al. 2016).
The peak is the centre of the cell with the most evidence. The cat photo keeps its shape, and its side (the root of its area)
is 0.3 to 0.6 of the scene's shorter side: smaller, and it is hardly larger than one cell of the map. With manifests that
know boxes, the peak is also looked up in the boxes of the cats that `training.refine` holds out, in photos as taken:

    --manifests photos/manifest.csv photos/manifest2.csv --photos photos
"""

import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from app.errors import CatscopeError
from app.inference import heatmap
from app.inference.decode import decode
from app.inference.networks import contract
from app.inference.networks.engines import OnnxNetwork
from app.inference.tensor import to_tensor
from training.config import Refinement
from training.data import manifest
from training.data.dataset import photos
from training.data.manifest import Photo
from training.errors import Parser, TrainingError, run
from training.fitting.checkpoint import replace
from training.measuring.metrics import share
from training.refine import is_held_out

SMALLEST, LARGEST = 0.3, 0.6


def main() -> None:
    """Read the command line, measure, print."""
    parser = Parser(prog="python -m training.studies.pointing", description=__doc__.split("\n")[0])
    parser.add_argument("network", type=Path, help="folder of an exported network, such as model/cat")
    parser.add_argument("--cats", required=True, type=Path, help="folder with cat/ and not_cat/: its cats are pasted")
    parser.add_argument("--scenes", required=True, type=Path, help="folder with cat/ and not_cat/: its others are scenes")
    parser.add_argument("--out", required=True, type=Path, help="file to write the figures to")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--manifests", type=Path, nargs="+", default=[], help="CSV files with boxes of cats in cats_at")
    parser.add_argument("--photos", type=Path, help="folder that holds a folder for each split of the manifests")
    arguments = parser.parse_args()
    try:
        network = OnnxNetwork(contract.load(arguments.network))
    except CatscopeError as error:
        raise TrainingError(str(error)) from error
    if bool(arguments.manifests) != bool(arguments.photos):
        raise TrainingError("--manifests and --photos go together")
    result = measure(network, arguments.cats, arguments.scenes, arguments.seed)
    if arguments.manifests:
        listed = manifest.read(arguments.manifests, arguments.photos, ("train", "train2"))
        boxed = [photo for index, photo in enumerate(listed) if photo.boxes and is_held_out(index, photo, Refinement())]
        result["boxes"] = measure_boxes(network, boxed)
    command = f"python -m training.studies.pointing {shlex.join(sys.argv[1:])}"
    replace(arguments.out, json.dumps({"command": command, "sha256": network.sha256} | result, indent=1) + "\n")
    for what, figures in (("pasted", result), ("boxes", result.get("boxes", {}))):
        for name in ("inside", "inside_where_found"):
            if name in figures:
                print(f"{what}, {name.replace('_', ' ')}: {figures[name]['value']:.3f} of {figures[name]['count']} peaks")


def measure(network: OnnxNetwork, cats: Path, scenes: Path, seed: int = 0) -> dict[str, Any]:
    """Paste every cat once; the share of peaks inside its rectangle, of all and of those that were answered cat."""
    random = np.random.default_rng(seed)
    subjects = [path for path, label in photos(cats) if label == 0]
    backgrounds = [path for path, label in photos(scenes) if label == 1]
    inside, detected = [], []
    for subject in tqdm(subjects, desc="pasting cats", unit="photo", dynamic_ncols=True):
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
    for photo in tqdm(listed, desc="cats with boxes", unit="photo", dynamic_ncols=True):
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


if __name__ == "__main__":
    run(main)
