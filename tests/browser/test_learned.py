"""The act "How it learned": a timeline of the network's training on the visitor's photo."""

import io
import re

import httpx2
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.conftest import opened, visit
from tests.browser.test_page_as_a_whole import EXPERIMENTAL
from tests.browser.visitor import COFFEE, COUNT, LARGEST, TIMELINE, ask, percent, settled, stands_at, take_step, value

LAST = 20


def said(page):
    return page.locator("#learned .answered .caption")


def epochs(url: str) -> list[dict[str, float]]:
    return httpx2.get(f"{url}/models/tutorial/epochs").json()["epochs"]


def cat(url: str, epoch: int) -> float:
    return ask(url, "predict", network="tutorial", epoch=epoch, feature_maps="none")["probabilities"]["cat"]


# Opening and closing.


def test_the_act_is_there_for_a_network_that_was_kept_and_for_no_other(browser, url):
    with opened(browser, url, "?sample=chelsea#network=dense") as page:
        settled(page)
        expect(page.locator("#learned")).to_be_hidden()
        page.locator("#network").select_option("tutorial")
        expect(page.get_by_role("button", name="How it learned")).to_be_visible()
        expect(page.locator("#learned-body")).to_be_hidden()


def test_it_is_loaded_when_it_is_opened_and_opens_at_the_random_start(browser, url):
    with opened(browser, url, "?sample=chelsea#network=tutorial") as page:
        loaded = []
        page.on("request", lambda request: loaded.append(request.url.removeprefix(f"{url}/web/")))
        settled(page)
        assert not [name for name in loaded if name.startswith("learned/") and name != "learned/door.js"]
        button = page.get_by_role("button", name="How it learned")
        button.press("Enter")
        stands_at(page, 0)
        assert "learned/timeline.js" in loaded
        expect(button).to_have_attribute("aria-expanded", "true")
        expect(page).to_have_url(re.compile("&epoch=0$"))


def test_back_to_the_trained_network_closes_it_and_takes_the_epoch_out_of_the_address(timeline):
    page = timeline(2)
    page.get_by_role("button", name="Back to the trained network").click()
    expect(page.locator("#learned-body")).to_be_hidden()
    assert "epoch" not in page.url
    expect(page.get_by_role("button", name="How it learned")).to_be_focused()
    page.go_back()
    expect(page.locator("#learned-body")).to_be_visible()
    stands_at(page, 2)


def test_a_link_replays_and_scrolls_to_the_timeline(timeline):
    page = timeline(1)
    expect(page.locator("#learned-title")).to_be_in_viewport()
    expect(page).to_have_url(re.compile("stage=block2_relu&channel=3&row=12&column=7&epoch=1$"))


def test_an_epoch_beyond_the_last_gives_way_to_the_last(browser, url):
    with opened(browser, url, f"{TIMELINE}99") as page:
        stands_at(page, LAST)
        expect(page).to_have_url(re.compile(f"epoch={LAST}$"))


def test_another_photo_is_shown_at_the_same_epoch(timeline, url):
    page = timeline(1)
    before = value(page.locator("#learned .probability"))
    page.set_input_files("#file", COFFEE)
    expect(page.locator("#learned .probability")).not_to_have_attribute("data-value", str(before))
    stands_at(page, 1)
    expect(page).to_have_url(re.compile("epoch=1$"))


def test_another_network_closes_it(timeline):
    page = timeline(1)
    page.locator("#network").select_option("dense")
    expect(page.locator("#learned")).to_be_hidden()
    assert "epoch" not in page.url


# What stands at a stop.


@pytest.mark.parametrize("epoch", [1, 3, 18])
def test_a_stop_says_what_changed_since_the_one_before_in_the_services_numbers(timeline, url, epoch):
    before, here = epochs(url)[epoch - 1 : epoch + 1]
    page = timeline(epoch)
    expect(said(page)).to_contain_text(
        f"After epoch {epoch}: {percent(before['accuracy'])} → {percent(here['accuracy'])} of the validation photos right; "
        f"loss {before['loss']:.4g} → {here['loss']:.4g}; "
        f"your photo {percent(cat(url, epoch - 1))} → {percent(cat(url, epoch))} cat; "
        f"learning rate {here['learning_rate']:.4g}."
    )
    assert value(page.locator("#learned .probability")) == cat(url, epoch)
    assert "answers above" not in said(page).inner_text()


def test_the_start_says_that_the_weights_are_random(timeline, url):
    page = timeline(0)
    start = epochs(url)[0]
    expect(said(page)).to_have_text(
        f"Before training, the weights are random: {percent(start['accuracy'])} of the validation photos right, "
        f"loss {start['loss']:.4g}; your photo {percent(cat(url, 0))} cat."
    )


