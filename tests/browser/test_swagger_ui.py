"""Swagger UI in Debian's Chromium, with no other host in reach: a person picks a photo and tries /predict out."""

import json
import shutil
import threading
import time

import pytest
import uvicorn

from tests.conftest import CHELSEA

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not shutil.which("chromium"), reason="Debian's chromium is not installed"),
]


@pytest.fixture(scope="module")
def url(model_dir):
    from app.main import create_app
    from app.settings import Settings

    server = uvicorn.Server(uvicorn.Config(create_app(Settings(model_dir=model_dir)), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not (server.started and server.servers[0].sockets):
        assert thread.is_alive()
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(20)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
        )
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, url):
    page = browser.new_page(viewport={"width": 1200, "height": 1400})
    page.elsewhere = []
    page.on("request", lambda request: request.url.startswith((url, "data:", "blob:")) or page.elsewhere.append(request.url))
    page.goto(f"{url}/docs")
    page.wait_for_selector("#operations-photos-post_predict_predict_post")
    yield page
    page.close()


def try_out(page, operation: str):
    block = page.locator(operation)
    block.locator(".opblock-summary-control").first.click()
    block.locator("input[type=file]").wait_for()
    block.locator("input[type=file]").set_input_files(CHELSEA)
    return block


def answer_of(block) -> str:
    block.locator("button.execute").click()
    block.locator(".live-responses-table .response .response-col_status").wait_for(timeout=20_000)
    return block.locator(".live-responses-table .response .response-col_status").inner_text()


def test_predict_can_be_tried_out_with_a_real_file(page):
    block = try_out(page, "#operations-photos-post_predict_predict_post")
    block.locator('tr[data-param-name="feature_maps"] select').select_option("none")
    assert answer_of(block).startswith("200")
    body = json.loads(block.locator(".live-responses-table .highlight-code code").first.inner_text())
    assert sum(body["probabilities"].values()) == pytest.approx(1, abs=1e-6)
    assert body["image"]["width"] == 451


def test_feature_maps_can_be_tried_out_with_a_real_file(page):
    block = try_out(page, "#operations-photos-post_feature_maps_feature_maps_post")
    assert answer_of(block).startswith("200")
    assert "x-probability-cat" in block.locator(".live-responses-table").inner_text()


def test_an_error_shows_its_problem(page):
    block = try_out(page, "#operations-photos-post_predict_predict_post")
    block.locator('tr[data-param-name="network"] input').fill("lion")
    assert answer_of(block).startswith("404")
    assert "There is no network 'lion'" in block.locator(".live-responses-table").inner_text()


def test_a_networks_kernels_can_be_tried_out_and_are_shown(page):
    block = page.locator("#operations-networks-get_kernels_models__network__kernels__stage__get")
    block.locator(".opblock-summary-control").first.click()
    assert answer_of(block).startswith("200")
    block.locator(".live-responses-table img").wait_for()


def test_no_other_host_was_asked_for_anything(page):
    page.wait_for_load_state("networkidle")
    assert page.elsewhere == []
