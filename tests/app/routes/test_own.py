"""Who may change what is kept: people's own page and programs, and no page of another site."""

import pytest

from tests.conftest import ready_client

CHANGES = [
    ("POST", "/teach"),
    ("POST", "/corrections?label=cat"),
    ("DELETE", "/corrections?all=true"),
    ("DELETE", "/models/dense"),
]


@pytest.mark.promise("P53")
@pytest.mark.parametrize(("method", "path"), CHANGES)
@pytest.mark.parametrize("site", [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {}], ids=str)
def test_a_page_of_another_site_changes_nothing(model_dir, tmp_path, method, path, site):
    with ready_client(model_dir, store=tmp_path, keep="corrections") as client:
        headers = site | {"Origin": "https://elsewhere.example"}
        answer = client.request(method, path, headers=headers, files={"file": b"photo"} if method == "POST" else None)
        assert answer.status_code == 403
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert "CATSCOPE_CORS_ORIGINS" in answer.json()["detail"]
        assert client.get("/teach", headers=headers).status_code == 200


@pytest.mark.parametrize(("method", "path"), CHANGES)
@pytest.mark.parametrize(
    ("headers", "origins"),
    [
        ({}, ()),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://testserver"}, ()),
        ({"Sec-Fetch-Site": "none"}, ()),
        ({"Origin": "http://testserver"}, ()),
        ({"Origin": "https://friend.example"}, ("https://friend.example",)),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://friend.example"}, ("https://friend.example",)),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://anybody.example"}, ("*",)),
    ],
)
def test_others_are_heard(model_dir, tmp_path, method, path, headers, origins):
    with ready_client(model_dir, store=tmp_path, keep="corrections", cors_origins=origins) as client:
        answer = client.request(method, path, headers=headers, files={"file": b"photo"} if method == "POST" else None)
        assert answer.status_code != 403
