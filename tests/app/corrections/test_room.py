"""How much room kept photos take, and which of them make room for others."""

from contextlib import closing
from dataclasses import replace

import pytest

from app.corrections.records import CORRECTED, UNSURE
from app.corrections.store import open_store
from app.errors import NotFound, StoreUnavailable
from tests.app.corrections.kept import NOON, correction
from tests.conftest import ready_client

PHOTOS = [bytes([number]) * 10 for number in range(6)]


@pytest.fixture
def small(settings):
    """A store for three photos of 10 bytes."""
    store = open_store(replace(settings, keep_bytes=35))
    yield store
    store.close()


def unsure(store, number, **change):
    return store.add(correction(PHOTOS[number], None, time=NOON.replace(minute=number), **change), PHOTOS[number])


def corrected(store, number, photo=True):
    return store.add(correction(PHOTOS[number], time=NOON.replace(minute=number)), PHOTOS[number] if photo else None)


@pytest.mark.promise("P69")
def test_the_oldest_unsure_photos_make_room_for_another(small):
    first, second, third = (unsure(small, number) for number in range(3))
    fourth = unsure(small, 3)
    assert small.list() == [fourth, third, second]
    with pytest.raises(NotFound):
        small.photo(first.sha256)
    assert small.kept().bytes == 30


@pytest.mark.promise("P69")
def test_unsure_photos_make_room_for_corrections_and_corrections_for_nothing(small):
    kept = [corrected(small, 0), corrected(small, 1)]
    unsure(small, 2)
    kept.append(corrected(small, 3))
    assert small.list() == kept[::-1]
    for add in (corrected, unsure):
        with pytest.raises(StoreUnavailable) as full:
            add(small, 4)
        says = "The store is full: it keeps 30 bytes of photos, and with 10 more it would exceed CATSCOPE_KEEP_BYTES, 35."
        assert str(full.value) == says
    assert small.list() == kept[::-1]
    assert small.kept().photos == 3


def test_an_unsure_photo_that_was_corrected_since_stays(small):
    unsure(small, 0)
    right = corrected(small, 0)
    for number in range(1, 5):
        unsure(small, number)
    assert small.list(CORRECTED) == [right]
    assert small.photo(right.sha256) == PHOTOS[0]
    assert len(small.list(UNSURE)) == 2


def test_a_photo_that_is_kept_already_needs_no_room(small):
    for number in range(3):
        corrected(small, number)
    other = small.add(correction(PHOTOS[1], network="dense"), PHOTOS[1])
    assert small.get(other.id) == other
    corrected(small, 2, photo=False)
    assert small.kept().photos == 3


def test_a_photo_that_is_kept_already_needs_none_under_a_limit_that_was_lowered_either(settings):
    with closing(open_store(replace(settings, keep_bytes=0))) as store:
        kept = [corrected(store, number) for number in range(3)]
    with closing(open_store(replace(settings, keep_bytes=5))) as store:
        other = store.add(correction(PHOTOS[1], network="dense"), PHOTOS[1])
        assert store.get(other.id) == other
        assert store.kept().photos == len(kept)
        with pytest.raises(StoreUnavailable, match="it keeps 30 bytes of photos"):
            corrected(store, 3)


def test_a_photo_that_needs_the_room_of_many_drives_out_no_more_of_them(settings, monkeypatch):
    with closing(open_store(replace(settings, keep_bytes=65))) as store:
        kept = [unsure(store, number) for number in range(6)]
        times = []
        settle = store._removal._settle
        monkeypatch.setattr(store._removal, "_settle", lambda found, _: times.append(len(found)) or settle(found, []))
        large = store.add(correction(b"x" * 40, None, time=NOON.replace(minute=9)), b"x" * 40)
        assert store.list() == [large, kept[5], kept[4]]
        assert times == [4], "all at once"


def test_a_photo_that_is_larger_than_all_room_drives_nothing_out(small):
    kept = unsure(small, 0)
    with pytest.raises(StoreUnavailable, match="with 36 more it would exceed"):
        small.add(correction(b"x" * 36), b"x" * 36)
    small.add(correction(b"x" * 25), b"x" * 25)
    assert small.list(UNSURE) == [kept]


def test_a_photo_of_two_networks_is_gone_with_the_answers_of_both(small):
    unsure(small, 0)
    unsure(small, 0, network="dense")
    unsure(small, 1)
    small.add(correction(b"x" * 25, None), b"x" * 25)
    assert small.kept().photos == 2
    assert [one.sha256 for one in small.list(UNSURE)] == [correction(PHOTOS[1]).sha256, correction(b"x" * 25).sha256]


def test_without_a_limit_there_is_always_room(settings):
    store = open_store(replace(settings, keep_bytes=0))
    for number in range(6):
        unsure(store, number)
    assert store.kept().photos == 6
    store.close()


@pytest.mark.promise("P69")
def test_a_full_store_refuses_a_correction_and_answers_the_photo(model_dir, tmp_path, cat_photo):
    with ready_client(model_dir, store=tmp_path / "store", keep="corrections", keep_bytes=1000) as client:
        refused = client.post("/corrections", files={"file": cat_photo}, data={"label": "cat", "network": "tutorial"})
        assert refused.status_code == 503, refused.text
        assert "CATSCOPE_KEEP_BYTES, 1,000" in refused.json()["detail"]
        assert client.get("/corrections").json()["corrections"] == []
        assert client.post("/predict", files={"file": cat_photo}).status_code == 200