def test_the_last_epoch_answers_as_the_network_that_is_served(timeline):
    page = timeline(LAST)
    assert value(page.locator("#learned .probability")) == value(page.locator("#result .probability"))
    expect(said(page)).to_contain_text("This is the network that answers above.")
    ghost = page.locator("#learned .gauge .ghost").bounding_box()
    now = page.locator("#learned .gauge span").first.bounding_box()
    assert ghost["width"] == pytest.approx(now["width"], abs=1)


def test_the_maps_are_those_of_the_stage_in_the_walk_and_follow_it(timeline, url):
    page = timeline(1)
    for stage in ("block2_relu", "block3_pool"):
        if stage != "block2_relu":
            page.locator(f'#ribbon [data-stage="{stage}"]').click()
        expect(page.locator("#learned .maps")).to_have_attribute("data-stage", stage)
        expect(page.locator("#learned figcaption", has_text=f"Your photo in {stage}, after epoch 1")).to_be_visible()
        asked = ask(url, "predict", network="tutorial", epoch=1, stages=stage, channels=8)
        channels = asked["feature_maps"][0]["channels"]
        shown = page.locator("#learned .map")
        assert [value(caption) for caption in shown.locator("figcaption").all()] == [one["peak"] for one in channels]
        assert [one.get_attribute("src") for one in shown.locator("img").all()] == [one["thumbnail"] for one in channels]


def test_the_filters_are_the_services_picture_of_that_epoch(timeline, url):
    page = timeline(1)
    for epoch in (1, 2):
        if epoch == 2:
            page.get_by_role("button", name="Next epoch").click()
            stands_at(page, 2)
        shown = page.evaluate(
            """() => {
              const image = document.querySelector("#learned .filter img");
              const { naturalWidth: width, naturalHeight: height } = image;
              const canvas = Object.assign(document.createElement("canvas"), { width, height }).getContext("2d");
              canvas.drawImage(image, 0, 0);
              return [height, width, [...canvas.getImageData(0, 0, width, height).data]];
            }"""
        )
        asked = httpx2.get(f"{url}/models/tutorial/kernels/block1_conv", params={"epoch": epoch})
        picture = np.asarray(Image.open(io.BytesIO(asked.content)).convert("RGBA"))
        height, width, pixels = shown
        assert np.array_equal(np.reshape(pixels, (height, width, 4)), picture)


def test_the_curves_have_a_point_for_each_epoch_and_the_dot_is_on_the_line(timeline, url):
    page = timeline(0)
    for epoch in range(LAST + 1):
        page.locator("#learned [type=range]").fill(str(epoch))
        for chart in page.locator("#learned .chart").all():
            points = chart.locator("polyline").get_attribute("points").split()
            assert len(points) == LAST + 1
            dot = chart.locator("circle")
            assert points[epoch] == f"{dot.get_attribute('cx')},{dot.get_attribute('cy')}"
    points = page.locator("#learned polyline").last.get_attribute("points").split()
    heights = {one["accuracy"]: float(point.split(",")[1]) for one, point in zip(epochs(url), points, strict=True)}
    assert [heights[right] for right in sorted(heights)] == sorted(heights.values(), reverse=True), "higher is better"


# Moving along it.


def test_the_keyboard_moves_along_it(timeline):
    page = timeline(1)
    slider = page.get_by_role("slider", name="epoch", exact=True)
    slider.press("ArrowRight")
    stands_at(page, 2)
    expect(page).to_have_url(re.compile("epoch=2$"))
    expect(slider).to_have_attribute("aria-valuetext", f"epoch 2 of {LAST}")
    slider.press("Home")
    stands_at(page, 0)
    expect(slider).to_have_attribute("aria-valuetext", "random, before training")
    expect(page.locator("#spoken")).to_have_text(re.compile("^Before training"))
    slider.press("End")
    stands_at(page, LAST)
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", "focus is visible"


def test_it_steps_and_stays_within_its_ends(timeline):
    page = timeline(1)
    back, on = (page.get_by_role("button", name=name) for name in ("Previous epoch", "Next epoch"))
    for button, epoch in ((back, 0), (back, 0), (on, 1)):
        button.click()
        stands_at(page, epoch)
    page.locator("#learned [type=range]").press("End")
    for button, epoch in ((on, LAST), (back, LAST - 1)):
        button.click()
        stands_at(page, epoch)


def test_it_plays_to_the_end_and_speaks_only_there(timeline):
    page = timeline(LAST - 3)
    page.evaluate(
        """() => { window.heard = []; new MutationObserver(() => heard.push(document.querySelector("#spoken").textContent))
            .observe(document.querySelector("#spoken"), { childList: true }) }"""
    )
    page.locator("#learned [data-play]").click()
    expect(page.locator("#learned [data-play]")).to_have_text("Pause")
    stands_at(page, LAST)
    expect(page.locator("#learned [data-play]")).to_have_text("Play")
    assert page.evaluate("heard.length") == 1
    assert page.evaluate("heard[0]").startswith(f"After epoch {LAST}")


