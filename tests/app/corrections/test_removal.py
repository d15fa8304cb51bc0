"""What is to be deleted is deleted, though photos cannot be, or somebody else is keeping them."""

from contextlib import closing
from datetime import timedelta

import pytest

from app.corrections import removal
from app.corrections.removal import SETTLED
from app.corrections.store import Kept, open_store
from app.errors import NotFound, StoreUnavailable
from app.settings import Settings
from tests.app.corrections.kept import NOON, correction
from tests.conftest import sha256

SECOND = timedelta(seconds=1)
LATER = NOON + timedelta(days=1000)


@pytest.fixture
def five(store):
    """Five corrections, the oldest first."""
    kept = []
    for number in range(5):
        photo = bytes([number])
        kept.append(store.add(correction(photo, time=NOON + number * SECOND), photo))
    return kept


@pytest.fixture
def undeletable(store, monkeypatch):
    """Digests of photos that cannot be deleted; and those that were to be, with the transactions that there had been."""
    those, tried, begun = set(), [], []
    delete, writing = store._photos.delete, store._rows.writing

    def refuse(digest: str) -> None:
        tried.append((digest, len(begun)))
        if digest in those:
            raise StoreUnavailable("Photos cannot be deleted where they are kept: Permission denied.")
        delete(digest)

    monkeypatch.setattr(store._photos, "delete", refuse)
    monkeypatch.setattr(store._rows, "writing", lambda: begun.append(None) or writing())
    return those, tried


@pytest.mark.promise("P45")
def test_a_photo_that_cannot_be_deleted_holds_up_no_other(store, five, undeletable, monkeypatch):
    monkeypatch.setattr(removal, "BATCH", 2)
    monkeypatch.setattr(removal, "BUSY_S", 600)
    those, _ = undeletable
    those |= {five[0].sha256, five[3].sha256}
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="Permission denied"):
            store.expire(LATER)
        assert store.list() == []
        assert store.kept() == Kept(corrected=0, unsure=0, photos=2, bytes=2), "what is there counts, and no more"
        for one in (five[1], five[2], five[4]):
            with pytest.raises(NotFound):
                store.photo(one.sha256)
        assert store.photo(five[3].sha256) == bytes([3])
    those.clear()
    assert store.expire(LATER) == 0
    assert store.kept().photos == 0


def test_a_photo_that_cannot_be_deleted_is_said_to_whoever_deletes_its_correction(store, five, undeletable):
    those, _ = undeletable
    those.add(five[2].sha256)
    with pytest.raises(StoreUnavailable, match="Permission denied"):
        store.delete(five[2].id)
    assert five[2] not in store.list()
    assert store.kept().photos == 5


def test_others_can_write_between_two_photos_that_are_deleted(store, five, undeletable):
    _, tried = undeletable
    assert store.delete_all() == 5
    assert len({transaction for _, transaction in tried}) == 5


def test_where_no_photo_can_be_deleted_not_all_are_tried(store, five, undeletable, monkeypatch):
    """Each may take its time to fail."""
    monkeypatch.setattr(removal, "BUSY_S", -1)
    those, tried = undeletable
    those |= {one.sha256 for one in five}
    with pytest.raises(StoreUnavailable):
        store.delete_all()
    assert len(tried) == 1
    assert (store.list(), store.kept().photos) == ([], 5)


@pytest.mark.promise("P42")
@pytest.mark.parametrize("first", ["expired", "written"])
def test_a_photo_is_kept_though_another_process_takes_it_for_what_a_killed_one_left(store, settings, monkeypatch, first):
    """Its clock is ahead, or this process was suspended for long."""
    write, times = store._photos.write, []

    def written(*arguments: object) -> None:
        times.append(None)
        if first == "written":
            write(*arguments)
        if len(times) == 1:
            with closing(open_store(settings)) as other:
                assert other.expire(NOON + SETTLED + SECOND) == 0
        if first == "expired":
            write(*arguments)

    monkeypatch.setattr(store._photos, "write", written)
    kept = store.add(correction(), b"photo")
    assert store.photo(kept.sha256) == b"photo"
    assert store.kept() == Kept(corrected=1, unsure=0, photos=1, bytes=5)
    store.delete(kept.id)
    with pytest.raises(NotFound):
        store.photo(sha256(b"photo"))


def test_a_database_of_another_encoding_answers_text(tmp_path, server):
    import psycopg

    url = server.database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE bytes ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    settings = Settings(store=tmp_path, keep_database=f"{url.rpartition('/')[0]}/bytes")
    with closing(open_store(settings)) as store:
        kept = store.add(correction(label="кот"), b"photo")
        assert store.list() == [kept]
        assert store.delete_all() == 1
        assert store.kept() == Kept(corrected=0, unsure=0, photos=0, bytes=0)
