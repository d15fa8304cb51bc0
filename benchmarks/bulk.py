"""The cost of a photo on Ray and on the plain command line, on the same cores, and Ray's overhead for startup and chunks.

    .venv/bin/python -m benchmarks.bulk --out benchmarks/bulk.json

Both answer the same folders in turns: a smaller and a larger one of each mix, which separates the cost of starting from that
of a photo. The measure is the CPU time of all their processes, which other programs on the machine affect least. Empty files
take no time to answer, so their cost is Ray's overhead. They are also answered in several chunks, to time a chunk.
"""

import argparse
import contextlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import photos

ROOT = Path(__file__).parent.parent
RAY = ROOT / ".peers" / "ray" / "bin" / "python"
ROUNDS = 3
MIXES: dict[str, tuple[Callable[[], list[bytes]], int, int]] = {  # photos, how many in the smaller and the larger folder
    "web": (photos.web, 200, 800),
    "phone": (photos.phone, 60, 240),
}
EMPTY = (5_000, 30_000)
CHUNKS = 6
TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure in turns, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if not RAY.exists():
        sys.exit(f"{RAY} is missing; pytest -m fresh tests/deploy/ray makes it")
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="catscope-bulk-") as workspace:
        mixes = {name: mix(Path(workspace) / name, *of) for name, of in MIXES.items()}
        result = {"machine": f"{cores} cores, {platform.machine()}", "cores": cores, "rounds": ROUNDS, "mixes": mixes}
        result["ray"] = own_part(Path(workspace) / "empty")
    print(table(result), paper_table(result), own_part_of(result), sep="\n\n")
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


def mix(workspace: Path, make: Callable[[], list[bytes]], small: int, large: int) -> dict:
    """The cost of a start and of each photo of a mix, for the plain command line and for Ray."""
    data = make()
    folders = {count: folder(workspace / str(count), count, data) for count in (small, large)}
    runs: dict[tuple[str, int], list[Spent]] = {}
    for _ in range(ROUNDS):
        for count, path in folders.items():
            for name, command in (("plain", plain), ("ray", ray)):
                runs.setdefault((name, count), []).append(run(command, path))
    results = {name: line({count: runs[name, count] for count in folders}) for name in ("plain", "ray")}
    size = round(statistics.mean(map(len, data)))
    ratio = round(results["ray"]["photo_ms"] / results["plain"]["photo_ms"], 3)
    return {"photos": [small, large], "bytes": size, **results, "ratio": ratio}