def test_space_plays_and_pauses_and_the_epoch_stays(timeline):
    page = timeline(0)
    slider = page.locator("#learned [type=range]")
    slider.press(" ")
    stands_at(page, 1)
    slider.press(" ")
    expect(page.locator("#learned [data-play]")).to_have_text("Play")
    at = slider.input_value()
    page.wait_for_timeout(1600)
    assert slider.input_value() == at
    expect(page.locator("#spoken")).to_have_text(re.compile(f"^After epoch {at}"))


def test_playing_waits_for_each_epochs_answer(timeline):
    page = timeline(0)
    held = []
    page.route(re.compile(r"/predict\?.*epoch=1\b"), lambda route: held.append(route))
    page.locator("#learned [data-play]").click()
    expect(page.locator("#learned [type=range]")).to_have_value("1")
    page.wait_for_timeout(2000)
    expect(page.locator("#learned [type=range]")).to_have_value("1")
    expect(page.locator("#learned .timeline")).to_have_attribute("data-epoch", "0")
    held[0].continue_()
    stands_at(page, 2)


def test_old_requests_are_cancelled_when_the_slider_moves_on(timeline):
    page = timeline(0)
    held, failed = [], []
    page.route(re.compile(r"/predict\?.*epoch=[12]\b"), lambda route: held.append(route))
    page.on("requestfailed", lambda request: failed.append(request.url))
    slider = page.locator("#learned [type=range]")
    slider.press("ArrowRight")
    page.wait_for_timeout(200)
    assert len(held) == 1
    slider.press("Home")
    stands_at(page, 0)
    assert len([url for url in failed if "/predict" in url and "epoch=1" in url]) == 1
    expect(page.locator("#alert")).to_be_hidden()


def test_no_question_of_the_timeline_sends_the_photo_itself(timeline, large):
    page = timeline(0)
    page.set_input_files("#file", large)
    settled(page)
    page.evaluate(COUNT)
    page.locator("#learned [type=range]").press("End")
    stands_at(page, LAST)
    take_step(page)
    assert len(page.evaluate("sent")) >= 3
    assert max(page.evaluate("sent")) < LARGEST


def test_nothing_moves_by_itself_for_those_who_ask_for_less_motion(timeline):
    page = timeline(0, reduced_motion="reduce")
    expect(page.locator("#learned [data-play]")).to_be_hidden()
    page.locator("#learned [type=range]").press(" ")
    stands_at(page, 1)
    page.wait_for_timeout(1600)
    stands_at(page, 1)


def test_the_curl_command_asks_the_same(timeline):
    command = timeline(2).locator("#learned .stop .curl code").text_content()
    assert re.search(r"/predict\?network=tutorial&epoch=2&stages=block2_relu&channels=8'$", command)


# From elsewhere.


def test_the_lesson_about_training_leads_to_the_worst_epoch(browser, url):
    worst = min(epochs(url)[1:], key=lambda one: one["accuracy"])["epoch"]
    with opened(browser, url, "?sample=chelsea&lesson=7") as page:
        settled(page)
        expect(page.locator("#lesson polyline").first).to_be_visible()
        page.locator("#step-7").get_by_role("button", name="Show me", exact=True).click()
        stands_at(page, worst)
        expect(page.locator("#lesson [type=range]")).to_have_value(str(worst))
        expect(page.locator("#learned-title")).to_be_in_viewport()
        expect(page).to_have_url(re.compile(f"lesson=7#network=tutorial&stage=block1_conv&.*epoch={worst}$"))
        page.locator("#step-7").get_by_role("button", name="Show me what it learned").click()
        expect(page.locator("#learned-body")).to_be_hidden()


def test_it_is_an_act_of_its_own_when_presenting(browser, url):
    with opened(browser, url, f"?present=walk&sample=chelsea{TIMELINE[TIMELINE.index('#') :]}1") as page:
        stands_at(page, 1)
        for act in ("learned", "why"):
            page.keyboard.press("PageDown")
            seen = [one for one in ("answer", "walk", "learned", "why") if page.locator(f"#{one}").is_visible()]
            assert seen == [act]


# For everybody.


@pytest.mark.parametrize(
    ("colours", "width"), [("light", 1200), ("dark", 1200), ("light", 360)], ids=["light", "dark", "phone"]
)
def test_axe_finds_no_violation_and_nothing_sticks_out(browser, url, colours, width):
    from axe_playwright_python.sync_playwright import Axe

    with visit(browser, url, color_scheme=colours, viewport={"width": width, "height": 900}) as page:
        page.goto(f"{url}/{TIMELINE}2")
        stands_at(page, 2)
        settled(page)
        take_step(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        violations = Axe().run(page, options={"rules": EXPERIMENTAL}).response["violations"]
        assert [(one["id"], one["impact"], [node["html"][:120] for node in one["nodes"]]) for one in violations] == []
