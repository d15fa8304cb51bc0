"""Two photos side by side: the same stage, channel and crosshair of both, every number the service's."""

import base64

import httpx2
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.conftest import opened
from tests.browser.visitor import CAT, COFFEE, COUNT, LARGEST, settled, value
from tests.conftest import encoded

PLACE = "#network=tutorial&stage=block1_conv&channel=8&row=40&column=30"


def ask(url, photo, path, **query) -> dict:
    return (
        httpx2.post(f"{url}/{path}", params=query, files={"file": photo.read_bytes()}, timeout=30).raise_for_status().json()
    )


def number(url, photo, row: int, column: int, stage: str = "block1_conv", channel: int = 8) -> float:
    plane = ask(url, photo, "explain/stage", network="tutorial", stage=stage, channel=channel)["plane"]
    values = np.frombuffer(base64.b64decode(plane["values"]), "<f4")
    return float(values[row * plane_width(stage) + column])


def plane_width(stage: str) -> int:
    return {"block1_conv": 100, "block1_pool": 50, "dense": 1}[stage]


def maps(page):
    return page.locator("#beside figcaption[data-value]")


def stands(page, where: str) -> None:
    expect(page.locator("#beside .readout")).to_have_text(where)
    settled_pair(page)


def settled_pair(page) -> None:
    """Wait until what is asked about the second photo is answered."""
    expect(page.locator("#beside .stage")).not_to_have_attribute("aria-busy", "true")


@pytest.fixture
def pair(browser, url):
    """Chelsea in the walk, beside her a cup of coffee that the address names."""
    with opened(browser, url, f"?beside=coffee{PLACE}") as page:
        page.set_input_files("#file", CAT)
        stands(page, "block1_conv, channel 8, row 40, column 30")
        yield page


def test_both_photos_have_the_services_numbers_at_the_crosshair(pair, url):
    assert value(maps(pair).nth(0)) == pytest.approx(number(url, CAT, 40, 30), rel=1e-5)
    assert value(maps(pair).nth(1)) == pytest.approx(number(url, COFFEE, 40, 30), rel=1e-5)


@pytest.mark.parametrize(
    ("which", "photo", "verdict"), [("first", CAT, "I am not sure."), ("second", COFFEE, "No cat in this photo.")]
)
def test_both_photos_have_the_services_answer(pair, url, which, photo, verdict):
    answer = ask(url, photo, "predict", network="tutorial", feature_maps="none")
    says = pair.locator(f"#beside .says-{which}")
    assert value(says) == pytest.approx(answer["probabilities"]["cat"], rel=1e-4)
    expect(says).to_contain_text(verdict)


def test_each_picture_has_the_services_scale_and_the_page_says_that_they_differ(pair, url):
    for side, photo in enumerate([CAT, COFFEE]):
        scale = ask(url, photo, "explain/stage", network="tutorial", stage="block1_conv", channel=8)["scale"]
        top = maps(pair).nth(side).locator(".legend span").last.text_content()
        assert float(top) == pytest.approx(scale["top"], rel=1e-3)
    expect(pair.locator("#beside")).to_contain_text("Each photo has its own colour scale")


def test_the_same_receptive_field_is_outlined_on_both_photos(pair, url):
    stages = httpx2.get(f"{url}/models/tutorial", timeout=30).json()["stages"]
    field = next(stage for stage in stages if stage["name"] == "block1_conv")["receptive_field"]
    for side in range(2):
        outline = pair.locator("#beside .whole .outline").nth(side)
        assert float(outline.get_attribute("y")) == field["offset"][0] + 40 * field["step"][0]
        assert float(outline.get_attribute("x")) == field["offset"][1] + 30 * field["step"][1]
        assert float(outline.get_attribute("width")) == field["size"][1]


def test_it_follows_the_crosshair_by_keyboard_and_asks_for_nothing(pair, url):
    asked = []
    pair.on("request", lambda request: "explain/stage" in request.url and asked.append(request.url))
    for _ in range(3):
        pair.locator(".surface").press("ArrowRight")
    stands(pair, "block1_conv, channel 8, row 40, column 33")
    assert value(maps(pair).nth(1)) == pytest.approx(number(url, COFFEE, 40, 33), rel=1e-5)
    assert asked == []


