"""Changing the network on the page: the answer moves to the API's, everything shown is the changed network's, and all comes back."""

import json
import re

import httpx2
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import opened
from tests.browser.test_page_as_a_whole import EXPERIMENTAL
from tests.browser.visitor import CAT, TUTORIAL, part, settled, table, value

UNIT = {"stage": "block1_conv", "channel": 3, "row": 12, "column": 7}
MUTE = {"stage": "block1_conv", "channel": 3, "mute": True}


def ask(url, path, edits, **query):
    """What the service answers about the cat if the chapter's network has these changes."""
    answer = httpx2.post(
        f"{url}/{path}",
        params={"network": "tutorial"} | query,
        files={"file": CAT.read_bytes()},
        data={"edits": json.dumps(edits)},
        timeout=60,
    )
    return answer.raise_for_status().json()


def cat(url, *edits):
    return ask(url, "predict", edits, feature_maps="none")["probabilities"]["cat"]


def answers(page, probability):
    """Wait until the answer says this, bit for bit; its bar then says the same."""
    shown = "probability => Number(document.querySelector('#result .probability')?.dataset.value) === probability"
    page.wait_for_function(shown, arg=probability)
    assert float(page.locator("#result .meter").get_attribute("aria-valuenow")) == probability


def everything(page):
    """All pictures and numbers of the answer and the walk, without the time that it took."""
    expect(page.locator("#changed")).not_to_have_attribute("aria-busy", "true")
    pictures = page.evaluate(
        "[...document.querySelectorAll('main img')].map((image) => image.src.replace(/^blob:.*/, 'blob'))"
    )
    sheets = page.evaluate("[...document.querySelectorAll('.channel')].map((one) => one.style.backgroundImage)")
    numbers = page.evaluate("[...document.querySelectorAll('.act [data-value]')].map((one) => one.dataset.value)")
    text = re.sub(r"\d+ ms:.*", "", page.locator("#walk").inner_text())
    return pictures, sheets, numbers, text


@pytest.fixture
def operated(tutorial):
    """The chapter's network with one channel muted."""
    tutorial.get_by_role("button", name="Mute channel 3").click()
    return tutorial


def test_muting_a_channel_moves_the_answer_to_the_services(operated, url):
    answers(operated, cat(url, MUTE))
    expect(operated.locator("#changed")).to_contain_text("With 1 change:")
    assert value(operated.locator("#changed")) == cat(url, MUTE)


def test_the_networks_own_answer_stays_as_a_ghost(operated, url):
    width = operated.locator("#result .meter .ghost").evaluate("one => one.style.width")
    assert float(width.removesuffix("%")) == pytest.approx(100 * cat(url), abs=0.001)


def test_a_muted_channel_looks_muted_and_its_sum_says_so(operated):
    expect(operated.locator('.channel[data-channel="3"].muted')).to_be_visible()
    expect(operated.get_by_role("button", name="Mute channel 3")).to_have_attribute("aria-pressed", "true")
    expect(operated.locator("#sum tr[data-part=muted]")).to_be_visible()
    assert part(operated, "computed") == 0


def test_it_stays_visible_that_the_network_is_changed(operated):
    expect(operated.get_by_role("button", name="1 change")).to_be_visible()
    operated.locator("#walk").evaluate("one => one.scrollIntoView({ block: 'end' })")
    expect(operated.locator("#changed")).to_be_in_viewport()


def test_a_whole_stage_is_muted(tutorial, url):
    tutorial.get_by_role("button", name="Mute the whole stage").click()
    answers(tutorial, cat(url, {"stage": "block1_conv", "mute": True}))
    expect(tutorial.locator(".channel.muted")).to_have_count(tutorial.locator(".channel").count())


def test_undo_and_redo_lead_back_and_forth(operated, url):
    answers(operated, cat(url, MUTE))
    operated.get_by_role("button", name="Undo").click()
    answers(operated, cat(url))
    operated.get_by_role("button", name="Redo").click()
    answers(operated, cat(url, MUTE))


@pytest.mark.parametrize("way", ["Undo", "Reset", "Mute channel 3"])
def test_what_is_taken_back_leaves_no_trace(tutorial, url, way):
    before = everything(tutorial)
    tutorial.get_by_role("button", name="Mute channel 3").click()
    answers(tutorial, cat(url, MUTE))
    changed = everything(tutorial)
    tutorial.get_by_role("button", name=way).click()
    answers(tutorial, cat(url))
    assert everything(tutorial) == before != changed


def test_the_key_m_mutes_the_chosen_channel(tutorial, url):
    tutorial.locator(".surface").focus()
    tutorial.keyboard.press("m")
    answers(tutorial, cat(url, MUTE))
    expect(tutorial.locator(".surface")).to_be_focused()
    tutorial.keyboard.press("m")
    answers(tutorial, cat(url))


