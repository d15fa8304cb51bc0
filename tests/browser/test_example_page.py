"""examples/fetch.html, from another origin than the service's."""

import functools
import sys
from http.server import SimpleHTTPRequestHandler

import pytest

from tests.conftest import serving
from tests.test_examples import EXAMPLES, listening
from tests.test_examples import cat as cat
from tests.test_examples import no_photo as no_photo

pytestmark = pytest.mark.browser


class Files(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_the_page_of_another_origin_shows_what_the_api_says(browser, no_photo, cat):
    from playwright.sync_api import expect

    with (
        listening(functools.partial(Files, directory=EXAMPLES)) as page_at,
        serving(sys.executable, "-m", "app", cors_origins=page_at, log_level="error") as (_, url),
    ):
        page = browser.new_page()
        page.goto(f"{page_at}/fetch.html?url={url}")
        page.set_input_files("input", EXAMPLES / "chelsea.png")
        expect(page.locator("output")).to_have_text(f"cat, {cat:.4f}", timeout=30_000)
        page.set_input_files("input", no_photo)
        expect(page.locator("output")).to_contain_text("begins with 6e 6f 20 70", timeout=30_000)
        page.close()
