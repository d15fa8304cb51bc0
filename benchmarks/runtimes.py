"""What runs the `cat` network fastest on this CPU, and what that costs in accuracy: runtimes and precisions side by side.

    .venv/bin/python -m venv .peers/runtimes && .peers/runtimes/bin/pip install -r benchmarks/requirements/runtimes.txt
    .peers/runtimes/bin/python -m benchmarks.runtimes --out benchmarks/runtimes.json
    .peers/runtimes/bin/python -m benchmarks.runtimes --out benchmarks/runtimes.json --accuracy

The first run makes what the candidates read (benchmarks/engines.py) and measures time: milliseconds of one pass on one
thread and on two, and photos a second of two processes with a thread each. Candidates take turns. With `--accuracy` it
measures wrong answers on every validation set instead, and how far the probabilities lie from those of the float network.
Both write their part of the JSON and leave the other. Integers stand for ranges seen in 256 photos of the training set.
"""

import argparse
import hashlib
import json
import platform
import random
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np

from app.inference.decode import decode
from app.inference.networks.contract import load
from app.inference.tensor import to_pixels
from benchmarks.machine import described, versions

SETS = ("val-pets", "val-breeds", "val-objects", "val-wild", "catvnoncat-test")
PACKAGES = ("onnxruntime", "openvino", "nncf", "ai-edge-litert", "tensorflow-cpu", "numpy")
SIDE = load(Path(__file__).parent.parent / "model" / "cat").input_shape[0]
RANGES_FROM = 256
ROUNDS, PASSES = 40, 2
PARALLEL_ROUNDS, SECONDS = 9, 1.0
PROCESSES = 2
REFERENCE, SERVED = "onnxruntime_fp32", "onnxruntime_fp32_served"


def main() -> None:
    """Make what is missing, measure, print and write."""
    parser = arguments(__doc__)
    parser.add_argument("--accuracy", action="store_true", help="measure accuracy instead of time")
    parser.add_argument("--only", help="candidates separated by commas; with --accuracy, answers of others are remembered")
    options = parser.parse_args()
    try:
        import ai_edge_litert  # noqa: F401  so that a missing package is named before minutes of work
        import nncf  # noqa: F401
        import openvino  # noqa: F401
        import tensorflow  # noqa: F401

        from benchmarks import engines
    except ImportError as error:
        sys.exit(f"{error}; see the top of benchmarks/runtimes.py for the environment that has all of them")
    folder = options.cache / hashlib.sha256((engines.SOURCE / "model.onnx").read_bytes()).hexdigest()[:12]
    engines.prepare(folder, trained(options))
    names = options.only.split(",") if options.only else list(engines.CANDIDATES)
    previous = json.loads(options.out.read_text()) if options.out and options.out.exists() else {}
    result = measured_on() | {"rounds": ROUNDS, "ranges_from_photos": RANGES_FROM}
    result |= {part: previous[part] for part in ("time", "accuracy") if part in previous}
    if options.accuracy:
        result["accuracy"] = accuracy(names, folder, options)
    else:
        _, computes = engines.openvino(folder / "fp32.onnx", 1, "bf16")
        result["time"] = times(names, folder)
        result["openvino_bf16_computes_in"] = computes
    print(table(result))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


def times(names: list[str], folder: Path) -> dict[str, dict[str, float]]:
    """Milliseconds a pass on one and two threads, photos a second of two processes; all in turns."""
    from benchmarks import engines

    tensor = np.random.default_rng(0).uniform(0, 255, (1, SIDE, SIDE, 3)).astype(np.float32)
    collected: dict[str, dict[str, list[float]]] = {name: {"one": [], "two": [], "parallel": []} for name in names}
    for key, threads in (("one", 1), ("two", 2)):
        runs = {name: engines.load(name, folder, threads) for name in names}
        for _ in range(ROUNDS):
            for name, run in runs.items():
                run(tensor)
                for _ in range(PASSES):
                    began = time.perf_counter()
                    run(tensor)
                    collected[name][key].append((time.perf_counter() - began) * 1000)
        del runs
    spawn = get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, spawn, _begin, (spawn.Barrier(PROCESSES), folder)) as pool:
        for _ in range(PARALLEL_ROUNDS):
            for name in names:
                rates = list(pool.map(_rate, [name] * PROCESSES, [tensor] * PROCESSES))
                collected[name]["parallel"].append(sum(rates))
    medians = {name: {key: statistics.median(values) for key, values in one.items()} for name, one in collected.items()}
    most = medians.get(SERVED, {}).get("parallel")
    return {
        name: {
            "one_thread_ms": round(one["one"], 2),
            "two_threads_ms": round(one["two"], 2),
            "two_processes_per_second": round(one["parallel"], 1),
        }
        | ({"of_served_fp32": round(one["parallel"] / most, 3)} if most else {})
        for name, one in medians.items()
    }


_barrier: Barrier
_folder: Path
_runs: dict[str, Any] = {}


def _begin(barrier: Barrier, folder: Path) -> None:
    global _barrier, _folder
    _barrier, _folder = barrier, folder


def _rate(name: str, tensor: np.ndarray) -> float:
    from benchmarks import engines

    if name not in _runs:
        _runs[name] = engines.load(name, _folder, 1)
    run, count = _runs[name], 0
    run(tensor)
    _barrier.wait()  # both at once, and never both tasks in one process
    began = time.perf_counter()
    while (passed := time.perf_counter() - began) < SECONDS:
        run(tensor)
        count += 1
    return count / passed


