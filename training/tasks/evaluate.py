"""Exported networks and folders of photos come in; metrics.json and pictures beside each network go out."""

import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from app.errors import CatscopeError
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.teach.figures import Figure, share
from training.config import CLASSES
from training.errors import TrainingError
from training.measuring import contracts, metrics, mistakes_page, plots
from training.measuring.answers import Measured, measure
from training.measuring.answers import pool as pooled_answers
from training.measuring.disguises import DISGUISES
from training.measuring.report import POOLED
from training.outputs import replace

MOST_MISTAKES = 200
"""Photos on the page of mistakes, at most."""


def evaluate(
    folders: list[Path], sets: dict[str, Path], pool: list[str], kinds: dict[tuple[str, str], str] | None = None
) -> dict[str, dict[str, Any]]:
    """Measure each network on each set and on those of `pool` together; write metrics.json and pictures into `folders`.

    Args:
        folders: of exported networks, all of the same classes.
        sets: folders of photos by name.
        pool: names of the sets to pool.
        kinds: what photos show, by the set's name and the photo's path below its folder.

    Returns the metrics by network, or by network and version where two have one name. Raises TrainingError for a folder
    that holds no exported network or no photos, and for networks of different classes.
    """
    known = contracts.load(folders)
    try:
        networks = [OnnxNetwork(contract) for contract in known]
    except CatscopeError as error:
        raise TrainingError(str(error)) from error
    measured = {name: measure(networks, folder, name, kinds) for name, folder in sets.items()}
    names = [contract.network for contract in known]
    results: dict[str, dict[str, Any]] = {}
    for index, (network, folder) in enumerate(zip(networks, folders, strict=True)):
        answers = {name: by_network[index] for name, by_network in measured.items()}
        whole = network.contract.network
        title = whole if names.count(whole) == 1 else f"{whole} {network.contract.version}"
        results[title] = _write(network, folder, answers, pool)
    return results


def _write(network: OnnxNetwork, folder: Path, answers: dict[str, Measured], pool: list[str]) -> dict[str, Any]:
    """Write one network's metrics.json and pictures into its folder, and return the metrics."""
    known, pooled = network.contract, pooled_answers([answers[name] for name in pool])
    result = {
        "network": known.network,
        "version": known.version,
        "sha256": known.files["model.onnx"],
        "parameters": known.parameters,
        "command": f"python -m training.evaluate {shlex.join(sys.argv[1:])}",
        "sets": {name: _figures(network, of_set) for name, of_set in answers.items()}
        | {POOLED: {"of": pool} | _figures(network, pooled)},
    }
    replace(folder / "metrics.json", json.dumps(result, indent=1) + "\n")
    title = f"{known.network} {known.version} on {', '.join(pool)}: {len(pooled.labels)} photos"
    plots.diagrams(title, pooled.probabilities[0], pooled.labels, known.classes, folder / "diagrams.png")
    (folder / "mistakes").mkdir(exist_ok=True)
    for name, of_set in answers.items():
        sheet = folder / "mistakes" / f"{name}.png"
        plots.mistakes(of_set.paths, of_set.probabilities[0], of_set.labels, known.classes, sheet)
        worst = plots.worst_first(of_set.probabilities[0], of_set.labels)[:MOST_MISTAKES]
        heading = f"{known.network} {known.version} on {name}"
        page = sheet.with_suffix(".html")
        mistakes_page.write(heading, of_set.paths, of_set.probabilities[0], of_set.labels, known.classes, worst, page)
    return result


def _figures(network: OnnxNetwork, answers: Measured) -> dict[str, Any]:
    """The figures of one set as plain JSON values, its accuracy in every disguise included."""
    classes, unsure = network.contract.classes, network.contract.unsure
    predicted = plots.predictions(answers.probabilities)
    if len(classes) == 2:
        figures = metrics.figures(answers.cat[0], answers.is_cat, unsure)
    else:
        figures = metrics.class_figures(answers.probabilities[0], answers.labels, unsure)
    right = predicted == answers.labels
    result: dict[str, Any] = {"photos": len(answers.labels), "cat": int(answers.is_cat.sum())}
    if classes != CLASSES:
        result = {"photos": len(answers.labels), "counts": np.bincount(answers.labels, minlength=len(classes)).tolist()}
    result["confusion"] = [
        [int((predicted[0][answers.labels == truth] == answer).sum()) for answer in range(len(classes))]
        for truth in range(len(classes))
    ]
    result |= {name: _plain(figure) for name, figure in figures.items()}
    if classes != CLASSES:
        result["classes"] = {
            name: {measure: _plain(figure) for measure, figure in of_class.items()}
            for name, of_class in metrics.by_class(answers.probabilities[0], answers.labels, classes).items()
        }
    if any(answers.kinds):
        result["kinds"] = _by_kind(right[0], answers, classes)
    guises = {name: _plain(share(int(row.sum()), len(row))) for name, row in zip(DISGUISES, right, strict=True)}
    return result | {"guises": guises}


def _by_kind(right: np.ndarray, answers: Measured, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """For each class and kind how many photos there are and which share of them is answered right, the worst first."""
    groups: dict[tuple[str, str], list[bool]] = {}
    for label, kind, is_right in zip(answers.labels, answers.kinds, right, strict=True):
        groups.setdefault((classes[label], kind), []).append(bool(is_right))
    entries = [
        {"class": name, "kind": kind, "photos": len(group), "accuracy": _plain(share(sum(group), len(group)))}
        for (name, kind), group in groups.items()
    ]
    return sorted(entries, key=lambda entry: (entry["accuracy"]["value"], entry["kind"]))


def _plain(figure: Figure | None) -> dict[str, float] | None:
    return None if figure is None else asdict(figure)
