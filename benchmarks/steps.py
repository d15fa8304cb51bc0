"""Where the time of a request goes, step by step, before and after the work on it.

    .venv/bin/python -m benchmarks.steps --before 8392e74 --out benchmarks/steps.json

The service as it is and as it was at another revision (in a worktree of its own) take turns; each is asked one photo at a
time, for the numbers that `/predict` tells in `timings_ms`. What is left of the time that a client waits is the rest: the
connection, the form, the threads, the JSON. Under load, the CPU time of the process for a photo says what all that costs.
"""

import argparse
import http.client
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import photos
from benchmarks.clients import FORM, form, saturate
from benchmarks.scaling import spent
from benchmarks.start import start

ROOT = Path(__file__).parent.parent
ROUNDS, PHOTOS, SECONDS = 3, 24, 5
ASKED = {
    "web photo": (photos.web, "/predict?feature_maps=none"),
    "web photo, all feature maps and heatmap": (photos.web, "/predict?heatmap=true"),
    "phone photo": (photos.phone, "/predict?feature_maps=none"),
}
STEPS = ("decode", "inference", "feature_maps", "heatmap", "rest", "whole", "cpu")


def main() -> None:
    """Measure both revisions in turns, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--before", required=True, help="the revision to compare with")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--detach", "--quiet", folder, given.before], check=True)  # noqa: S603
        try:
            found = {
                what: measured(make(), path, {"before": Path(folder), "after": ROOT}) for what, (make, path) in ASKED.items()
            }
        finally:
            subprocess.run([*git, "remove", "--force", folder], check=True)  # noqa: S603
    result = {"machine": f"{os.cpu_count()} cores, {platform.machine()}", "before": given.before, "microseconds": found}
    print(table(result))
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n")


def measured(mix: list[bytes], path: str, folders: dict[str, Path]) -> dict[str, dict[str, int]]:
    """Microseconds of each step, medians, for each of the folders that hold a revision."""
    bodies = [form(photo) for photo in mix]
    seen: dict[str, dict[str, list[float]]] = {name: {step: [] for step in STEPS} for name in folders}
    for _ in range(ROUNDS):
        for name, folder in folders.items():
            _, service, url = start(folder)
            try:
                one(url, path, bodies[0])
                for turn in range(PHOTOS):
                    for step, milliseconds in one(url, path, bodies[turn % len(bodies)]).items():
                        seen[name][step].append(milliseconds)
                before = sum(spent(service))
                rate = saturate(url + path, bodies, FORM, 8, SECONDS)["per_second"]
                seen[name]["cpu"].append((sum(spent(service)) - before) / (rate * SECONDS))
            finally:
                service.terminate()
                service.wait()
    return {
        name: {step: round(statistics.median(values) * 1000) for step, values in steps.items() if values}
        for name, steps in seen.items()
    }


def one(url: str, path: str, body: bytes) -> dict[str, float]:
    """Ask one photo on a connection of its own: milliseconds of the service's steps, of the rest, and of the whole."""
    host, port = url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port))
    connection.connect()
    began = time.perf_counter()
    connection.request("POST", path, body, {"Content-Type": FORM})
    answer = connection.getresponse()
    data = answer.read()
    whole = (time.perf_counter() - began) * 1000
    connection.close()
    if answer.status != 200:
        sys.exit(f"{path} answered {answer.status}: {data[:200]!r}")
    steps: dict[str, float] = json.loads(data)["timings_ms"]
    if "feature_maps=none" in path:
        del steps["feature_maps"]  # the time of doing nothing
    return steps | {"rest": whole - sum(steps.values()), "whole": whole}


def table(result: dict) -> str:
    """The result as a Markdown table."""
    names = {"rest": "the rest: connection, form, threads, JSON", "whole": "what the client waits for"}
    names |= {"cpu": "CPU time of the process under load", "decode": "decode and resize", "feature_maps": "feature maps"}
    lines = ["| what is asked | step | before, µs | after, µs |", "|---|---|---|---|"]
    for what, found in result["microseconds"].items():
        for step in STEPS:
            if step in found["after"]:
                before, after = found["before"][step], found["after"][step]
                lines.append(f"| {what} | {names.get(step, step)} | {before:,} | {after:,} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