def accuracy(names: list[str], folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Wrong answers on each set at a probability of 0.5, and the distance from the float network's probabilities."""
    from benchmarks import engines

    files = {name: _files(options.data / name) for name in SETS}
    photos, true = pixels(options, [file for of_set in files.values() for file in of_set], "validation")
    sets = np.array([name for name, of_set in files.items() for _ in of_set])
    answers = {}
    for name, candidate in engines.CANDIDATES.items():
        if candidate.served:
            continue  # as that of the same name without the other outputs
        cached = folder / f"answers-{name}.npy"
        if name in names and not cached.exists():
            with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
                parts = np.array_split(photos, PROCESSES)
                np.save(cached, np.concatenate(list(pool.map(_answers, [name] * PROCESSES, [folder] * PROCESSES, parts))))
        if cached.exists():
            answers[name] = np.load(cached)
    result: dict[str, Any] = {"photos": {name: len(of_set) for name, of_set in files.items()}, "candidates": {}}
    for name, values in answers.items():
        distance = np.abs(values - answers[REFERENCE])
        result["candidates"][name] = {
            "wrong": {one: int(((values > 0.5) != true)[sets == one].sum()) for one in SETS},
            "changed_sides": int(((values > 0.5) != (answers[REFERENCE] > 0.5)).sum()),
            "largest_difference": round(float(distance.max()), 4),
            "mean_difference": round(float(distance.mean()), 5),
        }
    return result


def _answers(name: str, folder: Path, photos: np.ndarray) -> list[float]:
    from benchmarks import engines

    run = engines.load(name, folder, 1)
    return [run(photo[np.newaxis].astype(np.float32)) for photo in photos]


def _files(folder: Path) -> list[Path]:
    return sorted(path for kind in ("cat", "not_cat") for path in (folder / kind).iterdir() if path.is_file())


def trained(options: argparse.Namespace) -> np.ndarray:
    """Photos that the network was trained on, (n, SIDE, SIDE, 3) uint8, drawn once."""
    return pixels(options, _of_split(options.data, "train", RANGES_FROM), "trained")[0]


def held_out(options: argparse.Namespace, count: int) -> np.ndarray:
    """Photos of the same folder that it was not trained on."""
    return pixels(options, _of_split(options.data, "validation calibration", count), f"held-out-{count}")[0]


def _of_split(data: Path, splits: str, count: int) -> list[Path]:
    from training.data.splits import split_of

    files = _files(data / "train")
    random.Random(5).shuffle(files)  # noqa: S311  nothing secret
    chosen: list[Path] = []
    for file in files:
        if len(chosen) < count and split_of(hashlib.sha256(file.read_bytes()).hexdigest()) in splits:
            chosen.append(file)
    return chosen


def pixels(options: argparse.Namespace, files: list[Path], cached: str) -> tuple[np.ndarray, np.ndarray]:
    """Photos as the service would see them, (n, SIDE, SIDE, 3) uint8, and whether each lies in a folder named cat."""
    path = options.cache / f"{cached}.npy"
    if not path.exists():
        options.cache.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
            np.save(path, np.stack(list(pool.map(_pixels, files, chunksize=32))))
    return np.load(path), np.array([file.parent.name == "cat" for file in files])


def _pixels(file: Path) -> np.ndarray:
    return to_pixels(decode(file.read_bytes(), side=SIDE).image, SIDE, SIDE)


def arguments(text: str) -> argparse.ArgumentParser:
    """The command line that the scripts about runtimes share."""
    parser = argparse.ArgumentParser(description=text.split("\n")[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--data", type=Path, default=Path("photos"), help="folder that holds train/ and the validation sets")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "catscope-runtimes")
    return parser


def measured_on() -> dict[str, Any]:
    """What the figures were measured on and with."""
    return described() | {"versions": versions(PACKAGES) | {"python": platform.python_version()}}


def table(result: dict) -> str:
    """The result as Markdown tables."""
    from benchmarks.engines import CANDIDATES

    lines = []
    if "time" in result:
        lines.append("| runtime | one thread, ms | two threads, ms | two processes, photos/s | relative to fp32 as served |")
        lines.append("|---" * 5 + "|")
        for name, one in result["time"].items():
            candidate = CANDIDATES[name]
            shown = f"{one['one_thread_ms']:.1f} | {one['two_threads_ms']:.1f} | {one['two_processes_per_second']:.0f}"
            lines.append(f"| {candidate.runtime}, {candidate.precision} | {shown} | {one.get('of_served_fp32', 0):.2f} |")
    if "accuracy" in result:
        lines += ["", "| wrong answers | " + " | ".join(SETS) + " | changed sides | largest difference |", "|---" * 8 + "|"]
        for name, one in result["accuracy"]["candidates"].items():
            candidate, counts = CANDIDATES[name], result["accuracy"]["photos"]
            wrong = " | ".join(f"{one['wrong'][of_set]} of {counts[of_set]}" for of_set in SETS)
            shown = f"{one['changed_sides']} | {one['largest_difference']:.3f}"
            lines.append(f"| {candidate.runtime}, {candidate.precision} | {wrong} | {shown} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
