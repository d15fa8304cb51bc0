"""What is kept is found again, counts as it should, and is deleted when it should be, in every kind of store."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from app.corrections.records import new_id
from app.corrections.removal import BATCH
from app.corrections.store import MAX_LISTED, Kept, open_store
from app.errors import NotFound, StoreUnavailable
from app.settings import Settings
from tests.app.corrections.kept import NOON, correction
from tests.conftest import sha256

SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


def test_a_correction_and_its_photo_come_back_as_they_were_kept(store):
    kept = store.add(correction(label="cat's é\n<b>"), b"photo")
    assert store.list() == [kept]
    assert store.get(kept.id) == kept
    assert store.photo(kept.sha256) == b"photo"
    assert store.kept() == Kept(corrected=1, unsure=0, photos=1, bytes=5)


def test_another_process_finds_it(store, settings):
    kept = store.add(correction(), b"photo")
    other = open_store(settings)
    assert other.list() == [kept]
    assert other.photo(kept.sha256) == b"photo"
    other.close()


def test_the_latest_of_a_photo_and_network_counts_and_undo_brings_the_one_before_back(store):
    unsure = store.add(correction(label=None), b"photo")
    wrong = store.add(correction(label="not_cat", time=NOON + SECOND), b"photo")
    right = store.add(correction(label="cat", time=NOON + 2 * SECOND))
    of_another = store.add(correction(network="dense"), b"photo")
    assert store.list() == [right, of_another]
    assert store.kept() == Kept(corrected=2, unsure=0, photos=1, bytes=5)
    store.delete(right.id)
    assert store.list() == [wrong, of_another]
    store.delete(wrong.id)
    assert store.list() in ([unsure, of_another], [of_another, unsure])
    assert store.get(unsure.id).label is None


def test_the_last_one_added_counts_even_if_a_clock_was_slow(store):
    first = store.add(correction(), b"photo")
    late = store.add(correction(label="not_cat", time=NOON - SECOND))
    assert store.list() == [late]
    store.delete(late.id)
    assert store.list() == [first]


def test_an_unsure_photo_is_kept_once_and_not_after_it_was_corrected(store):
    first = store.add(correction(label=None), b"photo")
    assert store.add(correction(label=None, time=NOON + SECOND), b"photo") == first
    corrected = store.add(correction(time=NOON + 2 * SECOND), b"photo")
    assert store.add(correction(label=None, time=NOON + 3 * SECOND), b"photo") == corrected
    assert store.list() == [corrected]


def test_a_photo_is_deleted_with_the_last_correction_that_needs_it(store):
    first = store.add(correction(), b"photo")
    second = store.add(correction(network="dense"), b"photo")
    store.delete(first.id)
    assert store.photo(second.sha256) == b"photo"
    store.delete(second.id)
    with pytest.raises(NotFound, match="is not kept"):
        store.photo(second.sha256)
    assert store.kept() == Kept(0, 0, 0, 0)


@pytest.mark.parametrize("identity", ["0" * 24, "", "'; DROP TABLE catscope_corrections; --", "../../etc", "\0"])
def test_what_is_not_there_is_not_found(store, identity):
    for ask in (store.get, store.delete, store.photo):
        with pytest.raises(NotFound):
            ask(identity)


def test_a_photo_that_is_left_out_has_to_be_kept_already(store):
    with pytest.raises(NotFound, match="send it"):
        store.add(correction())
    assert store.list() == []


def test_a_list_is_filtered_and_paged_the_latest_first(store):
    kept = [
        store.add(
            correction(b"%d" % n, None if n % 3 else "cat", "dense" if n % 2 else "tutorial", NOON + n * DAY / 4), b"%d" % n
        )
        for n in range(12)
    ][::-1]
    assert store.list() == kept
    assert store.list(kind="corrected") == [one for one in kept if one.label]
    assert store.list(network="dense") == [one for one in kept if one.network == "dense"]
    assert store.list(kind="unsure", network="dense") == [one for one in kept if not one.label and one.network == "dense"]
    today = [one for one in kept if one.time.date() == date(2026, 11, 29)]
    assert len(today) == 4
    assert store.list(day=date(2026, 11, 29)) == today
    assert store.list(day=date(2026, 11, 29), after=today[1].id) == today[2:]
    assert store.list(day=date(2026, 11, 29), after=kept[0].id) == today
    assert store.list(limit=5) == kept[:5]
    assert store.list(limit=5, after=kept[4].id) == kept[5:10]
    assert list(store.all("corrected")) == [one for one in kept if one.label]


@pytest.mark.parametrize("network", ["lion", "\0", "' OR 1=1 --", "%s", "?"])
def test_a_network_without_corrections_has_an_empty_list(store, network):
    store.add(correction(), b"photo")
    assert store.list(network=network) == []


@pytest.mark.parametrize("day", [date.min, date.max, date(1970, 1, 1)])
def test_a_day_without_corrections_is_empty(store, day):
    store.add(correction(), b"photo")
    assert store.list(day=day) == []


@pytest.mark.promise("P45")
def test_what_was_kept_for_its_days_is_deleted_and_the_rest_stays(settings):
    store = open_store(replace(settings, keep_days=30))
    shared = store.add(correction(b"shared", time=NOON - 40 * DAY), b"shared")
    old = store.add(correction(b"old", time=NOON - 30 * DAY - SECOND), b"old")
    young = store.add(correction(b"young", time=NOON - 30 * DAY + SECOND), b"young")
    again = store.add(correction(b"shared", "not_cat", time=NOON), b"shared")
    assert store.expire(NOON) == 2
    assert store.list() == [again, young]
    assert store.photo(shared.sha256) == b"shared"
    with pytest.raises(NotFound):
        store.photo(old.sha256)
    assert store.expire(NOON) == 0
    store.close()


def test_without_days_nothing_is_deleted(settings):
    store = open_store(replace(settings, keep_days=0))
    kept = store.add(correction(time=NOON - 10_000 * DAY), b"photo")
    assert store.expire(NOON) == 0
    assert store.list() == [kept]
    assert kept.kept_until(0) is None
    store.close()


def test_everything_is_deleted_in_several_batches(store):
    count = BATCH + 10
    for n in range(count):
        store.add(correction(b"%d" % (n // 2), time=NOON + n * SECOND), b"%d" % (n // 2))
    assert store.delete_all() == count
    assert store.list() == []
    assert store.kept() == Kept(0, 0, 0, 0)
    with pytest.raises(NotFound):
        store.photo(sha256(b"0"))


def test_a_limit_is_bounded(store):
    kept = [store.add(correction(time=NOON + n * SECOND, network=f"n{n}"), b"photo") for n in range(3)]
    assert store.list(limit=MAX_LISTED * 1000) == kept[::-1]
    assert store.list(limit=-5) == []


@pytest.mark.promise("P39")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "1"}, "is no id"),
        ({"id": new_id(NOON + DAY)}, "is no id of that time"),
        ({"sha256": "../../etc/passwd"}, "no SHA-256"),
        ({"kind": "liked"}, "kind 'liked'"),
        ({"source": "rumour"}, "source 'rumour'"),
        ({"label": None}, "has the label None"),
        ({"kind": "unsure"}, "has the label 'cat'"),
    ],
)
def test_what_is_no_correction_is_refused_and_nothing_is_kept(store, change, message):
    with pytest.raises(ValueError, match=message):
        store.add(replace(correction(), **change), b"photo")
    assert store.kept() == Kept(0, 0, 0, 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "CATSCOPE_STORE names no folder"),
        ({"keep_photos": "memory://a"}, "CATSCOPE_STORE names no folder"),
        ({"keep_photos": "memory://a", "keep_database": "mysql://b"}, "CATSCOPE_KEEP_DATABASE is 'mysql'"),
        ({"keep_photos": "memory://a", "keep_database": "postgresql://b/?lions=3"}, "CATSCOPE_KEEP_DATABASE is no address"),
        ({"keep_photos": "lion://a", "keep_database": "postgresql://b"}, "CATSCOPE_KEEP_PHOTOS is 'lion://a'"),
    ],
)
def test_a_place_that_cannot_be_used_is_refused_by_the_name_of_its_setting(settings, message):
    with pytest.raises(ValueError, match=message):
        open_store(Settings(**settings))


def test_where_it_is_kept_is_said_without_a_password():
    kept = Settings(keep_photos="memory://me:secret@bucket/a?token=secret", keep_database="postgresql://me:secret@host/db")
    assert open_store(kept).where == "photos in memory://bucket/a, the rest in PostgreSQL"


def test_tables_of_a_later_catscope_are_refused(store, settings):
    store.add(correction(), b"photo")
    with store._rows.writing() as rows:
        rows.run("INSERT INTO catscope_schema VALUES (99)")
    other = open_store(settings)
    with pytest.raises(StoreUnavailable, match="tables of version 99"):
        other.list()
