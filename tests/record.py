"""The results of long tests, which docs/reliability.md quotes: benchmarks/reliability.json, one entry per test."""

import fcntl
import json
import os
import tempfile
from pathlib import Path

from benchmarks.machine import machine

FILE = Path(__file__).parent.parent / "benchmarks" / "reliability.json"


def record(name: str, **figures: object) -> None:
    """Store the figures of one test that has passed, in place of those of its previous run. Several processes may do so at
    once, while others read the file.
    """
    with (Path(tempfile.gettempdir()) / f"catscope-{os.getuid()}-record.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        results = json.loads(FILE.read_text()) if FILE.exists() else {}
        results[name] = {**figures, "machine": machine()}
        complete = FILE.with_suffix(".part")
        complete.write_text(json.dumps(dict(sorted(results.items())), indent=1) + "\n")
        complete.replace(FILE)
