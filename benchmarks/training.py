"""Whether training waits for its photos: images per second of the input pipeline, of the step, and of both together.

    .venv/bin/python -m benchmarks.training --data photos/train --out benchmarks/training.json

Measures the parts of the recipe itself: the batches of `training.fitting.views`, in their real size and with their
prefetching, and `Devices.learn`. The three take turns; the result is the median of (both / step) over the rounds. `cat` has
two phases: its first epoch composes the scenes and runs two larger networks as teachers; later epochs read the scenes.

Where the step runs on the same cores, every CPU second of the pipeline is taken from it, overlapped or not: `most` is
step / (step + pipeline) in CPU seconds, what is left for the step. With an accelerator the step leaves the cores to the
pipeline, which then keeps up with any step that is no faster than it is alone.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from training.config import RECIPES
from training.data import dataset
from training.fitting.fit import compile_for, deterministic
from training.fitting.frozen import in_chunks
from training.fitting.views import Batch, Scenes
from training.tasks.train import start

PHOTOS = {"tutorial": 1400, "cat": 440}
"""Files of which the splits are made: an epoch must be longer than what is warmed up, timed and prepared ahead."""

WARM = 1
"""Batches at the start of a turn that are not timed: from then on as much is prepared as is used up."""

BAR = 0.95
PACKAGES = ("keras", "tensorflow-cpu", "numpy", "onnxruntime", "opencv-python-headless")


@dataclass(frozen=True)
class Phase:
    """A part of a recipe: the epoch to ask for, and how often and how long to measure."""

    name: str
    epoch: int
    rounds: int
    batches: int


PHASES = {
    "tutorial": [Phase("every epoch", 1, rounds=6, batches=12)],
    "cat": [
        Phase("first epoch, makes scenes", 2, rounds=2, batches=2),
        Phase("later epochs, read them", 1, rounds=5, batches=4),
    ],
}
"""`cat` has kept the scenes of its epoch 1 before anything is timed; those of epoch 2 it makes, and never to the end."""


@dataclass
class Turns:
    """Images per second and CPU seconds per image, for every round."""

    speed: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def add(self, images: int, wall: float, cpu: float) -> None:
        """Add one turn."""
        self.speed.append(images / wall)
        self.cpu.append(cpu / images)


def main() -> None:
    """Measure every network, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("photos/train"), help="folder that holds cat/ and not_cat/")
    parser.add_argument("--networks", nargs="+", choices=sorted(PHASES), default=list(PHASES))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    started = time.perf_counter()
    phases = [phase for name in arguments.networks for phase in measure(name, arguments.data)]
    result = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "bar": BAR,
        "seconds": round(time.perf_counter() - started, 1),
        "phases": phases,
    }
    print(table(result))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


