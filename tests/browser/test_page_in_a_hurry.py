"""The page with impatient visitors: late answers, focus that must not be lost, and parts that must stay in view."""

import re
import shlex
import time

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.conftest import opened, visit
from tests.browser.visitor import CAT, COFFEE, TUTORIAL, settled
from tests.conftest import encoded


@pytest.fixture
def page(browser, url):
    with opened(browser, url, TUTORIAL) as page:
        yield page


def late(page, path: str, seconds: float, times: int = 1) -> None:
    """Delay the next answers of a path."""

    def hold(route):
        time.sleep(seconds)
        route.continue_()

    page.route(path, hold, times=times)


@pytest.mark.parametrize("size", [(1366, 650), (360, 740)], ids=["laptop", "phone"])
def test_the_answer_stays_in_view_for_the_first_photo_and_the_second(browser, url, size):
    with visit(browser, url, viewport={"width": size[0], "height": size[1]}) as page:
        page.goto(url)
        for photo in (CAT, COFFEE):
            page.set_input_files("#file", photo)
            settled(page)
            assert page.evaluate("scrollY") == 0


def test_a_link_into_a_stage_leads_to_the_stage(page_with_cat):
    page_with_cat.wait_for_timeout(800)  # the page scrolls there smoothly
    top = page_with_cat.locator("#stage").evaluate("stage => stage.getBoundingClientRect().top")
    assert page_with_cat.evaluate("scrollY") > 0
    assert top < 1000


def test_what_belongs_to_the_previous_photo_cannot_be_used_meanwhile(page_with_cat):
    page_with_cat.route("**/walk?*", lambda route: None)  # never answered
    page_with_cat.set_input_files("#file", COFFEE)
    expect(page_with_cat.locator("#verdict")).to_have_text("Looking …")
    for act in ("#walk", "#why"):
        assert page_with_cat.locator(act).evaluate("act => act.inert")
    page_with_cat.keyboard.press("]")
    expect(page_with_cat.locator("#alert")).to_be_hidden()


def test_a_stage_that_could_not_be_fetched_can_be_tried_again(page_with_cat):
    page_with_cat.route("**/explain/stage*", lambda route: route.abort(), times=1)
    page_with_cat.locator('#ribbon [data-stage="block2_conv"]').click()
    expect(page_with_cat.locator("#alert")).to_contain_text("The service did not answer")
    page_with_cat.complaints.clear()  # Chromium itself logs the request that failed
    expect(page_with_cat.locator("#stage")).not_to_have_attribute("aria-busy", "true")
    page_with_cat.get_by_role("button", name="Try again").click()
    expect(page_with_cat.locator("#sum tr[data-part=computed]")).to_be_visible()
    expect(page_with_cat.locator("#alert")).to_be_hidden()


def test_back_undoes_one_channel_at_a_time(page_with_cat):
    for channel in (9, 5, 1):
        page_with_cat.locator(f'[data-channel="{channel}"]').click()
        expect(page_with_cat.locator(".on-this figcaption")).to_have_text(f"block1_conv, channel {channel}")
    for channel in (5, 9, 3):
        page_with_cat.go_back()
        expect(page_with_cat.locator(".on-this figcaption")).to_have_text(f"block1_conv, channel {channel}")


def test_a_late_answer_never_puts_another_units_sum_beside_the_crosshair(page_with_cat):
    page_with_cat.locator('#ribbon [data-stage="block2_conv"]').click()
    expect(page_with_cat.locator("#stage-title")).to_contain_text("block2_conv")
    settled(page_with_cat)
    late(page_with_cat, "**/explain/stage*", 0.8)
    options = page_with_cat.locator("#sum select option")
    page_with_cat.locator("#sum select").select_option(index=options.count() - 1)
    box = page_with_cat.locator(".surface").bounding_box()
    page_with_cat.locator(".surface").click(position={"x": box["width"] * 0.61, "y": box["height"] * 0.41})
    page_with_cat.wait_for_timeout(1500)
    shown = page_with_cat.locator("#readout strong").inner_text()
    position = re.search(r"row \d+, column \d+", page_with_cat.locator("#readout").inner_text())[0]
    expect(page_with_cat.locator("#sum h4")).to_contain_text(f"behind {shown}: {position}")