@pytest.mark.parametrize("side", [0, 1])
def test_the_crosshair_of_both_is_moved_on_either(pair, url, side):
    surface = pair.locator("#beside .aimed").nth(side)
    surface.press("Shift+ArrowDown")
    stands(pair, "block1_conv, channel 8, row 50, column 30")
    box = surface.bounding_box()
    surface.click(position={"x": box["width"] * 0.705, "y": box["height"] * 0.205})
    stands(pair, "block1_conv, channel 8, row 20, column 70")
    expect(pair.locator("#readout")).to_contain_text("row 20, column 70")
    assert "row=20&column=70" in pair.url
    assert value(maps(pair).nth(1)) == pytest.approx(number(url, COFFEE, 20, 70), rel=1e-5)


def test_a_question_is_asked_once_and_given_up_when_another_channel_is_chosen(pair, url):
    asked, held, failed = [], [], []

    def hold_the_second(route):
        asked.append(route)
        route.continue_() if len(asked) == 1 else held.append(route)

    pair.route("**/explain/stage?*channel=3&*", hold_the_second)
    pair.on("requestfailed", lambda request: failed.append(request.url))
    pair.locator('.channel[data-channel="3"]').click()
    expect(pair.locator("#beside .stage")).to_have_attribute("aria-busy", "true")
    for _ in range(3):
        pair.locator(".surface").press("ArrowRight")
    expect(pair.locator("#readout")).to_contain_text("column 33")
    assert len(held) == 1
    pair.locator('.channel[data-channel="5"]').click()
    stands(pair, "block1_conv, channel 5, row 40, column 33")
    assert value(maps(pair).nth(1)) == pytest.approx(number(url, COFFEE, 40, 33, channel=5), rel=1e-5)
    assert held[0].request.url in failed


def test_it_follows_to_another_channel_and_another_stage(pair, url):
    pair.locator('.channel[data-channel="3"]').click()
    stands(pair, "block1_conv, channel 3, row 40, column 30")
    assert value(maps(pair).nth(1)) == pytest.approx(number(url, COFFEE, 40, 30, channel=3), rel=1e-5)
    pair.goto(pair.url.replace("block1_conv", "block1_pool").replace("row=40", "row=20").replace("column=30", "column=15"))
    stands(pair, "block1_pool, channel 3, row 20, column 15")
    assert value(maps(pair).nth(1)) == pytest.approx(number(url, COFFEE, 20, 15, "block1_pool", 3), rel=1e-5)


def test_a_stage_without_a_picture_has_two_numbers(browser, url):
    with opened(browser, url, "?beside=coffee#network=tutorial&stage=dense&channel=5") as page:
        page.set_input_files("#file", CAT)
        stands(page, "dense, number 5")
        assert value(maps(page).nth(1)) == pytest.approx(number(url, COFFEE, 0, 0, "dense", 5), rel=1e-5)


def test_it_follows_to_a_stage_that_has_fewer_channels_and_no_question_is_refused(browser, url):
    with opened(browser, url, "?beside=coffee#network=tutorial&stage=dense&channel=100") as page:
        page.set_input_files("#file", CAT)
        stands(page, "dense, number 100")
        refused = []
        page.on("response", lambda response: response.ok or refused.append(response.url))
        page.locator('#ribbon [data-stage="probabilities"]').click()
        expect(page.locator("#beside .readout")).to_contain_text("probabilities, number")
        settled_pair(page)
        expect(page.locator("#alert")).to_be_hidden()
        assert refused == []


def test_while_a_stage_is_opened_no_channel_of_another_is_shown_under_its_name(pair, url):
    first = value(maps(pair).nth(0))
    held = []
    pair.route("**/explain/stage*", lambda route: route.continue_() if held else held.append(route))
    pair.locator(".surface").press("]")
    expect(pair.locator("#stage-title")).to_contain_text("block1_pool")
    expect(pair.locator("#beside .stage")).not_to_have_attribute("aria-busy", "true")
    expect(pair.locator("#beside .readout")).to_have_text("block1_conv, channel 8, row 40, column 30")
    assert value(maps(pair).nth(0)) == first
    held[0].continue_()
    expect(pair.locator("#beside .readout")).to_contain_text("block1_pool, channel")


