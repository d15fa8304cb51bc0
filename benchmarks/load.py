"""How much of the machine's limit the service reaches, and how it behaves beyond it.

    .venv/bin/python -m benchmarks.load --out benchmarks/load.json

The limit is the throughput of the work alone: decoding, resizing and the network, or its twin in integers where the service
prefers that, in a tight loop on every core, without HTTP. The service answers `POST /predict?feature_maps=none` to wrk,
which runs on the same cores. Limit and service take turns, so that a slow moment of the machine affects both; ratios are
medians over the rounds. Then h2load sends requests at fixed rates, whether they are answered or not: at half, four fifths,
twice and four times the service's maximum. Web photos are about 500x375 and 35 kB, phone photos 12 megapixels and 3 to 4 MB
(benchmarks/photos.py). Both load generators are Debian packages: apt-get install wrk nghttp2-client.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import photos
from benchmarks.clients import FORM, at_rate, form, missing, saturate
from benchmarks.machine import described
from benchmarks.start import resident, start

ROOT = Path(__file__).parent.parent
CORES = len(os.sched_getaffinity(0))
SATURATING = 4 * CORES
"""Connections that always have a request pending."""

MIXES = {"web": photos.web, "phone": photos.phone}
PATHS = {"bare": "/predict?feature_maps=none", "everything": "/predict?heatmap=true"}
LOADS = {"half": 0.5, "four_fifths": 0.8, "twice": 2.0, "four_times": 4.0}
"""Shares of the rate at saturation at which requests are sent."""


def main() -> None:
    """Measure both mixes, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seconds", type=int, default=8, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=4)
    arguments = parser.parse_args()
    if missing():
        sys.exit(f"apt-get install {' '.join(missing())}")
    result = described() | {
        "seconds": arguments.seconds,
        "rounds": arguments.rounds,
        "mixes": {},
    }
    for mix, make in MIXES.items():
        result["mixes"][mix] = measured(make(), arguments.seconds, arguments.rounds)
        print(mix, json.dumps(result["mixes"][mix]), flush=True)
    print(table(result))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


def measured(mix: list[bytes], seconds: int, rounds: int) -> dict:
    """Limit and service in turns, single requests beside their work alone, and fixed rates up to four times the peak."""
    bodies = [form(photo) for photo in mix]
    _, service, url = start()

    def answered(path: str, connections: int = SATURATING) -> dict:
        return saturate(url + PATHS[path], bodies, FORM, connections, seconds)

    try:
        answered("bare")
        turns = [(limit(mix, seconds), answered("bare"), answered("everything")) for _ in range(rounds)]
        alone = [(single(mix), answered("bare", 1)["p50_ms"]) for _ in range(rounds)]
        peak = statistics.median(bare["per_second"] for _, bare, _ in turns)
        loads = {name: under(url, bodies, peak, share, 2 * seconds) for name, share in LOADS.items()}
        memory = resident(service.pid)
    finally:
        service.terminate()
        service.wait()
    return {
        "limit_per_second": round(statistics.median(most for most, _, _ in turns), 2),
        "per_second": peak,
        "of_limit": round(statistics.median(bare["per_second"] / most for most, bare, _ in turns), 3),
        "of_limit_each_round": [round(bare["per_second"] / most, 3) for most, bare, _ in turns],
        "with_everything_per_second": statistics.median(everything["per_second"] for *_, everything in turns),
        "cost_of_everything": round(
            statistics.median(bare["per_second"] / everything["per_second"] for _, bare, everything in turns), 3
        ),
        "alone": {
            "work_ms": round(statistics.median(work for work, _ in alone), 2),
            "p50_ms": round(statistics.median(p50 for _, p50 in alone), 2),
            "ratio": round(statistics.median(p50 / work for work, p50 in alone), 3),
        },
        "saturated": {name: turns[-1][1][name] for name in ("p50_ms", "p95_ms", "p99_ms")},
        "loads": loads,
        "resident_megabytes": round(memory, 1),
    }


def under(url: str, bodies: list[bytes], peak: float, share: float, seconds: int) -> dict:
    """The outcome of requests sent at a fraction of `peak`; answers count until the last one has arrived."""
    began = time.perf_counter()
    report = at_rate(url + PATHS["bare"], bodies, FORM, peak * share, seconds)
    passed = time.perf_counter() - began
    return report | {"of_peak": round(report["statuses"].get("200", 0) / passed / peak, 3)}


def limit(mix: list[bytes], seconds: int) -> float:
    """Photos per second that all cores together decode, resize and run through the network, without HTTP."""
    with multiprocessing.get_context("spawn").Pool(CORES, initializer=begin) as pool:
        return sum(pool.starmap(loop, [(mix, seconds)] * CORES, chunksize=1))


def single(mix: list[bytes]) -> float:
    """Milliseconds of the same work on one core while the others are idle: the median over photos."""
    with multiprocessing.get_context("spawn").Pool(1, initializer=begin) as pool:
        return pool.apply(_alone, (mix,))


_work: Callable[[bytes], object]


def begin(precision: str = "auto") -> None:
    """Load the network `cat` in a worker, for `loop`; its twin may answer as the setting `precision` says."""
    from app.inference.networks.contract import load
    from app.inference.networks.engines.onnx_engine import OnnxNetwork
    from app.inference.predict import PredictOptions, predict

    global _work
    network = OnnxNetwork(load(ROOT / "model" / "cat"), precision)
    _work = lambda photo: predict(photo, network, PredictOptions("none"), 10**8)  # noqa: E731  stays between calls


def loop(mix: list[bytes], seconds: int) -> float:
    """Photos per second of one worker that `begin` has prepared."""
    count, passed, _ = counted(mix, seconds)
    return count / passed


def counted(mix: list[bytes], seconds: int) -> tuple[int, float, float]:
    """The same as photos, the seconds that they took, and those of CPU time."""
    _work(mix[0])
    count, began, used = 0, time.perf_counter(), time.process_time()
    while (passed := time.perf_counter() - began) < seconds:
        _work(mix[count % len(mix)])
        count += 1
    return count, passed, time.process_time() - used


def _alone(mix: list[bytes]) -> float:
    times = []
    for turn in range(60):
        began = time.perf_counter()
        _work(mix[turn % len(mix)])
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


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
    for name, words in (("half", "half"), ("four_fifths", "four fifths")):
        line(
            f"at {words} of that rate: p50, p95, p99",
            lambda m, name=name: " / ".join(f"{m['loads'][name][f'p{p}_ms']:.0f}" for p in (50, 95, 99)) + " ms",
        )
    for name, words in (("twice", "twice"), ("four_times", "four times")):
        line(
            f"at {words} that rate: answered, of the peak; slowest 503; broken",
            lambda m, name=name: (
                f"{m['loads'][name]['of_peak']:.2f}; {m['loads'][name]['slowest_refusal_ms'] or 0:.0f} ms;"
                f" {m['loads'][name]['broken']}"
            ),
        )
    line("resident memory", lambda m: f"{m['resident_megabytes']:.0f} MB")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
