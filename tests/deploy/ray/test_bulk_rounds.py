"""What deploy/ray's driver does about photos that nothing answered, without Ray: stubs stand for it and for a cluster."""

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from unittest.mock import MagicMock

import pytest

STUBS = ("ray", "pyarrow", "pyarrow.compute", "pyarrow.parquet", "tqdm")
OURS = tuple(f"deploy.ray.{name}" for name in ("bulk", "classify", "photos", "results"))
BATCH = 4
GOOD = [f"{number}.jpg" for number in range(9)]


class Column(list):
    to_pylist = list.copy


@pytest.fixture
def bulk(monkeypatch) -> Iterator[ModuleType]:
    """deploy.ray.bulk on a cluster of which a process ends at every photo whose path has `crash` in it."""
    for name in STUBS:
        monkeypatch.setitem(sys.modules, name, MagicMock())
    module = importlib.import_module("deploy.ray.bulk")
    monkeypatch.setattr(module, "_round", answered)
    monkeypatch.setattr(module, "ended", lambda paths, shipment: {"path": Column(paths), "error": "ended"})
    yield module
    for name in OURS:
        sys.modules.pop(name, None)  # what holds the stubs must not be what others import


def answered(paths, shipment, max_pixels, size) -> Iterator[dict]:
    batches = [paths[begin : begin + size] for begin in range(0, len(paths), size)]
    yield from ({"path": Column(batch)} for batch in batches if not any("crash" in path for path in batch))


def rows(bulk: ModuleType, paths: list[str]) -> dict[str, str | None]:
    """Each path's error."""
    plan = bulk.Plan(chunk=100, batch=BATCH, part_rows=1, part_s=1, max_pixels=1, precision="auto")
    tables = list(bulk.answers(paths, None, plan))
    assert sum(len(table["path"]) for table in tables) == len(paths)
    return {path: table.get("error") for table in tables for path in table["path"]}


@pytest.mark.parametrize(
    "paths",
    [
        pytest.param([*GOOD, "crash1", "crash2"], id="among others, as in a first run"),
        pytest.param(["crash1"], id="one is all that is missing, as in the next run"),
        pytest.param(["crash1", "crash2"], id="two are"),
        pytest.param([f"crash{number}" for number in range(BATCH + 1)], id="more than a batch are"),
        pytest.param([*GOOD[:3], "crash1", *GOOD[3:6], "crash2"], id="one in every batch"),
    ],
)
def test_photos_that_crash_their_process_get_a_row_that_says_so_whatever_else_is_missing(bulk, paths):
    assert rows(bulk, paths) == {path: "ended" if "crash" in path else None for path in paths}


@pytest.mark.parametrize("count", [1, 2, BATCH, BATCH + 1])
def test_a_cluster_that_answers_nothing_is_to_blame_and_not_the_photos(bulk, monkeypatch, count):
    monkeypatch.setattr(bulk, "_round", lambda *arguments: iter(()))
    with pytest.raises(bulk.BulkError, match="No batch of photos was answered"):
        rows(bulk, GOOD[:count])


def test_where_no_photo_is_missing_the_cluster_is_not_asked(bulk, monkeypatch):
    monkeypatch.setattr(bulk, "_round", None)
    assert rows(bulk, []) == {}
