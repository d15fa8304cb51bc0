"""/corrections: what people say is right is kept, listed, shown, exported and deleted, where the operator wants that."""

import io
import json
import logging
import shutil
import time
import zipfile
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app.corrections import keeper as keepers
from app.errors import StoreUnavailable
from tests.app.routes.test_classify_and_batch import predicted
from tests.conftest import encoded, ready_client, sha256

PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def unsure_dir(model_dir, tmp_path_factory):
    """The untrained networks, which are unsure of every photo."""
    folder = tmp_path_factory.mktemp("unsure") / "model"
    shutil.copytree(model_dir, folder)
    for path in folder.glob("*/contract.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"unsure": {"low": 0.0, "high": 1.0}}))
    return folder


@pytest.fixture(scope="module")
def keeping(unsure_dir, tmp_path_factory):
    """A service that keeps photos, for tests that leave it as it is."""
    with ready_client(unsure_dir, store=tmp_path_factory.mktemp("kept"), keep="unsure", network="tutorial") as client:
        yield client


@pytest.fixture
def client(keeping):
    """The same without any photos."""
    finished(keeping)
    assert keeping.delete("/corrections?all=true").status_code == 200
    return keeping


@pytest.fixture
def alone(unsure_dir, tmp_path):
    """A service that keeps photos, for a test that changes it."""
    with ready_client(unsure_dir, store=tmp_path / "store", keep="unsure", network="tutorial") as client:
        yield client


def finished(client) -> None:
    """Wait until the unsure photos that were answered are kept."""
    client.app.state.service.keeper._pool.submit(lambda: None).result()


def correct(client, photo: bytes, label: str = "cat", headers: dict | None = None, **options: str):
    return client.post("/corrections", files={"file": ("x", photo)}, data={"label": label} | options, headers=headers)


def listed(client, **query: object) -> list[dict]:
    return client.get("/corrections", params=query).json()["corrections"]


def check(response, status: int, *details: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == PROBLEM
    for detail in details:
        assert detail in response.json()["detail"]


def test_a_correction_says_what_the_network_said_and_what_is_right(client, cat_photo):
    answer = correct(client, cat_photo)
    assert answer.status_code == 201
    kept = answer.json()
    said = predicted(client, cat_photo)
    assert kept["probabilities"] == pytest.approx(said["probabilities"])
    assert (kept["verdict"], kept["network"], kept["version"]) == (said["verdict"], "tutorial", "0.0.1")
    assert (kept["kind"], kept["label"], kept["source"], kept["sha256"]) == ("corrected", "cat", "api", sha256(cat_photo))
    assert kept["time"] < kept["kept_until"]
    assert listed(client, kind="corrected") == [kept]
    assert client.get(f"/corrections/{kept['id']}").json() == kept


@pytest.mark.parametrize(
    ("headers", "source"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, "page"),
        ({"Origin": "http://testserver"}, "page"),
        ({}, "api"),
    ],
)
def test_it_says_where_it_came_from(client, cat_photo, headers, source):
    assert correct(client, cat_photo, headers=headers).json()["source"] == source


def test_a_photo_that_is_kept_may_be_named_instead_of_sent(client, cat_photo):
    digest = correct(client, cat_photo).json()["sha256"]
    by_query = client.post("/corrections", params={"sha256": digest, "label": "not_cat"})
    by_form = client.post("/corrections", files={"sha256": (None, digest), "label": (None, "cat")})
    by_both = client.post("/corrections", params={"label": "not_cat"}, files={"sha256": (None, digest)})
    assert [answer.status_code for answer in (by_query, by_form, by_both)] == [201] * 3
    assert listed(client) == [by_both.json()]
    check(client.post("/corrections", params={"sha256": "0" * 64, "label": "cat"}), 404, "is not kept")
    check(client.post("/corrections", params={"sha256": "../..", "label": "cat"}), 422, "sha256")


@pytest.mark.parametrize(
    ("options", "status", "details"),
    [
        ({"label": "dog"}, 422, ["'dog' is no class of network tutorial", "cat, not_cat"]),
        ({"label": "unsure"}, 422, ["cat, not_cat"]),
        ({"label": ""}, 422, ["cat, not_cat"]),
        ({"label": "cat", "network": "lion"}, 404, ["'lion'"]),
        ({"label": "cat", "version": "9"}, 404, ["'9'"]),
        ({"label": "cat", "lable": "cat"}, 422, ["did you mean label"]),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_kept(client, cat_photo, options, status, details):
    check(client.post("/corrections", files={"file": cat_photo}, data=options), status, *details)
    assert client.get("/corrections").json()["kept"]["photos"] == 0


def test_without_label_or_photo_it_is_refused(client, cat_photo):
    check(client.post("/corrections", files={"file": cat_photo}), 422, "label is missing")
    check(client.post("/corrections", params={"label": "cat"}), 422, "part file is missing")
    check(correct(client, b"no photo"), 415, "8 bytes")
    check(correct(client, cat_photo[:3000]), 422, "broken")
    assert client.get("/corrections").json()["kept"]["photos"] == 0


def test_deleting_undoes(client, cat_photo):
    first, second = (correct(client, cat_photo, label).json() for label in ("cat", "not_cat"))
    assert listed(client) == [second]
    assert client.delete(f"/corrections/{second['id']}").status_code == 204
    assert listed(client) == [first]
    assert client.delete(f"/corrections/{first['id']}").status_code == 204
    check(client.delete(f"/corrections/{first['id']}"), 404, first["id"])
    check(client.get(f"/corrections/{first['id']}/photo"), 404)
    assert client.get("/corrections").json()["kept"] | {"where": ""} == {
        "corrected": 0,
        "unsure": 0,
        "photos": 0,
        "bytes": 0,
        "days": 90,
        "where": "",
    }


def test_everything_is_deleted_only_if_that_is_said(client, cat_photo):
    correct(client, cat_photo)
    check(client.delete("/corrections"), 422, "all")
    check(client.delete("/corrections?all=false"), 422, "all")
    assert client.delete("/corrections?all=true").json() == {"deleted": 1}
    assert listed(client) == []


def test_a_list_is_filtered_and_paged(client, cat_image):
    photos = [encoded(cat_image.crop((0, 0, 50 + n, 50)), "PNG") for n in range(5)]
    kept = [correct(client, photo, network="dense" if n % 2 else "tutorial").json() for n, photo in enumerate(photos)][::-1]
    assert listed(client, network="dense") == [one for one in kept if one["network"] == "dense"]
    assert listed(client, day=kept[0]["time"][:10]) == kept
    assert listed(client, day="2020-01-01") == []
    page = client.get("/corrections?limit=3").json()
    assert page["corrections"] == kept[:3]
    rest = client.get("/corrections", params={"limit": 3, "after": page["next"]}).json()
    assert (rest["corrections"], rest["next"]) == (kept[3:], None)
    assert client.get("/corrections?limit=5").json()["next"] is None


@pytest.mark.parametrize(
    "query",
    [
        "kind=liked",
        "limit=0",
        "limit=1001",
        "after=x",
        "day=today",
        "day=2026-02-30",
        "day=0",
        "day=٢٠٢٦-01-01",
        "colour=red",
    ],
)
def test_a_parameter_out_of_range_is_refused(client, query):
    check(client.get(f"/corrections?{query}"), 422, query.partition("=")[0])


@pytest.mark.promise("P54")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIC"])
def test_the_photo_comes_back_with_its_own_type_and_no_other_meaning(client, cat_image, kind):
    photo = encoded(cat_image.resize((64, 64)), kind)
    answer = client.get(f"/corrections/{correct(client, photo).json()['id']}/photo")
    assert answer.content == photo
    assert answer.headers["content-type"] == f"image/{kind.lower()}"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"].startswith('attachment; filename="photo.')


@pytest.mark.promise("P39")
@pytest.mark.parametrize("identity", ["nothing", "..%2f..%2fetc%2fpasswd", "'; DROP TABLE catscope_corrections; --", "%00"])
def test_an_id_that_is_none_is_not_found(client, identity):
    for response in (client.get(f"/corrections/{identity}"), client.delete(f"/corrections/{identity}")):
        check(response, 404)


def test_the_export_has_every_photo_and_line(client, cat_photo, cat_image):
    other = encoded(cat_image, "JPEG")
    kept = [correct(client, cat_photo).json(), correct(client, other, "not_cat").json()]
    answer = client.get("/corrections/export")
    assert answer.headers["content-type"] == "application/zip"
    file = zipfile.ZipFile(io.BytesIO(answer.content))
    assert set(file.namelist()) == {
        *(f"cat/{sha256(cat_photo)}.png", f"not_cat/{sha256(other)}.jpg", "corrections.jsonl"),
    }
    lines = [json.loads(line) for line in file.read("corrections.jsonl").splitlines()]
    assert [line["id"] for line in lines] == [kept[1]["id"], kept[0]["id"]]
    empty = zipfile.ZipFile(io.BytesIO(client.get("/corrections/export?kind=unsure").content))
    assert empty.namelist() == ["corrections.jsonl"]


@pytest.mark.promise("P43")
@pytest.mark.parametrize(
    ("settings", "name"),
    [({"keep": "corrections"}, "CATSCOPE_STORE"), ({"store": "somewhere"}, "CATSCOPE_KEEP"), ({}, "CATSCOPE_STORE")],
)
def test_where_it_is_off_every_path_says_by_which_setting(model_dir, tmp_path, cat_photo, settings, name):
    if "store" in settings:
        settings = settings | {"store": tmp_path / "somewhere"}
    with ready_client(model_dir, **settings) as client:
        for response in (
            correct(client, cat_photo),
            client.get("/corrections"),
            client.delete("/corrections?all=true"),
            client.get("/corrections/export"),
            client.get("/corrections/x"),
            client.delete("/corrections/x"),
            client.get("/corrections/x/photo"),
        ):
            check(response, 404, name)
    assert not list(tmp_path.rglob("corrections.db"))


def test_a_key_is_needed_where_keys_are(model_dir, tmp_path, cat_photo):
    with ready_client(model_dir, store=tmp_path, keep="corrections", api_keys=("alpha",)) as client:
        for response in (correct(client, cat_photo), client.get("/corrections"), client.delete("/corrections?all=true")):
            check(response, 401)


def test_an_unsure_answer_is_kept_for_review_once(client, cat_photo):
    for _ in range(3):
        assert predicted(client, cat_photo)["verdict"] == "unsure"
    finished(client)
    [kept] = listed(client)
    assert (kept["kind"], kept["label"], kept["network"], kept["sha256"]) == ("unsure", None, "tutorial", sha256(cat_photo))
    assert client.get(f"/corrections/{kept['id']}/photo").content == cat_photo


def test_of_a_walk_too_but_not_what_the_page_asks_later(client, cat_photo, cat_image):
    page = {"Sec-Fetch-Site": "same-origin"}
    client.post("/predict", files={"file": encoded(cat_image, "PNG")}, headers=page)
    assert client.post("/walk", files={"file": cat_photo}, headers=page).status_code == 200
    finished(client)
    assert [(one["sha256"], one["source"], one["kind"]) for one in listed(client)] == [(sha256(cat_photo), "page", "unsure")]


@pytest.mark.promise("P43")
def test_not_with_edits_nor_of_another_epoch_nor_unless_wanted(unsure_dir, tmp_path, client, cat_photo):
    mute = json.dumps([{"stage": "scores", "channel": 1, "bias": 0.0}])
    assert predicted(client, cat_photo, edits=mute)["verdict"] == "unsure"
    assert predicted(client, cat_photo, epoch=1)["verdict"] == "unsure"
    finished(client)
    assert listed(client) == []
    with ready_client(unsure_dir, store=tmp_path, keep="corrections", network="tutorial") as other:
        assert predicted(other, cat_photo)["verdict"] == "unsure"
        finished(other)
        assert listed(other) == []


def test_what_cannot_be_kept_does_not_change_the_answer_and_is_logged_once_a_minute(alone, cat_image, caplog):
    keeper = alone.app.state.service.keeper

    def fail(*_: object) -> None:
        raise StoreUnavailable("The disk is full.")

    keeper.store.add = fail
    with caplog.at_level(logging.WARNING, "catscope"):
        for width in range(50, 55):
            assert predicted(alone, encoded(cat_image.crop((0, 0, width, 50)), "PNG"))["label"] in ("cat", "not_cat")
        finished(alone)
        assert [record.message for record in caplog.records if "not kept" in record.message] == [
            "unsure photos that were not kept: 1; the last one because: The disk is full."
        ]
    assert keeper._pending_bytes == 0


def test_photos_that_wait_to_be_kept_are_bounded(alone, cat_photo, monkeypatch, caplog):
    monkeypatch.setattr(keepers, "MAX_PENDING_BYTES", len(cat_photo) - 1)
    with caplog.at_level(logging.WARNING, "catscope"):
        predicted(alone, cat_photo)
        finished(alone)
    assert listed(alone) == []
    assert "too many are waiting" in caplog.text


@pytest.mark.promise("P47")
def test_a_store_that_fails_is_a_503_and_photos_are_answered_all_the_same(alone, cat_photo, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device", "/secret/path")

    store = alone.app.state.service.keeper.store
    monkeypatch.setattr(store._rows, "connect", fail)
    monkeypatch.setattr(store._rows, "_living", fail)
    for response in (
        correct(alone, cat_photo),
        alone.get("/corrections"),
        alone.get("/corrections/export"),
        alone.delete("/corrections?all=true"),
        alone.delete(f"/corrections/{'0' * 24}"),
    ):
        check(response, 503, "No space left on device")
        assert response.headers["retry-after"] == "30"
        assert "secret" not in response.text
    assert alone.post("/predict", files={"file": cat_photo}).status_code == 200


@pytest.mark.promise("P45")
def test_what_was_kept_long_enough_is_deleted_at_the_start_even_if_nothing_is_kept_any_more(model_dir, tmp_path, cat_photo):
    with ready_client(model_dir, store=tmp_path, keep="corrections", keep_days=1) as client:
        kept = correct(client, cat_photo).json()
        store = client.app.state.service.keeper.store
        old = store.get(kept["id"])
        store.delete(kept["id"])
        store.add(replace(old, id="0" * 24, time=datetime(1970, 1, 1, tzinfo=UTC)), cat_photo)
    with ready_client(model_dir, store=tmp_path, keep="nothing", keep_days=1) as client:
        store = client.app.state.service.keeper.store
        for _ in range(600):
            if not store.kept().photos:
                break
            time.sleep(0.05)
        assert store.kept().photos == 0
    assert not [path for path in (tmp_path / "photos").rglob("*") if path.is_file()]
