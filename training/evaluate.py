"""Exported networks and folders of photos come in; metrics.json and pictures go out beside each network.

    python -m training.evaluate model/tutorial model/dense --set val-pets=photos/val-pets --set val-breeds=photos/val-breeds

Each set is a folder that holds cat/ and not_cat/. Photos take the way they take in the service: the same decoding, the
same resizing, model.onnx. Besides each set, all of them pooled, and the sets in every disguise, are measured.
"""

import json
import os
import shlex
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from app.errors import CatscopeError
from app.inference import contract
from app.inference.decode import decode
from app.inference.network import OnnxNetwork
from app.inference.tensor import to_tensor
from training import pictures
from training.checkpoint import replace
from training.dataset import photos
from training.disguises import DISGUISES
from training.errors import Parser, TrainingError, run
from training.metrics import Figure, figures, share

POOLED = "pooled"
MEASURES = ("accuracy", "recall", "false_alarm_rate", "roc_auc", "calibration_error", "decided_accuracy", "unsure")


@dataclass(frozen=True)
class Measured:
    """Answers on one set: `cat` (guises, n) probabilities, guises in the order of DISGUISES; `is_cat` (n,) bool; `paths`."""

    cat: np.ndarray
    is_cat: np.ndarray
    paths: list[Path]


def main() -> None:
    """Read the command line, measure, print the table."""
    parser = Parser(prog="python -m training.evaluate", description=__doc__.split("\n")[0])
    parser.add_argument("networks", nargs="+", type=Path, help="folders of exported networks, such as model/tutorial")
    parser.add_argument(
        "--set", dest="sets", action="append", required=True, metavar="NAME=DIR", help="photos to measure on"
    )
    parser.add_argument("--pool", help="comma-separated names of the sets to pool (default: all)")
    arguments = parser.parse_args()
    sets = named_sets(arguments.sets)
    pool = list(dict.fromkeys(arguments.pool.split(","))) if arguments.pool else list(sets)
    if unknown := [name for name in pool if name not in sets]:
        raise TrainingError(f"--pool names {', '.join(unknown)}, which no --set gives")
    print(table(evaluate(arguments.networks, sets, pool)))


def named_sets(texts: list[str]) -> dict[str, Path]:
    """Folders by name from texts such as val-pets=photos/val-pets. Raises TrainingError for a text that is none."""
    sets: dict[str, Path] = {}
    for text in texts:
        name, equals, folder = text.partition("=")
        if not equals or not name or name == POOLED:
            raise TrainingError(f"--set {text} should look like val-pets=photos/val-pets")
        if name in sets:
            raise TrainingError(f"--set {name} is given twice")
        sets[name] = Path(folder)
    return sets


def evaluate(folders: list[Path], sets: dict[str, Path], pool: list[str]) -> dict[str, dict[str, Any]]:
    """Measure each network on each set and on those of `pool` together; write metrics.json and pictures into `folders`.

    Returns the metrics by network. Raises TrainingError for a folder that holds no exported network or no photos.
    """
    results: dict[str, dict[str, Any]] = {}
    try:
        networks = [OnnxNetwork(contract.load(folder)) for folder in folders]
    except CatscopeError as error:
        raise TrainingError(str(error)) from error
    measured = {name: measure(networks, folder, name) for name, folder in sets.items()}
    for place, (network, folder) in enumerate(zip(networks, folders, strict=True)):
        by_set = {name: answers[place] for name, answers in measured.items()}
        pooled = _pool([by_set[name] for name in pool])
        metrics = {
            "network": network.contract.network,
            "version": network.contract.version,
            "sha256": network.contract.files["model.onnx"],
            "parameters": network.contract.parameters,
            "command": f"python -m training.evaluate {shlex.join(sys.argv[1:])}",
            "sets": {name: _figures(network, found) for name, found in by_set.items()}
            | {POOLED: {"of": pool} | _figures(network, pooled)},
        }
        replace(folder / "metrics.json", json.dumps(metrics, indent=1) + "\n")
        title = f"{network.contract.network} {network.contract.version} on {', '.join(pool)}: {len(pooled.is_cat)} photos"
        pictures.diagrams(title, pooled.cat[0], pooled.is_cat, folder / "diagrams.png")
        (folder / "mistakes").mkdir(exist_ok=True)
        for name, found in by_set.items():
            pictures.mistakes(found.paths, found.cat[0], found.is_cat, folder / "mistakes" / f"{name}.png")
        results[network.contract.network] = metrics
    return results


