"""The page in Debian's Chromium, offline: the guises, the keyboard, narrow screens, accessibility."""

import re

import httpx2
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import visit
from tests.browser.visitor import CAT, ask, settled, value

EXPERIMENTAL = {"label-content-name-mismatch": {"enabled": True}}
"""A rule of axe that is not on by default: what is seen on a control is also its name."""

# Act three: why a CNN.


def test_the_guises_show_every_networks_answer(page_with_cat, url):
    guises = ask(url, "guises")
    rows = page_with_cat.locator("table.guises tbody tr")
    assert rows.count() == 12
    for row, guise in zip(rows.all(), guises["guises"], strict=True):
        assert row.get_attribute("data-guise") == guise["guise"]
        shown = [value(cell) for cell in row.locator("td").all()]
        assert shown == [guise["networks"][name]["probabilities"]["cat"] for name in ("cat", "tutorial", "dense")]


def test_a_network_that_changes_its_mind_is_marked(page_with_cat, url):
    guises = ask(url, "guises")
    changed = sum(not answer["same"] for guise in guises["guises"] for answer in guise["networks"].values())
    assert changed > 0
    assert page_with_cat.locator("table.guises td.changed").count() == changed


def test_the_networks_are_shown_with_their_size(page_with_cat):
    head = page_with_cat.locator("table.guises thead").inner_text()
    assert "3,848,514 parameters" in head
    assert "30,000 numbers" in page_with_cat.locator("#why .lead").inner_text()


def test_the_visitor_says_whether_there_is_a_cat_and_right_answers_are_counted(page_with_cat, url):
    guises = ask(url, "guises")["guises"]
    for button, truth in (("Yes", "cat"), ("No", "not_cat")):
        page_with_cat.get_by_role("button", name=button, exact=True).click()
        right = {n: sum(one["networks"][n]["label"] == truth for one in guises) for n in ("cat", "tutorial", "dense")}
        expect(page_with_cat.locator("table.guises .kept td")).to_have_text([f"{n} of 12 times" for n in right.values()])
        assert page_with_cat.locator("table.guises .wrong").count() == 36 - sum(right.values())


def test_beside_each_guise_stands_how_often_a_network_is_right_in_it(page_with_cat, url):
    served = {one["network"]: one for one in httpx2.get(f"{url}/models").json()["networks"]}
    row = page_with_cat.locator('table.guises [data-guise="upside_down"]')
    shown = [value(figure) for figure in row.locator(".measured").all()]
    assert shown == [served[name]["guises"]["upside_down"] for name in ("cat", "tutorial", "dense")]
    assert f"all {served['cat']['photos']:,} validation photos" in page_with_cat.locator("#why-body").inner_text()


# Everywhere.


def test_each_act_shows_the_curl_command_that_asks_the_same(page_with_cat, url):
    commands = page_with_cat.locator("details.curl code").all_text_contents()
    assert {re.search(r"127\.0\.0\.1:\d+/([\w/]+)", command).group(1) for command in commands} == {
        "predict",
        "explain/stage",
        "explain/unit",
        "guises",
    }
    assert all(command.startswith("curl -F 'file=@chelsea.jpg' 'http://127.0.0.1:") for command in commands)


def test_the_whole_walk_works_without_a_mouse(page):
    def tab_to(selector):
        for _ in range(200):
            page.keyboard.press("Tab")
            if page.evaluate("what => document.activeElement.matches(what)", selector):
                assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", "focus is visible"
                return
        raise AssertionError(f"Tab never comes to {selector}")

    tab_to('[data-sample="chelsea.jpg"]')
    page.keyboard.press("Enter")
    settled(page)
    page.keyboard.press("]")
    expect(page.locator("#stage-title")).to_contain_text("block1")
    page.keyboard.press("[")
    expect(page.locator("#stage-title")).to_contain_text("stem")
    settled(page)
    tab_to(".channel")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    settled(page)
    channel = page.evaluate("document.activeElement.dataset.channel")
    expect(page.locator(".on-this figcaption")).to_have_text(f"stem, channel {channel}")
    tab_to(".surface")
    row, column = map(int, re.findall(r"\d+", page.locator("#readout").inner_text())[:2])
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#readout")).to_contain_text(f"row {row + 1}, column {column - 1}:")
    expect(page).to_have_url(re.compile(f"row={row + 1}&column={column - 1}"))
    shown = page.locator("#readout strong").inner_text()
    expect(page.locator("#sum h4")).to_contain_text(f"behind {shown}:")


@pytest.mark.parametrize("width", [360, 768])
def test_nothing_sticks_out_on_a_narrow_screen(browser, url, width):
    with visit(browser, url, viewport={"width": width, "height": 740}) as page:
        page.goto(f"{url}/#network=tutorial&stage=block2_conv")
        page.set_input_files("#file", CAT)
        settled(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        expect(page.locator("#sum tr[data-part=computed]")).to_be_visible()


def test_back_leads_to_the_previous_stage(tutorial):
    tutorial.locator('#ribbon [data-stage="block2_pool"]').click()
    expect(tutorial.locator("#stage-title")).to_contain_text("block2_pool")
    settled(tutorial)
    tutorial.go_back()
    expect(tutorial.locator("#stage-title")).to_contain_text("block1_conv")
    expect(tutorial).to_have_url(re.compile("channel=3&row=12&column=7"))
    settled(tutorial)
    tutorial.go_forward()
    expect(tutorial.locator("#stage-title")).to_contain_text("block2_pool")


@pytest.mark.parametrize(
    ("colours", "width"), [("light", 1200), ("dark", 1200), ("light", 375)], ids=["light", "dark", "phone"]
)
@pytest.mark.parametrize("when", ["empty", "walked", "about"])
def test_axe_finds_no_violation(browser, url, colours, width, when):
    from axe_playwright_python.sync_playwright import Axe

    with visit(browser, url, color_scheme=colours, viewport={"width": width, "height": 900}) as page:
        page.goto(f"{url}/#network=tutorial&stage=block1_conv")
        expect(page.locator("#network option").first).to_be_attached()
        if when == "walked":
            page.set_input_files("#file", CAT)
            settled(page)
        if when == "about":
            page.get_by_role("button", name="About this page").click()
        violations = Axe().run(page, options={"rules": EXPERIMENTAL}).response["violations"]
        assert [(one["id"], one["impact"], [node["html"][:120] for node in one["nodes"]]) for one in violations] == []


def test_axe_finds_no_violation_where_a_stage_is_one_large_picture(browser, url):
    from axe_playwright_python.sync_playwright import Axe

    with visit(browser, url, viewport={"width": 360, "height": 740}) as page:
        page.goto(f"{url}/#network=dense&stage=flatten")
        page.set_input_files("#file", CAT)
        settled(page)
        violations = Axe().run(page, options={"rules": EXPERIMENTAL}).response["violations"]
        assert [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in violations] == []
