"""The page in Debian's Chromium, offline: the answer, the walk, a unit's sum."""

import re

import httpx2
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import opened, visit
from tests.browser.visitor import CAT, COFFEE, TUTORIAL, ask, part, rect, settled, table, value

# Act one: the answer.


def test_a_photo_is_answered_with_a_sentence_and_the_services_number(page_with_cat, url):
    expect(page_with_cat.locator("#verdict")).to_have_text("There is a cat in this photo.")
    cat = ask(url, "predict", feature_maps="none", precision="float32")["probabilities"]["cat"]
    assert value(page_with_cat.locator(".probability")) == cat
    assert page_with_cat.locator(".meter").get_attribute("aria-valuenow") == str(cat)


def test_a_sample_is_one_click_away(page):
    page.get_by_role("button", name="a cup of coffee").click()
    expect(page.locator("#verdict")).to_have_text("No cat in this photo.")


def test_the_heatmap_covers_the_photo_and_can_be_faded(page_with_cat):
    heat, photo = page_with_cat.locator(".frame .heat"), page_with_cat.locator(".frame .shown")
    assert heat.bounding_box() == photo.bounding_box()
    page_with_cat.locator("#opacity").fill("0.25")
    assert heat.evaluate("image => getComputedStyle(image).opacity") == "0.25"


def test_a_certain_answer_is_never_shown_as_a_hundred_percent(page_with_cat):
    assert re.fullmatch(r"99\.\d+ %", page_with_cat.locator(".probability strong").inner_text())


def test_another_network_answers_when_it_is_chosen(page_with_cat, url):
    page_with_cat.locator("#network").select_option("dense")
    expect(page_with_cat.locator(".probability code")).to_have_text("dense")
    dense = ask(url, "predict", network="dense", feature_maps="none")["probabilities"]["cat"]
    assert value(page_with_cat.locator(".probability")) == dense


def test_a_verdict_of_unsure_says_so_and_names_the_band(page):
    page.locator("#network").select_option("dense")
    page.set_input_files("#file", CAT)
    expect(page.locator("#verdict")).to_have_text("I am not sure.")
    expect(page.locator("#result")).to_contain_text("Between 29.0 % and 50.0 %")


def test_the_newest_photo_wins(page):
    page.set_input_files("#file", CAT)
    page.set_input_files("#file", COFFEE)
    settled(page)
    expect(page.locator("#verdict")).to_have_text("No cat in this photo.")
    assert page.locator(".frame .shown").get_attribute("alt") == "The photo coffee.jpg"


# Act two: the walk.


def test_the_walk_says_how_often_the_network_was_right_and_on_which_photos(page_with_cat, url):
    measured = httpx2.get(f"{url}/models/cat", trust_env=False).json()["measured"]
    [pooled] = [figures for figures in measured if figures["photos_of"] == "pooled"]
    said = page_with_cat.locator("#walk-measured")
    expect(said).to_contain_text(f"Tested on {pooled['photos']:,} photos (val-pets")
    expect(said).to_contain_text(f"right on {100 * pooled['accuracy']:.1f} %")


def test_a_network_that_nobody_tested_says_so(browser, untrained_url):
    with opened(browser, untrained_url) as page:
        page.set_input_files("#file", CAT)
        expect(page.locator("#walk-measured")).to_have_text("Nobody has tested this network on photos yet.")


def test_the_ribbon_shows_every_stage_in_order(page_with_cat, url):
    stages = [stage["name"] for stage in httpx2.get(f"{url}/models/cat").json()["stages"]]
    cards = page_with_cat.locator("#ribbon button").all()
    assert [card.get_attribute("data-stage") for card in cards] == ["image", *stages]


def test_pictures_in_the_ribbon_are_drawn_to_scale(tutorial):
    def width(stage):
        return tutorial.locator(f'#ribbon [data-stage="{stage}"] .face').bounding_box()["width"]

    assert width("block1_conv") / width("block2_conv") == pytest.approx(100 / 50)
    assert width("block1_conv") / width("block4_conv") == pytest.approx(100 / 12, rel=0.02)


def test_every_card_shows_as_many_channels_as_the_answer_has(tutorial):
    assert tutorial.locator('#ribbon [data-stage="block3_conv"] .thumbs img').count() == 4


def test_a_clicked_channel_is_enlarged_and_put_into_the_address(tutorial):
    tutorial.locator('[data-channel="9"]').click()
    expect(tutorial.locator(".on-this figcaption")).to_have_text("block1_conv, channel 9")
    assert "channel=9" in tutorial.url
    expect(tutorial.locator('[data-channel="9"]')).to_have_attribute("aria-pressed", "true")
    expect(tutorial.locator(".filter figcaption")).to_contain_text("filter 9: 3 × 3 × 3 weights")


