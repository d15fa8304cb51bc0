"""/docs and /openapi.json: Swagger UI without another host, with a file picker and an example for each endpoint."""

import re

import pytest

from tests.conftest import ready_client

ENDPOINTS = [
    ("/predict", "post"),
    ("/walk", "post"),
    ("/feature-maps", "post"),
    ("/feature-maps/{stage}", "post"),
    ("/predict/batch", "post"),
    ("/classify", "post"),
    ("/v2", "get"),
    ("/v2/health/live", "get"),
    ("/v2/health/ready", "get"),
    ("/v2/models/{network}", "get"),
    ("/v2/models/{network}/ready", "get"),
    ("/v2/models/{network}/infer", "post"),
    ("/v2/models/{network}/versions/{version}", "get"),
    ("/v2/models/{network}/versions/{version}/infer", "post"),
    ("/metrics", "get"),
    ("/explain/unit", "post"),
    ("/explain/stage", "post"),
    ("/explain/effects", "post"),
    ("/explain/step", "post"),
    ("/guises", "post"),
    ("/models", "get"),
    ("/models/{network}", "get"),
    ("/models/{network}/kernels/{stage}", "get"),
    ("/corrections", "post"),
    ("/corrections", "get"),
    ("/corrections", "delete"),
    ("/corrections/export", "get"),
    ("/corrections/{id}", "get"),
    ("/corrections/{id}", "delete"),
    ("/corrections/{id}/photo", "get"),
    ("/health/live", "get"),
    ("/health/ready", "get"),
]
OTHERS = ("/predict/batch", "/classify", "/corrections")
"""Endpoints for several photos, or for one that is not part of a form or may be left out."""
OF_A_PHOTO = [path for path, method in ENDPOINTS if method == "post" and path not in OTHERS and "/v2/" not in path]


@pytest.fixture(scope="module")
def document(client):
    return client.get("/openapi.json").json()


def test_swagger_ui_loads_nothing_from_another_host(client):
    page = client.get("/docs").text
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(links) >= 3
    assert all(link.startswith("/docs/assets/") for link in links)
    for link in links:
        assert client.get(link).status_code == 200
    assert "SwaggerUIBundle" in client.get("/docs/assets/swagger-ui-bundle.js").text


def test_the_home_page_links_to_swagger_ui(client):
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert 'href="docs"' in page.text, "relative, so that it is found behind a proxy's prefix too"


@pytest.mark.parametrize(("path", "method"), ENDPOINTS)
def test_every_endpoint_is_documented_with_a_summary(document, path, method):
    assert document["paths"][path][method]["summary"]


@pytest.mark.parametrize("path", OF_A_PHOTO)
def test_a_photo_is_chosen_with_a_file_picker(document, path):
    schema = document["paths"][path]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert schema["required"] == ["file"]
    file = schema["properties"]["file"]
    assert file["type"] == "string"
    assert file.get("format") == "binary" or file.get("contentMediaType") == "application/octet-stream"


@pytest.mark.parametrize(("path", "method"), ENDPOINTS)
def test_every_error_is_documented_as_a_problem(document, path, method):
    for status, entry in document["paths"][path][method]["responses"].items():
        if int(status) >= 400:
            assert entry["content"]["application/problem+json"]["schema"] == {"$ref": "#/components/schemas/Problem"}, status


@pytest.mark.parametrize("path", OF_A_PHOTO)
def test_a_photos_endpoints_document_the_whole_error_table(document, path):
    documented = {int(status) for status in document["paths"][path]["post"]["responses"]}
    assert documented == {200, 401, 404, 413, 415, 422, 429, 503, 504}


def test_the_example_of_an_answer_has_the_shape_of_an_answer(client, document, cat_photo):
    example = document["paths"]["/predict"]["post"]["responses"]["200"]["content"]["application/json"]["example"]
    answer = client.post("/predict?heatmap=true&input=true", files={"file": cat_photo}).json()

    def shape(value):
        if isinstance(value, dict):
            return {key: shape(item) for key, item in value.items()}
        return [shape(value[0])] if isinstance(value, list) and value else type(value).__name__

    assert shape(example) == shape(answer)


def test_swagger_ui_asks_for_a_key_where_keys_are_configured(model_dir, document):
    assert "security" not in document
    with ready_client(model_dir, api_keys=("alpha",)) as client:
        protected = client.get("/openapi.json").json()
    assert protected["security"] == [{"key": []}, {"bearer": []}]
    assert protected["components"]["securitySchemes"]["key"]["name"] == "X-API-Key"


def test_every_reference_of_the_document_resolves(document):
    names = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert names <= set(document["components"]["schemas"])
