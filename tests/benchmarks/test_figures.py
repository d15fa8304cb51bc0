"""The figures that benchmarks/README.md and the README quote are those of the committed results, and hold what they promise."""

import importlib
import json
import re

import pytest

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
BENCHMARKS = (ROOT / "benchmarks" / "README.md").read_text()
QUOTED = ("start", "memory", "steps", "runtimes", "precision", "decoders", "growth")


def committed(name: str) -> dict:
    return json.loads((ROOT / "benchmarks" / f"{name}.json").read_text())


def table(name: str) -> str:
    return importlib.import_module(f"benchmarks.{name}").table(committed(name))


@pytest.mark.parametrize("name", QUOTED)
def test_a_benchmarks_table_is_the_one_that_was_measured(name):
    assert table(name) in BENCHMARKS


@pytest.mark.parametrize("name", ["start", "memory"])
def test_the_readme_quotes_it_too(name):
    assert table(name) in README


@pytest.mark.parametrize("name", [*QUOTED, "cost", "audit", "page"])
def test_the_command_of_every_benchmark_stands_in_its_readme(name):
    assert re.search(rf"^\$ \S+ (-m benchmarks\.{name}|benchmarks/{name}\.py)\b", BENCHMARKS, re.M)


def test_memory_stays_below_200_mb_and_does_not_grow():
    found = committed("memory")
    assert found["answered"] >= 10_000
    assert found["after"] <= 200
    assert found["growth_over_the_last_half"] <= 2


def test_the_service_is_ready_within_a_second():
    assert committed("start")["seconds_to_ready"]["median"] <= 1.0
