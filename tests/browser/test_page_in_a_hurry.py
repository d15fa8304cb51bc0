"""The page with impatient visitors: answers that come late, focus that must not be lost, places that must stay in view."""

import re
import shlex
import time

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.conftest import opened, visit
from tests.browser.test_page import CAT, COFFEE, settled
from tests.conftest import encoded

TUTORIAL = "#network=tutorial&stage=block1_conv&channel=3&row=12&column=7"


@pytest.fixture
def page(browser, url):
    with opened(browser, url, TUTORIAL) as page:
        yield page


@pytest.fixture
def walked(page):
    page.set_input_files("#file", CAT)
    settled(page)
    return page


def late(page, path: str, seconds: float, times: int = 1) -> None:
    """Hold back the next answers of a path."""

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


def test_a_link_into_a_stage_leads_to_the_stage(walked):
    walked.wait_for_timeout(800)  # the page glides there
    top = walked.locator("#stage").evaluate("stage => stage.getBoundingClientRect().top")
    assert walked.evaluate("scrollY") > 0
    assert top < 1000


def test_what_belongs_to_the_photo_before_cannot_be_used_meanwhile(walked):
    walked.route("**/predict?*feature_maps=none*", lambda route: None)  # never answered
    walked.set_input_files("#file", COFFEE)
    expect(walked.locator("#verdict")).to_have_text("Looking …")
    for act in ("#walk", "#why"):
        assert walked.locator(act).evaluate("act => act.inert")
    walked.keyboard.press("]")
    expect(walked.locator("#alert")).to_be_hidden()


def test_a_stage_that_could_not_be_fetched_can_be_tried_again(walked):
    walked.route("**/explain/stage*", lambda route: route.abort(), times=1)
    walked.locator('#ribbon [data-stage="block2_conv"]').click()
    expect(walked.locator("#alert")).to_contain_text("The service did not answer")
    walked.complaints.clear()  # Chromium itself tells of the request that failed
    expect(walked.locator("#stage")).not_to_have_attribute("aria-busy", "true")
    walked.get_by_role("button", name="Try again").click()
    expect(walked.locator("#sum tr[data-part=computed]")).to_be_visible()
    expect(walked.locator("#alert")).to_be_hidden()


def test_back_undoes_one_channel_at_a_time(walked):
    for channel in (9, 5, 1):
        walked.locator(f'[data-channel="{channel}"]').click()
        expect(walked.locator(".on-this figcaption")).to_have_text(f"block1_conv, channel {channel}")
    for channel in (5, 9, 3):
        walked.go_back()
        expect(walked.locator(".on-this figcaption")).to_have_text(f"block1_conv, channel {channel}")


def test_a_late_answer_never_puts_another_units_sum_beside_the_crosshair(walked):
    walked.locator('#ribbon [data-stage="block2_conv"]').click()
    expect(walked.locator("#stage-title")).to_contain_text("block2_conv")
    settled(walked)
    late(walked, "**/explain/stage*", 0.8)
    options = walked.locator("#sum select option")
    walked.locator("#sum select").select_option(index=options.count() - 1)
    box = walked.locator(".surface").bounding_box()
    walked.locator(".surface").click(position={"x": box["width"] * 0.61, "y": box["height"] * 0.41})
    walked.wait_for_timeout(1500)
    shown = walked.locator("#readout strong").inner_text()
    place = re.search(r"row \d+, column \d+", walked.locator("#readout").inner_text())[0]
    expect(walked.locator("#sum h4")).to_contain_text(f"where {shown} comes from: {place}")


def test_a_sample_that_arrives_late_gives_way_to_the_photo_chosen_meanwhile(page):
    late(page, "**/samples/chelsea.jpg", 1.0)
    page.get_by_role("button", name="Chelsea the cat").click()
    page.set_input_files("#file", COFFEE)
    page.wait_for_timeout(1800)
    expect(page.locator("#verdict")).to_have_text("No cat in this photo.")


def test_clicking_a_pixel_stops_the_filter_there(walked):
    walked.get_by_role("button", name="To the start").click()
    walked.get_by_role("button", name="Slide the filter").click()
    walked.wait_for_timeout(400)
    box = walked.locator(".surface").bounding_box()
    walked.locator(".surface").click(position={"x": box["width"] * 0.505, "y": box["height"] * 0.705})
    walked.wait_for_timeout(600)
    expect(walked.locator("#readout")).to_contain_text("row 70, column 50:")
    expect(walked.locator("#sum h4")).to_contain_text("row 70, column 50")


# Focus and speech.


