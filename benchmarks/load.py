"""How much of the machine's limit the service reaches, and how it behaves beyond it.

    .venv/bin/python -m benchmarks.load --out benchmarks/load.json

The limit is what is left when everything is taken away but the work itself: decoding, resizing and the network in a tight
loop on every core, without HTTP. The service answers `POST /predict?feature_maps=none` to wrk (a Debian package), which
runs on the same cores. Limit and service take turns, so that a slow moment of the machine hits both; the ratios are of
their medians. Web photos are about 500x375 and 35 kB, phone photos 12 megapixels and 3 to 4 MB (benchmarks/photos.py).
"""

import argparse
import json
import multiprocessing
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx2

from benchmarks import photos
from benchmarks.start import resident, start

ROOT = Path(__file__).parent.parent
CORES = len(os.sched_getaffinity(0))
ROUNDS = 3
SECONDS = 8
SATURATING = 4 * CORES
"""Connections that always have a request waiting."""

MIXES = {"web": photos.web, "phone": photos.phone}
PATHS = {"bare": "/predict?feature_maps=none", "everything": "/predict?heatmap=true"}


def main() -> None:
    """Measure both mixes, print and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out
    if not shutil.which("wrk"):
        sys.exit("wrk is not installed; on Debian: apt-get install wrk")
    result = {"machine": f"{CORES} cores, {platform.machine()}", "seconds": SECONDS, "rounds": ROUNDS, "mixes": {}}
    for mix, make in MIXES.items():
        result["mixes"][mix] = measured(make())
        print(mix, json.dumps(result["mixes"][mix]), flush=True)
    print(table(result))
    if out:
        out.write_text(json.dumps(result, indent=1) + "\n")


def measured(mix: list[bytes]) -> dict:
    """Limit and service in turns, one request at a time beside its work, and four times more than can be answered."""
    with tempfile.TemporaryDirectory() as folder:
        for number, photo in enumerate(mix):
            (Path(folder) / f"{number}.jpg").write_bytes(photo)
        _, service, url = start()
        try:
            wrk(url + PATHS["bare"], folder, SATURATING, seconds=3)
            rounds = [
                (
                    limit(mix),
                    wrk(url + PATHS["bare"], folder, SATURATING),
                    wrk(url + PATHS["everything"], folder, SATURATING),
                )
                for _ in range(ROUNDS)
            ]
            alone = [(single(mix), wrk(url + PATHS["bare"], folder, 1, seconds=5)["p50_ms"]) for _ in range(ROUNDS)]
            beyond = wrk(url + PATHS["bare"], folder, 64 * 4 + SATURATING)
            memory = resident(service.pid)
        finally:
            service.terminate()
            service.wait()
    most, bare, everything = (middle([one[place] for one in rounds]) for place in range(3))
    work, answered = (statistics.median(one[place] for one in alone) for place in range(2))
    return {
        "limit_per_second": round(most, 2),
        "per_second": round(bare, 2),
        "of_limit": round(bare / most, 3),
        "with_everything_per_second": round(everything, 2),
        "cost_of_everything": round(bare / everything, 3),
        "alone": {"work_ms": round(work, 2), "p50_ms": round(answered, 2), "ratio": round(answered / work, 3)},
        "saturated": {name: rounds[-1][1][name] for name in ("p50_ms", "p95_ms", "p99_ms")},
        "overloaded": beyond | {"of_peak": round(beyond["per_second"] / bare, 3)},
        "resident_megabytes": round(memory, 1),
    }


def middle(runs: list) -> float:
    """The median rate of some runs."""
    return statistics.median(run if isinstance(run, float) else run["per_second"] for run in runs)


def limit(mix: list[bytes]) -> float:
    """Photos a second that all cores together decode, resize and pass through the network, without HTTP."""
    with multiprocessing.get_context("spawn").Pool(CORES, initializer=_load) as pool:
        return sum(pool.map(_loop, [mix] * CORES, chunksize=1))


def single(mix: list[bytes]) -> float:
    """Milliseconds of the same work on one core while the others rest: the median over photos."""
    with multiprocessing.get_context("spawn").Pool(1, initializer=_load) as pool:
        return pool.apply(_alone, (mix,))


_work: Callable[[bytes], object]


def _load() -> None:
    from app.inference.contract import load
    from app.inference.network import OnnxNetwork
    from app.inference.predict import read

    global _work
    network = OnnxNetwork(load(ROOT / "model" / "cat"))
    _work = lambda photo: network.run(read(photo, network, 10**8)[1])  # noqa: E731  it is kept between calls


def _loop(mix: list[bytes]) -> float:
    _work(mix[0])
    count, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < SECONDS:
        _work(mix[count % len(mix)])
        count += 1
    return count / passed


def _alone(mix: list[bytes]) -> float:
    times = []
    for turn in range(60):
        began = time.perf_counter()
        _work(mix[turn % len(mix)])
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def wrk(url: str, folder: str, connections: int, seconds: int = SECONDS) -> dict:
    """Load the service: requests a second that were answered 200, milliseconds of latency, and how many were not."""
    httpx2.get(url.split("/predict")[0] + "/health/ready").raise_for_status()
    script = ROOT / "benchmarks" / "load.lua"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(script), url, "--", folder]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603  our own arguments
    found = json.loads(said.split("RESULT ")[1])
    answered = found["requests"] - found["refused"]
    return {
        "per_second": round(answered / found["seconds"], 2),
        "p50_ms": found["p50"],
        "p95_ms": found["p95"],
        "p99_ms": found["p99"],
        "refused": found["refused"],
        "broken": found["broken"],
    }


def table(result: dict) -> str:
    """The result as a Markdown table."""
    lines = ["| what | web photos | phone photos |", "|---|---|---|"]
    mixes = [result["mixes"][name] for name in MIXES]

    def line(what: str, show: Callable[[dict], str]) -> None:
        lines.append(f"| {what} | " + " | ".join(show(mix) for mix in mixes) + " |")

    line("the limit: decoding, resizing and the network on every core", lambda m: f"{m['limit_per_second']:.1f}/s")
    line(
        "`POST /predict?feature_maps=none`, saturated",
        lambda m: f"{m['per_second']:.1f}/s, {m['of_limit']:.3f} of the limit",
    )
    line(
        "with all feature maps and the heatmap",
        lambda m: f"{m['with_everything_per_second']:.1f}/s, {m['cost_of_everything']:.2f} times the cost",
    )
    line(
        "one request at a time, p50",
        lambda m: f"{m['alone']['p50_ms']:.1f} ms, {m['alone']['ratio']:.2f} times the work alone",
    )
    line(
        "with 264 connections: answered, of the peak",
        lambda m: (
            f"{m['overloaded']['per_second']:.1f}/s, {m['overloaded']['of_peak']:.2f}; {m['overloaded']['broken']} broken"
        ),
    )
    line("resident memory", lambda m: f"{m['resident_megabytes']:.0f} MB")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
