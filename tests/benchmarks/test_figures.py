"""The figures that benchmarks/README.md and the README quote are those of the committed results, and hold what they promise."""

import importlib
import json
import re

import pytest

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
BENCHMARKS = (ROOT / "benchmarks" / "README.md").read_text()
QUOTED = (
    "load",
    "start",
    "memory",
    "steps",
    "runtimes",
    "precision",
    "decoders",
    "growth",
    "scaling",
    "training",
    "classify",
)


def committed(name: str) -> dict:
    return json.loads((ROOT / "benchmarks" / f"{name}.json").read_text())


def table(name: str) -> str:
    return importlib.import_module(f"benchmarks.{name}").table(committed(name))


@pytest.mark.parametrize("name", QUOTED)
def test_a_benchmarks_table_is_the_one_that_was_measured(name):
    assert table(name) in BENCHMARKS


@pytest.mark.parametrize("name", ["load", "start", "memory"])
def test_the_readme_quotes_it_too(name):
    assert table(name) in README


@pytest.mark.parametrize("name", [*QUOTED, "peers", "cost", "audit", "page"])
def test_the_command_of_every_benchmark_stands_in_its_readme(name):
    assert re.search(rf"^\$ \S+ (-m benchmarks\.{name}|benchmarks/{name}\.py)\b", BENCHMARKS, re.M)


def test_memory_stays_below_200_mb_and_does_not_grow():
    found = committed("memory")
    assert found["answered"] >= 10_000
    assert found["after"] <= 200
    assert found["growth_over_the_last_half"] <= 2


def test_the_tables_of_other_servers_are_those_that_were_measured():
    from benchmarks.peers.table import short, tables

    assert tables(committed("peers")) in BENCHMARKS
    assert short(committed("peers")) in README


def test_phone_photos_are_answered_three_times_as_fast_as_by_any_server_set_up_as_documented():
    servers = committed("peers")["servers"]
    documented = {name: found["documented"]["mixes"]["phone"] for name, found in servers.items() if "documented" in found}
    assert len(documented) == 6
    assert min(found["ours_is_times"] for found in documented.values()) >= 3


def test_overload_is_told_at_once_and_breaks_nothing():
    for mix in committed("load")["mixes"].values():
        beyond = mix["loads"]["four_times"]
        assert beyond["slowest_refusal_ms"] <= 50
        assert beyond["broken"] == 0
        assert set(beyond["statuses"]) == {"200", "503"}
    mixes = committed("load")["mixes"]
    assert mixes["web"]["loads"]["four_times"]["of_peak"] >= 0.9
    assert mixes["phone"]["loads"]["four_times"]["of_peak"] >= 0.75  # 0.9 was aimed for, see benchmarks/README.md


def test_one_request_at_a_time_takes_little_more_than_its_work():
    for mix in committed("load")["mixes"].values():
        assert mix["alone"]["ratio"] <= 1.15


def test_all_pictures_cost_at_most_six_tenths_more():
    assert committed("load")["mixes"]["web"]["cost_of_everything"] <= 1.6


def test_training_does_not_wait_for_its_photos():
    for phase in committed("training")["phases"]:
        if "first epoch" not in phase["phase"]:
            assert phase["both_to_step"] >= 0.95


def test_the_service_is_ready_within_a_second():
    assert committed("start")["seconds_to_ready"]["median"] <= 1.0
