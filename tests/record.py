"""The results of long tests, which docs/reliability.md quotes: benchmarks/reliability.json, one entry per test."""

import json
from pathlib import Path

from benchmarks.machine import machine

FILE = Path(__file__).parent.parent / "benchmarks" / "reliability.json"


def record(name: str, **figures: object) -> None:
    """Store the figures of one test that has passed, in place of those of its previous run."""
    results = json.loads(FILE.read_text()) if FILE.exists() else {}
    results[name] = {**figures, "machine": machine()}
    FILE.write_text(json.dumps(dict(sorted(results.items())), indent=1) + "\n")
