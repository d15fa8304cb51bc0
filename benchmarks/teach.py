"""How good are networks that the service teaches from a few photos, and how long does teaching take?

    python -m benchmarks.teach --data photos --manifests manifest.csv manifest2.csv --out benchmarks/teach.json

Tasks of five to nine classes, 5 and 20 photos a class, drawn anew for each of --draws, and measured on up to 30 other photos
a class. Beside it, on the same photos: the nearest of the classes' centroids, by the same features; and a fully connected
layer on the frozen features of ImageNet's EfficientNet-Lite0, as many products train a classifier of one's own.

How well is it known what is unfamiliar? Photos of other kinds, OTHERS, are told from held-out photos of the classes that
were taught, and so are those of a class that was left out: the area under the ROC curve, and some points of it.

The network `cat`, from which teaching starts, has seen many of these photos, labelled only as cats or no cats.
"""

import csv
import json
import os
import platform
import random
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from app.capacity import cores
from app.inference.decode import MAX_PIXELS, decode
from app.inference.networks import contract
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.networks.onnx.other_classes import LAST
from app.inference.predict import read
from app.inference.tensor import to_tensor
from app.teach.familiar import known
from app.teach.photos import File, Seen, Skipped, look
from app.teach.teach import teach
from benchmarks import draws
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
OTHERS: dict[str, int] = {"things": 100, "wild animals": 100, "streets": 50}
"""Photos of each kind that no task teaches: of ImageNet's classes from `abacus` on, but no flowers; of species that are
neither felids nor kept by people; of Vietnamese streets, shops and gardens.
"""
KEPT = ("equus-caballus", "bos-taurus", "ovis-aries", "canis-lupus-familiaris", "lepus-americanus", "homo-sapiens")
FELIDS = ("panthera", "puma", "acinonyx", "smilodon")
THINGS, FLOWERS = 398, (985, 986)
"""ImageNet's indices of `abacus`, the first thing after the animals, and of flowers."""
FALSE = (0.01, 0.05, 0.1)
"""Shares of own photos that are taken for unfamiliar, at which the ROC curve is read."""
EPOCHS, BATCH, RATE = 100, 16, 1e-3
"""Of the fully connected layer: Adam's steps, as tutorials of transfer learning have them, but more of them."""


def main() -> None:
    """Read the command line, measure, print and write the table."""
    options = draws.parser(__doc__, "teach", 5)
    arguments = options.parse_args()
    kinds = by_kind(arguments.manifests, arguments.data)
    network = OnnxNetwork(contract.load(Path("model/cat")))
    start = pretrained(SIDE)
    imagenet = keras.Model(start.input, layers.GlobalAveragePooling2D()(start.get_layer("head").output))
    strangers = [path for paths in others(kinds, arguments.data).values() for path in paths]
    unlike = seen_means(strangers, network)
    runs: list[dict[str, Any]] = []
    for task, classes in TASKS.items():
        seen: dict[Path, tuple[np.ndarray, np.ndarray]] = {}
        for draw in range(arguments.draws):
            for count in COUNTS:
                learn, held_out = drawn(kinds, classes, f"{draw} {task}", count)
                run = {"task": task, "classes": len(classes), "draw": draw, "photos": count}
                run |= measure(list(classes), learn, held_out, unlike, network, imagenet, seen)
                print(json.dumps(run), flush=True)
                runs.append(run)
    result = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "network": {"network": network.contract.network, "version": network.contract.version},
        "runs": runs,
        "summary": summary(runs),
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result), unfamiliar_table(result), sep="\n\n")


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
    unlike: np.ndarray,
    network: OnnxNetwork,
    imagenet: keras.Model,
    seen: dict[Path, tuple[np.ndarray, np.ndarray]],
) -> dict[str, Any]:
    """The accuracy of each of METHODS on the held-out photos, how `unlike`, (n, channels), is told from them, and the
    seconds that teaching took, photos included. `seen` keeps what was seen in photos for the next draw.
    """
    started = time.perf_counter()
    looked_at = looked(classes, learn, network)
    taught = teach(tuple(classes), looked_at)
    seconds = time.perf_counter() - started
    photos = {file: photo for (file, _), photo in zip(learn, looked_at, strict=True) if isinstance(photo, Seen)}
    if new := [file for file, _ in (*learn, *held_out) if file not in seen]:
        pixels = np.concatenate([to_tensor(decode(file.read_bytes()).image, SIDE, SIDE) for file in new])
        frozen = imagenet.predict(pixels, batch_size=16, verbose=0)
        means = [photos[file].means[0] for file in new if file in photos]
        means += list(seen_means([file for file in new if file not in photos], network))
        seen |= {file: (mean, row) for file, mean, row in zip(new, means, frozen, strict=True)}  # what is taught comes first
    labels = np.array([label for _, label in held_out])
    features = np.stack([seen[file][0] for file, _ in held_out])
    rows = np.array([label for _, label in learn])
    known_means = np.stack([seen[file][0] for file, _ in learn])
    centroids = np.stack([known_means[rows == label].mean(axis=0) for label in range(len(classes))])
    plain = fitted(np.stack([seen[file][1] for file, _ in learn]), rows, len(classes))
    said = {
        "teach": taught.judges.scores(features).argmax(axis=1),
        "centroid": (_unit(features) @ _unit(centroids).T).argmax(axis=1),
        "imagenet": plain.predict(np.stack([seen[file][1] for file, _ in held_out]), verbose=0).argmax(axis=1),
    }
    return {
        "held_out": len(labels),
        "accuracy": {method: round(float((answer == labels).mean()), 4) for method, answer in said.items()},
        "unfamiliar": apart(
            taught.familiarity.distances(features), taught.familiarity.distances(unlike), taught.familiarity.limit
        ),
        "left_out": left_out(np.stack([photos[file].means for file, _ in learn]), rows, features, labels),
        "promised": [taught.accuracy.low, taught.accuracy.value, taught.accuracy.high],
        "seconds": round(seconds, 1),
    }


