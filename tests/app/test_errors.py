"""The error table of the contract, row by row, against the real application."""

import anyio
import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.app.busy import Busy
from tests.conftest import encoded, ready_client


def post(client, data: bytes = b"x", path: str = "/predict", headers=None, **query):
    return client.post(path, params=query, files={"file": ("photo", data)}, headers=headers)


def check(response, status: int, *details: str) -> None:
    problem = response.json()
    assert response.status_code == status, problem
    assert response.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail"} <= set(problem)
    assert problem["status"] == status
    for detail in details:
        assert detail in problem["detail"]


@pytest.mark.promise("P50")
def test_401_when_keys_are_configured_and_none_was_sent(model_dir, cat_photo):
    with ready_client(model_dir, api_keys=("alpha", "beta")) as client:
        response = post(client, cat_photo)
        check(response, 401, "No key was sent")
        assert response.headers["www-authenticate"].startswith("Bearer")
        check(post(client, cat_photo, headers={"X-API-Key": "gamma"}), 401, "The key is not valid")
        check(client.get("/models"), 401)


@pytest.mark.parametrize(
    "headers", [{"X-API-Key": "beta"}, {"Authorization": "Bearer alpha"}, {"Authorization": "bearer beta"}]
)
def test_any_configured_key_is_accepted_in_either_header(model_dir, cat_photo, headers):
    with ready_client(model_dir, api_keys=("alpha", "beta")) as client:
        assert post(client, cat_photo, headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/docs", "/openapi.json"])
def test_probes_and_documentation_need_no_key(model_dir, path):
    with ready_client(model_dir, api_keys=("alpha",)) as client:
        assert client.get(path).status_code == 200


def test_404_for_an_unknown_network_names_the_existing_ones(client, cat_photo):
    check(post(client, cat_photo, network="lion"), 404, "'lion'", "dense, tutorial")
    check(post(client, cat_photo, "/feature-maps", network="lion"), 404)
    check(client.get("/models/lion"), 404)
    check(client.get("/models/lion/kernels/block1_conv"), 404)


def test_404_for_an_unknown_stage_of_a_path_names_the_convolutions(client):
    check(client.get("/models/tutorial/kernels/block9_conv"), 404, "is no stage", "block1_conv")
    check(client.get("/models/tutorial/kernels/block1_pool"), 404, "is a pooling stage", "block1_conv")
    check(client.get("/models/dense/kernels/flatten"), 404, "is a flatten stage", "dense1")


def test_404_for_an_unknown_path(client):
    check(client.get("/cats"), 404, "/cats")


def test_405_for_another_method_names_the_allowed_one(client):
    response = client.get("/predict")
    check(response, 405, "POST")
    assert response.headers["allow"] == "POST"


def test_413_for_a_body_that_announces_too_much(model_dir, cat_photo):
    with ready_client(model_dir, max_bytes=10_000) as client:
        check(post(client, cat_photo), 413, "at most 10000")


@pytest.mark.promise("P1")
def test_413_for_a_body_that_announces_nothing_and_sends_too_much(model_dir):
    def endless():
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(100):
            yield b"0" * 1000

    with ready_client(model_dir, max_bytes=10_000) as client:
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        check(client.post("/predict", content=endless(), headers=headers), 413, "has already sent", "at most 10000")


@pytest.mark.promise("P19")
def test_413_for_too_many_pixels(model_dir, cat_photo):
    with ready_client(model_dir, max_pixels=135_299) as client:
        check(post(client, cat_photo), 413, "451 x 300", "at most 135299")


@pytest.mark.parametrize("path", ["/predict", "/feature-maps"])
def test_415_for_a_file_that_is_not_a_readable_image(client, path):
    check(post(client, b"%PDF-1.7", path), 415, "8 bytes", "is PDF", "JPEG")
    check(post(client, b"", path), 415, "0 bytes")


@pytest.mark.parametrize("path", ["/predict", "/feature-maps"])
def test_422_for_a_broken_image(client, cat_photo, path):
    check(post(client, cat_photo[:5000], path), 422, "PNG", "broken")


@pytest.mark.parametrize("path", ["/predict", "/feature-maps"])
def test_422_for_a_missing_part(client, path):
    check(client.post(path), 422, "part file is missing")
    check(client.post(path, files={"photo": ("a.png", b"x")}), 422, "part file is missing")
    check(client.post(path, json={"file": "x"}), 422, "part file is missing")


def test_422_for_a_part_that_is_text_instead_of_a_file(client):
    check(client.post("/predict", data={"file": "text"}), 422, "file")


def test_422_for_a_body_that_is_not_multipart(client):
    check(client.post("/predict", content=b"junk", headers={"Content-Type": "multipart/form-data"}), 422, "body")
    check(client.post("/predict", content=b"junk", headers={"Content-Type": "multipart/form-data; boundary=x"}), 422)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"channels": 0}, "greater than or equal to 1"),
        ({"channels": 65}, "'65'"),
        ({"channels": "many"}, "'many'"),
        ({"feature_maps": "all"}, "'thumbnails', 'summary' or 'none'"),
        ({"heatmap": "perhaps"}, "'perhaps'"),
        ({"stages": "block9_relu"}, "no stage block9_relu; its stages are block1_conv"),
    ],
)
def test_422_for_a_parameter_out_of_range_says_what_was_received_and_what_is_accepted(client, cat_photo, query, message):
    check(post(client, cat_photo, **query), 422, message)


