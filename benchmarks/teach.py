"""How good are networks that the service teaches from a few photos, and how long does teaching take?

    python -m benchmarks.teach --data photos --manifests manifest.csv manifest2.csv --out benchmarks/teach.json

Tasks of five to nine classes, 5 and 20 photos a class, drawn anew for each of --draws, and measured on up to 30 other photos
a class. Beside it, on the same photos: the nearest of the classes' centroids, by the same features; and a fully connected
layer on the frozen features of ImageNet's EfficientNet-Lite0, as many products train a classifier of one's own.

The network `cat`, from which teaching starts, has seen many of these photos, labelled only as cats or no cats.
"""

import argparse
import json
import os
import platform
import random
import time
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from app.capacity import cores
from app.inference.decode import MAX_PIXELS, decode
from app.inference.networks import contract
from app.inference.networks.engines import OnnxNetwork
from app.inference.tensor import to_tensor
from app.teach.photos import File, Seen, Skipped, look
from app.teach.teach import teach
from benchmarks.own_classes import by_kind
from training.networks.pretrained import pretrained

Kinds = tuple[tuple[str, str], ...]
"""Sources and kinds in the manifests."""

TASKS: dict[str, dict[str, Kinds]] = {
    "around the house": {
        "cat": (("stuffcats", "cat"),),
        "dog": (("garipov", "dog"),),
        "rabbit": (("bunnycat", "bunny"), ("animalface", "rabbit")),
        "room": (("rooms", "rooms"),),
        "flower": (("flowers", "flowers"),),
        "face": (("faces", "faces"),),
    },
    "on the farm": {name: (("animalpose", name),) for name in ("cat", "cow", "dog", "horse", "sheep")},
    "wild felids": {
        name: (("felids10", name),)
        for name in ("caracal", "cheetah", "clouded leopard", "jaguar", "lions", "ocelot", "puma", "snow leopard", "tiger")
    },
}
"""The first is of clearly different classes, the last of much alike ones."""

COUNTS = (5, 20)
HELD_OUT = 30
METHODS = ("teach", "centroid", "imagenet")
SIDE = 224
EPOCHS, BATCH, RATE = 100, 16, 1e-3
"""Of the fully connected layer: Adam's steps, as tutorials of transfer learning have them, but more of them."""