def measure(networks: list[OnnxNetwork], folder: Path, name: str) -> list[Measured]:
    """Let each network answer each photo below `folder` in each guise; broken photos are named and left out."""
    files = photos(folder)
    rows: list[list[list[float]]] = []
    kept: list[tuple[Path, int]] = []
    progress = tqdm(
        _answers(networks, [path for path, _ in files]), total=len(files), desc=name, unit="photo", dynamic_ncols=True
    )
    for file, answer in zip(files, progress, strict=True):
        if isinstance(answer, str):
            progress.write(f"skipped {file[0]}: {answer}", file=sys.stderr)
            continue
        rows.append(answer)
        kept.append(file)
    if not kept:
        raise TrainingError(f"no photo below {folder} can be read")
    cat = np.array(rows, np.float64)  # photos, networks, guises
    is_cat = np.array([label == 0 for _, label in kept])
    return [Measured(cat[:, place].T, is_cat, [path for path, _ in kept]) for place in range(len(networks))]


def _answers(networks: list[OnnxNetwork], paths: list[Path]) -> Iterator[list[list[float]] | str]:
    """For each photo the probability of cat by network and guise, or why it cannot be read; on every core."""

    def answer(path: Path) -> list[list[float]] | str:
        try:
            image = decode(path.read_bytes()).image
        except (CatscopeError, OSError) as error:
            return str(error)
        disguised = [guise(image) for guise in DISGUISES.values()]
        return [
            [float(network.run(to_tensor(view, *network.contract.input_shape[:2])).probabilities[0]) for view in disguised]
            for network in networks
        ]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(paths), 256):
            yield from pool.map(answer, paths[start : start + 256])


def _pool(parts: list[Measured]) -> Measured:
    return Measured(
        np.concatenate([part.cat for part in parts], axis=1),
        np.concatenate([part.is_cat for part in parts]),
        [path for part in parts for path in part.paths],
    )


def _figures(network: OnnxNetwork, found: Measured) -> dict[str, Any]:
    """The figures of one set as plain JSON values, its accuracy in every guise included."""
    plain = {name: _plain(figure) for name, figure in figures(found.cat[0], found.is_cat, network.contract.unsure).items()}
    right = (found.cat > 0.5) == found.is_cat
    guises = {name: _plain(share(int(row.sum()), len(row))) for name, row in zip(DISGUISES, right, strict=True)}
    said = found.cat[0] > 0.5
    confusion = [[int((said[found.is_cat == truth] == answer).sum()) for answer in (True, False)] for truth in (True, False)]
    counts = {"photos": len(found.is_cat), "cat": int(found.is_cat.sum()), "confusion": confusion}
    return counts | plain | {"guises": guises}


def _plain(figure: Figure | None) -> dict[str, float] | None:
    return None if figure is None else asdict(figure)


def table(results: dict[str, dict[str, Any]], references: dict[str, Any] | None = None) -> str:
    """Two Markdown tables: each set's figures by network, and the chapter's claim, the pooled accuracy in every disguise.

    Args:
        results: metrics by network, as `evaluate` returns them.
        references: what training.references wrote, if its models are to stand beside the networks.
    """
    names = list(results)
    lines = ["| set | network | accuracy | recall | false alarms | AUC | ECE | decided right | unsure |"]
    lines.append("|---|---|" + "---|" * 7)
    for name, first in next(iter(results.values()))["sets"].items():
        for place, network in enumerate(names):
            found = results[network]["sets"][name]
            said = [_cell(found[measure], interval=measure == "accuracy") for measure in MEASURES]
            heading = f"{name}, {first['photos']} photos" if place == 0 else ""
            lines.append("| " + " | ".join([heading, network, *said]) + " |")
        others = references["sets"].get(name, {}) if references else {}
        for model in [model for model in others if model != "photos"]:
            found = others[model]
            said = [_cell(found.get(measure), interval=measure == "accuracy") for measure in MEASURES]
            lines.append("| " + " | ".join(["", model, *said]) + " |")
    lines += ["", f"| accuracy, {POOLED} sets | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    lines.append("| parameters | " + " | ".join(f"{results[name]['parameters']:,}" for name in names) + " |")
    for guise in DISGUISES:
        cells = [_cell(results[name]["sets"][POOLED]["guises"][guise], interval=True) for name in names]
        lines.append(f"| {guise.replace('_', ' ')} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(figure: dict[str, float] | None, interval: bool) -> str:
    if figure is None:
        return "–"
    return f"{figure['value']:.3f}" + (f" ({figure['low']:.3f}–{figure['high']:.3f})" if interval else "")


if __name__ == "__main__":
    run(main)
