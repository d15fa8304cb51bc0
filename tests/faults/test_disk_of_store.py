"""A store on a disk that is full: corrections are refused with a reason, photos are answered, and nothing is half-made."""

import sys

import httpx2
import pytest

from app.corrections.store import open_store
from app.settings import Settings
from tests.app.corrections.kept import correction
from tests.conftest import serving
from tests.faults.test_disk import NO_FILES, SERVE


@pytest.fixture(params=["nothing can be written", "photos cannot be written"])
def service(request, model_dir, tmp_path):
    """A service whose store has one correction, and its folder. The second disk has room for the database's small pages."""
    store = open_store(Settings(store=tmp_path))
    store.add(correction(), b"photo")
    limit = NO_FILES if request.param == "nothing can be written" else NO_FILES.replace("(0, 0)", "(200_000, 200_000)")
    with serving(sys.executable, "-c", limit + SERVE, model_dir=model_dir, store=tmp_path, keep="unsure", keep_days=0) as (
        process,
        url,
    ):
        yield url, store
        assert process.poll() is None
    store.close()


@pytest.mark.promise("P41")
def test_a_correction_is_refused_with_a_reason_and_the_photo_is_answered(service, cat_photo):
    url, store = service
    before = store.list()
    for _ in range(3):
        answer = httpx2.post(f"{url}/corrections", files={"file": cat_photo}, data={"label": "cat"}, timeout=60)
        assert answer.status_code == 503, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["type"] == "urn:catscope:problem:store-unavailable"
    assert httpx2.post(f"{url}/predict", files={"file": cat_photo}, timeout=60).status_code == 200
    assert store.list() == before
    assert store.photo(before[0].sha256) == b"photo"
    assert httpx2.get(f"{url}/corrections", timeout=60).status_code in (200, 503)
