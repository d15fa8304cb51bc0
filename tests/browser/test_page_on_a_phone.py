"""The page on a phone, 390 pixels wide: what belongs together is on one screen."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import opened
from tests.browser.visitor import CAT, ask, rect, settled

HEIGHT = 844


@pytest.fixture
def phone(browser, url):
    options = {"viewport": {"width": 390, "height": HEIGHT}, "has_touch": True, "is_mobile": True}
    with opened(browser, url, "#network=tutorial&stage=block2_conv&channel=5", **options) as page:
        page.set_input_files("#file", CAT)
        settled(page)
        yield page


def visible(page, selector: str) -> float:
    """The share of an element's height that is on the screen."""
    box = page.locator(selector).first.bounding_box()
    top, bottom = max(0, box["y"]), min(HEIGHT, box["y"] + box["height"])
    return max(0.0, bottom - top) / box["height"]


def tap(page, across: float, down: float):
    box = page.locator(".surface").bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] * across, box["y"] + box["height"] * down)
    expect(page.locator("#sum h4")).to_contain_text(f"row {int(50 * down)}, column {int(50 * across)}")


def test_a_tapped_pixel_keeps_its_pictures_and_its_sum_on_the_screen(phone):
    phone.locator(".surface").scroll_into_view_if_needed()
    tap(phone, 0.61, 0.41)
    for selector in (".on-photo img", ".on-before img", ".surface", "#readout", "#sum h4", ".playing [data-step]"):
        assert visible(phone, selector) == 1, selector


def test_the_photo_the_patch_and_the_controls_stay_while_the_sum_is_read(phone, url):
    phone.locator(".surface").scroll_into_view_if_needed()
    tap(phone, 0.61, 0.41)
    phone.locator("#sum [data-part=difference]").scroll_into_view_if_needed()
    for selector in (".on-photo img", ".on-before img", "#readout", "[data-play]", "#sum tr[data-part=computed]"):
        assert visible(phone, selector) == 1, selector
    answer = ask(url, "explain/unit", network="tutorial", stage="block2_conv", channel=5, row=20, column=30)
    assert rect(phone, "on-photo") == answer["receptive_field"]
    phone.locator(".playing [data-step]").tap()
    expect(phone.locator("#sum h4")).to_contain_text(re.compile("row 20, column 31"))


def test_the_controls_stand_above_the_picture_that_they_move(phone):
    """Both are measured at once: the page may still be scrolling."""
    above, below = phone.evaluate(
        "[document.querySelector('.playing .buttons'), document.querySelector('.surface')]"
        ".map((part) => part.getBoundingClientRect())"
    )
    assert above["bottom"] <= below["top"]
