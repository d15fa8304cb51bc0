"""The shipped network beside object detectors that people would pick instead, on any folders of photos.

    .venv/bin/python -m benchmarks.detectors photos/val-* --yolo yolox-nano=yolox_nano.onnx --from-package centernet

Each folder holds cat/, not_cat/ or both. A detector's cat score is the highest confidence of its class "cat" over all boxes,
the network's is its probability. The scores of two models mean different things, so each has the threshold that lets the
same share of all photos without a cat through (FALSE_ALARMS), and what counts is how many of the cats exceed it. Every photo
goes through all models one after the other, on one thread, from its bytes to its score: that CPU time is compared.
benchmarks/boxes.py lists the exports that `--yolo` reads. No weights come with Catscope.
"""

import json
import os
import platform
import shlex
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from app.errors import CatscopeError
from app.inference.decode import decode
from app.inference.networks import contract
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.tensor import to_tensor
from benchmarks.boxes import Model, detector, onnx_detector
from training.config import CLASSES
from training.data.dataset import photos
from training.errors import Parser, TrainingError, run
from training.measuring.metrics import Figure, bootstrap, share
from training.outputs import replace

FALSE_ALARMS = 0.006
"""Share of the photos without a cat that each model may take for one."""

POOLED = "pooled"


@dataclass(frozen=True)
class Package:
    """A package that carries a detector's weights: the file, the node with its scores, and how to install it."""

    file: str
    node: str
    install: str


@dataclass(frozen=True)
class Answers:
    """What models said: `is_cat` (photos,) bool, the truth; `scores` (photos, models), 0..1, and `seconds` of CPU time."""

    is_cat: np.ndarray
    scores: np.ndarray
    seconds: np.ndarray


FOLDER = Path(".peers/detectors/node_modules")
PACKAGES = {
    "centernet": Package(
        "@vladmandic/human/models/centernet.json",
        "tower_0/keypoints",
        "npm install --ignore-scripts --prefix .peers/detectors @vladmandic/human@3.3.6",
    )
}
"""CenterNet on MobileNetV3, trained on COCO, inside a package under the MIT licence that recognises people."""


