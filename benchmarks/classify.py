"""The command line on a folder: how close it comes to the machine's limit, and its memory from a thousand photos on.

    .venv/bin/python -m benchmarks.classify --out benchmarks/classify.json

The limit is that of `benchmarks.load`, measured before and after each round in the same run. The photos of the memory rows
are links to the same four, in ten folders, answered by `tutorial`, so that most of the work is outside the network.
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
SECONDS = 8  # for the limit, twice per round


def main() -> None:
    """Make the folders, classify them, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS, help="numbers of photos in the memory rows")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    result = {
        "machine": machine(),
        "speed": {name: speed(name, options.rounds) for name in PHOTOS},
        "memory": [memory(count) for count in options.counts],
    }
    print(table(result))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


def folder(workspace: Path, kinds: list[bytes], count: int) -> Path:
    """`count` links to the photos `kinds`, a tenth in each of ten folders."""
    for number, data in enumerate(kinds):
        (workspace / f"{number}.data").write_bytes(data)
    for number in range(count):
        inside = workspace / "photos" / str(number % 10)
        inside.mkdir(parents=True, exist_ok=True)
        (inside / f"{number:06}.jpg").hardlink_to(workspace / f"{number % len(kinds)}.data")
    return workspace / "photos"


def classify(*arguments: object) -> tuple[float, float]:
    """Seconds and the peak resident megabytes of one run of the command."""
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "app", "classify", *map(str, arguments), "--quiet"])  # noqa: S603
    peak = 0.0
    while process.poll() is None:
        with contextlib.suppress(OSError, StopIteration):  # it ended meanwhile
            status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            peak = max(peak, int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1024)
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"the command ended with {process.returncode}")
    return time.perf_counter() - begun, peak


def speed(name: str, rounds: int) -> dict:
    """Photos per second of the whole command, including startup, and the limit measured in the same minute."""
    mix = getattr(photos, name)()
    turns = []
    with tempfile.TemporaryDirectory() as workspace:
        photo_folder = folder(Path(workspace), mix, PHOTOS[name])
        for turn in range(rounds):
            before = limit(mix, SECONDS)
            seconds, resident = classify(photo_folder, "--out", Path(workspace) / f"{turn}.csv")
            turns.append((PHOTOS[name] / seconds, (before + limit(mix, SECONDS)) / 2, resident))
    return {
        "photos": PHOTOS[name],
        "per_second": round(statistics.median(rate for rate, _, _ in turns), 2),
        "limit_per_second": round(statistics.median(limit for _, limit, _ in turns), 2),
        "of_limit": round(statistics.median(rate / limit for rate, limit, _ in turns), 3),
        "of_limit_each_round": [round(rate / limit, 3) for rate, limit, _ in turns],
        "resident_mb": round(max(resident for _, _, resident in turns)),
    }


def memory(count: int) -> dict:
    """The peak resident memory of one run over `count` photos, and how long it took."""
    with tempfile.TemporaryDirectory() as workspace:
        photo_folder = folder(Path(workspace), photos.web(), count)
        seconds, resident = classify(photo_folder, "--network", "tutorial", "--out", Path(workspace) / "answers.csv")
    return {"photos": count, "seconds": round(seconds, 1), "resident_mb": round(resident, 1)}


def table(result: dict) -> str:
    """Both as Markdown."""
    lines = ["| `python -m app classify` | web photos | phone photos |", "|---|---|---|"]
    web, phone = (result["speed"][name] for name in PHOTOS)
    for title, cell in (
        ("photos in the folder", lambda mix: f"{mix['photos']}"),
        ("photos per second, including startup", lambda mix: f"{mix['per_second']:.1f}"),
        ("fraction of the limit", lambda mix: f"{mix['of_limit']:.3f}"),
        ("peak resident memory", lambda mix: f"{mix['resident_mb']} MB"),
    ):
        lines.append(f"| {title} | {cell(web)} | {cell(phone)} |")
    lines += ["", "| photos in the folder, `tutorial` | seconds | peak resident memory |", "|---|---|---|"]
    lines += [f"| {row['photos']:,} | {row['seconds']:.0f} | {row['resident_mb']:.0f} MB |" for row in result["memory"]]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
