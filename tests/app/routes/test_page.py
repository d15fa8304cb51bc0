"""GET / and what it loads: light, complete, and with a policy that allows it to reach only this service."""

import re

import numpy as np
import pytest

from app.inference.drawing import colours
from tests.conftest import ROOT, ready_client, sha256

WEB = ROOT / "app" / "web"
FILES = sorted(path for path in WEB.rglob("*.*") if path.parent.name != "samples")
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def test_the_root_is_the_page(client):
    response = client.get("/")
    assert response.headers["content-type"].startswith("text/html")
    assert response.text == (WEB / "index.html").read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_of_the_page_is_served_with_its_content_type(client, path):
    response = client.get(f"/web/{path.relative_to(WEB)}")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith(TYPES[path.suffix])
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.promise("P54", "P55")
@pytest.mark.parametrize("path", ["/", "/web/main.js", "/web/samples/chelsea.jpg"])
def test_a_strict_policy_comes_with_everything(client, path):
    policy = client.get(path).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


def weight(files) -> int:
    only_types = ("types.js", "units.js")  # which browsers never load
    return sum(path.stat().st_size for path in files if path.name not in only_types)


LESSON, LEARNED, BESIDE, TEACH, CORRECT = (
    {path for path in FILES if path.parent.name == folder and path.name != "door.js"}  # which loads the others
    for folder in ("lesson", "learned", "beside", "teach", "correct")
)
SHEET = {WEB / "basics" / "sheet.js"}
"""Which they load their style with."""
LATER = {WEB / "teach" / name for name in ("result.js", "camera.js", "evidence.js")}
"""Which Teach loads when they are needed."""
REPLAY = {WEB / "replay.js"}
"""Which reads and writes downloaded walks."""
CHART = {WEB / "learned" / "chart.js"}
"""Which the lesson draws with, too."""


def test_the_page_itself_is_smaller_than_220_kilobytes():
    later = LESSON | LEARNED | BESIDE | TEACH | CORRECT | SHEET | REPLAY
    assert weight(set(FILES) - later) < 220_000


def test_what_is_loaded_when_it_is_opened_is_small_too():
    assert weight(LESSON | CHART) < 50_000
    assert weight(LEARNED) < 36_000
    assert weight(BESIDE | SHEET) < 18_000
    assert weight((TEACH | SHEET) - LATER) < 45_000
    assert weight(LATER) < 13_000
    assert weight(CORRECT) < 20_000
    assert weight(REPLAY) < 7_000


@pytest.mark.promise("P55")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_page_names_no_other_host(path):
    text = path.read_text().replace("http://www.w3.org/2000/svg", "")  # a namespace, which is never fetched
    assert not re.search(r"https?://|[\"'(]//\w", text)


def test_the_page_has_no_script_and_no_style_in_its_html():
    html = (WEB / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", html)


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".js"], ids=lambda path: path.name)
def test_every_module_can_be_read_in_one_sitting(path):
    assert path.read_text().startswith("/**"), "it says what it is for"
    assert len(path.read_text().splitlines()) <= 350


def test_a_file_of_the_page_that_has_not_changed_is_not_sent_again(client):
    tag = client.get("/web/main.js").headers["etag"]
    assert client.get("/web/main.js", headers={"If-None-Match": tag}).status_code == 304


def test_a_file_that_the_page_does_not_have_is_a_problem(client):
    response = client.get("/web/nothing.js")
    assert response.status_code == 404
    assert response.json()["type"] == "urn:catscope:problem:not-found"


def test_no_path_leads_out_of_the_pages_folder(client):
    assert client.get("/web/..%2fmain.py").status_code == 404
    assert client.get("/web/%2e%2e/settings.py").status_code == 404


def test_the_page_needs_no_key_where_keys_are_configured(model_dir):
    with ready_client(model_dir, api_keys=("alpha",)) as client:
        assert client.get("/").status_code == 200
        assert client.get("/web/main.js").status_code == 200
        assert client.get("/models").status_code == 401


def test_the_samples_are_the_ones_whose_hashes_the_page_knows():
    html = (WEB / "index.html").read_text()
    known = dict(re.findall(r'data-sample="([\w.]+)" data-sha256="(\w{64})"', html))
    assert known == {path.name: sha256(path.read_bytes()) for path in (WEB / "samples").iterdir()}


@pytest.mark.parametrize(("name", "ramp"), [("SEQUENTIAL", colours.SEQUENTIAL), ("DIVERGING", colours.DIVERGING)])
def test_the_page_draws_with_the_services_colours(name, ramp):
    anchors = re.search(rf"{name} = (\[.*?\]);", (WEB / "basics" / "palette.js").read_text(), re.DOTALL).group(1)
    theirs = np.array([list(map(int, one.split(", "))) for one in re.findall(r"\[([\d, ]+)\]", anchors)])
    ours = ramp[np.linspace(0, 254, len(theirs)).round().astype(int)]
    assert np.abs(theirs - ours.astype(int)).max() <= 1  # 254 steps do not divide evenly by four


def test_every_imported_module_exists():
    for path in FILES:
        for name in re.findall(r'from "(\.[\w./]+)"', path.read_text()):
            assert (path.parent / name).is_file(), f"{path.name} imports {name}"