def own_part(workspace: Path) -> dict:
    """Ray's overhead per photo, the driver's share of it, and the time per chunk."""
    small, large = (folder(workspace / str(count), count, [b""]) for count in EMPTY)
    rounds = [[run(ray, small), run(ray, large), run(ray, large, EMPTY[1] // CHUNKS)] for _ in range(ROUNDS)]
    one, whole, chunks = (list(column) for column in zip(*rounds, strict=True))
    driver = line({EMPTY[0]: one, EMPTY[1]: whole}, "first_s")
    more = statistics.median(spent.wall_s for spent in chunks) - statistics.median(spent.wall_s for spent in whole)
    return {
        "photos": list(EMPTY),
        **line({EMPTY[0]: one, EMPTY[1]: whole}),
        "driver_photo_ms": driver["photo_ms"],
        "chunk_s": round(more / (CHUNKS - 1), 2),
    }


@dataclass(frozen=True)
class Spent:
    """One run's CPU seconds of all its processes and of its first process alone, and its wall-clock seconds."""

    all_s: float
    first_s: float
    wall_s: float


def line(runs: dict[int, list[Spent]], what: str = "all_s") -> dict:
    """The line through runs of two sizes: CPU milliseconds per photo, CPU seconds for the start."""
    middle = {count: statistics.median(getattr(spent, what) for spent in of) for count, of in runs.items()}
    (small, first), (large, second) = sorted(middle.items())
    photo_s = (second - first) / (large - small)
    return {"photo_ms": round(photo_s * 1000, 3), "start_s": round(first - small * photo_s, 2)}


def folder(path: Path, count: int, data: list[bytes]) -> Path:
    """Write that many photos, each under its own name."""
    path.mkdir(parents=True)
    for number, photo in enumerate(data):
        (path / f"{number:06d}.jpg").write_bytes(photo)
    for number in range(len(data), count):
        os.link(path / f"{number % len(data):06d}.jpg", path / f"{number:06d}.jpg")
    return path


def run(command: Callable[[Path, Path, int], list[str]], photos_in: Path, chunk: int = 10**6) -> Spent:
    """Run a command on a folder, polling its processes ten times a second: nothing waits for those of Ray."""
    out = photos_in.with_name("out")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CATSCOPE_", "PYTHON"))}
    spent: dict[int, float] = {}
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command(photos_in, out, chunk), cwd=ROOT, env=environment, stdout=output, stderr=output)  # noqa: S603
        while process.poll() is None:
            spent |= seconds_below(process.pid)
            time.sleep(0.1)
        wall_s = time.perf_counter() - began
        if process.returncode or not out.exists():
            output.seek(0)
            sys.exit(output.read()[-2000:])
    if out.is_dir():
        shutil.rmtree(out)
    else:
        out.unlink()
    return Spent(sum(spent.values()), spent[process.pid], wall_s)


def seconds_below(pid: int) -> dict[int, float]:
    """The CPU seconds so far of a process and its descendants."""
    seconds, children = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # a process that ended meanwhile
            fields = stat.read_text().rpartition(")")[2].split()
            one = int(stat.parent.name)
            children.setdefault(int(fields[1]), []).append(one)
            seconds[one] = (int(fields[11]) + int(fields[12])) / TICKS
    tree = [pid]
    for one in tree:
        tree += children.get(one, [])
    return {one: seconds[one] for one in tree if one in seconds}


def plain(photos_in: Path, out: Path, chunk: int) -> list[str]:
    """The plain command line, on all cores."""
    return [sys.executable, "-m", "app", "classify", str(photos_in), "--out", str(out), "--csv", "--quiet"]


def ray(photos_in: Path, out: Path, chunk: int) -> list[str]:
    """The same with Ray, which the command starts on all cores and stops."""
    return [str(RAY), "-m", "deploy.ray.bulk", str(photos_in), "--out", str(out), "--chunk", str(chunk), "--quiet"]


NODES = (1, 10, 100)
NODE_CORES = 16
NODE_BYTES = 1_250_000_000
"""Bytes that a node is assumed to read per second: 10 gigabits."""
LISTED = 3_000
"""Photos that an object store is assumed to list per second: three responses of 1,000."""
MILLIONS = 10


def paper(result: dict) -> list[dict]:
    """Estimates for clusters: for each mix and number of nodes, photos per second by each limit, and hours."""
    rows = []
    for name, one in result["mixes"].items():
        for nodes in NODES:
            limits = {
                "cores": nodes * NODE_CORES * 1000 / one["ray"]["photo_ms"],
                "network": nodes * NODE_BYTES / one["bytes"],
                "driver": 1000 / result["ray"]["driver_photo_ms"],
                "listing": LISTED,
            }
            slowest = min(limits, key=limits.__getitem__)
            hours = MILLIONS * 1e6 / limits[slowest] / 3600
            rows.append({"mix": name, "nodes": nodes, **limits, "slowest": slowest, "hours": hours})
    return rows


def table(result: dict) -> str:
    """The measurements as a Markdown table."""
    lines = [
        "| photos | command line, CPU ms per photo | Ray, CPU ms per photo | ratio | start: command line | start: Ray |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in result["mixes"].items():
        lines.append(
            f"| {name} | {one['plain']['photo_ms']:.1f} | {one['ray']['photo_ms']:.1f} | {one['ratio']:.2f} "
            f"| {one['plain']['start_s']:.1f} s | {one['ray']['start_s']:.1f} s |"
        )
    return "\n".join(lines)


def paper_table(result: dict) -> str:
    """The estimates as a Markdown table."""
    head = f"| photos | nodes | limit of the cores | limit of the network | lowest limit | {MILLIONS} million photos |"
    lines = [
        f"| {row['mix']} | {row['nodes']} | {row['cores']:,.0f}/s | {row['network']:,.0f}/s "
        f"| {row[row['slowest']]:,.0f}/s, {row['slowest']} | {row['hours']:.1f} h |"
        for row in paper(result)
    ]
    return "\n".join([head, "|---|---|---|---|---|---|", *lines])


def own_part_of(result: dict) -> str:
    """Ray's overhead, as half a sentence."""
    own = result["ray"]
    return (
        f"{own['photo_ms']:.2f} ms of CPU time per photo, {own['driver_photo_ms']:.2f} ms of it in the driver, "
        f"and {own['chunk_s']:.1f} s per chunk"
    )


if __name__ == "__main__":
    main()
