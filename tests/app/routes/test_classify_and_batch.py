"""POST /classify and POST /predict/batch."""

import base64

import pytest

from tests.app.busy import Busy
from tests.conftest import encoded, ready_client


def text(photo: bytes) -> str:
    return base64.b64encode(photo).decode()


def predicted(client, photo: bytes, **query: object) -> dict:
    return client.post("/predict", files={"file": photo}, params={"feature_maps": "none"} | query).json()


def test_the_body_is_the_photo_and_the_likelier_label_comes_first(client, cat_photo):
    answer = client.post("/classify", content=cat_photo, headers={"Content-Type": "image/png"})
    expected = predicted(client, cat_photo)["probabilities"]
    scores = answer.json()
    assert {one["label"]: one["score"] for one in scores} == expected
    assert scores[0]["score"] >= scores[1]["score"]


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
def test_the_photo_may_be_sent_as_base64_in_json(client, cat_photo, prefix):
    expected = client.post("/classify", content=cat_photo).json()
    assert client.post("/classify", json={"inputs": prefix + text(cat_photo)}).json() == expected
    one = client.post("/classify", json={"inputs": text(cat_photo), "parameters": {"top_k": 1}}).json()
    assert one == expected[:1]


def test_another_network_is_asked_by_name(client, cat_photo):
    expected = predicted(client, cat_photo, network="dense")["probabilities"]
    assert {
        one["label"]: one["score"] for one in client.post("/classify?network=dense", content=cat_photo).json()
    } == expected
    assert client.post("/classify?network=lion", content=cat_photo).status_code == 404


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "not JSON"),
        (b"[]", "an object whose `inputs`"),
        (b"{}", "an object whose `inputs`"),
        (b'{"inputs": 5}', "an object whose `inputs`"),
        (b'{"inputs": "%%%"}', "not base64"),
        (b'{"inputs": "\xc3\xa9"}', "not base64"),
        (b'{"inputs": "aGk=", "parameters": {"top_k": 0}}', "top_k is 0"),
        (b'{"inputs": "aGk=", "parameters": "top_k"}', "`parameters` must be"),
        (b'{"inputs": "aGk=", "parameters": {"top_k": true}}', "top_k is True"),
        (b'{"inputs": "aGk=", "parameters": {"top_k": "x"}}', "top_k is x"),
        (b'{"inputs": "\\ud800"}', "JSON"),
    ],
)
def test_422_says_what_is_wrong_with_the_json(client, body, message):
    answer = client.post("/classify", content=body, headers={"Content-Type": "application/json; charset=utf-8"})
    assert answer.status_code == 422
    assert message in answer.json()["detail"]


def test_415_for_a_file_that_is_not_a_photo(client):
    assert client.post("/classify", content=b"junk").status_code == 415
    assert client.post("/classify", content=b"").status_code == 415
    assert client.post("/classify", json={"inputs": text(b"junk")}).status_code == 415


def batch(client, *photos: bytes, **query: object):
    return client.post("/predict/batch", files=[("files", ("a", photo)) for photo in photos], params=query)


def without_time(answer: dict) -> dict:
    return {key: value for key, value in answer.items() if key != "timings_ms"}


def test_a_batch_is_answered_in_the_order_in_which_it_was_sent(client, cat_image):
    photos = [encoded(cat_image.rotate(20 * turn), "JPEG") for turn in range(5)]
    results = batch(client, *photos).json()["results"]
    assert [without_time(one) for one in results] == [without_time(predicted(client, photo)) for photo in photos]
    assert all(one["feature_maps"] == [] for one in results)


def test_one_bad_photo_fails_only_itself(client, cat_photo):
    answer = batch(client, cat_photo, b"junk", cat_photo[:3000], cat_photo)
    assert answer.status_code == 200
    first, junk, broken, last = answer.json()["results"]
    assert without_time(first) == without_time(last)
    assert (junk["error"]["status"], broken["error"]["status"]) == (415, 422)
    assert junk["error"]["type"] == "urn:catscope:problem:unsupported-image"


def test_a_batch_answers_what_predict_answers_if_asked_to(client, cat_photo):
    query = {"network": "tutorial", "feature_maps": "thumbnails", "stages": "block1_relu", "channels": 2, "heatmap": True}
    (one,) = batch(client, cat_photo, **query).json()["results"]
    assert without_time(one) == without_time(predicted(client, cat_photo, **query))


def test_422_for_an_empty_batch_one_that_is_too_large_and_an_unknown_stage(client, cat_photo):
    assert "part files is missing" in client.post("/predict/batch", files={"file": cat_photo}).json()["detail"]
    assert "33 parts files; at most 32" in batch(client, *[b"x"] * 33).json()["detail"]
    assert batch(client, cat_photo, stages="block9").status_code == 422
    assert batch(client, *[b"x"] * 32).status_code == 200


def test_a_batch_that_meets_a_full_queue_is_refused(model_dir, cat_photo):
    with ready_client(model_dir, threads=1, max_waiting=0) as client:
        assert [one["label"] for one in batch(client, *[cat_photo] * 4).json()["results"]], "one at a time, there is room"
        with Busy(client):
            assert batch(client, cat_photo).status_code == 503