def measure(name: str, data: Path) -> Iterator[dict[str, Any]]:
    """The result of each phase of one network's recipe."""
    recipe = RECIPES[name]
    deterministic(recipe.seed)
    with tempfile.TemporaryDirectory() as folder:
        network, views, side = start(recipe, Path(folder) / "kept")
        splits, *_ = dataset.load(sample(data, PHOTOS[name], Path(folder) / "photos"), side, recipe.stored)
        split = splits["train"]
        compile_for(network, recipe, len(split.labels) // recipe.batch_size)
        same, *_ = list(views.batches(split, 1))  # a whole epoch: `cat` keeps its scenes
        if isinstance(views, Scenes):
            views.recipe = replace(recipe, scenes=2)  # those of epoch 2 are made anew whenever they are asked for
        for phase in PHASES[name]:
            turns = alternate(phase, lambda phase=phase: views.batches(split, phase.epoch), same, network)
            row = {"network": name, "phase": phase.name, "side": side, "batch_size": recipe.batch_size}
            row |= summary(phase, turns)
            if isinstance(views, Scenes) and phase.epoch > 1:
                row["composed_without_networks_images_per_s"] = composed(views, split)
            yield row


def sample(data: Path, count: int, folder: Path) -> Path:
    """A folder with links to `count` of the photos below `data`, as many of either class, spread over all of them."""
    files = dataset.photos(data)
    for label, name in enumerate(dataset.CLASSES):
        own = [path for path, photo_label in files if photo_label == label]
        (folder / name).mkdir(parents=True)
        for index in np.unique(np.linspace(0, len(own) - 1, count // 2).astype(int)):
            (folder / name / own[index].name).symlink_to(own[index].resolve())
    return folder


def alternate(phase: Phase, batches: Callable[[], Generator[Batch]], same: Batch, network: Any) -> dict[str, Turns]:
    """The pipeline alone, the step alone on the batch `same`, and both, in turns."""

    def learn(batch: Batch) -> None:
        network.train_on_batch(batch.inputs, batch.targets, batch.weights)

    def fixed() -> Generator[Batch]:
        while True:
            yield same

    ways = {"pipeline": (batches, lambda _: None), "step": (fixed, learn), "both": (batches, learn)}
    turns = {name: Turns() for name in ways}
    for _ in range(3):
        learn(same)  # the first step builds the graph
    for _ in range(phase.rounds):
        for name, (source, use) in ways.items():
            turns[name].add(*turn(source(), use, phase.batches))
    return turns


def turn(source: Generator[Batch], use: Callable[[Batch], None], count: int) -> tuple[int, float, float]:
    """Images, seconds and CPU seconds of `count` batches that are taken from the source and used."""
    for batch in islice(source, WARM):
        use(batch)
    wall, cpu, images = time.perf_counter(), time.process_time(), 0
    for batch in islice(source, count):
        use(batch)
        images += len(batch)
    spent = time.perf_counter() - wall, time.process_time() - cpu
    source.close()
    return images, *spent


def summary(phase: Phase, turns: dict[str, Turns]) -> dict[str, Any]:
    """The medians over the rounds."""
    ratios = [both / step for both, step in zip(turns["both"].speed, turns["step"].speed, strict=True)]
    cpu = {name: statistics.median(one.cpu) for name, one in turns.items()}
    return {
        "rounds": phase.rounds,
        "batches_a_turn": phase.batches,
        "images_per_s": {name: round(statistics.median(one.speed), 1) for name, one in turns.items()},
        "cpu_ms_per_image": {name: round(seconds * 1000, 3) for name, seconds in cpu.items()},
        "both_to_step": round(statistics.median(ratios), 3),
        "of_every_round": [round(ratio, 3) for ratio in ratios],
        "most": round(cpu["step"] / (cpu["step"] + cpu["pipeline"]), 3),
        "pipeline_to_step": round(statistics.median(turns["pipeline"].speed) / statistics.median(turns["step"].speed), 2),
    }


def composed(views: Scenes, split: dataset.Split) -> float:
    """Scenes a second that the cores compose when the networks that look at them run elsewhere."""
    rows, started = np.arange(4 * views.recipe.batch_size), time.perf_counter()
    for _ in in_chunks(lambda numbers: views._composed(split, 1, rows[numbers]), len(rows)):
        pass
    return round(len(rows) / (time.perf_counter() - started), 1)


def table(result: dict[str, Any]) -> str:
    """The result as a Markdown table."""
    lines = [
        "| network | phase | pipeline | step | both | CPU ms per image, pipeline + step | both / step | at most |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in result["phases"]:
        speed, cpu = one["images_per_s"], one["cpu_ms_per_image"]
        lines.append(
            f"| {one['network']} | {one['phase']} | {speed['pipeline']:,.0f}/s | {speed['step']:,.0f}/s | "
            f"{speed['both']:,.0f}/s | {cpu['pipeline']:.2f} + {cpu['step']:.2f} | {one['both_to_step']:.3f} | "
            f"{one['most']:.3f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