def focused(page, what: str) -> bool:
    return page.evaluate("what => document.activeElement.matches(what)", what)


def test_stepping_through_the_stages_keeps_the_focus_on_the_button(walked):
    walked.get_by_role("button", name="The stage after").focus()
    for stage in ("block1_pool", "block1_relu"):
        walked.keyboard.press("Enter")
        expect(walked.locator("#stage-title")).to_contain_text(stage)
        settled(walked)
        assert focused(walked, '[aria-label="The stage after"]')


def test_stepping_from_the_enlarged_channel_keeps_the_focus_there(walked):
    walked.locator(".surface").focus()
    walked.keyboard.press("]")
    expect(walked.locator("#stage-title")).to_contain_text("block1_pool")
    settled(walked)
    assert focused(walked, ".surface")


def test_the_input_channels_can_be_walked_through_with_the_arrow_keys(walked):
    chooser = walked.locator("#sum select")
    chooser.focus()
    first = chooser.input_value()
    for _ in range(2):
        walked.keyboard.press("ArrowDown")
        walked.wait_for_timeout(300)
        assert focused(walked, "#sum select")
    assert walked.locator("#sum select").input_value() != first


def test_a_screen_reader_hears_the_verdict_and_then_the_sum_in_a_sentence(page):
    page.set_input_files("#file", CAT)
    expect(page.locator("#spoken")).to_have_text(
        re.compile(r"There is a cat in this photo\. 8\d\.\d % probability of a cat\.")
    )
    expect(page.locator("#spoken")).to_have_text(
        re.compile(r"row 12, column 7: worked out [−\d.]+, the network says [−\d.]+\.")
    )


@pytest.mark.parametrize("stage", ["dense", "dense_relu"])
def test_only_the_open_stage_is_marked(walked, stage):
    walked.locator(f'#ribbon [data-stage="{stage}"]').click()
    expect(walked.locator("#stage-title")).to_contain_text(stage)
    marked = walked.locator("#ribbon [aria-current]")
    assert [card.get_attribute("data-stage") for card in marked.all()] == [stage]


# What is said and shown.


def test_a_photo_without_evidence_says_so_and_offers_no_slider(page, url):
    page.locator("#network").select_option("cat")
    page.set_input_files("#file", COFFEE)
    expect(page.locator("#result")).to_contain_text("No place of this photo speaks for a cat.")
    assert page.locator("#opacity").count() == 0


def test_of_an_animation_the_frame_that_was_looked_at_is_shown(page, tmp_path):
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
def test_the_curl_names_the_file_as_a_shell_and_curl_read_it(page, name):
    page.set_input_files("#file", {"name": name, "mimeType": "image/jpeg", "buffer": CAT.read_bytes()})
    expect(page.locator("#curl-predict")).to_be_visible()
    part = shlex.split(page.locator("#curl-predict code").text_content())[2].removeprefix("file=@")
    if part.startswith('"'):
        part = re.sub(r"\\(.)", r"\1", part[1:-1])
    assert part == name


def test_a_link_that_is_pasted_into_an_open_page_is_followed(walked, url):
    walked.evaluate("location.hash = '#network=tutorial&stage=block2_relu&photo=" + "0" * 64 + "'")
    expect(walked.locator("#alert")).to_contain_text("Drop that photo here to follow it.")
    expect(walked.locator("#stage-title")).to_contain_text("block2_relu")


def test_an_unknown_stage_in_the_address_is_told_and_another_is_shown(walked):
    walked.evaluate("location.hash = '#network=tutorial&stage=nope'")
    expect(walked.locator("#alert")).to_contain_text("has no stage nope")
    expect(walked.locator("#stage-title")).to_contain_text("block1_conv")


def test_the_page_works_where_storage_is_blocked(browser, url):
    with visit(browser, url) as page:
        page.add_init_script("Object.defineProperty(window, 'sessionStorage', { get() { throw new Error('blocked'); } })")
        page.goto(url)
        page.set_input_files("#file", CAT)
        expect(page.locator("#verdict")).to_have_text("There is a cat in this photo.")
        assert page.complaints == []


def test_the_guises_are_asked_for_once_a_photo(walked):
    asked = []
    walked.on("request", lambda request: asked.append(request.url))
    walked.locator("#network").select_option("dense")
    expect(walked.locator(".probability code")).to_have_text("dense")
    settled(walked)
    walked.wait_for_load_state("networkidle")
    assert not [address for address in asked if address.endswith("/guises")]
    expect(walked.locator("table.guises")).to_be_visible()
