"""The page in Debian's Chromium, offline, as its visitors meet it: the answer, the walk, a unit's sum, the guises."""

import re

import httpx2
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import opened, visit
from tests.conftest import ROOT

SAMPLES = ROOT / "app" / "web" / "samples"
CAT, COFFEE = SAMPLES / "chelsea.jpg", SAMPLES / "coffee.jpg"


def ask(url, path, **query):
    """What the service answers about the cat to the same question."""
    return httpx2.post(f"{url}/{path}", params=query, files={"file": CAT.read_bytes()}, timeout=30).raise_for_status().json()


def value(locator) -> float:
    return float(locator.get_attribute("data-value"))


def part(page, name):
    """The number that a line of the sum shows."""
    return value(page.locator(f"#sum tr[data-part={name}] td").first)


def table(page, name) -> list[list[float]]:
    rows = page.locator(f"#sum table[data-part={name}] tr").all()
    return [[value(cell) for cell in row.locator("td").all()] for row in rows]


def rect(page, figure) -> dict[str, float]:
    outline = page.locator(f".{figure} svg rect.outline")
    x, y, width, height = (float(outline.get_attribute(name)) for name in ("x", "y", "width", "height"))
    return {"top": y, "left": x, "bottom": y + height, "right": x + width}


def settled(page):
    """Wait until everything that was asked about the photo is answered."""
    expect(page.locator("table.guises")).to_be_visible(timeout=30_000)
    expect(page.locator("#sum tr[data-part=computed]")).to_be_visible()


@pytest.fixture
def page(browser, url):
    with opened(browser, url) as page:
        yield page


@pytest.fixture
def walked(page):
    """The page after a photo of a cat was picked."""
    page.set_input_files("#file", CAT)
    settled(page)
    return page


@pytest.fixture
def tutorial(browser, url):
    """The same with the chapter's network, at a place that the address names."""
    with opened(browser, url, "#network=tutorial&stage=block1_conv&channel=3&row=12&column=7") as page:
        page.set_input_files("#file", CAT)
        settled(page)
        yield page


# Act one: the answer.


def test_a_photo_is_answered_in_a_sentence_with_the_services_number(walked, url):
    expect(walked.locator("#verdict")).to_have_text("There is a cat in this photo.")
    cat = ask(url, "predict", feature_maps="none")["probabilities"]["cat"]
    assert value(walked.locator(".probability")) == cat
    assert walked.locator(".meter").get_attribute("aria-valuenow") == str(cat)


def test_a_sample_is_one_click_away(page):
    page.get_by_role("button", name="a cup of coffee").click()
    expect(page.locator("#verdict")).to_have_text("No cat in this photo.")


def test_the_heatmap_lies_over_the_photo_and_can_be_faded(walked):
    heat, photo = walked.locator(".frame .heat"), walked.locator(".frame .shown")
    assert heat.bounding_box() == photo.bounding_box()
    walked.locator("#opacity").fill("0.25")
    assert heat.evaluate("image => getComputedStyle(image).opacity") == "0.25"


def test_a_certain_answer_is_never_said_to_be_a_hundred_percent(walked):
    assert re.fullmatch(r"99\.\d+ %", walked.locator(".probability strong").inner_text())


def test_another_network_answers_when_it_is_chosen(walked, url):
    walked.locator("#network").select_option("dense")
    expect(walked.locator(".probability code")).to_have_text("dense")
    dense = ask(url, "predict", network="dense", feature_maps="none")["probabilities"]["cat"]
    assert value(walked.locator(".probability")) == dense


def test_a_verdict_of_unsure_says_so_and_names_the_band(page):
    page.locator("#network").select_option("dense")
    page.set_input_files("#file", CAT)
    expect(page.locator("#verdict")).to_have_text("I am not sure.")
    expect(page.locator("#result")).to_contain_text("From 29.0 % to 50.0 %")


def test_the_newest_photo_wins(page):
    page.set_input_files("#file", CAT)
    page.set_input_files("#file", COFFEE)
    settled(page)
    expect(page.locator("#verdict")).to_have_text("No cat in this photo.")
    assert page.locator(".frame .shown").get_attribute("alt") == "The photo coffee.jpg"


# Act two: the walk.


def test_the_ribbon_shows_every_stage_in_order(walked, url):
    stages = [stage["name"] for stage in httpx2.get(f"{url}/models/cat").json()["stages"]]
    assert [card.get_attribute("data-stage") for card in walked.locator("#ribbon button").all()] == stages


def test_pictures_in_the_ribbon_are_drawn_to_scale(tutorial):
    def width(stage):
        return tutorial.locator(f'#ribbon [data-stage="{stage}"] .face').bounding_box()["width"]

    assert width("block1_conv") / width("block2_conv") == pytest.approx(100 / 50)
    assert width("block1_conv") / width("block4_conv") == pytest.approx(100 / 12, rel=0.02)


