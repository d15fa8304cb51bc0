"""API keys that change, pages of other origins, headers, and what answers reveal about the internals."""

import json
import logging
from http.server import BaseHTTPRequestHandler

import httpx2
import pytest

from app.middleware.api_keys import ApiKeys
from app.settings import Settings
from tests.conftest import COMMAND, listening, ready_client, serving
from tests.conftest import command as run


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_keys_of_the_settings_and_of_the_file_are_accepted_and_no_other_keys(tmp_path):
    file = tmp_path / "keys"
    file.write_text("# the shop\nbeta\n\n  gamma  \n")
    keys = ApiKeys(Settings(api_keys=("alpha",), api_keys_file=file))
    assert keys
    assert all(keys.accepts(key) for key in ("alpha", "beta", "gamma"))
    assert not any(keys.accepts(key) for key in ("", "bet", "beta ", "# the shop", "ключ"))


def test_without_keys_there_is_nothing_to_check():
    assert not ApiKeys(Settings())


@pytest.mark.promise("P52")
def test_keys_are_replaced_while_the_service_runs(tmp_path):
    file, clock = tmp_path / "keys", Clock()
    file.write_text("old\n")
    keys = ApiKeys(Settings(api_keys_file=file), clock)
    file.write_text("old\nnew\n")
    assert not keys.accepts("new"), "the file is not looked at for every request"
    clock.now += 1
    assert keys.accepts("new")
    assert keys.accepts("old")
    replaced = tmp_path / "keys.new"
    replaced.write_text("new\n")
    replaced.rename(file)
    clock.now += 1
    assert not keys.accepts("old")
    assert keys.accepts("new")


def test_a_file_of_keys_that_has_not_changed_is_not_read_again(tmp_path, caplog):
    file, clock = tmp_path / "keys", Clock()
    file.write_text("only\n")
    keys = ApiKeys(Settings(api_keys_file=file), clock)
    with caplog.at_level(logging.INFO, "catscope"):
        for _ in range(3):
            clock.now += 1
            assert keys.accepts("only")
        assert caplog.text == ""


@pytest.mark.promise("P51")
@pytest.mark.parametrize(
    "spoil",
    [lambda file: file.unlink(), lambda file: file.write_text("# none\n"), lambda file: file.write_bytes(b"\xff\xfe")],
)
def test_a_corrupted_key_file_opens_the_service_to_nobody(tmp_path, spoil, caplog):
    file, clock = tmp_path / "keys", Clock()
    file.write_text("only\n")
    keys = ApiKeys(Settings(api_keys_file=file), clock)
    spoil(file)
    clock.now += 1
    with caplog.at_level(logging.ERROR, "catscope"):
        assert keys.accepts("only")
        assert not keys.accepts("")
    assert "keeping the previous keys" in caplog.text
    assert keys


@pytest.mark.promise("P51")
@pytest.mark.parametrize("content", [None, "", "# none\n"])
def test_a_start_without_a_key_where_some_are_intended_is_refused(tmp_path, model_dir, content):
    file = tmp_path / "keys"
    if content is not None:
        file.write_text(content)
    result = run(model_dir=model_dir, api_keys_file=file)
    assert result.returncode == 1
    assert "CATSCOPE_API_KEYS_FILE" in result.stderr
    assert "Traceback" not in result.stderr


def test_keys_of_a_file_are_required_over_http(tmp_path, model_dir, cat_photo):
    file = tmp_path / "keys"
    file.write_text("beta\n")
    with ready_client(model_dir, api_keys_file=file) as client:
        assert client.post("/predict", files={"file": cat_photo}).status_code == 401
        assert client.post("/predict", files={"file": cat_photo}, headers={"X-API-Key": "beta"}).status_code == 200
        assert client.get("/openapi.json").json()["security"]
        assert client.get("/metrics").status_code == 200


OPEN = {"/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready", "/metrics"}


@pytest.mark.promise("P50")
def test_every_operation_needs_a_key_but_those_that_are_open(model_dir):
    with ready_client(model_dir, api_keys=("alpha",)) as client:
        paths = client.get("/openapi.json").json()["paths"]
        refused = {
            (method, path): client.request(method, path).status_code == 401
            for path, operations in paths.items()
            for method in operations
        }
    assert {path for (_, path), is_refused in refused.items() if not is_refused} == OPEN


@pytest.mark.promise("P16")
def test_each_key_has_a_limit_of_its_own(model_dir):
    with ready_client(model_dir, api_keys=("alpha", "beta"), rate_limit=1) as client:
        keys = ("alpha", "beta", "alpha")
        assert [client.get("/models", headers={"X-API-Key": key}).status_code for key in keys] == [200, 200, 429]


