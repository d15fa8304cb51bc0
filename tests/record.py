"""What a long test found, as figures that docs/reliability.md quotes: benchmarks/reliability.json, one entry a test."""

import json
from pathlib import Path

from benchmarks.clients import machine

FILE = Path(__file__).parent.parent / "benchmarks" / "reliability.json"


def record(name: str, **figures: object) -> None:
    """Keep the figures of one test that has passed, in place of those of its run before."""
    found = json.loads(FILE.read_text()) if FILE.exists() else {}
    found[name] = {**figures, "machine": machine()}
    FILE.write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n")


def table(found: dict) -> str:
    """What the long tests found, as a Markdown table."""
    lines = ["| test | what was found |", "|---|---|"]
    for name, figures in found.items():
        said = [f"{key.replace('_', ' ')} {_shown(value)}" for key, value in figures.items() if key != "machine"]
        lines.append(f"| {name} | {', '.join(said)} |")
    return "\n".join(lines)


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_shown(one)}" for key, one in value.items())
    return f"{value:,}" if isinstance(value, int | float) else str(value)
