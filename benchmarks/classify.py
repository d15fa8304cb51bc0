"""The command line on a folder: how much of the machine's limit it reaches, and its memory from a thousand photos to many.

    .venv/bin/python -m benchmarks.classify --out benchmarks/classify.json

The limit is that of `benchmarks.load`, taken before and after each round in the same run. The photos of the memory rows are
links to the same four, in ten folders, answered by `tutorial`, which leaves most of the work to everything but the network.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import photos
from benchmarks.clients import machine
from benchmarks.load import limit

COUNTS = (1_000, 10_000, 100_000)
ROUNDS = 3
PHOTOS = {"web": 800, "phone": 240}
SECONDS = 8  # of the limit, twice a round


def main() -> None:
    """Make the folders, classify them, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS, help="photos of the memory rows")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    result = {
        "machine": machine(),
        "speed": {name: speed(name, given.rounds) for name in PHOTOS},
        "memory": [memory(count) for count in given.counts],
    }
    print(table(result))
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n")


def folder(place: Path, kinds: list[bytes], count: int) -> Path:
    """`count` links to the photos `kinds`, a tenth in each of ten folders."""
    for number, data in enumerate(kinds):
        (place / f"{number}.data").write_bytes(data)
    for number in range(count):
        inside = place / "photos" / str(number % 10)
        inside.mkdir(parents=True, exist_ok=True)
        (inside / f"{number:06}.jpg").hardlink_to(place / f"{number % len(kinds)}.data")
    return place / "photos"


def classify(*arguments: object) -> tuple[float, float]:
    """Seconds and the most resident megabytes of one run of the command."""
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "app", "classify", *map(str, arguments), "--quiet"])  # noqa: S603
    most = 0.0
    while process.poll() is None:
        with contextlib.suppress(OSError, StopIteration):  # it ended meanwhile
            said = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            most = max(most, int(next(line for line in said if line.startswith("VmHWM")).split()[1]) / 1024)
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"the command ended with {process.returncode}")
    return time.perf_counter() - begun, most


def speed(name: str, rounds: int) -> dict:
    """Photos a second of the whole command, its start included, beside the limit of the same minute."""
    mix = getattr(photos, name)()
    turns = []
    with tempfile.TemporaryDirectory() as place:
        found = folder(Path(place), mix, PHOTOS[name])
        for turn in range(rounds):
            before = limit(mix, SECONDS)
            seconds, resident = classify(found, "--out", Path(place) / f"{turn}.csv")
            turns.append((PHOTOS[name] / seconds, (before + limit(mix, SECONDS)) / 2, resident))
    return {
        "photos": PHOTOS[name],
        "per_second": round(statistics.median(found for found, _, _ in turns), 2),
        "limit_per_second": round(statistics.median(most for _, most, _ in turns), 2),
        "of_limit": round(statistics.median(found / most for found, most, _ in turns), 3),
        "of_limit_each_round": [round(found / most, 3) for found, most, _ in turns],
        "resident_mb": round(max(resident for _, _, resident in turns)),
    }


def memory(count: int) -> dict:
    """The most resident memory of one run over `count` photos, and how long it took."""
    with tempfile.TemporaryDirectory() as place:
        found = folder(Path(place), photos.web(), count)
        seconds, resident = classify(found, "--network", "tutorial", "--out", Path(place) / "found.csv")
    return {"photos": count, "seconds": round(seconds, 1), "resident_mb": round(resident, 1)}


def table(result: dict) -> str:
    """Both as Markdown."""
    lines = ["| `python -m app classify` | web photos | phone photos |", "|---|---|---|"]
    web, phone = (result["speed"][name] for name in PHOTOS)
    for says, cell in (
        ("photos in the folder", lambda found: f"{found['photos']}"),
        ("photos a second, start included", lambda found: f"{found['per_second']:.1f}"),
        ("of the limit", lambda found: f"{found['of_limit']:.3f}"),
        ("resident memory at most", lambda found: f"{found['resident_mb']} MB"),
    ):
        lines.append(f"| {says} | {cell(web)} | {cell(phone)} |")
    lines += ["", "| photos in the folder, `tutorial` | seconds | resident memory at most |", "|---|---|---|"]
    lines += [f"| {row['photos']:,} | {row['seconds']:.0f} | {row['resident_mb']:.0f} MB |" for row in result["memory"]]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