@pytest.mark.promise("P53")
def test_pages_of_other_origins_may_not_send_requests_unless_they_are_listed(client, model_dir):
    theirs = {"Origin": "https://cats.example"}
    preflight = theirs | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    assert "access-control-allow-origin" not in client.get("/models", headers=theirs).headers
    with ready_client(model_dir, cors_origins=("https://cats.example",), api_keys=("alpha",)) as named:
        preflight_response = named.options("/predict", headers=preflight)
        assert preflight_response.status_code == 200, "a browser sends no key with its question"
        assert preflight_response.headers["access-control-allow-origin"] == "https://cats.example"
        refused = named.post("/predict", headers=theirs)
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "https://cats.example", "the page may read the problem"
        other = named.get("/models", headers={"Origin": "https://dogs.example", "X-API-Key": "alpha"})
        assert "access-control-allow-origin" not in other.headers


@pytest.mark.promise("P54")
@pytest.mark.parametrize(
    "path", ["/", "/docs", "/models", "/health/live", "/metrics", "/openapi.json", "/nothing", "/web/main.js"]
)
def test_every_answer_says_what_a_browser_may_do_with_it(client, path):
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "script-src" not in policy or "'unsafe-inline'" not in policy.split("script-src")[1].split(";")[0]


@pytest.mark.promise("P49")
def test_an_answer_carries_the_clients_id_or_a_new_one(client):
    assert client.get("/models", headers={"X-Request-ID": "order-66"}).headers["x-request-id"] == "order-66"
    ids = {client.get("/models").headers["x-request-id"] for _ in range(5)}
    assert len(ids) == 5
    for bad in ("a b", "x" * 200, "a\u00e9", "<b>"):
        request_id = client.get("/models", headers={"X-Request-ID": bad.encode("latin-1")}).headers["x-request-id"]
        assert request_id != bad
        assert len(request_id) == 16


def test_log_lines_are_json_and_have_the_requests_id(model_dir, cat_photo):
    with serving(*COMMAND, model_dir=model_dir, log_format="json") as (process, url):
        headers = {"X-Request-ID": "order-66"}
        assert httpx2.post(f"{url}/predict?_x=%0Aforged", files={"file": cat_photo}, headers=headers).status_code == 200
        process.terminate()
        lines = [json.loads(line) for line in process.stderr.read().splitlines()]
    (line,) = [line for line in lines if line.get("request_id") == "order-66"]
    assert line["method"] == "POST"
    assert line["path"] == "/predict?_x=%0Aforged"
    assert line["status"] == 200
    assert line["received"] > len(cat_photo)
    assert {"time", "level", "logger", "message", "milliseconds", "sent", "client"} <= set(line)


@pytest.mark.promise("P49")
def test_log_lines_for_people_have_the_requests_id_too(model_dir, cat_photo):
    with serving(*COMMAND, model_dir=model_dir) as (process, url):
        httpx2.post(f"{url}/predict?_x=%0Aforged", files={"file": cat_photo}, headers={"X-Request-ID": "order-66"})
        process.terminate()
        log = process.stderr.read()
    (line,) = [line for line in log.splitlines() if "order-66" in line]
    assert "POST /predict?_x=%0Aforged 200 in " in line


def test_an_internal_error_has_its_traceback_in_the_log_beside_the_id(model_dir, cat_photo, monkeypatch, caplog):
    with ready_client(model_dir) as client, caplog.at_level(logging.ERROR, "catscope"):
        monkeypatch.setattr(client.app.state.service.networks["tutorial"], "run", lambda *_: 1 / 0)
        answer = client.post("/predict", files={"file": cat_photo})
    assert answer.status_code == 500
    assert answer.headers["x-request-id"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert "ZeroDivisionError" in caplog.text
    assert "Zero" not in answer.text


@pytest.mark.promise("P48")
def test_no_address_that_a_client_sends_is_fetched(client, cat_photo):
    asked: list[str] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(cat_photo)

    with listening(Elsewhere) as url:
        image = f"{url}/cat.png"
        svg = f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{image}"/></svg>'.encode()
        pixels = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [image]}
        answers = [
            client.post("/classify", json={"inputs": image}),
            client.post("/classify", json={"inputs": image, "url": image}),
            client.post("/classify", content=svg, headers={"Content-Type": "image/svg+xml"}),
            client.post("/predict", data={"file": image}),
            client.post("/predict", files={"file": (image, image.encode())}),
            client.post("/predict", params={"url": image}),
            client.post("/predict/batch", files=[("files", ("a", image.encode()))]),
            client.post("/v2/models/tutorial/infer", json={"inputs": [pixels]}),
        ]
        assert all(400 <= answer.status_code < 500 or answer.json()["results"][0]["error"] for answer in answers)
        assert asked == []
        assert httpx2.get(image).content == cat_photo
    assert asked == ["/cat.png"], "whoever had fetched it would have been seen"
