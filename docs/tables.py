"""Committed results and settings come in; the tables of the documentation go out, each into the one page that shows it.

    .venv/bin/python -m docs.tables

A table stands between `<!-- table NAME -->` and `<!-- end -->`, and docs.figures has what stands in a line. The tests in
tests/docs/test_figures.py hold the pages to what this writes, so run it after a benchmark, or after a setting has changed.
"""

import json
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from app.settings import Settings
from docs.figures import FIGURES, result

ROOT = Path(__file__).parent.parent
PAGES = (
    *(
        "docs/accuracy.md",
        "docs/command-line.md",
        "docs/deploy.md",
        "docs/learn.md",
        "docs/performance.md",
        "docs/reliability.md",
        "docs/teach.md",
        "docs/training.md",
    ),
    *("benchmarks/README.md", "deploy/ray/README.md"),
)
NETWORKS = ("cat", "tutorial", "dense")
BENCHMARKS = (
    *("load", "start", "memory", "page", "classify", "audit", "hostile", "steps", "runtimes", "precision", "decoders"),
    *("growth", "scaling", "training", "bulk", "detectors", "own_classes", "teach", "teach_load", "corrections", "int8"),
    *("install", "teach_int8", "cage"),
)


def main() -> None:
    """Write every table anew."""
    for page in PAGES:
        path = ROOT / page
        path.write_text(filled(path.read_text()))


def filled(text: str) -> str:
    """A page with each of its tables and figures as it should be."""

    def table(match: re.Match[str]) -> str:
        return f"<!-- table {match[1]} -->\n{TABLES[match[1]]()}\n<!-- end -->"

    def figure(match: re.Match[str]) -> str:
        return f"<!-- figure {match[1]} -->{FIGURES[match[1]]()}<!-- end -->"

    text = re.sub(r"<!-- table (\S+) -->\n.*?<!-- end -->", table, text, flags=re.S)
    return re.sub(r"<!-- figure (\S+) -->[^\n]*?<!-- end -->", figure, text)


def benchmark(name: str, function: str = "table", module: str = "") -> Callable[[], str]:
    """A function that makes a benchmark's table from its committed result."""
    return lambda: getattr(import_module(f"benchmarks.{module or name}"), function)(result(name))


def accuracy() -> str:
    """Every network on every set, and on the pooled sets in disguise."""
    metrics = {name: json.loads((ROOT / "model" / name / "metrics.json").read_text()) for name in NETWORKS}
    table: str = import_module("training.measuring.report").table(metrics, result("references"))
    return table


def held_out() -> str:
    """What `cat` gets right of each source that was held out when it was trained."""
    entries = json.loads((ROOT / "model" / "cat" / "history.json").read_text())["held_out"]
    rows = []
    for entry in entries:
        right = entry["right"]
        share = f"{right['value']:.3f} ({right['low']:.3f}–{right['high']:.3f})"
        rows.append(f"| {entry['source']} | {entry['class']} | {right['count']} | {share} |")
    return "\n".join(["| source | class | photos | answered right |", "|---|---|---|---|", *rows])


def twin() -> str:
    """How the twin of `cat` in integers answers beside the network."""
    known = json.loads((ROOT / "model" / "cat" / "contract.json").read_text())["int8"]["sets"]
    columns = ("photos", "right_float", "right", "changed", "handed_over", "right_alone", "changed_alone", "opposite_alone")
    total = {column: sum(one[column] for one in known.values()) for column in columns}
    rows = [
        f"| {name} | " + " | ".join(f"{one[column]:,}" for column in columns) + " |"
        for name, one in (known | {"all": total}).items()
    ]
    head = "| set | photos | right, in float | right | verdicts differ | left to it | alone: right | differ | opposite |"
    return "\n".join([head, "|---" * 9 + "|", *rows])


def mutation() -> str:
    """Of how many faults, put into each module on purpose, its tests notice how many."""
    table: str = import_module("tools.mutate").table(result("mutation"))
    return table


def settings() -> str:
    """Every setting of the service."""
    rows = [f"| `{name}` | {f'`{default}`' if default else 'none'} | {text} |" for name, default, text in Settings.table()]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows])


TABLES: dict[str, Callable[[], str]] = {
    **{name: benchmark(name) for name in BENCHMARKS},
    "bulk-on-paper": benchmark("bulk", "paper_table"),
    "decoders-fractions": benchmark("decoders", "fractions_table"),
    "decoders-restarts": benchmark("decoders", "restarts_table"),
    "unfamiliar": benchmark("teach", "unfamiliar_table"),
    "peers": benchmark("peers", "tables", "peers.table"),
    "peers-in-short": benchmark("peers", "short", "peers.table"),
    "accuracy": accuracy,
    "held-out": held_out,
    "mutation": mutation,
    "twin": twin,
    "settings": settings,
}


if __name__ == "__main__":
    main()