def test_it_follows_to_another_network(pair, url):
    pair.select_option("#network", "dense")
    expect(pair.locator("#beside .says-second")).to_contain_text("an ordinary network")
    answer = ask(url, COFFEE, "predict", network="dense", feature_maps="none")
    assert value(pair.locator("#beside .says-second")) == pytest.approx(answer["probabilities"]["cat"], rel=1e-4)


def test_it_is_asked_with_the_visitors_changes(pair, url):
    pair.locator(".surface").press("m")
    expect(pair.locator("#beside .says-second")).to_contain_text("with your changes")
    stands(pair, "block1_conv, channel 8, row 40, column 30")
    assert value(maps(pair).nth(1)) == 0


@pytest.mark.parametrize(("colours", "width"), [("light", 1200), ("dark", 1200), ("light", 360)])
def test_axe_finds_no_violation_and_nothing_sticks_out(browser, url, colours, width):
    from axe_playwright_python.sync_playwright import Axe

    options = {"color_scheme": colours, "viewport": {"width": width, "height": 900}}
    with opened(browser, url, f"?beside=coffee{PLACE}", **options) as page:
        page.set_input_files("#file", CAT)
        stands(page, "block1_conv, channel 8, row 40, column 30")
        violations = Axe().run(page).response["violations"]
        assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in violations] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_photo_is_sent_once_and_then_a_small_file_stands_for_it(page_with_cat, large):
    page = page_with_cat
    page.evaluate(COUNT)
    page.locator("#beside input").set_input_files(large)
    expect(maps(page)).to_have_count(2)
    page.locator(".channel").nth(2).click()
    expect(page.locator("#beside .stage")).not_to_have_attribute("aria-busy", "true")
    *others, photo = sorted(page.evaluate("sent"))
    assert photo == large.stat().st_size
    assert max(others) < LARGEST


def test_a_file_that_is_no_photo_leaves_the_second_as_it_was(pair, tmp_path):
    wrong = tmp_path / "notes.txt"
    wrong.write_text("no photo")
    pair.locator("#beside input").set_input_files(wrong)
    expect(pair.locator("#alert")).to_contain_text("notes.txt")
    expect(pair.locator("#beside .says-second")).to_contain_text("No cat in this photo.")
    assert "beside=coffee" in pair.url


def test_the_networks_input_stands_in_for_a_format_that_browsers_do_not_show(pair, tmp_path):
    photo = tmp_path / "cup.tiff"
    photo.write_bytes(encoded(Image.open(COFFEE), "TIFF"))
    pair.locator("#beside input").set_input_files(photo)
    expect(pair.get_by_role("heading", name="cup.tiff")).to_be_visible()
    expect(pair.locator("#beside .whole img").last).to_have_js_property("naturalWidth", 100)
    assert "beside" not in pair.url


def test_it_is_taken_away_and_the_address_forgets_it(pair):
    pair.get_by_role("button", name="Take it away").click()
    expect(pair.locator("#beside .stage")).to_have_count(0)
    assert "beside" not in pair.url
    expect(pair.locator("#beside input")).to_be_focused()


def test_a_sample_is_chosen_by_keyboard_and_stands_in_the_address(page_with_cat):
    page = page_with_cat
    page.get_by_role("button", name="the coffee").press("Enter")
    expect(page.locator("#beside .says-second")).to_contain_text("No cat in this photo.")
    assert "beside=coffee" in page.url


def test_it_is_loaded_when_a_second_photo_is_asked_for(browser, url):
    with opened(browser, url) as page:
        loaded = []
        page.on("request", lambda request: loaded.append(request.url.removeprefix(f"{url}/web/")))
        page.set_input_files("#file", CAT)
        settled(page)
        assert "beside/beside.js" not in loaded
        page.get_by_role("button", name="the coffee").click()
        expect(page.locator("#beside .says-second")).to_be_visible()
        assert "beside/beside.js" in loaded


def test_an_unknown_name_in_the_address_opens_nothing(browser, url):
    with opened(browser, url, "?beside=lion") as page:
        page.set_input_files("#file", CAT)
        settled(page)
        expect(page.locator("#beside .stage")).to_have_count(0)
