"""A benchmark's docstring comes in; the command line of one that draws from the photos that a manifest lists goes out."""

import argparse
from pathlib import Path


def parser(doc: str | None, name: str, draws: int) -> argparse.ArgumentParser:
    """The options that such benchmarks share: `--data`, `--manifests`, `--out`, by default benchmarks/`name`.json, and
    `--draws`, by default so many.
    """
    made = argparse.ArgumentParser(description=(doc or "").split("\n")[0])
    made.add_argument("--data", required=True, type=Path, help="folder that holds a folder for each split")
    made.add_argument("--manifests", required=True, type=Path, nargs="+", help="CSV files that say what each photo shows")
    made.add_argument("--out", type=Path, default=Path(f"benchmarks/{name}.json"))
    made.add_argument("--draws", type=int, default=draws)
    return made
