"""What would decode phone photos faster: other JPEG decoders, other fractions of the size, one pass, restart markers.

    .peers/decoders/bin/python -m benchmarks.decoders --data photos --out benchmarks/decoders.json

The environment has benchmarks/requirements/decoders.txt. Each candidate (benchmarks/readers.py) decodes a photo and reduces
it to the network's size on one thread, in turns, after the checks and the digest that the service makes of every photo. CPU
time counts, which other work on the machine disturbs less. Web and phone photos are those of benchmarks/photos.py. Answers
are compared with the service's on the same photos, on those of val-wild, and on photos of every val- folder in `--data` that
are enlarged to the size of a phone's, since they are too small to be decoded at a fraction. `--parts` and `--sets` measure a
part of it and leave the rest of the JSON as it is.
"""

import argparse
import functools
import io
import json
import multiprocessing
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, features

from app.inference.decode import decode
from app.inference.networks.engines.integers import IntegerTwin
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from benchmarks import photos, restarts
from benchmarks.machine import described, versions
from benchmarks.readers import CONTRACT, SIDE, Way, ours, reduced_array, ways

MIXES = {"web": photos.web, "phone": photos.phone}
ROUNDS = {"web": 30, "phone": 6}
FRACTION_ROUNDS, RESTART_ROUNDS, NETWORK_ROUNDS = 6, 6, 30
SAMPLED = 30
"""Photos of each folder that are enlarged, evenly spread, and of val-wild that are not."""
WILD = "val-wild"
PACKAGES = (
    "pillow",
    "simplejpeg",
    "opencv-python-headless",
    "pyvips",
    "pyvips-binary",
    "ajpegli",
    "pyjpegli",
    "kornia-rs",
    "cykooz-resizer",
)
PARTS = ("times", "fractions", "answers", "restarts")


def main() -> None:
    """Measure the parts, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--data", type=Path, default=Path("photos"))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--sets", nargs="*", help="whose answers to compare: web, phone, val-wild, enlarged/val-pets, ...")
    arguments = parser.parse_args()
    os.environ["VIPS_CONCURRENCY"] = "1"  # read when pyvips is first imported
    try:
        candidates = ways()
    except ImportError as error:
        sys.exit(f"{error}; see the top of benchmarks/decoders.py for the environment that has all of them")
    result: dict[str, Any] = {}
    if arguments.out and arguments.out.exists():
        result = json.loads(arguments.out.read_text())
    result |= described() | {"versions": versions((*PACKAGES, "onnxruntime")), "rounds": ROUNDS}
    result |= {"libjpeg_turbo_of_pillow": features.version_feature("libjpeg_turbo"), "ours": ours()}

    def save() -> None:
        if arguments.out:
            arguments.out.write_text(json.dumps(result, indent=1) + "\n")

    if "times" in arguments.parts:
        result["network_ms"] = network_times()
        result["times"] = {mix: times(candidates, make(), ROUNDS[mix]) for mix, make in MIXES.items()}
        save()
    if "fractions" in arguments.parts:
        result["fractions"] = fractions(photos.phone(), FRACTION_ROUNDS)
        save()
    if "restarts" in arguments.parts:
        result["restarts"] = restart_markers(arguments.data)
        save()
    if "answers" in arguments.parts:
        result.setdefault("answers", {})
        for name, files in sources(arguments.data).items():
            if not arguments.sets or name in arguments.sets:
                result["answers"][name] = answers(name, files)
                print(name, json.dumps(result["answers"][name]), flush=True)
                save()
    if set(PARTS) <= set(result):
        print(table(result), fractions_table(result), restarts_table(result), sep="\n\n")


def times(candidates: Mapping[str, Way], data: list[bytes], rounds: int) -> dict[str, dict[str, float]]:
    """Median CPU milliseconds per photo of each candidate, and those of decoding alone, in turns."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
    for turn in range(rounds + 1):
        for name, way in candidates.items():
            for photo in data:
                began = time.process_time()
                decoded = way.read(photo)
                middle = time.process_time()
                way.reduce(decoded)
                if turn:  # the first round warms up
                    seconds[name].append((middle - began, time.process_time() - began))
                del decoded
    return {
        name: {"decoding_ms": _median_ms(one for one, _ in values), "ms": _median_ms(both for _, both in values)}
        for name, values in seconds.items()
    }