def test_every_card_shows_as_many_channels_as_the_answer_has(tutorial):
    assert tutorial.locator('#ribbon [data-stage="block3_conv"] .thumbs img').count() == 4


def test_a_clicked_channel_is_enlarged_and_stands_in_the_address(tutorial):
    tutorial.locator('[data-channel="9"]').click()
    expect(tutorial.locator(".on-this figcaption")).to_have_text("block1_conv, channel 9")
    assert "channel=9" in tutorial.url
    expect(tutorial.locator('[data-channel="9"]')).to_have_attribute("aria-pressed", "true")
    expect(tutorial.locator(".filter figcaption")).to_contain_text("filter 9: 3 × 3 × 3 weights")


def test_every_channel_of_a_stage_is_there(tutorial):
    assert tutorial.locator(".channel").count() == 16


@pytest.mark.parametrize("stage", ["block1_conv", "block2_pool", "block5_conv"])
def test_moving_over_a_pixel_outlines_what_the_service_says_it_sees(tutorial, url, stage):
    tutorial.locator(f'#ribbon [data-stage="{stage}"]').click()
    expect(tutorial.locator("#stage-title")).to_contain_text(stage)
    settled(tutorial)
    surface = tutorial.locator(".surface")
    surface.scroll_into_view_if_needed()
    box = surface.bounding_box()
    tutorial.mouse.move(box["x"] + box["width"] * 0.55, box["y"] + box["height"] * 0.3)
    row, column = map(int, re.findall(r"\d+", tutorial.locator("#readout").inner_text())[:2])
    said = ask(url, "explain/unit", network="tutorial", stage=stage, row=row, column=column, channel=0)
    assert row > 0
    assert rect(tutorial, "on-before") == said["window"]
    assert rect(tutorial, "on-photo") == said["receptive_field"]


def test_the_sum_that_is_shown_is_right(tutorial):
    """Every term of all three colours, as the page shows them, multiplied and added here."""
    together = 0.0
    for colour in ("0", "1", "2"):
        tutorial.locator("#sum select").select_option(colour)
        name = ("red", "green", "blue")[int(colour)]
        expect(tutorial.locator("#sum table[data-part=patch] caption")).to_contain_text(name)
        patch, kernel, products = (table(tutorial, name) for name in ("patch", "kernel", "products"))
        for values, weights, results in zip(patch, kernel, products, strict=True):
            for x, w, product in zip(values, weights, results, strict=True):
                assert x * w == pytest.approx(product, abs=1e-12)
                together += product
        assert sum(map(sum, products)) == pytest.approx(part(tutorial, "channel_sum"), abs=1e-9)
    assert together == pytest.approx(part(tutorial, "products_sum"), abs=1e-9)
    assert together + part(tutorial, "bias") == pytest.approx(part(tutorial, "sum"), abs=1e-9)
    assert part(tutorial, "computed") == pytest.approx(part(tutorial, "sum"), rel=1e-4)


def test_the_networks_own_number_is_the_one_of_its_feature_map(tutorial, url):
    said = ask(url, "explain/unit", network="tutorial", stage="block1_conv", row=12, column=7, channel=3)
    assert part(tutorial, "computed") == said["computed"]
    assert part(tutorial, "difference") == said["difference"]


def test_all_terms_can_be_read_in_one_table(tutorial):
    tutorial.get_by_text("All 27 terms").click()
    expect(tutorial.locator("#sum details table tbody tr")).to_have_count(27)


def test_clicking_a_pixel_works_out_its_sum(tutorial):
    surface = tutorial.locator(".surface")
    box = surface.bounding_box()
    surface.click(position={"x": box["width"] * 0.505, "y": box["height"] * 0.255})
    expect(tutorial.locator("#readout")).to_contain_text("row 25, column 50")
    expect(tutorial).to_have_url(re.compile("row=25&column=50"))
    shown = tutorial.locator("#readout strong").inner_text()
    expect(tutorial.locator("#sum h4")).to_contain_text(shown)


@pytest.mark.parametrize(
    ("stage", "says"),
    [
        ("block1_pool", "the largest of them"),
        ("block1_relu", "what came in"),
        ("flatten", "Number"),
        ("dense", "the other 1,716 together"),
        ("dense_relu", "what came in"),
        ("probabilities", "the share of cat"),
    ],
)
def test_every_kind_of_stage_has_its_arithmetic(tutorial, stage, says):
    tutorial.locator(f'#ribbon [data-stage="{stage}"]').click()
    expect(tutorial.locator("#stage-title")).to_contain_text(stage)
    expect(tutorial.locator("#sum")).to_contain_text(says)
    assert part(tutorial, "difference") < 1e-4