def test_a_changed_weight_gives_the_sum_that_the_audit_gives(tutorial, url):
    tutorial.get_by_role("button", name="Change the filter").click()
    cell = tutorial.get_by_label("weight, row 1, column 2")
    source = int(tutorial.locator("#sum [data-source]").input_value())
    cell.fill("0.02")
    cell.press("Enter")
    kernel = ask(url, "explain/unit", [], **UNIT)["kernel"]
    kernel[1][2][source] = 0.02
    edits = [{"stage": "block1_conv", "channel": 3, "kernel": kernel}]
    answers(tutorial, cat(url, *edits))
    unit = ask(url, "explain/unit", edits, **UNIT)
    expect(tutorial.locator("#sum tr[data-part=computed] td")).to_have_attribute("data-value", str(unit["computed"]))
    assert [part(tutorial, name) for name in ("sum", "difference")] == [unit["sum"], unit["difference"]]
    assert table(tutorial, "kernel") == [[cell[source] for cell in row] for row in unit["kernel"]]
    expect(tutorial.get_by_label("weight, row 1, column 2")).to_be_focused()


@pytest.mark.parametrize("preset", ["blur", "edge", "random"])
def test_a_preset_keeps_the_sum_of_the_weights_magnitudes(tutorial, url, preset):
    own = ask(url, "explain/unit", [], **UNIT)["kernel"]
    tutorial.get_by_role("button", name="Change the filter").click()
    tutorial.get_by_role("button", name=preset, exact=True).click()
    command = tutorial.locator("#sum .curl code")
    expect(command).to_contain_text("edits=")
    (edit,) = json.loads(re.search(r"edits=(\[.*?\])'", command.text_content()).group(1))
    assert magnitude(edit["kernel"]) == pytest.approx(magnitude(own), rel=1e-4)
    answers(tutorial, cat(url, edit))


def magnitude(kernel):
    return sum(abs(weight) for row in kernel for cell in row for weight in cell)


def test_channels_are_sorted_by_what_muting_them_does(tutorial, url):
    tutorial.get_by_role("button", name="Sort by effect").click()
    effects = ask(url, "explain/effects", [], stage="block1_conv")["effects"]
    expect(tutorial.locator(".with-effect")).to_have_count(len(effects))
    shown = [int(one.get_attribute("data-channel")) for one in tutorial.locator(".with-effect .channel").all()]
    assert shown == [one["channel"] for one in effects]
    assert [value(one) for one in tutorial.locator(".with-effect small").all()] == [one["change"] for one in effects]
    tutorial.get_by_role("button", name="Sort by effect").click()
    order = [int(one.get_attribute("data-channel")) for one in tutorial.locator(".channel").all()]
    assert order == sorted(order)


def test_another_network_has_no_changes(operated, url):
    operated.select_option("#network", "dense")
    expect(operated.locator("#changed")).to_be_hidden()
    expect(operated.locator("#changes")).to_be_hidden()
    settled(operated)
    answers(operated, ask(url, "predict", [], network="dense", feature_maps="none")["probabilities"]["cat"])


def test_another_photo_meets_the_changed_network(operated):
    operated.get_by_role("button", name="a cup of coffee").click()
    settled(operated)
    expect(operated.locator("#changed")).to_contain_text("With 1 change:")
    expect(operated.locator("#result .meter .ghost")).to_be_attached()


def test_a_refused_change_is_taken_back(tutorial, url):
    tutorial.route("**/predict*", lambda route: route.fulfill(status=422, json={"detail": "That does not fit."}))
    tutorial.get_by_role("button", name="Mute channel 3").click()
    expect(tutorial.locator("#alert")).to_have_text("That does not fit.")
    expect(tutorial.get_by_role("button", name="Mute channel 3")).to_have_attribute("aria-pressed", "false")
    answers(tutorial, cat(url))


@pytest.mark.parametrize(
    ("colours", "width"), [("light", 1200), ("dark", 1200), ("light", 360)], ids=["light", "dark", "phone"]
)
def test_axe_finds_no_violation_in_a_changed_network(browser, url, colours, width):
    from axe_playwright_python.sync_playwright import Axe

    with opened(browser, url, TUTORIAL, color_scheme=colours, viewport={"width": width, "height": 900}) as page:
        page.set_input_files("#file", CAT)
        settled(page)
        page.get_by_role("button", name="Change the filter").click()
        page.get_by_role("button", name="edge", exact=True).click()
        page.get_by_role("button", name="Sort by effect").click()
        expect(page.locator(".with-effect").first).to_be_visible()
        page.locator('.channel[data-channel="5"]').click()
        page.keyboard.press("m")
        expect(page.locator("#changed")).to_contain_text("With 2 changes:")
        expect(page.locator("#changed")).not_to_have_attribute("aria-busy", "true")
        violations = Axe().run(page, options={"rules": EXPERIMENTAL}).response["violations"]
        assert [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in violations] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