@pytest.mark.promise("P16")
def test_429_when_one_client_sends_too_much_says_when_to_retry(model_dir, cat_photo):
    with ready_client(model_dir, rate_limit=2) as client:
        assert [post(client, cat_photo).status_code for _ in range(2)] == [200, 200]
        response = post(client, cat_photo)
        check(response, 429, "The limit is 2 requests per minute")
        assert 1 <= int(response.headers["retry-after"]) <= 30
        assert client.get("/health/ready").status_code == 200, "probes are not counted"


def test_503_before_the_networks_are_loaded(model_dir, cat_photo):
    client = TestClient(create_app(Settings(model_dir=model_dir)))  # not entered: nothing was loaded
    for response in (client.get("/health/ready"), post(client, cat_photo), client.get("/models")):
        check(response, 503, "being loaded")
        assert response.headers["retry-after"] == "1"
        assert response.headers["x-catscope-ready"] == "false", "a proxy may ask another replica"
    assert client.get("/health/live").status_code == 200


def test_503_when_too_many_are_waiting_while_health_still_answers(model_dir, cat_photo):
    with ready_client(model_dir, threads=1, max_waiting=0) as client, Busy(client):
        response = post(client, cat_photo)
        check(response, 503, "The queue is full")
        assert "x-catscope-ready" not in response.headers, "a proxy is not to ask another replica"
        assert int(response.headers["retry-after"]) >= 1
        assert client.get("/health/ready").status_code == 200


@pytest.mark.promise("P10")
def test_504_after_waiting_longer_than_the_deadline(model_dir, cat_photo):
    with ready_client(model_dir, threads=1, max_waiting=5, deadline_s=0.05) as client, Busy(client):
        check(post(client, cat_photo), 504, "0.05 s")


def test_after_an_overload_the_service_answers_again(model_dir, cat_photo):
    with ready_client(model_dir, threads=1, max_waiting=0) as client:
        with Busy(client):
            assert post(client, cat_photo).status_code == 503
        client.portal.call(anyio.sleep, 0)  # the released slot is counted on the loop's next turn
        assert post(client, cat_photo).status_code == 200


@pytest.mark.promise("P47")
def test_an_internal_error_is_a_problem_too_and_reveals_nothing_internal(model_dir, cat_photo, monkeypatch):
    with ready_client(model_dir) as client:
        quiet = TestClient(client.app, raise_server_exceptions=False)
        monkeypatch.setattr(client.app.state.service.networks["tutorial"], "run", lambda *_: 1 / 0)
        response = post(quiet, cat_photo)
        check(response, 500, "A bug in Catscope")
        assert "division" not in response.text


@pytest.mark.promise("P47")
def test_no_answer_reveals_a_path_of_the_machine(client, model_dir, cat_image):
    for data in (b"junk", encoded(cat_image, "JPEG")[:800], b"\x89PNG\r\n\x1a\n"):
        assert str(model_dir) not in post(client, data).text
        assert "site-packages" not in post(client, data).text
