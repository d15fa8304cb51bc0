"""The command line on a folder: how close it comes to the machine's limit, and its memory from a thousand photos on.

    .venv/bin/python -m benchmarks.classify --out benchmarks/classify.json

The limit is that of `benchmarks.load`: decoding, resizing and the network, or its twin in integers where that is preferred,
in a process for each core. It is measured before and after each run of the command, and all start anew each time, since a
process can have luck with its memory. CPU time is compared, too: other work on the machine disturbs it less. The start is
counted apart from what the command does from its first row on, which is what a large folder comes close to. The photos of
the memory rows are links to the same four, in ten folders, answered by `tutorial`, so that most of the work is outside the
network. `--parts` measures a part and leaves the rest of the JSON.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import photos
from benchmarks.load import CORES, begin, counted
from benchmarks.machine import described

COUNTS = (1_000, 10_000, 100_000)
ROUNDS = 5
PHOTOS = {"web": 600, "phone": 150}
PARTS = (*PHOTOS, "memory")
SECONDS = 4  # for the limit, twice per round
LOOKING_S = 0.05
"""Pause between two looks at what a run has written."""


def main() -> None:
    """Make the folders, classify them, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS, help="numbers of photos in the memory rows")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    result: dict[str, Any] = {}
    if options.out and options.out.exists():
        result = json.loads(options.out.read_text())
    for part in options.parts:
        measured = {"rows": [memory(count) for count in options.counts]} if part == "memory" else speed(part, options.rounds)
        result[part] = described() | measured
        if options.out:
            options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result) if set(PARTS) <= set(result) else json.dumps(result, indent=1))


def folder(workspace: Path, kinds: list[bytes], count: int) -> Path:
    """`count` links to the photos `kinds`, a tenth in each of ten folders."""
    for number, data in enumerate(kinds):
        (workspace / f"{number}.data").write_bytes(data)
    for number in range(count):
        inside = workspace / "photos" / str(number % 10)
        inside.mkdir(parents=True, exist_ok=True)
        (inside / f"{number:06}.jpg").hardlink_to(workspace / f"{number % len(kinds)}.data")
    return workspace / "photos"


@dataclass
class Run:
    """One run of the command: how long it took until the first row was written, from then to the last one, and at all, in
    seconds; the rows that it wrote after the first ones, and the seconds of CPU time for them; its peak resident megabytes.
    """

    starting: float = 0.0
    steady: float = 0.0
    whole: float = 0.0
    rows: int = 0
    used: float = 0.0
    peak: float = 0.0


def classify(out: Path, *arguments: object) -> Run:
    """Run the command, in a process of its own."""
    run, size, first, used, began = Run(), 0, 0, 0.0, time.perf_counter()
    command = [sys.executable, "-m", "app", "classify", *map(str, arguments), "--out", str(out), "--quiet"]
    process = subprocess.Popen(command)  # noqa: S603  our own arguments
    while process.poll() is None:
        with contextlib.suppress(OSError, StopIteration):  # it has not begun yet, or ended meanwhile
            status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            run.peak = max(run.peak, int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1024)
            if out.stat().st_size > size:
                size, passed, now = out.stat().st_size, time.perf_counter() - began, _cpu(process.pid)
                if not first and (first := _rows(out)):
                    run.starting, used = passed, now
                run.steady, run.used = passed - run.starting, now - used
        time.sleep(LOOKING_S)
    run.whole = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"the command ended with {process.returncode}")
    run.rows = _rows(out) - first
    return run


def _cpu(process: int) -> float:
    """The seconds of CPU time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rows(out: Path) -> int:
    """How many photos' rows the file has, after its header."""
    return max(0, out.read_bytes().count(b"\n") - 1)


def limit(mix: list[bytes]) -> tuple[float, float]:
    """Photos per second of a tight loop on every core, and its CPU milliseconds for each."""
    with multiprocessing.get_context("spawn").Pool(CORES, initializer=begin) as pool:
        parts = pool.starmap(counted, [(mix, SECONDS)] * CORES, chunksize=1)
    rate = sum(count / passed for count, passed, _ in parts)
    return rate, 1000 * sum(used for *_, used in parts) / sum(count for count, *_ in parts)


def speed(name: str, rounds: int) -> dict:
    """Photos per second of the command, and the limit measured before and after it, all in new processes each time."""
    mix = getattr(photos, name)()
    turns = []
    with tempfile.TemporaryDirectory() as workspace:
        photo_folder = folder(Path(workspace), mix, PHOTOS[name])
        for turn in range(rounds):
            before = limit(mix)
            run = classify(Path(workspace) / f"{turn}.csv", photo_folder)
            after = limit(mix)
            turns.append((run, *(statistics.mean(pair) for pair in zip(before, after, strict=True))))
            print(name, turns[-1], flush=True)
    return {
        "photos": PHOTOS[name],
        "rounds": rounds,
        "starting_s": _spread([run.starting for run, *_ in turns]),
        "per_second": _spread([run.rows / run.steady for run, *_ in turns]),
        "limit_per_second": _spread([most for _, most, _ in turns]),
        "of_limit": _spread([run.rows / run.steady / most for run, most, _ in turns]),
        "with_start_of_limit": _spread([PHOTOS[name] / run.whole / most for run, most, _ in turns]),
        "cpu_ms": _spread([1000 * run.used / run.rows for run, *_ in turns]),
        "limit_cpu_ms": _spread([least for *_, least in turns]),
        "of_limit_cpu": _spread([least * run.rows / (1000 * run.used) for run, _, least in turns]),
        "resident_mb": round(max(run.peak for run, *_ in turns)),
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 3),
        "least": round(min(values), 3),
        "most": round(max(values), 3),
    }


def memory(count: int) -> dict:
    """The peak resident memory of one run over `count` photos, and how long it took."""
    with tempfile.TemporaryDirectory() as workspace:
        photo_folder = folder(Path(workspace), photos.web(), count)
        run = classify(Path(workspace) / "answers.csv", photo_folder, "--network", "tutorial")
    return {"photos": count, "seconds": round(run.whole, 1), "resident_mb": round(run.peak, 1)}


def table(result: dict) -> str:
    """Both as Markdown."""
    lines = ["| `python -m app classify` | web photos | phone photos |", "|---|---|---|"]
    web, phone = (result[name] for name in PHOTOS)

    def spread(of: dict, digits: int) -> str:
        return f"{of['median']:.{digits}f} ({of['least']:.{digits}f} to {of['most']:.{digits}f})"

    for title, cell in (
        ("photos in the folder", lambda mix: f"{mix['photos']}"),
        ("seconds to the first row", lambda mix: f"{mix['starting_s']['median']:.1f}"),
        ("photos per second from then on", lambda mix: f"{mix['per_second']['median']:.1f}"),
        ("of the limit, median and range", lambda mix: spread(mix["of_limit"], 3)),
        ("of the limit in CPU time", lambda mix: spread(mix["of_limit_cpu"], 3)),
        ("of the limit, start included", lambda mix: spread(mix["with_start_of_limit"], 3)),
        ("peak resident memory", lambda mix: f"{mix['resident_mb']} MB"),
    ):
        lines.append(f"| {title} | {cell(web)} | {cell(phone)} |")
    lines += ["", "| photos in the folder, `tutorial` | seconds | peak resident memory |", "|---|---|---|"]
    lines += [
        f"| {row['photos']:,} | {row['seconds']:.0f} | {row['resident_mb']:.0f} MB |" for row in result["memory"]["rows"]
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
