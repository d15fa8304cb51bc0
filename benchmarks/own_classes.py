"""How good are networks trained on a few photos of classes of one's own, and how long does it take?

    python -m benchmarks.own_classes --data photos --manifests manifest.csv manifest2.csv --out benchmarks/own_classes.json

Four tasks of three classes, 20 and 150 photos a class, drawn anew for each of --draws; measured on up to 50 other photos a
class. A fifth, of which there are enough photos for 1,000 a class, shows what more of them bring, and counts in no mean.
`plain` is the network of Keras' tutorials on image classification, with the settings that stand there. A run that is in
--out already is not repeated, so an interrupted benchmark goes on; the figures are summed up anew each time.

The shipped `cat`, from which its namesake here starts, has seen many of these photos, labelled only as cats or no cats.
"""

import csv
import json
import os
import platform
import random
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from app.errors import CatscopeError
from app.inference.decode import decode
from app.inference.tensor import to_pixels
from benchmarks import draws
from training.config import RECIPES
from training.tasks.train import train
from training.transfer.transfer import transfer

TASKS: dict[str, dict[str, tuple[tuple[str, str], ...]]] = {
    "wild felids": {
        "cheetah": (("felids10", "cheetah"), ("bigcat5", "cheetah")),
        "lion": (("felids10", "lions"), ("bigcat5", "lion")),
        "tiger": (("felids10", "tiger"), ("bigcat5", "tiger")),
    },
    "rabbits, foxes, dogs": {
        "dog": (("animalface", "dog"), ("garipov", "dog")),
        "fox": (("animalface", "fox"), ("species151", "vulpes-vulpes")),
        "rabbit": (("animalface", "rabbit"), ("bunnycat", "bunny")),
    },
    "birds, dogs, cats": {
        "bird": (("linlawre", "bird"),),
        "cat": (("linlawre", "cat"),),
        "dog": (("linlawre", "dog"),),
    },
    "rooms, flowers, faces": {
        "face": (("faces", "faces"),),
        "flower": (("flowers", "flowers"),),
        "room": (("rooms", "rooms"),),
    },
}
"""The classes of each task, each with the sources and kinds in the manifests that it is drawn from."""

LARGER: dict[str, dict[str, tuple[tuple[str, str], ...]]] = {
    "cats, dogs, rooms": {
        "cat": (("stuffcats", "cat"),),
        "dog": (("dogs", "dogs"),),
        "room": (("rooms", "rooms"),),
    },
}
"""The same for tasks that are measured with more photos, too."""

COUNTS = dict.fromkeys(TASKS, (20, 150)) | dict.fromkeys(LARGER, (20, 150, 1000))
"""Photos a class."""

HELD_OUT = 50
NETWORKS = ("cat", "plain", "tutorial")


def main() -> None:
    """Read the command line, measure what is missing, print and write the table."""
    options = draws.parser(__doc__, "own_classes", 5)
    options.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    options.add_argument("--counts", nargs="+", type=int, default=(20, 150, 1000), help="photos a class")
    arguments = options.parse_args()
    kinds = by_kind(arguments.manifests, arguments.data)
    result = json.loads(arguments.out.read_text()) if arguments.out.exists() else {"runs": []}
    done = {(run["task"], run["draw"], run["photos"], run["network"]) for run in result["runs"]}
    for draw in range(arguments.draws):
        for network in arguments.networks:
            for task, counts in COUNTS.items():
                for photos in counts:
                    if photos not in arguments.counts or (task, draw, photos, network) in done:
                        continue
                    run = {"task": task, "draw": draw, "photos": photos, "network": network}
                    run |= measure(network, *drawn(kinds, task, photos, draw))
                    print(json.dumps(run), flush=True)
                    result["runs"].append(run)
                    result["machine"] = f"{os.cpu_count()} cores, {platform.machine()}, shared with other work"
                    result["summary"] = summary(result["runs"])
                    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


def by_kind(manifests: list[Path], folder: Path) -> dict[tuple[str, str], list[Path]]:
    """The photos of each source and kind, in the manifests' order."""
    kinds: dict[tuple[str, str], list[Path]] = {}
    for manifest in manifests:
        with manifest.open(newline="") as lines:
            for line in csv.DictReader(lines):
                key = (line["source"], line.get("kind") or line["source"])
                kinds.setdefault(key, []).append(folder / line["split"] / line["file"])
    return kinds


Labelled = dict[str, list[Path]]
"""Photos by class."""


