"""A folder with a folder of photos for each class comes in; a network that tells these classes apart goes out."""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from app.capacity import cores
from app.commands import photos, streams
from app.commands.inspect import table
from app.commands.parser import program_name
from app.errors import RequestError
from app.inference.networks.load import load_all
from app.settings import Settings
from app.teach import folder, teach, twin
from app.teach.photos import File, Seen, Skipped, check, look
from app.teach.teach import Taught

SHOWN = 10
"""Mistakes, and photos that are not used, that are listed; metrics.json has all mistakes."""


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Teach, print what came of it, and return the exit status.

    Raises ValueError for a folder without classes, photos that are too few, or a name that is taken, and NetworkError for a
    network that cannot be taught from.
    """
    began = time.monotonic()
    catalogue = load_all(settings.networks, "onnx", settings.pins, only=arguments.start)
    network = catalogue.select(arguments.start)
    folder.check_start(network.contract)
    out = arguments.out if os.sep in str(arguments.out) else settings.model_dir / arguments.out
    folder.check_free(out)
    passed_over: Counter[str] = Counter()
    classes = _classes(arguments.folder, settings.max_bytes, passed_over)
    try:
        check(classes)
        total = sum(map(len, classes.values()))
        looked_at: list[Seen | Skipped] = []
        threads = arguments.threads or settings.threads or cores()
        looks = look(classes, network, settings.max_pixels, threads, twin.eyes(network.contract))
        meter = tqdm(total=total, unit="photo", dynamic_ncols=True, disable=arguments.quiet or not sys.stderr.isatty())
        with meter as bar, closing(looks):
            for photo in looks:
                looked_at.append(photo)
                bar.update()
        taught = teach.teach(tuple(classes), looked_at)
    except RequestError as error:
        raise ValueError(str(error)) from error
    made = folder.write(taught, network.contract, out)
    _report(taught, made.plain(), out, settings.model_dir, time.monotonic() - began)
    photos.say_passed_over(passed_over)
    return 0


def _classes(root: Path, max_bytes: int, passed_over: Counter[str]) -> dict[str, list[File]]:
    """The photos of each folder in `root`, by its name, in alphabetical order."""
    if not root.is_dir():
        raise ValueError(f"{root} is not a folder; it has to hold a folder of photos for each class")
    found = {}
    for path in sorted(root.iterdir()):
        if path.is_dir() and not path.name.startswith(".") and path.name.lower() not in photos.KEPT_BY_STORAGE:
            files = list(photos.walk([str(path)], passed_over))
            found[path.name] = [File(os.path.relpath(file, root), partial(photos.read, file, max_bytes)) for file in files]
    return found


def _report(taught: Taught, made: Mapping[str, Any], out: Path, model_dir: Path, seconds: float) -> None:
    """What the network can do, what it gets wrong, what became of its twin in integers, and where it is."""
    rows: list[tuple[str, ...]] = [("class", "photos", "right", "95 % interval")]
    for name, figure in taught.recall.items():
        rows.append((name, str(figure.count), f"{figure.value:.1%}", f"{figure.low:.1%} to {figure.high:.1%}"))
    figure = taught.accuracy
    rows.append(("all", str(figure.count), f"{figure.value:.1%}", f"{figure.low:.1%} to {figure.high:.1%}"))
    print(f"Answers to photos not seen before, in {taught.folds}-fold cross-validation:\n\n{table(rows)}\n")
    if taught.alike:
        print(f"{taught.alike} photos look like another one; such photos were kept together.\n")
    own = taught.unfamiliar
    print(f"Of these photos, {own.value:.1%} would be unfamiliar ({own.low:.1%} to {own.high:.1%}).\n")
    print(f"{twin.said(made)}\n")
    for mistake in taught.mistakes[:SHOWN]:
        print(f"wrong: {mistake.name} shows {mistake.shows}, the answer was {mistake.said} ({mistake.probability:.2f})")
    if len(taught.mistakes) > SHOWN:
        print(f"and {len(taught.mistakes) - SHOWN} more, all in {out / 'metrics.json'}")
    photos.say_not_used(taught.skipped, SHOWN)
    for warning in taught.warnings:
        streams.say(f"warning: {warning}")
    where = "" if out.parent == model_dir else f"CATSCOPE_MODEL_DIR={out.parent} "
    print(f"{out} is ready after {seconds:.0f} s: {where}{program_name()} classify --network {out.name} PHOTO")
