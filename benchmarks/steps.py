"""Where the time of a request goes, step by step, before and after the work on performance.

    .venv/bin/python -m benchmarks.steps --before 8392e74 --out benchmarks/steps.json

The current service and another revision (in its own worktree) take turns. Each gets one photo at a time, and `/predict`
reports the times of its steps in `timings_ms`; the remainder of the client's waiting time is the rest: the connection, the
form, the threads, the JSON. Under load, the CPU time of the process per photo shows what all that costs.
"""

import argparse
import http.client
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

from benchmarks import photos
from benchmarks.clients import FORM, form, saturate
from benchmarks.scaling import spent
from benchmarks.start import ROOT, revision, start

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
    arguments = parser.parse_args()
    with revision(arguments.before) as before:
        microseconds = {
            what: measured(make(), path, {"before": before, "after": ROOT}) for what, (make, path) in ASKED.items()
        }
    result = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "before": arguments.before,
        "microseconds": microseconds,
    }
    print(table(result))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


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
    """Send one photo over its own connection: milliseconds of the service's steps, of the rest, and of the whole."""
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
    lines = ["| request | step | before, µs | after, µs |", "|---|---|---|---|"]
    for what, measured in result["microseconds"].items():
        for step in STEPS:
            if step in measured["after"]:
                before, after = measured["before"][step], measured["after"][step]
                lines.append(f"| {what} | {names.get(step, step)} | {before:,} | {after:,} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