def test_a_sample_that_arrives_late_gives_way_to_the_photo_chosen_meanwhile(page):
    late(page, "**/samples/chelsea.jpg", 1.0)
    page.get_by_role("button", name="Chelsea the cat").click()
    page.set_input_files("#file", COFFEE)
    page.wait_for_timeout(1800)
    expect(page.locator("#verdict")).to_have_text("No cat in this photo.")


def test_clicking_a_pixel_stops_the_filter_there(page_with_cat):
    page_with_cat.get_by_role("button", name="To the start").click()
    page_with_cat.get_by_role("button", name="Slide the filter").click()
    page_with_cat.wait_for_timeout(400)
    box = page_with_cat.locator(".surface").bounding_box()
    page_with_cat.locator(".surface").click(position={"x": box["width"] * 0.505, "y": box["height"] * 0.705})
    page_with_cat.wait_for_timeout(600)
    expect(page_with_cat.locator("#readout")).to_contain_text("row 70, column 50:")
    expect(page_with_cat.locator("#sum h4")).to_contain_text("row 70, column 50")


# Focus and speech.


def focused(page, selector: str) -> bool:
    return page.evaluate("what => document.activeElement.matches(what)", selector)


def test_stepping_through_the_stages_keeps_the_focus_on_the_button(page_with_cat):
    page_with_cat.get_by_role("button", name="Next stage").focus()
    for stage in ("block1_pool", "block1_relu"):
        page_with_cat.keyboard.press("Enter")
        expect(page_with_cat.locator("#stage-title")).to_contain_text(stage)
        settled(page_with_cat)
        assert focused(page_with_cat, '[aria-label="Next stage"]')


def test_stepping_from_the_enlarged_channel_keeps_the_focus_there(page_with_cat):
    page_with_cat.locator(".surface").focus()
    page_with_cat.keyboard.press("]")
    expect(page_with_cat.locator("#stage-title")).to_contain_text("block1_pool")
    settled(page_with_cat)
    assert focused(page_with_cat, ".surface")


def test_the_input_channels_can_be_walked_through_with_the_arrow_keys(page_with_cat):
    chooser = page_with_cat.locator("#sum select")
    chooser.focus()
    first = chooser.input_value()
    for _ in range(2):
        page_with_cat.keyboard.press("ArrowDown")
        page_with_cat.wait_for_timeout(300)
        assert focused(page_with_cat, "#sum select")
    assert page_with_cat.locator("#sum select").input_value() != first


def test_a_screen_reader_hears_the_verdict_and_a_sum_only_when_it_is_asked_for(page):
    page.set_input_files("#file", CAT)
    settled(page)
    expect(page.locator("#spoken")).to_have_text(re.compile(r"I am not sure\. 5\d\.\d % probability of a cat\."))
    page.locator(".surface").press("Enter")
    expect(page.locator("#spoken")).to_have_text(
        re.compile(r"row 12, column 7: worked out [−\d.]+, the network computed [−\d.]+\.")
    )


@pytest.mark.parametrize("stage", ["dense", "dense_relu"])
def test_only_the_open_stage_is_marked(page_with_cat, stage):
    page_with_cat.locator(f'#ribbon [data-stage="{stage}"]').click()
    expect(page_with_cat.locator("#stage-title")).to_contain_text(stage)
    marked = page_with_cat.locator("#ribbon [aria-current]")
    assert [card.get_attribute("data-stage") for card in marked.all()] == [stage]


# Messages and pictures.


def test_a_photo_without_evidence_says_so_and_offers_no_slider(page, url):
    page.locator("#network").select_option("cat")
    page.set_input_files("#file", COFFEE)
    expect(page.locator("#result")).to_contain_text("No part of this photo is evidence for a cat. The line marks what comes")
    assert page.locator("#opacity").count() == 0


