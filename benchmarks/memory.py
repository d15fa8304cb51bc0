"""Resident memory of the service while it answers ten thousand photos, and whether it still grows.

    .venv/bin/python -m benchmarks.memory --out benchmarks/memory.json

wrk (a Debian package) sends web photos to `POST /predict` with its defaults, all feature maps included, eight at a time.
"""

import argparse
import json
import os
import platform
import statistics
from pathlib import Path

from benchmarks import photos
from benchmarks.clients import FORM, form, saturate
from benchmarks.start import resident, start

SECONDS = 10
CONNECTIONS = 8


def main() -> None:
    """Send, read memory after each round, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--requests", type=int, default=10_000)
    arguments = parser.parse_args()
    bodies = [form(photo) for photo in photos.web()]
    _, service, url = start()
    try:
        seen = [(0, resident(service.pid))]
        while seen[-1][0] < arguments.requests:
            report = saturate(f"{url}/predict", bodies, FORM, CONNECTIONS, SECONDS)
            if report["refused"] or report["broken"]:
                raise SystemExit(f"not every photo was answered: {report}")
            seen.append((seen[-1][0] + round(report["per_second"] * SECONDS), resident(service.pid)))
    finally:
        service.terminate()
        service.wait()
    result = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "megabytes": {str(count): round(value, 1) for count, value in seen},
        "ready": round(seen[0][1], 1),
        "after": round(seen[-1][1], 1),
        "answered": seen[-1][0],
        "growth_over_the_last_half": round(growth([value for count, value in seen if count >= arguments.requests / 2]), 1),
    }
    print(table(result))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


def growth(values: list[float]) -> float:
    """Megabytes between the medians of the first and the last third: memory moves a little up and down all the time."""
    third = max(1, len(values) // 3)
    return statistics.median(values[-third:]) - statistics.median(values[:third])


def table(result: dict) -> str:
    """The result as a Markdown table."""
    return "\n".join(
        [
            "| resident memory | measured |",
            "|---|---|",
            f"| ready, three networks loaded | {result['ready']:.0f} MB |",
            f"| after {result['answered']:,} photos with all feature maps | {result['after']:.0f} MB |",
            f"| growth over the last half of them | {result['growth_over_the_last_half']:.1f} MB |",
        ]
    )


if __name__ == "__main__":
    main()
