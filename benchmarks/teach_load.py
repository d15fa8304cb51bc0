"""How much does teaching slow the answers of a service that is saturated?

    python -m benchmarks.teach_load --out benchmarks/teach_load.json

wrk saturates `POST /predict?feature_maps=none` with web photos, as in benchmarks.load. In turns the service does nothing
else or teaches a network meanwhile, in a job of so many photos that it outlasts the measurement. Ratios are of neighbours in
time; the median is reported. Then a job of 60 photos has the machine to itself.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx2

from benchmarks import photos
from benchmarks.clients import FORM, form, missing, saturate
from benchmarks.start import start

CORES = len(os.sched_getaffinity(0))
PATH = "/predict?feature_maps=none"
LONG, SHORT = 500, 30
"""Photos of each of two classes: of a job that outlasts a measurement, and of one that people wait for."""


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seconds", type=int, default=10, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if missing():
        sys.exit(f"apt-get install {' '.join(missing())}")
    with tempfile.TemporaryDirectory() as store:
        _, service, url = start(CATSCOPE_STORE=store)
        try:
            result = {"machine": f"{CORES} cores, {platform.machine()}", "seconds": arguments.seconds} | measured(
                url, arguments.seconds, arguments.rounds
            )
        finally:
            service.terminate()
            service.wait()
    print(table(result))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


def measured(url: str, seconds: int, rounds: int) -> dict:
    """Photos per second without and with a job in turns, and how long a job of 60 photos takes."""
    mix = photos.web()
    bodies = [form(photo) for photo in mix]

    def answered() -> float:
        rate: float = saturate(url + PATH, bodies, FORM, 4 * CORES, seconds)["per_second"]
        return rate

    answered()
    turns = []
    for number in range(rounds):
        without = answered()
        job = begin(url, mix, f"long-{number}", LONG)
        wait(url, job, "running")
        beside = answered()
        state = httpx2.get(f"{url}/teach/{job}", timeout=60).json()["state"]
        assert state == "running", f"the job was {state} before the measurement had ended"
        httpx2.delete(f"{url}/teach/{job}", timeout=60)
        turns.append((without, beside))
    alone = duration(url, mix, "alone")
    return {
        "per_second": statistics.median(without for without, _ in turns),
        "teaching_per_second": statistics.median(beside for _, beside in turns),
        "ratio": round(statistics.median(beside / without for without, beside in turns), 3),
        "ratios": [round(beside / without, 3) for without, beside in turns],
        "job_s": round(alone, 1),
    }


def begin(url: str, mix: list[bytes], network: str, count: int) -> str:
    """Begin to teach two classes of so many photos: the mix's, each made another file by bytes behind its end."""
    parts = [
        (name, (f"{number}.jpg", mix[(number + shift) % len(mix)] + f"{name} {number}".encode()))
        for shift, name in enumerate(("one", "two"))
        for number in range(count)
    ]
    answer = httpx2.post(f"{url}/teach", params={"network": network}, files=parts, timeout=120)
    answer.raise_for_status()
    job: str = answer.json()["job"]
    return job


def wait(url: str, job: str, state: str) -> None:
    """Wait until the job is in that state, or past it."""
    while (now := httpx2.get(f"{url}/teach/{job}", timeout=60).json()["state"]) in ("waiting", "running") and now != state:
        time.sleep(0.1)


def duration(url: str, mix: list[bytes], network: str) -> float:
    """Seconds from sending the photos of a job until its network answers."""
    began = time.perf_counter()
    wait(url, begin(url, mix, network, SHORT), "done")
    return time.perf_counter() - began


def table(result: dict) -> str:
    """The result as a Markdown table."""
    return "\n".join(
        [
            "| what | web photos |",
            "|---|---|",
            f"| `POST /predict?feature_maps=none`, saturated | {result['per_second']:.1f}/s |",
            f"| the same while a network is taught | {result['teaching_per_second']:.1f}/s, {result['ratio']:.3f} of it |",
            f"| teaching 60 photos on a service that is idle | {result['job_s']:.0f} s |",
        ]
    )


if __name__ == "__main__":
    main()