def main() -> None:
    """Read the command line, measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, type=Path, help="folder that holds a folder for each split")
    parser.add_argument("--manifests", required=True, type=Path, nargs="+", help="CSV files that say what each photo shows")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/teach.json"))
    parser.add_argument("--draws", type=int, default=5)
    arguments = parser.parse_args()
    kinds = by_kind(arguments.manifests, arguments.data)
    network = OnnxNetwork(contract.load(Path("model/cat")))
    start = pretrained(SIDE)
    imagenet = keras.Model(start.input, layers.GlobalAveragePooling2D()(start.get_layer("head").output))
    runs: list[dict[str, Any]] = []
    for task, classes in TASKS.items():
        seen: dict[Path, tuple[Seen, np.ndarray]] = {}
        for draw in range(arguments.draws):
            for count in COUNTS:
                learn, held_out = drawn(kinds, classes, f"{draw} {task}", count)
                run = {"task": task, "classes": len(classes), "draw": draw, "photos": count}
                run |= measure(list(classes), learn, held_out, network, imagenet, seen)
                print(json.dumps(run), flush=True)
                runs.append(run)
    result = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "network": {"network": network.contract.network, "version": network.contract.version},
        "runs": runs,
        "summary": summary(runs),
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


Labelled = list[tuple[Path, int]]
"""Photos, each with the index of its class."""


def drawn(
    kinds: dict[tuple[str, str], list[Path]], classes: dict[str, Kinds], draw: str, count: int
) -> tuple[Labelled, Labelled]:
    """Photos to learn from and others to measure on; the same draw of fewer photos is a part of the larger one."""
    learn: Labelled = []
    held_out: Labelled = []
    for label, (name, sources) in enumerate(classes.items()):
        files = [file for source in sources for file in kinds[source]]
        random.Random(f"{draw} {name}").shuffle(files)  # noqa: S311 - no secret depends on it
        learn += [(file, label) for file in files[:count]]
        held_out += [(file, label) for file in files[max(COUNTS) :][:HELD_OUT]]
    return learn, held_out


def measure(
    classes: list[str],
    learn: Labelled,
    held_out: Labelled,
    network: OnnxNetwork,
    imagenet: keras.Model,
    seen: dict[Path, tuple[Seen, np.ndarray]],
) -> dict[str, Any]:
    """The accuracy of each of METHODS on the held-out photos, and the seconds that teaching took, photos included. `seen`
    keeps what was seen in photos for the next draw.
    """
    started = time.perf_counter()
    looked_at = looked(classes, learn, network)
    taught = teach(tuple(classes), looked_at)
    seconds = time.perf_counter() - started
    left = [(file, label) for file, label in (*learn, *held_out) if file not in seen]
    if left:
        pixels = np.concatenate([to_tensor(decode(file.read_bytes()).image, SIDE, SIDE) for file, _ in left])
        frozen = imagenet.predict(pixels, batch_size=16, verbose=0)
        for (file, _), photo, features in zip(left, looked(classes, left, network), frozen, strict=True):
            assert isinstance(photo, Seen), photo
            seen[file] = photo, features
    labels = np.array([label for _, label in held_out])
    features = np.stack([seen[file][0].means[0] for file, _ in held_out])
    rows = np.array([label for _, label in learn])
    known = np.stack([seen[file][0].means[0] for file, _ in learn])
    centroids = np.stack([known[rows == label].mean(axis=0) for label in range(len(classes))])
    plain = fitted(np.stack([seen[file][1] for file, _ in learn]), rows, len(classes))
    said = {
        "teach": taught.judges.scores(features).argmax(axis=1),
        "centroid": (_unit(features) @ _unit(centroids).T).argmax(axis=1),
        "imagenet": plain.predict(np.stack([seen[file][1] for file, _ in held_out]), verbose=0).argmax(axis=1),
    }
    return {
        "held_out": len(labels),
        "accuracy": {method: round(float((answer == labels).mean()), 4) for method, answer in said.items()},
        "promised": [taught.accuracy.low, taught.accuracy.value, taught.accuracy.high],
        "seconds": round(seconds, 1),
    }


def looked(classes: list[str], photos: Labelled, network: OnnxNetwork) -> list[Seen | Skipped]:
    """Photos as the network sees them, in their order."""
    files: dict[str, list[File]] = {name: [] for name in classes}
    for file, label in photos:
        files[classes[label]].append(File(str(file), partial(Path.read_bytes, file)))
    found = {photo.name: photo for photo in look(files, network, MAX_PIXELS, cores())}
    return [found[str(file)] for file, _ in photos]


def fitted(features: np.ndarray, labels: np.ndarray, classes: int) -> keras.Model:
    """A fully connected layer, trained as tutorials of transfer learning do."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input(features.shape[1:]), layers.Dropout(0.2), layers.Dense(classes)])
    model.compile(keras.optimizers.Adam(RATE), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(features, labels, epochs=EPOCHS, batch_size=BATCH, verbose=0)
    return model


def _unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def summary(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each task and number of photos the mean accuracy of each method with its 95 % interval, the percentile bootstrap's
    over the draws (Efron 1979), how often the promised interval held the accuracy found, and the mean seconds.
    """
    rows = []
    for task in TASKS:
        for count in COUNTS:
            chosen = [run for run in runs if (run["task"], run["photos"]) == (task, count)]
            row: dict[str, Any] = {"task": task, "classes": chosen[0]["classes"], "photos": count, "runs": len(chosen)}
            for method in METHODS:
                accuracies = np.array([run["accuracy"][method] for run in chosen])
                resampled = np.random.default_rng(0).choice(accuracies, (2000, len(accuracies))).mean(axis=1)
                low, high = np.percentile(resampled, [2.5, 97.5])
                row[method] = [round(float(number), 4) for number in (accuracies.mean(), low, high)]
            held = [run["promised"][0] <= run["accuracy"]["teach"] <= run["promised"][2] for run in chosen]
            row |= {"promise_held": sum(held), "seconds": round(float(np.mean([run["seconds"] for run in chosen])), 1)}
            rows.append(row)
    return rows


def table(result: dict[str, Any]) -> str:
    """A Markdown table of the summary."""
    lines = [
        "| task | classes | photos a class | `teach` | nearest centroid | ImageNet's features | in its interval | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in result["summary"]:
        accuracies = [f"{mean:.3f} ({low:.3f}–{high:.3f})" for mean, low, high in (row[method] for method in METHODS)]
        cells = [
            row["task"],
            row["classes"],
            row["photos"],
            *accuracies,
            f"{row['promise_held']} of {row['runs']}",
            row["seconds"],
        ]
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
