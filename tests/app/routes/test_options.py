"""Options of a request: in the query or in the form, and what happens to names that nobody knows."""

import asyncio
import json

import pytest

from tests.app.telemetry.test_metrics import change, numbers
from tests.conftest import ROOT, ready_client


@pytest.fixture(scope="module")
def shipped():
    """The service with the shipped networks, of which `cat` is the default."""
    with ready_client(ROOT / "model") as client:
        yield client


def ask(client, photo: bytes, query: str = "", path: str = "/predict", **fields: str):
    return client.post(path + query, files={"file": photo}, data=fields)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/predict", "feature_maps=summary&stages=dense1&stages=scores&channels=2&heatmap=true&network=dense"),
        ("/explain/stage", "stage=block1_relu&channel=3&network=tutorial"),
        ("/explain/unit", "stage=block1_relu&row=3&column=5&channel=2&network=tutorial"),
    ],
)
def test_options_in_the_form_count_like_those_in_the_query(client, cat_photo, path, query):
    fields: dict[str, list[str]] = {}
    for pair in query.split("&"):
        name, value = pair.split("=")
        fields.setdefault(name, []).append(value)
    expected = client.post(f"{path}?{query}", files={"file": cat_photo}).json()
    answer = client.post(path, files={"file": cat_photo}, data=fields)
    assert answer.status_code == 200
    expected.pop("timings_ms", None)
    assert {name: value for name, value in answer.json().items() if name != "timings_ms"} == expected


def test_some_options_in_the_query_and_some_in_the_form(client, cat_photo):
    answer = ask(client, cat_photo, "?network=tutorial&feature_maps=summary", stages="block1_conv").json()
    assert answer["model"]["network"] == "tutorial"
    assert [stage["stage"] for stage in answer["feature_maps"]] == ["block1_conv"]


def test_an_option_in_the_form_is_checked_like_one_in_the_query(client, cat_photo):
    assert ask(client, cat_photo, network="lion").status_code == 404
    refused = ask(client, cat_photo, channels="65")
    assert (refused.status_code, "channels" in refused.json()["detail"]) == (422, True)


def test_an_option_that_is_no_text_is_refused(client, cat_photo):
    answer = client.post("/predict", files={"file": cat_photo, "network": b"\xff\xfe"})
    assert (answer.status_code, answer.json()["detail"]) == (422, "The option network is not text in UTF-8.")


def test_an_option_of_a_megabyte_is_refused(client, cat_photo):
    answer = ask(client, cat_photo, network="x" * 1_000_000)
    assert (answer.status_code, "at most 65536" in answer.json()["detail"]) == (422, True)


@pytest.mark.parametrize(
    ("path", "name", "near"),
    [
        ("/predict", "heatmaps", "heatmap"),
        ("/predict", "Network", "network"),
        ("/predict/batch", "feature_map", "feature_maps"),
        ("/explain/unit", "colum", "column"),
        ("/feature-maps", "stage", "stages"),
    ],
)
def test_a_misspelt_option_is_refused_with_the_nearest_that_is_known(client, cat_photo, path, name, near):
    part = "files" if path.endswith("batch") else "file"
    required = "?stage=scores&channel=0" if path == "/explain/unit" else "?"
    in_query = client.post(f"{path}{required}&{name}=1", files={part: cat_photo})
    assert (in_query.status_code, f"did you mean {near}?" in in_query.json()["detail"]) == (422, True)
    in_form = client.post(path + required, files={part: cat_photo}, data={name: "1"})
    assert (in_form.status_code, f"did you mean {near}?" in in_form.json()["detail"]) == (422, True)


@pytest.mark.parametrize("path", ["/models", "/models/tutorial", "/v2", "/v2/models/tutorial"])
def test_unknown_names_are_refused_without_a_photo_too(client, path):
    assert client.get(f"{path}?colour=red").status_code == 422


def test_names_that_caches_and_campaigns_add_are_ignored(client, cat_photo):
    assert ask(client, cat_photo, "?_=17&utm_source=mail&network=dense", _token="x").status_code == 200
    assert client.get("/models?_=17").status_code == 200


def test_a_photo_under_another_name_is_refused_with_the_names_that_came(client, cat_photo):
    answer = client.post("/predict", files={"image": cat_photo})
    assert answer.status_code == 422
    assert answer.json()["detail"] == "The part file is missing. The form has the part 'image'."
    many = client.post("/predict", files=[(f"photo{number}", cat_photo) for number in range(8)]).json()["detail"]
    assert "'photo4' and 3 more." in many


def test_probes_and_scrapers_may_add_what_they_like(client):
    assert client.get("/health/live?time=1").status_code == 200
    assert client.get("/metrics?name[]=up").status_code == 200


def test_the_page_keeps_its_own_names(client):
    assert client.get("/?lesson=3").status_code == 200


# Options that fit the network in the form, and not the default one

SPLIT = [
    ("/predict", "stages=block1_relu", 422),
    ("/predict", "epoch=1", 422),
    ("/predict", "heatmap_class=not_cat&epoch=1", 422),
    ("/predict/batch", "stages=block1_relu&feature_maps=summary", 422),
    ("/explain/unit", "stage=block1_conv&channel=0", 422),
    ("/explain/stage", "stage=block1_conv&channel=1", 422),
    ("/explain/effects", "stage=block5_relu&limit=2", 422),
    ("/explain/step", "stage=block1_conv&channel=0&truth=cat&learning_rate=0.001", 422),
    ("/feature-maps", "stages=block1_relu", 422),
    ("/feature-maps/block1_conv", "", 404),
]


