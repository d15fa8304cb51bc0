"""examples/fetch.html, from another origin than the service's."""

import functools
import sys
from http.server import SimpleHTTPRequestHandler

import httpx2
import pytest

from tests.conftest import ROOT, listening, serving

EXAMPLES = ROOT / "examples"
pytestmark = pytest.mark.browser


class Files(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_the_page_of_another_origin_shows_what_the_api_says(browser, no_photo):
    from playwright.sync_api import expect

    with (
        listening(functools.partial(Files, directory=EXAMPLES)) as page_at,
        serving(sys.executable, "-m", "app", cors_origins=page_at, log_level="error") as (_, url),
    ):
        answer = httpx2.post(
            f"{url}/predict?feature_maps=none", files={"file": (EXAMPLES / "chelsea.png").read_bytes()}
        ).json()
        page = browser.new_page()
        page.goto(f"{page_at}/fetch.html?url={url}")
        page.set_input_files("input", EXAMPLES / "chelsea.png")
        expect(page.locator("output")).to_have_text(f"cat, {answer['probabilities']['cat']:.4f}")
        page.set_input_files("input", no_photo)
        expect(page.locator("output")).to_contain_text("is text; accepted formats")
        page.close()