def test_the_heatmap_has_a_legend_with_its_lines(page_with_cat):
    legend = page_with_cat.locator(".heat-legend")
    expect(legend).to_contain_text("the strongest in this photo")
    bar = legend.locator(".bar").bounding_box()
    ticks = [(tick.bounding_box()["x"] - bar["x"]) / bar["width"] for tick in legend.locator(".tick").all()]
    assert ticks == pytest.approx([0.25, 0.5, 0.75], abs=0.03)


def test_the_frame_of_an_animation_that_was_classified_is_shown(page, tmp_path):
    frames = [Image.open(CAT).convert("P"), Image.open(COFFEE).resize((451, 300)).convert("P")]
    photo = tmp_path / "both.gif"
    photo.write_bytes(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100, loop=0))
    page.set_input_files("#file", photo)
    settled(page)
    assert page.locator(".frame .shown").get_attribute("src").startswith("data:image/png")
    box = page.locator(".frame .shown").bounding_box()
    assert box["width"] / box["height"] == pytest.approx(451 / 300, rel=0.02), "in the photo's own shape"


@pytest.mark.parametrize("size", [(1, 1), (2000, 50), (50, 2000)])
def test_outlines_can_be_seen_on_photos_of_any_shape(page, tmp_path, size):
    photo = tmp_path / "odd.png"
    photo.write_bytes(encoded(Image.open(CAT).resize(size), "PNG"))
    page.set_input_files("#file", photo)
    settled(page)
    box = page.locator(".on-photo img").bounding_box()
    assert min(box["width"], box["height"]) > 50
    assert page.evaluate("document.documentElement.scrollWidth") <= 1200


@pytest.mark.parametrize("name", ["it's.jpg", 'a;b,"c".jpg', "plain name.jpg"])
def test_the_curl_command_names_the_file_as_a_shell_and_curl_read_it(page, name):
    page.set_input_files("#file", {"name": name, "mimeType": "image/jpeg", "buffer": CAT.read_bytes()})
    expect(page.locator("#curl-predict")).to_be_visible()
    part = shlex.split(page.locator("#curl-predict code").text_content())[2].removeprefix("file=@")
    if part.startswith('"'):
        part = re.sub(r"\\(.)", r"\1", part[1:-1])
    assert part == name


def test_a_link_that_is_pasted_into_an_open_page_is_followed(page_with_cat, url):
    page_with_cat.evaluate("location.hash = '#network=tutorial&stage=block2_relu&photo=" + "0" * 64 + "'")
    expect(page_with_cat.locator("#alert")).to_contain_text("Drop that photo here to follow it.")
    expect(page_with_cat.locator("#stage-title")).to_contain_text("block2_relu")


def test_an_unknown_stage_in_the_address_is_reported_and_another_is_shown(page_with_cat):
    page_with_cat.evaluate("location.hash = '#network=tutorial&stage=nope'")
    expect(page_with_cat.locator("#alert")).to_contain_text("has no stage nope")
    expect(page_with_cat.locator("#stage-title")).to_contain_text("block1_conv")


def test_the_page_works_where_storage_is_blocked(browser, url):
    with visit(browser, url) as page:
        page.add_init_script("Object.defineProperty(window, 'sessionStorage', { get() { throw new Error('blocked'); } })")
        page.goto(url)
        page.set_input_files("#file", CAT)
        expect(page.locator("#verdict")).to_have_text("There is a cat in this photo.")
        assert page.complaints == []


def test_the_guises_are_requested_once_per_photo(page_with_cat):
    requested = []
    page_with_cat.on("request", lambda request: requested.append(request.url))
    page_with_cat.locator("#network").select_option("dense")
    expect(page_with_cat.locator(".probability code")).to_have_text("dense")
    settled(page_with_cat)
    page_with_cat.wait_for_load_state("networkidle")
    assert not [address for address in requested if address.endswith("/guises")]
    expect(page_with_cat.locator("table.guises")).to_be_visible()
