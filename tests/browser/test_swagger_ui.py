"""Swagger UI in Debian's Chromium, with no other host reachable: a person picks a photo and tries out /predict."""

import json

import pytest

from tests.browser.conftest import visit
from tests.conftest import CHELSEA


@pytest.fixture
def page(browser, untrained_url):
    with visit(browser, untrained_url, viewport={"width": 1200, "height": 1400}) as page:
        page.goto(f"{untrained_url}/docs")
        page.wait_for_selector("#operations-photos-post_predict_predict_post")
        yield page


def try_out(page, operation: str):
    block = page.locator(operation)
    block.locator(".opblock-summary-control").first.click()
    block.locator("input[type=file]").wait_for()
    block.locator("input[type=file]").set_input_files(CHELSEA)
    return block


def answer_of(block) -> str:
    block.locator("button.execute").click()
    block.locator(".live-responses-table .response .response-col_status").wait_for()
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


def test_no_other_host_was_contacted(page):
    page.wait_for_load_state("networkidle")
    assert page.elsewhere == []
