"""What HTTP asks of every path: HEAD beside GET, and bodies with a content coding."""

import gzip

import pytest

PATHS = ["/", "/docs", "/openapi.json", "/health/live", "/metrics", "/models", "/models/tutorial", "/web/style.css", "/v2"]


@pytest.mark.parametrize("path", PATHS)
def test_head_answers_as_get_without_a_body(client, path):
    get, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (get.status_code, b"") == (200, b"")
    for name in ("content-type", "content-security-policy", "content-length"):
        if path != "/metrics" or name != "content-length":
            assert head.headers.get(name) == get.headers.get(name), name


def test_head_is_refused_where_there_is_no_get(client):
    assert client.head("/predict").status_code == 405
    assert client.head("/nowhere").status_code == 404
    assert client.put("/models").headers["allow"] == "GET, HEAD"


@pytest.mark.promise("P9")
@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate, gzip", "GZIP"])
def test_a_compressed_body_is_refused_with_what_is_accepted(client, cat_photo, coding):
    answer = client.post("/classify", content=gzip.compress(cat_photo), headers={"Content-Encoding": coding})
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "identity")
    assert answer.json()["type"] == "urn:catscope:problem:unsupported-coding"


def test_the_coding_that_changes_nothing_is_taken(client, cat_photo):
    assert client.post("/classify", content=cat_photo, headers={"Content-Encoding": "identity"}).status_code == 200