def main() -> None:
    """Read the command line, measure, print, write."""
    parser = Parser(prog="python -m benchmarks.detectors", description=__doc__.split("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, help="folders of photos, such as photos/val-pets")
    parser.add_argument("--network", action="append", metavar="[NAME=]DIR", help="an exported network (default: model/cat)")
    parser.add_argument("--yolo", action="append", default=[], metavar="NAME=PATH[:SIZE]", help="a YOLO export in ONNX")
    parser.add_argument("--from-package", action="append", default=[], choices=list(PACKAGES), help="a package's detector")
    parser.add_argument("--threads", type=int, default=1, help="photos at a time (default: 1)")
    parser.add_argument("--out", type=Path, help="file to write the figures to")
    arguments = parser.parse_args()
    if arguments.threads < 1:
        parser.error("--threads must be at least 1")
    models: dict[str, Model] = {}
    for text in arguments.network or ["model/cat"]:
        name, _, folder = text.rpartition("=")
        _add(models, name or Path(folder).resolve().name, network(Path(folder)))
    for text in arguments.yolo:
        name, path, side = yolo_option(text)
        _add(models, name, onnx_detector(path, side))
    skipped = {}
    for name in arguments.from_package:
        package = PACKAGES[name]
        if (FOLDER / package.file).exists():
            _add(models, name, graph_model(FOLDER / package.file, package.node))
        else:
            skipped[name] = f"not installed: {package.install}"
            sys.stderr.write(f"skipped {name}, {skipped[name]}\n")
    sets = {folder.absolute().name: labelled(folder) for folder in arguments.folders}
    if len(sets) < len(arguments.folders) or POOLED in sets:
        raise TrainingError(f"each folder of photos needs a name of its own, other than {POOLED}")
    result = {
        "command": f"python -m benchmarks.detectors {shlex.join(sys.argv[1:])}",
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "onnxruntime": metadata.version("onnxruntime"),
        "threads": arguments.threads,
        "skipped": skipped,
    } | measure(models, sets, arguments.threads)
    print(table(result))
    if arguments.out:
        replace(arguments.out, json.dumps(result, indent=1) + "\n")


def _add(models: dict[str, Model], name: str, model: Model) -> None:
    if name in models:
        raise TrainingError(f"two models are called {name}; give one another name: NAME=PATH")
    models[name] = model


def yolo_option(text: str) -> tuple[str, Path, int | None]:
    """Name, path and side from a text such as yolo11n=weights/yolo11n.onnx:640. Raises TrainingError for another one."""
    name, equals, path = text.partition("=")
    before, _, side = path.rpartition(":")
    sized = bool(before) and side.isdecimal()
    if not name or not equals or not path or (sized and int(side) == 0):
        raise TrainingError(f"--yolo {text} must look like yolo11n=yolo11n.onnx or yolo11n=yolo11n.onnx:640")
    return (name, Path(before), int(side)) if sized else (name, Path(path), None)


def labelled(folder: Path) -> list[tuple[Path, bool]]:
    """Every photo below a folder and whether it shows a cat. Raises TrainingError where there is none."""
    there = [name for name in CLASSES if (folder / name).is_dir()] or CLASSES
    return [(path, name == "cat") for name in there for path, _ in photos(folder, [name])]


# Models


def network(folder: Path) -> Model:
    """An exported network, as the service runs it. Raises TrainingError for a folder without one that knows cats."""
    try:
        found = OnnxNetwork(contract.load(folder))
        cat = found.contract.classes.index("cat")
    except (CatscopeError, ValueError) as error:
        raise TrainingError(f"{folder} holds no network that looks for cats: {error}") from error
    height, width, _ = found.contract.input_shape

    def score(data: bytes) -> float:
        image = decode(data, side=max(height, width)).image
        return float(found.run(to_tensor(image, height, width)).probabilities[cat])

    return Model(score, max(height, width), (folder / "model.onnx").stat().st_size, found.sha256)


def graph_model(path: Path, node: str) -> Model:
    """A detector whose scores are a heat map, (1, classes, height, width), from a TensorFlow.js graph model."""
    try:
        from benchmarks.graph_model import to_onnx
    except ImportError as error:
        raise TrainingError(f"a graph model is read with the onnx package: {error}") from error
    return detector(to_onnx(path, node), str(path), None)


# Figures


def measure(models: dict[str, Model], sets: dict[str, list[tuple[Path, bool]]], threads: int) -> dict[str, Any]:
    """All figures as plain JSON values. Raises TrainingError where no photo without a cat can be read."""
    measured = {name: answers(models, files, name, threads) for name, files in sets.items()}
    measured[POOLED] = Answers(
        *(np.concatenate([getattr(one, part) for one in measured.values()]) for part in ("is_cat", "scores", "seconds"))
    )
    if measured[POOLED].is_cat.all():
        raise TrainingError("there is no photo without a cat, so no threshold can be set")
    medians = np.median(measured[POOLED].seconds, axis=0) * 1000
    described: dict[str, dict[str, Any]] = {}
    by_set: dict[str, dict[str, Any]] = {
        name: {"photos": len(one.is_cat), "cat": int(one.is_cat.sum()), "models": {}} for name, one in measured.items()
    }
    for column, (name, model) in enumerate(models.items()):
        limit = threshold(measured[POOLED].scores[~measured[POOLED].is_cat, column])
        described[name] = {
            "side": model.side,
            "bytes": model.size,
            "sha256": model.sha256,
            "threshold": round(limit, 4),
            "cpu_ms": round(medians[column], 2),
            "relative": round(medians[column] / medians[0], 3),
        }
        for of_set, one in measured.items():
            by_set[of_set]["models"][name] = figures(one.scores[:, column], one.is_cat, limit)
    return {"false_alarms": FALSE_ALARMS, "models": described, "sets": by_set}


def answers(models: dict[str, Model], files: list[tuple[Path, bool]], name: str, threads: int) -> Answers:
    """Let every model score every photo; one that cannot be read is named and left out. Raises TrainingError if all are."""

    def answer(number: int) -> tuple[bool, list[float], list[float]] | str:
        path, truth = files[number]
        scores, seconds = [0.0] * len(models), [0.0] * len(models)
        try:
            data = path.read_bytes()
            for place in np.roll(range(len(models)), number):  # each is the first in turn
                began = time.thread_time()
                scores[place] = list(models.values())[place].score(data)
                seconds[place] = time.thread_time() - began
        except (CatscopeError, OSError) as error:
            return f"skipped {path}: {error}"
        return truth, scores, seconds

    rows = []
    with ThreadPoolExecutor(threads) as pool:
        for row in tqdm(pool.map(answer, range(len(files))), total=len(files), desc=name, unit="photo", dynamic_ncols=True):
            if isinstance(row, str):
                tqdm.write(row, file=sys.stderr)
            else:
                rows.append(row)
    if not rows:
        raise TrainingError(f"no photo of {name} can be read")
    return Answers(*(np.array(part) for part in zip(*rows, strict=True)))


def threshold(without: np.ndarray) -> float:
    """The lowest score that at most FALSE_ALARMS of these photos exceed; `without` (n,) are the scores where no cat is."""
    allowed = int(FALSE_ALARMS * len(without))
    return float(np.sort(without)[::-1][allowed])


def figures(scores: np.ndarray, is_cat: np.ndarray, limit: float) -> dict[str, dict[str, float] | None]:
    """Recall and false alarms above a threshold, and AUC; None where a set lacks the photos. `scores`, `is_cat`: (n,)."""
    above = scores > limit
    measured: dict[str, Figure | None] = {
        "recall": share(int(above[is_cat].sum()), int(is_cat.sum())),
        "false_alarm_rate": share(int(above[~is_cat].sum()), int((~is_cat).sum())),
        "roc_auc": bootstrap(lambda found, truth: float(roc_auc_score(truth, found)), scores, is_cat),
    }
    return {name: asdict(figure) if figure else None for name, figure in measured.items()}


def table(result: dict[str, Any]) -> str:
    """The result as two Markdown tables: each set by model, then each model's size and time."""
    names = list(result["models"])
    lines = [f"| set | model | recall at {result['false_alarms']:.1%} false alarms | false alarms | AUC |", "|---" * 5 + "|"]
    for of_set, found in result["sets"].items():
        for place, name in enumerate(names):
            heading = "" if place else f"{of_set}, {found['photos']:,} photos, {found['cat']:,} with a cat"
            cells = [_cell(found["models"][name][key], key == "recall") for key in ("recall", "false_alarm_rate", "roc_auc")]
            lines.append("| " + " | ".join([heading, name, *cells]) + " |")
    lines += ["", "| model | input | file | threshold | CPU time a photo | relative to " + names[0] + " |", "|---" * 6 + "|"]
    for name, one in result["models"].items():
        shown = f"{one['side']} x {one['side']} | {one['bytes'] / 1e6:.1f} MB | {one['threshold']:.3f}"
        lines.append(f"| {name} | {shown} | {one['cpu_ms']:.1f} ms | {one['relative']:.2f} |")
    return "\n".join(lines)


def _cell(figure: dict[str, float] | None, interval: bool) -> str:
    if figure is None:
        return "–"
    return f"{figure['value']:.3f}" + (f" ({figure['low']:.3f}–{figure['high']:.3f})" if interval else "")


if __name__ == "__main__":
    run(main)
