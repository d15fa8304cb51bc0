"""The service below a path: the setting, a proxy's header, and what may not be believed."""

import re
import socket

import pytest
from starlette.testclient import TestClient

from app.server.below_path import BelowPath
from app.server.sockets import listening_socket
from app.settings import Settings


def below(client, root: str = "", trusted: str = "127.0.0.1", address: str = "127.0.0.1") -> TestClient:
    return TestClient(BelowPath(client.app, root, trusted), client=(address, 5000), follow_redirects=False)


@pytest.fixture(params=["header", "setting, removed by the proxy", "setting, left by the proxy"])
def cats(client, request) -> tuple[TestClient, str]:
    """A client of the service below /cats, and what comes before each path on the way from the proxy to the service."""
    if request.param == "header":
        proxied = below(client)
        proxied.headers["X-Forwarded-Prefix"] = "/cats"
        return proxied, ""
    return below(client, "/cats"), "/cats" if "left" in request.param else ""


def test_page_api_and_documentation_work(cats, cat_photo):
    client, before = cats
    assert client.post(before + "/predict", files={"file": cat_photo}).status_code == 200
    assert client.get(before + "/web/style.css").status_code == 200
    page = client.get(before + "/").text
    assert not re.findall(r'(?:src|href)="/', page), "the page's own addresses are relative"
    swagger = client.get(before + "/docs").text
    links = re.findall(r'(?:src|href)="([^"]+)"', swagger)
    assert links
    assert all(link.startswith("/cats/docs/assets/") for link in links)
    assert "url: '/cats/openapi.json'" in swagger
    for link in links:
        assert client.get(before + link.removeprefix("/cats")).status_code == 200
    assert client.get(before + "/openapi.json").json()["servers"] == [{"url": "/cats"}]


def test_redirects_stay_below_it(cats):
    client, before = cats
    answer = client.get(before + "/models/")
    assert (answer.status_code, answer.headers["location"]) == (307, "http://testserver/cats/models")


def test_errors_are_those_of_the_path_below(cats):
    client, before = cats
    assert client.get(before + "/v2/models/lion").json()["error"] == client.get(before + "/v2/models/lion").json()["detail"]
    assert client.get(before + "/nowhere").status_code == 404


def test_a_path_that_begins_like_the_prefix_is_another(client, cat_photo):
    proxied = below(client)
    proxied.headers["X-Forwarded-Prefix"] = "/models"
    assert proxied.get("/models").json() == client.get("/models").json()
    assert below(client, "/mod").get("/models").status_code == 200


def test_the_path_itself_leads_to_the_page(client):
    answer = below(client, "/cats").get("/cats")
    assert (answer.status_code, answer.headers["location"]) == (307, "/cats/")


@pytest.mark.parametrize(
    "said", ["//evil.example", "/../x", "cats", "/a b", "/<script>", "/x?y", "https://evil.example", "/" + "x" * 101]
)
def test_what_is_no_path_is_ignored(client, said):
    answer = below(client).get("/docs", headers={"X-Forwarded-Prefix": said})
    assert answer.text == client.get("/docs").text


@pytest.mark.promise("P56")
def test_a_stranger_is_not_believed(client):
    answer = below(client, address="203.0.113.9").get("/docs", headers={"X-Forwarded-Prefix": "/cats"})
    assert answer.text == client.get("/docs").text
    assert "/cats/" in below(client, address="::ffff:127.0.0.1").get("/docs", headers={"X-Forwarded-Prefix": "/cats"}).text


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no sockets for both families here")
def test_two_colons_listen_on_both_families():
    with listening_socket(Settings(host="::", port=0)) as listening:
        listening.setblocking(True)
        port = listening.getsockname()[1]
        for address in ("127.0.0.1", "::1"):
            with socket.create_connection((address, port), timeout=20):
                listening.accept()[0].close()