def drawn(kinds: dict[tuple[str, str], list[Path]], task: str, photos: int, draw: int) -> tuple[Labelled, Labelled]:
    """Photos to learn from and others to measure on; the same draw of fewer photos is a part of the larger one."""
    learn: Labelled = {}
    held_out: Labelled = {}
    for name, sources in (TASKS | LARGER)[task].items():
        files = [file for source in sources for file in kinds[source]]
        random.Random(f"{draw} {task} {name}").shuffle(files)  # noqa: S311 - no secret depends on it
        learn[name] = files[:photos]
        held_out[name] = files[max(COUNTS[task]) : max(COUNTS[task]) + HELD_OUT]
    return learn, held_out


def measure(network: str, learn: Labelled, held_out: Labelled) -> dict[str, Any]:
    """Accuracy on the held-out photos, how many these are, and the seconds that training took."""
    keras.utils.clear_session()
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for name, files in learn.items():
            (folder / "photos" / name).mkdir(parents=True)
            for file in files:
                if network == "plain":  # Keras' own reader knows no WebP
                    decode(file.read_bytes()).image.save(folder / "photos" / name / f"{file.stem}.png")
                else:
                    (folder / "photos" / name / file.name).symlink_to(file.resolve())
        started = time.perf_counter()
        if network == "plain":
            model = plain(folder / "photos", len(learn))
        else:
            recipe = replace(RECIPES[network], classes=tuple(learn))
            if network == "cat":
                transfer(recipe, folder / "photos", folder / "out")
            else:
                train(recipe, folder / "photos", folder / "out", given=())
            model = keras.saving.load_model(folder / "out" / "model.keras", compile=False)
    seconds = time.perf_counter() - started
    side = model.input_shape[1]
    right = []
    for label, files in enumerate(held_out.values()):
        for file in files:
            try:
                tensor = to_pixels(decode(file.read_bytes()).image, side, side)[None].astype(np.float32)
            except CatscopeError:
                continue
            right.append(int(np.argmax(model.predict_on_batch(tensor))) == label)
    return {"accuracy": round(float(np.mean(right)), 4), "held_out": len(right), "seconds": round(seconds, 1)}


def plain(folder: Path, classes: int) -> keras.Model:
    """A network as in Keras' and TensorFlow's tutorials on image classification: 180x180 pixels, 15 epochs of Adam."""
    train_set, validation_set = keras.utils.image_dataset_from_directory(
        folder, validation_split=0.2, subset="both", seed=123, image_size=(180, 180), batch_size=32, verbose=False
    )
    model = keras.Sequential(
        [
            keras.Input((180, 180, 3)),
            layers.RandomFlip("horizontal"),
            layers.RandomRotation(0.1),
            layers.RandomZoom(0.1),
            layers.Rescaling(1 / 255),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Dropout(0.2),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(classes),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    model.fit(train_set, validation_data=validation_set, epochs=15, verbose=0)
    return model


def summary(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each network and number of photos, over TASKS and for each task: mean accuracy, its 95 % interval, seconds.

    The interval is the percentile bootstrap's over the runs (Efron 1979), where there are more than two.
    """
    rows = []
    for network in NETWORKS:
        for photos in sorted({run["photos"] for run in runs}):
            for task in ("all", *COUNTS):
                tasks = TASKS if task == "all" else (task,)
                chosen = [r for r in runs if r["network"] == network and r["photos"] == photos and r["task"] in tasks]
                if not chosen or (task == "all" and {run["task"] for run in chosen} != set(TASKS)):
                    continue  # a mean over other tasks than those of its neighbours would not compare with them
                accuracies = np.array([run["accuracy"] for run in chosen])
                resampled = np.random.default_rng(0).choice(accuracies, (2000, len(accuracies))).mean(axis=1)
                low, high = np.percentile(resampled, [2.5, 97.5])
                rows.append(
                    {
                        "network": network,
                        "photos": photos,
                        "task": task,
                        "runs": len(chosen),
                        "accuracy": round(float(accuracies.mean()), 4),
                        "low": round(float(low), 4) if len(chosen) > 2 else None,
                        "high": round(float(high), 4) if len(chosen) > 2 else None,
                        "worst": float(accuracies.min()),
                        "seconds": round(float(np.mean([run["seconds"] for run in chosen])), 1),
                    }
                )
    return rows


def table(result: dict[str, Any]) -> str:
    """A Markdown table of the summary."""
    lines = ["| network | photos a class | task | runs | accuracy | worst | seconds |", "|---|---|---|---|---|---|---|"]
    for row in result["summary"]:
        interval = "" if row["low"] is None else f" ({row['low']:.3f}–{row['high']:.3f})"
        accuracy = f"{row['accuracy']:.3f}{interval}"
        cells = [row["network"], row["photos"], row["task"], row["runs"], accuracy, f"{row['worst']:.3f}", row["seconds"]]
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