def _median_ms(seconds: Any) -> float:
    return round(statistics.median(seconds) * 1000, 2)


def network_times() -> dict[str, float]:
    """Median CPU milliseconds of the network and of its twin, one of which every photo needs in addition."""
    network, twin = OnnxNetwork(CONTRACT), IntegerTwin(CONTRACT)
    tensor, pixels = np.zeros((1, SIDE, SIDE, 3), np.float32), np.zeros((1, SIDE, SIDE, 3), np.uint8)
    runs: dict[str, Callable[[], object]] = {"float32": lambda: network.run(tensor), "int8": lambda: twin.run(pixels)}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(NETWORK_ROUNDS):
        for name, run in runs.items():
            began = time.process_time()
            run()
            seconds[name].append(time.process_time() - began)
    return {name: _median_ms(values) for name, values in seconds.items()}


def fractions(data: list[bytes], rounds: int) -> dict[str, dict[str, float]]:
    """What every n/8 of libjpeg-turbo costs on photos of one size, with reducing and without."""
    import simplejpeg

    width, height = Image.open(io.BytesIO(data[0])).size

    def at(n: int) -> Way:
        wanted = {"min_height": height * n // 8, "min_width": width * n // 8}
        return Way(functools.partial(simplejpeg.decode_jpeg, colorspace="RGB", **wanted), reduced_array)

    candidates = {f"{n}/8": at(n) for n in range(1, 9)}
    found = times(candidates, data, rounds)
    return {name: {"shorter_side": min(way.read(data[0]).shape[:2])} | found[name] for name, way in candidates.items()}


def sources(data: Path) -> dict[str, list[Path] | None]:
    """The sets whose answers are compared: None for a mix, else files, enlarged if the name says so."""
    folders = {folder.name: sorted(folder.glob("*/*.jp*g")) for folder in sorted(data.glob("val-*")) if folder.is_dir()}
    sets: dict[str, list[Path] | None] = dict.fromkeys(MIXES)
    if WILD in folders:
        sets[WILD] = _spread(folders[WILD], SAMPLED)
    for name, files in folders.items():
        sets[f"enlarged/{name}"] = _spread(files, SAMPLED)
    return sets


def _spread(files: list[Path], count: int) -> list[Path]:
    return files[:: max(1, len(files) // count)][:count]


def answers(name: str, files: list[Path] | None) -> dict[str, Any]:
    """How far each candidate's pixels (mean, of 255) and probabilities of a cat (maximum) are from ours, and how many
    answers are others: which class is likelier, and the verdicts of the network and of its twin.
    """
    work = MIXES[name]() if files is None else [(path, name.startswith("enlarged/")) for path in files]
    processes = len(os.sched_getaffinity(0))
    with multiprocessing.get_context("spawn").Pool(processes, _begin) as pool:
        rows = pool.map(_compared, work, chunksize=4)
    result: dict[str, Any] = {"photos": len(rows)}
    for way in rows[0]:
        found = [row[way] for row in rows]
        result[way] = {
            "pixels": round(statistics.mean(one["pixels"] for one in found), 3),
            "probability": round(max(one["probability"] for one in found), 4),
            **{
                key: sum(one[key] for one in found) for key in ("changed_sides", "changed_verdicts", "changed_verdicts_int8")
            },
        }
    return result


_state: dict[str, Any] = {}


def _begin() -> None:
    _state.update(ways=ways(), network=OnnxNetwork(CONTRACT), twin=IntegerTwin(CONTRACT))


def _compared(photo: bytes | tuple[Path, bool]) -> dict[str, dict[str, float]]:
    """One photo, by every candidate beside ours."""
    if isinstance(photo, bytes):
        data = photo
    else:
        path, enlarge = photo
        data = photos.as_of_a_phone(path) if enlarge else path.read_bytes()
    own = _looked_at(_state["ways"][ours()](data))
    rows: dict[str, dict[str, float]] = {}
    for name, way in _state["ways"].items():
        pixels, probability, verdict, of_twin = _looked_at(way(data))
        rows[name] = {
            "pixels": float(np.abs(pixels.astype(np.int16) - own[0]).mean()),
            "probability": abs(probability - own[1]),
            "changed_sides": (probability > 0.5) != (own[1] > 0.5),
            "changed_verdicts": verdict != own[2],
            "changed_verdicts_int8": of_twin != own[3],
        }
    return rows


def _looked_at(pixels: np.ndarray) -> tuple[np.ndarray, float, str, str]:
    """The pixels, the probability of a cat, and the verdicts of the network and of the twin, which may hand over to it."""
    result, of_twin = _state["network"].run(pixels[None].astype(np.float32)), _state["twin"].run(pixels[None])
    probabilities = CONTRACT.by_class(result.probabilities)
    verdict = CONTRACT.verdict(probabilities)
    settled = _state["twin"].settles(of_twin)
    return (
        pixels,
        probabilities["cat"],
        verdict,
        CONTRACT.verdict(CONTRACT.by_class(of_twin.probabilities)) if settled else verdict,
    )


def restart_markers(data: Path) -> dict[str, Any]:
    """How many photos have them, and what two threads make of one that does."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for path in data.glob("*/*/*.jp*g"):
        count = counts[path.parent.parent.name]
        count[0] += 1
        count[1] += restarts.interval(path.read_bytes()) > 0
    phone = photos.phone()
    counts["phone"] = [len(phone), sum(restarts.interval(photo) > 0 for photo in phone)]
    factor = round(min(photos.PHONE) / min(decode(phone[0], side=SIDE).image.size))
    return {"photos_and_with_markers": dict(sorted(counts.items())), "factor": factor} | restarts.measured(
        phone, factor, RESTART_ROUNDS
    )


def table(result: dict) -> str:
    """Every candidate as Markdown."""
    own, found, network = result["ours"], result["times"], result["network_ms"]
    heads = ["decoder", "web, ms", "phone, ms", "of which decoding", "phone photos/s with the twin", "with the network"]
    heads += ["pixel difference", "probability difference", "other verdicts"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name, of_phone in found["phone"].items():
        gains = [(found["phone"][own]["ms"] + network[one]) / (of_phone["ms"] + network[one]) for one in ("int8", "float32")]
        compared = [of_set[name] for of_set in result["answers"].values()]
        seen = sum(of_set["photos"] for of_set in result["answers"].values())
        shown = [f"{found['web'][name]['ms']:.2f}", f"{of_phone['ms']:.1f}", f"{of_phone['decoding_ms']:.1f}"]
        shown += [f"{gain:.2f}" for gain in gains]
        shown += [
            f"{max(one['pixels'] for one in compared):.2f} of 255",
            f"{max(one['probability'] for one in compared):.3f}",
        ]
        shown += [f"{sum(one['changed_verdicts'] for one in compared)} of {seen:,}"]
        lines.append(f"| {name}{' (ours)' if name == own else ''} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def fractions_table(result: dict) -> str:
    """Every n/8 as Markdown."""
    lines = ["| fraction | shorter side | decoding, ms | and resizing, ms |", "|---" * 4 + "|"]
    for name, one in result["fractions"].items():
        lines.append(f"| {name} | {one['shorter_side']} | {one['decoding_ms']:.1f} | {one['ms']:.1f} |")
    return "\n".join(lines)


def restarts_table(result: dict) -> str:
    """What restart markers bring, as Markdown."""
    found = result["restarts"]
    lines = ["| a phone photo | one at a time, ms | both cores busy, photos/s |", "|---" * 3 + "|"]
    for name, milliseconds in found["alone_ms"].items():
        lines.append(f"| {name} | {milliseconds:.1f} | {found['busy_per_second'][name]:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
