"""What integers bring to the service: float as it was, float as it is, and integers, each beside its own limit, in turns.

    .venv/bin/python -m benchmarks.int8 --before 888d1b8 --out benchmarks/int8.json

The service answers `POST /predict?feature_maps=none` to wrk on the same cores: at the revision `--before`, in float
(CATSCOPE_PRECISION=float32), and as it is (auto). The limit is the work alone in a tight loop on every core: decoding,
resizing and the network, in float and in integers; the loop leaves close verdicts to the network, as the service does. All
of them start anew several times, because a process can have luck with its memory. Web photos are about 500x375 and 35 kB,
phone photos 12 megapixels and 3 to 4 MB.
"""

import argparse
import contextlib
import json
import multiprocessing
import random
import statistics
import sys
from pathlib import Path

from benchmarks.clients import FORM, form, missing, saturate
from benchmarks.load import CORES, MIXES, PATHS, SATURATING, begin, loop
from benchmarks.machine import described
from benchmarks.start import ROOT, resident, revision, start

PATH = PATHS["bare"]
PRECISIONS = {"float32": "float32", "int8": "auto"}


def main() -> None:
    """Measure all in turns, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--before", required=True, help="the revision to compare with")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement")
    parser.add_argument("--turns", type=int, default=5, help="measurements of the same processes")
    parser.add_argument("--processes", type=int, default=4, help="how often all of them start anew")
    arguments = parser.parse_args()
    if missing():
        sys.exit(f"apt-get install {' '.join(missing())}")
    with revision(arguments.before) as before:
        processes = range(arguments.processes)
        rounds = [one for _ in processes for one in turns(before, arguments.seconds, arguments.turns)]
    result = described() | {"before": arguments.before, "seconds": arguments.seconds}
    result |= {"turns": arguments.turns, "processes": arguments.processes}
    result["mixes"] = {mix: summary([one[mix] for one in rounds]) for mix in MIXES}
    result["resident_megabytes"] = {
        name: round(statistics.median(one["resident"][name] for one in rounds), 1) for name in rounds[0]["resident"]
    }
    print(table(result))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


def turns(before: Path, seconds: int, count: int) -> list[dict]:
    """Photos a second of each service and each limit, by mix, `count` times in turns: all of them start anew, side by side,
    and wait while others are measured.
    """
    bodies = {mix: make() for mix, make in MIXES.items()}
    forms = {mix: [form(photo) for photo in of_mix] for mix, of_mix in bodies.items()}
    services = {"before": (before, {})} | {name: (ROOT, {"CATSCOPE_PRECISION": value}) for name, value in PRECISIONS.items()}
    with contextlib.ExitStack() as stack:
        running = {}
        for name, (folder, settings) in services.items():
            _, process, url = start(folder, **settings)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            running[name] = (process, url)
        spawn = multiprocessing.get_context("spawn")
        pools = {
            name: stack.enter_context(spawn.Pool(CORES, initializer=begin, initargs=(precision,)))
            for name, precision in PRECISIONS.items()
        }
        collected = []
        for number in range(-1, count):
            found: dict = {mix: {} for mix in MIXES} | {"resident": {}}
            order = [(mix, name) for mix in MIXES for name in (*running, *(f"{name} limit" for name in pools))]
            random.shuffle(order)  # whoever comes first may get a rested machine
            for mix, name in order:
                if name in running:
                    process, url = running[name]
                    found[mix][name] = saturate(url + PATH, forms[mix], FORM, SATURATING, seconds)["per_second"]
                    found["resident"][name] = resident(process.pid)
                else:
                    pool = pools[name.removesuffix(" limit")]
                    found[mix][name] = round(sum(pool.starmap(loop, [(bodies[mix], seconds)] * CORES, chunksize=1)), 2)
            if number >= 0:  # the first turn warms up
                collected.append(found)
        return collected


def summary(rounds: list[dict[str, float]]) -> dict:
    """Medians over rounds, with the smallest and largest, and the ratios, each taken within a round."""

    def of(values: list[float], digits: int = 2) -> dict[str, float]:
        return {
            "median": round(statistics.median(values), digits),
            "least": round(min(values), digits),
            "most": round(max(values), digits),
        }

    ratios = {
        "int8 of before": ("int8", "before"),
        "float32 of before": ("float32", "before"),
        "int8 of its limit": ("int8", "int8 limit"),
        "float32 of its limit": ("float32", "float32 limit"),
        "limits": ("int8 limit", "float32 limit"),
    }
    return {
        "per_second": {name: of([one[name] for one in rounds], 1) for name in rounds[0]},
        "ratios": {name: of([one[a] / one[b] for one in rounds], 3) for name, (a, b) in ratios.items()},
    }


def table(result: dict) -> str:
    """The result as a Markdown table."""
    mixes = [result["mixes"][mix] for mix in MIXES]
    lines = ["| what | web photos | phone photos |", "|---|---|---|"]

    def rate(what: str, name: str, beside: str) -> None:
        shown = [
            f"{mix['per_second'][name]['median']:.1f}/s" + (f", {mix['ratios'][beside]['median']:.2f}" if beside else "")
            for mix in mixes
        ]
        lines.append(f"| {what} | {' | '.join(shown)} |")

    rate(f"the service before, at {result['before']}", "before", "")
    rate("in float, of before", "float32", "float32 of before")
    rate("in integers, of before", "int8", "int8 of before")
    rate("the limit in float, and how much of it the service reaches", "float32 limit", "float32 of its limit")
    rate("the limit in integers, and how much of it the service reaches", "int8 limit", "int8 of its limit")
    memory = result["resident_megabytes"]
    lines.append("")
    lines.append(
        f"After both mixes the service takes {memory['float32']:.0f} MB in float and {memory['int8']:.0f} MB in integers."
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
