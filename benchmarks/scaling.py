"""How throughput grows with the cores that the service may use, and how much of a request is limited to one core.

    .venv/bin/python -m benchmarks.scaling --out benchmarks/scaling.json

The service is bound to one core, then to two (`taskset`), and wrk runs on the same ones; the number of threads follows. The
event loop is one thread, however many cores there are: its CPU time per request limits how many photos one process can
answer per second, and so shows when a second process is needed.
"""

import argparse
import json
import os
import platform
import subprocess
from pathlib import Path

from benchmarks import photos
from benchmarks.clients import FORM, form, saturate
from benchmarks.start import start

ROUNDS = 3
TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
MIXES = {"web": photos.web, "phone": photos.phone}


def main() -> None:
    """Measure both mixes on every number of cores, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seconds", type=int, default=10, help="of each measurement")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    result = {
        "machine": f"{len(cores)} cores, {platform.machine()}",
        "mixes": {
            name: {str(n): on(cores[:n], make(), arguments.seconds) for n in range(1, len(cores) + 1)}
            for name, make in MIXES.items()
        },
    }
    print(table(result))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


def on(cores: list[int], mix: list[bytes], seconds: int) -> dict:
    """Photos per second on these cores, and CPU milliseconds per photo of the event loop and of the worker threads."""
    everything = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)  # inherited by the service and by wrk
    try:
        _, service, url = start()
        try:
            bodies = [form(photo) for photo in mix]
            path = f"{url}/predict?feature_maps=none"
            saturate(path, bodies, FORM, 4 * len(cores), 3)
            before = spent(service)
            rates = [saturate(path, bodies, FORM, 4 * len(cores), seconds)["per_second"] for _ in range(ROUNDS)]
            after = spent(service)
        finally:
            service.terminate()
            service.wait()
    finally:
        os.sched_setaffinity(0, everything)
    count = sum(rates) * seconds
    loop, working = ((after[index] - before[index]) / count for index in range(2))
    return {
        "per_second": sorted(rates)[ROUNDS // 2],
        "loop_ms": round(loop, 2),
        "working_ms": round(working, 2),
    }


def spent(service: subprocess.Popen[bytes]) -> tuple[float, float]:
    """Milliseconds of CPU so far: of the main thread, which runs the event loop, and of all others."""
    times = {}
    for task in Path(f"/proc/{service.pid}/task").iterdir():
        fields = (task / "stat").read_text().rsplit(")", 1)[1].split()
        times[int(task.name)] = (int(fields[11]) + int(fields[12])) * TICK_MS
    loop = times.pop(service.pid)
    return loop, sum(times.values())


def table(result: dict) -> str:
    """The result as a Markdown table."""
    lines = [
        "| photos | cores | photos per second | relative to one core | event loop, ms per photo | threads, ms per photo |",
        "|---|---|---|---|---|---|",
    ]
    for name, per_cores in result["mixes"].items():
        for cores, one in per_cores.items():
            times = one["per_second"] / per_cores["1"]["per_second"]
            lines.append(
                f"| {name} | {cores} | {one['per_second']:.1f} | {times:.2f} "
                f"| {one['loop_ms']:.2f} | {one['working_ms']:.1f} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