def test_every_channel_of_a_stage_is_shown(tutorial):
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
    answer = ask(url, "explain/unit", network="tutorial", stage=stage, row=row, column=column, channel=0)
    assert row > 0
    assert rect(tutorial, "on-before") == answer["window"]
    assert rect(tutorial, "on-photo") == answer["receptive_field"]


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
    answer = ask(url, "explain/unit", network="tutorial", stage="block1_conv", row=12, column=7, channel=3)
    assert part(tutorial, "computed") == answer["computed"]
    assert part(tutorial, "difference") == answer["difference"]


def test_all_terms_are_shown_in_one_table(tutorial):
    tutorial.get_by_text("All 27 terms").click()
    expect(tutorial.locator("#sum details table tbody tr")).to_have_count(27)


def test_clicking_a_pixel_calculates_its_sum(tutorial):
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
        ("block1_relu", "the input"),
        ("flatten", "Number"),
        ("dense", "the other 1,716 together"),
        ("dense_relu", "the input"),
        ("probabilities", "the share of cat"),
    ],
)
def test_every_kind_of_stage_has_its_arithmetic(tutorial, stage, says):
    tutorial.locator(f'#ribbon [data-stage="{stage}"]').click()
    expect(tutorial.locator("#stage-title")).to_contain_text(stage)
    expect(tutorial.locator("#sum")).to_contain_text(says)
    assert part(tutorial, "difference") < 1e-4


def test_the_layers_inside_a_block_can_be_opened(page_with_cat):
    page_with_cat.locator('#ribbon [data-stage="block2"]').click()
    page_with_cat.get_by_role("button", name="depthwise").click()
    expect(page_with_cat.locator("#stage-title")).to_contain_text("block2_depthwise")
    expect(page_with_cat.locator("#sum")).to_contain_text("all 9 products")
    expect(page_with_cat.locator('#ribbon [data-stage="block2"]')).to_have_attribute("aria-current", "step")


def test_the_filter_slides_by_its_stride_and_the_sum_follows(tutorial, url):
    tutorial.get_by_role("button", name="To the start").click()
    expect(tutorial.locator("#readout")).to_contain_text("row 0, column 0")
    seen = tutorial.evaluate(
        """() => {
          const units = [];
          const note = () => {
            const unit = document.querySelector("#sum h4")?.textContent;
            const left = document.querySelector(".on-before svg rect.outline").getAttribute("x");
            if (unit !== units.at(-1)?.[0]) units.push([unit, Number(left)]);
          };
          return new Promise((resolve) => {
            new MutationObserver(() => (note(), units.length > 5 && resolve(units))).observe(document.querySelector("#sum"), {
              childList: true,
            });
            document.querySelector("[data-play]").click();
          });
        }"""
    )
    for column, (heading, left) in enumerate(seen, seen[0][1] + 1):
        computed = ask(url, "explain/unit", network="tutorial", stage="block1_conv", row=0, column=column, channel=3)
        shown = float(heading.split("behind ")[1].split(":")[0].replace("−", "-"))
        assert f"row 0, column {column} of" in heading
        assert shown == pytest.approx(computed["computed"], rel=1e-3)
        assert left == column - 1, "the window is where the sum is"


def test_the_sum_follows_the_pointer_and_returns_to_the_chosen_unit(tutorial):
    tutorial.locator(".surface").scroll_into_view_if_needed()
    box = tutorial.locator(".surface").bounding_box()
    tutorial.mouse.move(box["x"] + box["width"] * 0.605, box["y"] + box["height"] * 0.305)
    expect(tutorial.locator("#sum h4")).to_contain_text("row 30, column 60")
    tutorial.mouse.move(box["x"] - 30, box["y"])
    expect(tutorial.locator("#sum h4")).to_contain_text("row 12, column 7")
    assert "row=12&column=7" in tutorial.url


def test_the_filter_slides_pauses_and_steps(tutorial):
    tutorial.get_by_role("button", name="To the start").click()
    expect(tutorial.locator("#readout")).to_contain_text("row 0, column 0")
    tutorial.get_by_role("button", name="Slide the filter").click()
    expect(tutorial.locator("#readout")).to_contain_text(re.compile(r"column ([4-9]|\d\d):"))
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
        page.goto(f"{url}/{TUTORIAL}")
        page.set_input_files("#file", CAT)
        settled(page)
        expect(page.locator("[data-play]")).to_be_hidden()
        page.locator(".surface").press(" ")
        expect(page.locator("#readout")).to_contain_text("row 12, column 8:")
        page.wait_for_timeout(300)
        expect(page.locator("#readout")).to_contain_text("row 12, column 8:")
