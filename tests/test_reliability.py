"""docs/reliability.md quotes what was measured, names what there is, and its figures are those that were promised."""

import json
import re

from app.settings import Settings
from benchmarks import hostile
from tests.conftest import ROOT
from tests.record import FILE, table

PAGE = (ROOT / "docs" / "reliability.md").read_text()
FOUND = json.loads(FILE.read_text())


def test_the_tables_are_those_that_were_measured():
    assert table(FOUND) in PAGE
    assert hostile.table(json.loads((ROOT / "benchmarks" / "hostile.json").read_text())) in PAGE


def test_the_memory_is_the_one_that_was_measured():
    memory = json.loads((ROOT / "benchmarks" / "memory.json").read_text())
    assert f"{memory['after']:.0f} MB after {memory['answered']:,} photos" in PAGE


def test_every_hostile_file_was_refused_quickly_and_cheaply():
    for one in json.loads((ROOT / "benchmarks" / "hostile.json").read_text())["files"]:
        assert one["answer"] in ("413", "415", "422"), one
        assert one["milliseconds"] <= 50, one
        assert one["megabytes"] <= 50, one


def test_every_setting_that_it_names_is_one():
    known = {name for name, *_ in Settings.table()}
    assert set(re.findall(r"CATSCOPE_\w+", PAGE)) <= known


def test_no_long_test_lost_a_request_or_met_a_mistake():
    assert FOUND["sigterm under load"]["lost"] == 0
    assert FOUND["sigterm under load"]["times"] == 50
    assert FOUND["mutation fuzz"]["inputs"] >= 50_000
    assert not any(status.startswith("5") for status in FOUND["mutation fuzz"]["statuses"])