def test_the_layers_inside_of_a_block_can_be_opened(walked):
    walked.locator('#ribbon [data-stage="block2"]').click()
    walked.get_by_role("button", name="depthwise").click()
    expect(walked.locator("#stage-title")).to_contain_text("block2_depthwise")
    expect(walked.locator("#sum")).to_contain_text("the 9 products together")
    expect(walked.locator('#ribbon [data-stage="block2"]')).to_have_attribute("aria-current", "step")


def test_the_filter_slides_is_paused_and_is_stepped(tutorial):
    tutorial.get_by_role("button", name="To the start").click()
    expect(tutorial.locator("#readout")).to_contain_text("row 0, column 0")
    tutorial.get_by_role("button", name="Slide the filter").click()
    expect(tutorial.locator("#readout")).to_contain_text(re.compile("row 8, "), timeout=15_000)
    assert tutorial.locator(".veil").get_attribute("d") != "", "what the filter has not come to is veiled"
    tutorial.get_by_role("button", name="Pause").click()
    at = tutorial.locator("#readout").inner_text()
    tutorial.wait_for_timeout(400)
    assert tutorial.locator("#readout").inner_text() == at
    tutorial.get_by_role("button", name="One step").click()
    row, column = map(int, re.findall(r"\d+", at)[:2])
    expect(tutorial.locator("#readout")).to_contain_text(f"row {row}, column {column + 1}:")


def test_nothing_moves_for_those_who_ask_for_less_motion(browser, url):
    with visit(browser, url, reduced_motion="reduce") as page:
        page.goto(f"{url}/#network=tutorial&stage=block1_conv&channel=3&row=12&column=7")
        page.set_input_files("#file", CAT)
        settled(page)
        expect(page.locator("[data-play]")).to_be_hidden()
        page.locator(".surface").press(" ")
        expect(page.locator("#readout")).to_contain_text("row 12, column 8:")
        page.wait_for_timeout(300)
        expect(page.locator("#readout")).to_contain_text("row 12, column 8:")


# Act three: why a CNN.


def test_the_guises_show_what_every_network_says(walked, url):
    said = ask(url, "guises")
    rows = walked.locator("table.guises tbody tr")
    assert rows.count() == 12
    for row, guise in zip(rows.all(), said["guises"], strict=True):
        assert row.get_attribute("data-guise") == guise["guise"]
        shown = [value(cell) for cell in row.locator("td").all()]
        assert shown == [guise["networks"][name]["probabilities"]["cat"] for name in ("cat", "tutorial", "dense")]


def test_a_network_that_changes_its_mind_is_marked(walked, url):
    said = ask(url, "guises")
    changed = sum(not answer["same"] for guise in said["guises"] for answer in guise["networks"].values())
    assert changed > 0
    assert walked.locator("table.guises td.changed").count() == changed


def test_the_networks_are_shown_with_their_size(walked):
    head = walked.locator("table.guises thead").inner_text()
    assert "3,848,514 parameters" in head
    assert "30,000 numbers" in walked.locator("#why .lead").inner_text()


# Everywhere.


def test_each_act_tells_the_curl_that_asks_the_same(walked, url):
    commands = walked.locator("details.curl code").all_text_contents()
    assert {re.search(r"127\.0\.0\.1:\d+/([\w/]+)", command).group(1) for command in commands} == {
        "predict",
        "explain/stage",
        "explain/unit",
        "guises",
    }
    assert all(command.startswith("curl -F 'file=@chelsea.jpg' 'http://127.0.0.1:") for command in commands)


def test_the_whole_walk_goes_without_a_mouse(page):
    def tab_to(what):
        for _ in range(200):
            page.keyboard.press("Tab")
            if page.evaluate("what => document.activeElement.matches(what)", what):
                assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", "focus is visible"
                return
        raise AssertionError(f"Tab never comes to {what}")

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
    expect(page.locator("#sum h4")).to_contain_text(f"where {shown} comes from")


@pytest.mark.parametrize("width", [360, 768])
def test_nothing_sticks_out_on_a_narrow_screen(browser, url, width):
    with visit(browser, url, viewport={"width": width, "height": 740}) as page:
        page.goto(f"{url}/#network=tutorial&stage=block2_conv")
        page.set_input_files("#file", CAT)
        settled(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        expect(page.locator("#sum tr[data-part=computed]")).to_be_visible()


def test_back_leads_to_the_stage_before(tutorial):
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
        found = Axe().run(page).response["violations"]
        assert [(one["id"], one["impact"], [node["html"][:120] for node in one["nodes"]]) for one in found] == []
