"""The lesson in front of a class: one act at a time, and a task sheet whose answers the page checks."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import opened, visit

ACTS = ("answer", "walk", "learned", "why")
PLACE = "#network=tutorial&stage=block1_pool&channel=8&row=35&column=10"


def seen(page) -> list[str]:
    return [act for act in ACTS if page.locator(f"#{act}").is_visible()]


def test_presenting_shows_one_act_at_a_time_and_the_keys_of_a_clicker_turn_them(browser, url):
    with opened(browser, url, f"?present&sample=chelsea{PLACE}") as page:
        expect(page.locator("table.guises")).to_be_attached()
        assert seen(page) == ["answer"]
        for act in ("walk", "learned", "why", "why"):
            page.keyboard.press("PageDown")
            assert seen(page) == [act]
            expect(page).to_have_url(re.compile(rf"\?present={act}&"))
        page.keyboard.press("PageUp")
        assert seen(page) == ["learned"]
        expect(page.locator("#lesson")).to_be_hidden()
        page.get_by_role("button", name="End").click()
        assert seen(page) == list(ACTS)
        assert "present" not in page.url


def test_a_link_presents_an_act_at_its_place_and_the_crosshair_stays_under_the_pointer(browser, url):
    with opened(browser, url, f"?present=walk&sample=chelsea{PLACE}") as page:
        expect(page.locator("#sum tr[data-part=computed]")).to_be_visible()
        assert seen(page) == ["walk"]
        surface = page.locator(".surface")
        surface.scroll_into_view_if_needed()
        box = surface.bounding_box()
        surface.hover(position={"x": box["width"] * 0.51, "y": box["height"] * 0.31})
        expect(page.locator("#readout")).to_contain_text("row 15, column 25")


@pytest.fixture
def sheet(browser, url):
    with visit(browser, url) as page:
        page.goto(f"{url}/web/lesson/sheet.html")
        expect(page.locator("#tasks li").first).to_be_visible()
        yield page
        assert page.elsewhere == []
        assert page.complaints == []


def test_the_sheet_has_a_task_of_each_step_and_45_minutes(sheet):
    minutes = [int(text.split()[-2]) for text in sheet.locator("#tasks h2").all_inner_texts()]
    assert len(minutes) == 8
    assert sum(minutes) == 45


def test_the_answers_of_the_sheet_are_checked_in_the_step_of_the_task(sheet):
    task = sheet.locator("#tasks li").nth(2)
    asked = task.locator("p").first.inner_text()
    task.get_by_role("link", name="Check it in step 3").click()
    step = sheet.locator("#lesson li:has([aria-expanded=true])")
    expect(step.locator(".task")).to_contain_text(asked)
    expect(step.get_by_role("button", name="Check")).to_be_visible()


def test_what_is_printed_has_no_buttons(sheet):
    sheet.emulate_media(media="print")
    assert sheet.get_by_role("button").count() == sheet.get_by_role("link").count() == 0
    expect(sheet.locator(".blank").first).to_be_visible()


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_axe_finds_no_violation_on_the_sheet(browser, url, colours):
    from axe_playwright_python.sync_playwright import Axe

    with visit(browser, url, color_scheme=colours, viewport={"width": 360, "height": 800}) as page:
        page.goto(f"{url}/web/lesson/sheet.html")
        expect(page.locator("#tasks li").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert [one["id"] for one in Axe().run(page).response["violations"]] == []
