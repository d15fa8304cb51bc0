"""How long hostile files take to be refused, and how much memory they cost; each is decoded in its own process.

.venv/bin/python -m benchmarks.hostile --out benchmarks/hostile.json
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.machine import machine
from tests.app.inference.hostile import hostile

ROOT = Path(__file__).parent.parent
TIMES = 5

ONE = """
import resource, statistics, sys, time
from app.errors import RequestError
from app.inference.decode import decode, prepare
prepare()
data = sys.stdin.buffer.read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
outcome, times = "accepted", []
for _ in range(int(sys.argv[1])):
    began = time.perf_counter()
    try:
        decode(data)
    except RequestError as error:
        outcome = f"{error.status}"
    times.append(1000 * (time.perf_counter() - began))
print(outcome, statistics.median(times), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def main() -> None:
    """Measure every file, print the table and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = []
    for name, data in hostile().items():
        command = [sys.executable, "-c", ONE, str(TIMES)]
        done = subprocess.run(command, input=data, cwd=ROOT, capture_output=True, check=True)  # noqa: S603  code of this file
        outcome, milliseconds, kilobytes = done.stdout.decode().split()
        rows.append(
            {
                "file": name,
                "bytes": len(data),
                "answer": outcome,
                "milliseconds": round(float(milliseconds), 2),
                "megabytes": round(int(kilobytes) / 1024, 1),
            }
        )
    result = {"machine": machine(), "times": TIMES, "files": rows}
    print(table(result))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


def table(result: dict) -> str:
    """The result as a Markdown table."""
    lines = ["| file | size | answer | time until refused | memory |", "|---|---|---|---|---|"]
    for one in result["files"]:
        size = f"{one['bytes'] / 1e6:.1f} MB" if one["bytes"] >= 100_000 else f"{one['bytes'] / 1000:.1f} kB"
        lines.append(
            f"| {one['file']} | {size} | {one['answer']} | {one['milliseconds']:.1f} ms | {one['megabytes']:.1f} MB |"
        )
    slowest = max(one["milliseconds"] for one in result["files"])
    largest = max(one["megabytes"] for one in result["files"])
    median = statistics.median(one["milliseconds"] for one in result["files"])
    lines.append(f"| all of them | | | median {median:.1f} ms, at most {slowest:.1f} ms | at most {largest:.1f} MB |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
