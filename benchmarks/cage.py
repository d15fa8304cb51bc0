"""What decoding in processes without rights costs: throughput by CATSCOPE_CAGE, beside the revision before there was a cage.

    .venv/bin/python -m benchmarks.cage --before cc97b36 --out benchmarks/cage.json

All services run at the same time and take turns, so that a slow moment of the machine hits each of them; a share is the
median over the rounds of what a service answers, of what it answers with CATSCOPE_CAGE=none in that round. wrk asks
`POST /predict?feature_maps=none`, on the same cores. Web photos and phone photos are JPEGs (benchmarks/photos.py), the
others are the web photos in that format. Starting is timed in turns, too. The packages are those of development.
"""

import argparse
import io
import json
import statistics
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pillow_heif
from PIL import Image

from benchmarks import photos
from benchmarks.clients import FORM, form, missing, saturate
from benchmarks.load import PATHS, SATURATING
from benchmarks.machine import described
from benchmarks.start import ROOT, revision, start

WITHOUT = "none"
CAGES = (WITHOUT, "rare", "all")
STARTS = 7


def main() -> None:
    """Measure every mix, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--before", required=True, help="the revision to compare with")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seconds", type=int, default=4, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=4)
    arguments = parser.parse_args()
    if missing():
        sys.exit(f"apt-get install {' '.join(missing())}")
    mixes = {"web": photos.web(), "phone": photos.phone()}
    mixes |= {kind: [converted(photo, kind) for photo in mixes["web"]] for kind in ("heif", "avif", "tiff")}
    with revision(arguments.before) as before:
        services = {"before": partial(start, before)}
        services |= {cage: partial(start, ROOT, CATSCOPE_CAGE=cage) for cage in CAGES}
        started = starting(services)
        throughput = {}
        for name, mix in mixes.items():
            throughput[name] = measured(services, [form(photo) for photo in mix], arguments.seconds, arguments.rounds)
            print(name, json.dumps(throughput[name]), flush=True)
    result = described() | {
        "before": arguments.before,
        "seconds": arguments.seconds,
        "rounds": arguments.rounds,
        "throughput": throughput,
        "seconds_to_ready": started,
    }
    print(table(result))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


def converted(photo: bytes, kind: str) -> bytes:
    """A JPEG as another format; HEIC is called heif here."""
    pillow_heif.register_heif_opener()
    out = io.BytesIO()
    with Image.open(io.BytesIO(photo)) as image:
        image.save(out, kind.upper(), **({} if kind == "tiff" else {"quality": 80}))
    return out.getvalue()


def starting(services: dict[str, partial]) -> dict[str, float]:
    """Median seconds until each service is ready. A first start of each compiles Python's bytecode and is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in services}
    for turn in range(-1, STARTS):
        for name, service in services.items():
            took, process, _ = service()
            process.terminate()
            process.wait()
            if turn >= 0:
                seconds[name].append(took)
    return {name: round(statistics.median(values), 3) for name, values in seconds.items()}


def measured(services: dict[str, partial], bodies: list[bytes], seconds: int, rounds: int) -> dict[str, dict[str, float]]:
    """For each service the median of its photos per second, and of its share of what WITHOUT answers."""
    with ExitStack() as stack:
        urls = {}
        for name, service in services.items():
            _, process, urls[name] = service()
            stack.callback(process.wait)
            stack.callback(process.terminate)
        turns = []
        for turn in range(-1, rounds):
            order = sorted(urls, reverse=bool(turn % 2))
            reports = {
                name: saturate(urls[name] + PATHS["bare"], bodies, FORM, SATURATING, seconds if turn >= 0 else 1)
                for name in order
            }
            if failed := {name: report for name, report in reports.items() if report["refused"] or report["broken"]}:
                sys.exit(f"photos were refused: {failed}")
            if turn >= 0:
                turns.append({name: report["per_second"] for name, report in reports.items()})
    return {
        name: {
            "per_second": round(statistics.median(turn[name] for turn in turns), 2),
            "share": round(statistics.median(turn[name] / turn[WITHOUT] for turn in turns), 3),
        }
        for name in urls
    }


def table(result: dict) -> str:
    """The result as a Markdown table."""
    names = {
        "web": "web photos",
        "phone": "phone photos",
        "heif": "web photos as HEIC",
        "avif": "web photos as AVIF",
        "tiff": "web photos as TIFF",
    }
    lines = [
        "| photos/s, and share of those without | before | `none` | `rare` | `all` |",
        "|---|---|---|---|---|",
    ]
    for mix, services in result["throughput"].items():
        cells = [f"{services[name]['per_second']:.1f}, {services[name]['share']:.2f}" for name in ("before", *CAGES)]
        lines.append(f"| {names[mix]} | {' | '.join(cells)} |")
    ready = result["seconds_to_ready"]
    lines.append(f"| seconds to ready | {' | '.join(f'{ready[name]:.2f}' for name in ('before', *CAGES))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