def told(answer) -> object:
    """What was answered, without the time that it took."""
    if answer.headers["content-type"] != "application/json":
        return answer.content
    return json.loads(answer.content, object_hook=lambda found: {k: v for k, v in found.items() if k != "timings_ms"})


@pytest.mark.parametrize(("path", "query", "without"), SPLIT)
def test_a_network_in_the_form_counts_for_what_the_query_or_the_path_asks_of_it(shipped, cat_photo, path, query, without):
    files = {"files" if path.endswith("batch") else "file": cat_photo}
    form = {"network": "tutorial"} | dict(pair.split("=") for pair in query.split("&") if pair)
    in_query = shipped.post(f"{path}?{query}&network=tutorial", files=files)
    assert in_query.status_code == 200
    for answer in (
        shipped.post(f"{path}?{query}", files=files, data={"network": "tutorial"}),
        shipped.post(path, files=files, data=form),
    ):
        assert answer.status_code == 200, answer.text
        assert told(answer) == told(in_query)
    assert shipped.post(f"{path}?{query}", files=files).status_code == without


def test_a_version_in_the_query_is_one_of_the_network_in_the_form(shipped, cat_photo):
    version = shipped.get("/models/tutorial").json()["version"]
    assert version != shipped.get("/models/cat").json()["version"]
    answer = ask(shipped, cat_photo, f"?version={version}", network="tutorial").json()
    assert (answer["model"]["network"], answer["model"]["version"]) == ("tutorial", version)


@pytest.mark.parametrize(
    ("path", "status"),
    [("/predict?stages=lion", 422), ("/explain/unit?stage=lion&channel=0", 422), ("/feature-maps/lion", 404)],
)
def test_what_no_network_has_is_refused_by_the_network_in_the_form(shipped, cat_photo, path, status):
    for fields, named in (({"network": "tutorial"}, "tutorial"), ({}, "cat"), ({"edits": "[]"}, "cat")):
        answer = ask(shipped, cat_photo, path=path, **fields)
        assert (answer.status_code, f"etwork {named} " in answer.json()["detail"]) == (status, True), answer.text
    unknown = ask(shipped, cat_photo, path=path, network="lion")
    assert (unknown.status_code, "no network 'lion'" in unknown.json()["detail"]) == (404, True)


def test_a_request_that_is_answered_in_a_second_go_is_counted_once(shipped, cat_photo):
    before = numbers(shipped)
    assert ask(shipped, cat_photo, "?stages=block1_relu", network="tutorial").status_code == 200
    after = numbers(shipped)
    assert change(before, after, "catscope_requests_total", route="/predict", method="POST", status="200") == 1
    assert change(before, after, "catscope_answers_total", network="tutorial", precision="float32") == 1
    refused = ("catscope_requests_total", ("method", "POST"), ("route", "/predict"), ("status", "422"))
    assert after.get(refused) == before.get(refused)


def test_a_form_that_is_broken_says_so_whatever_else_is_refused(shipped, cat_photo):
    broken = {"content": b"no form", "headers": {"content-type": "multipart/form-data; boundary=x"}}
    for path in ("/predict", "/predict?stages=block1_relu"):
        answer = shipped.post(path, **broken)
        assert (answer.status_code, "The request body cannot be read" in answer.json()["detail"]) == (422, True)
    assert "There is no part or option 'netwrk'" in ask(shipped, cat_photo, "?epoch=1", netwrk="dense").json()["detail"]


def test_a_form_beyond_the_limit_is_too_large_whatever_else_is_refused(model_dir):
    with ready_client(model_dir, max_bytes=1000) as client:
        answer = client.post(
            "/predict?stages=lion",
            content=(bytes(1000) for _ in range(200)),
            headers={"content-type": "multipart/form-data; boundary=x"},
        )
        assert answer.status_code == 413


def unread(client, path: str, query: str = "", kind: str = "multipart/form-data; boundary=x") -> tuple[int, str, int]:
    """The status and the detail of a refusal, and how often the body was asked for; the client leaves then."""
    asked, sent = [], []

    async def left() -> dict:
        asked.append(1)
        return {"type": "http.disconnect"}

    async def send(message: dict) -> None:
        sent.append(message)

    headers = [(b"content-type", kind.encode()), (b"content-length", b"4000000")]
    scope = {"type": "http", "method": "POST", "path": path, "query_string": query.encode(), "headers": headers}
    scope |= {"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "scheme": "http", "http_version": "1.1"}
    asyncio.run(client.app(scope, left, send))
    return sent[0]["status"], json.loads(sent[1]["body"])["detail"], len(asked)


@pytest.mark.parametrize(
    ("path", "query", "status", "says"),
    [
        ("/predict", "network=lion", 404, "no network 'lion'"),
        ("/predict", "network=lion&stages=block1_relu", 404, "no network 'lion'"),
        ("/predict", "channels=65", 422, "channels"),
        ("/predict", "colour=red", 422, "colour"),
        ("/corrections", "label=cat", 404, "Nothing is kept here"),
        ("/teach", "", 404, ""),
    ],
)
def test_what_no_option_of_the_form_can_change_is_refused_before_the_photo_is_read(client, path, query, status, says):
    refused, detail, asked = unread(client, path, query)
    assert (refused, says in detail, asked) == (status, True, 0), detail


def test_what_is_no_form_is_not_read_for_its_options(client):
    status, detail, asked = unread(client, "/predict", "stages=lion", "image/png")
    assert (status, "lion" in detail, asked) == (422, True, 0)


@pytest.mark.parametrize("query", ["", "stages=lion"])
def test_a_body_that_ends_early_is_asked_for_once(client, query):
    status, detail, asked = unread(client, "/predict", query)
    assert (status, "it ended after 0 bytes" in detail, asked) == (422, True, 1)
