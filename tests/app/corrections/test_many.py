"""A store of 100,000 corrections: a page reads its own rows, by an index, whatever is filtered and however far back."""

import itertools
from datetime import timedelta

import pytest

from app.corrections.database import Rows
from app.corrections.records import from_microseconds, microseconds, new_id, of_day
from app.corrections.store import open_store
from app.settings import Settings
from tests.app.corrections.kept import NOON
from tests.conftest import sha256

COUNT = 100_000
FILTERS = [
    dict(chosen)
    for size in range(5)
    for chosen in itertools.combinations(
        [
            ("kind", "unsure"),
            ("network", "dense"),
            ("day", (NOON - timedelta(days=3)).date()),
            ("after", of_day(NOON.date())[0] + "0" * 8),
        ],
        size,
    )
]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    opened = open_store(Settings(store=tmp_path_factory.mktemp("many"), keep_days=0))
    with opened._rows.writing() as rows:
        for n in range(COUNT):
            time = from_microseconds(microseconds(NOON) - n * 5_000_000)
            unsure, network = n % 4 == 0, "dense" if n % 5 == 0 else "tutorial"
            rows.run(
                "INSERT INTO catscope_corrections VALUES (?, ?, ?, ?, ?, '1.0.0', 'cat', '{\"cat\": 1.0}', 'api', ?, 1)",
                *(new_id(time), "unsure" if unsure else "corrected", sha256(b"%d" % n), None if unsure else "cat", network),
                microseconds(time),
            )
    yield opened
    opened.close()


def plans(monkeypatch, store, work) -> list[str]:
    """How SQLite runs each statement that selects, line by line."""
    asked = []
    everything = Rows.all

    def noted(rows: Rows, statement: str, *values: object) -> list:
        asked.append((statement, values))
        return everything(rows, statement, *values)

    with monkeypatch.context() as patch:
        patch.setattr(Rows, "all", noted)
        work()
    with store._rows.reading() as rows:
        return [line[3] for statement, values in asked for line in rows.all(f"EXPLAIN QUERY PLAN {statement}", *values)]


@pytest.mark.parametrize("chosen", FILTERS, ids=lambda chosen: "-".join(chosen) or "everything")
def test_a_page_is_read_by_an_index_and_not_sorted(monkeypatch, store, chosen):
    lines = plans(monkeypatch, store, lambda: store.list(limit=50, **chosen))
    assert len(lines) == 1
    assert "USING INDEX catscope_by_" in lines[0]
    assert "SCAN" not in lines[0] or not chosen, "without a filter the index itself is read, from its end"
    for column in chosen.keys() & {"kind", "network"}:
        assert f"{column}=?" in lines[0]
    assert ("id>? AND id<?" in lines[0]) == ("day" in chosen)


def test_deleting_one_and_what_has_expired_reads_no_other_rows(monkeypatch, store):
    first = store.list(limit=1)[0]
    lines = plans(monkeypatch, store, lambda: (store.delete(first.id), store.expire(NOON)))
    assert lines
    assert not [line for line in lines if line.startswith("SCAN catscope")]


def test_every_correction_is_on_one_page(store):
    ids = [one.id for one in store.all()]
    assert len(ids) == len(set(ids)) >= COUNT - 1
    assert ids == sorted(ids, reverse=True)
    assert store.kept().unsure + store.kept().corrected == len(ids)