def others(kinds: dict[tuple[str, str], list[Path]], folder: Path) -> dict[str, list[Path]]:
    """The photos of each of OTHERS, drawn once."""
    with (folder / "val-objects-classes.csv").open(newline="") as lines:
        indices = {line["file"]: int(line["imagenet_index"]) for line in csv.DictReader(lines)}
    things = [path for path in kinds["imagenet", "imagenet"] if _is_thing(indices["/".join(path.parts[-2:])])]
    wild = [path for (source, kind), paths in kinds.items() if source == "species151" and _is_wild(kind) for path in paths]
    found = {"things": things, "wild animals": wild, "streets": list(kinds["vietscenes", "scene"])}
    for name, paths in found.items():
        random.Random(name).shuffle(paths)  # noqa: S311 - no secret depends on it
    return {name: paths[: OTHERS[name]] for name, paths in found.items()}


def _is_thing(index: int) -> bool:
    return index >= THINGS and index not in FLOWERS


def _is_wild(species: str) -> bool:
    return species not in (*KEPT, "cat") and not species.startswith(FELIDS)


def seen_means(files: list[Path], network: OnnxNetwork) -> np.ndarray:
    """(n, channels) float32: the means of what the network sees in photos as they are."""

    def one(file: Path) -> np.ndarray:
        _, tensor = read(file.read_bytes(), network, MAX_PIXELS)
        return network.run(tensor, [LAST]).stages[LAST].mean(axis=(0, 1), dtype=np.float32)

    with ThreadPoolExecutor(cores()) as pool:
        return np.array(list(pool.map(one, files)))


def apart(own: np.ndarray, other: np.ndarray, limit: float) -> dict[str, Any]:
    """How well distances of other photos are told from those of own: the area under the ROC curve (Hanley and McNeil 1982),
    its points at FALSE, and the point of the limit, each [share of own, share of others] found unfamiliar.
    """
    higher = (other[:, None] > own).mean() + (other[:, None] == own).mean() / 2
    points = [[share, round(float((other > np.quantile(own, 1 - share)).mean()), 4)] for share in FALSE]
    at_limit = [round(float((distances > limit).mean()), 4) for distances in (own, other)]
    return {"auroc": round(float(higher), 4), "points": points, "limit": at_limit}


def left_out(means: np.ndarray, labels: np.ndarray, features: np.ndarray, shows: np.ndarray) -> float:
    """The mean area under the ROC curve when one class after the other is not taught: its held-out photos, which are not
    familiar then, against the others'. `means` (n, 2, channels) with `labels` are taught, `features` with `shows` held out.
    """
    areas = []
    for missing in range(labels.max() + 1):
        rest = labels != missing
        familiar = known(means[rest], np.unique(labels[rest], return_inverse=True)[1], labels.max())
        distances = familiar.distances(features)
        areas.append(apart(distances[shows != missing], distances[shows == missing], np.inf)["auroc"])
    return round(float(np.mean(areas)), 4)


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
    over the draws (Efron 1979), how often the promised interval held the accuracy found, the mean seconds, and the means of
    what `apart` and `left_out` found.
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
            apart_by = [run["unfamiliar"] for run in chosen]
            row["unfamiliar"] = {
                "auroc": _mean([by["auroc"] for by in apart_by]),
                "points": [[share, _mean([by["points"][at][1] for by in apart_by])] for at, share in enumerate(FALSE)],
                "limit": [_mean([by["limit"][at] for by in apart_by]) for at in (0, 1)],
                "left_out": _mean([run["left_out"] for run in chosen]),
            }
            rows.append(row)
    return rows


def _mean(values: list[float]) -> float:
    return round(float(np.mean(values)), 4)


def unfamiliar_table(result: dict[str, Any]) -> str:
    """A Markdown table of how unfamiliar photos are told."""
    lines = [
        "| task | photos a class | AUROC | "
        + " | ".join(f"found at {share:.0%} of own" for share in FALSE)
        + " | at the limit: own | others | AUROC, a class left out |",
        "|---|---|---|" + "---|" * (len(FALSE) + 3),
    ]
    for row in result["summary"]:
        by = row["unfamiliar"]
        shares = [f"{share:.0%}" for _, share in by["points"]] + [f"{by['limit'][0]:.1%}", f"{by['limit'][1]:.0%}"]
        cells = [row["task"], row["photos"], f"{by['auroc']:.3f}", *shares, f"{by['left_out']:.3f}"]
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines)


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
