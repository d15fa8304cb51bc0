"""The lesson beside the page, step by step: its text, its toy, its tasks, and where "show me" leads."""

import json
import re
from contextlib import ExitStack

import httpx2
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import opened, visit
from tests.browser.visitor import COFFEE, ask, part, settled, value
from tests.conftest import ROOT

LAST = 8
WHISKERS = [8, 12]
"""The channels of block1_conv that the task looks for."""
WORDS = [
    *("backpropagation", "dot product", "epoch", "feature map", "filter", "loss", "neuron", "padding", "pooling"),
    *("receptive field", "ReLU", "softmax", "stride", "training"),
]


@pytest.fixture
def lesson(browser, url):
    """Opens the lesson at a step."""
    with ExitStack() as pages:
        yield lambda step, **options: pages.enter_context(opened(browser, url, f"?lesson={step}", **options))


@pytest.fixture
def text(browser, url):
    """Opens the lesson at a step where the service answers no question, which is all that its text needs."""
    with visit(browser, url) as page:
        page.route(re.compile("/(models|walk|predict|explain|guises)"), lambda route: route.abort())

        def at(step: int):
            page.goto(f"{url}/?lesson={step}")
            return page

        yield at


def step_of(page):
    return page.locator("#lesson li:has([aria-expanded=true])")


def press(page, name: str) -> None:
    step_of(page).get_by_role("button", name=name, exact=True).click()


def said(page):
    return step_of(page).locator(".said")


def place(page) -> dict[str, str]:
    return dict(re.findall(r"[#&](\w+)=(\w+)", page.url))


def landed(page, stage: str, **where: int) -> None:
    """The page is at that place of the chapter's network, and shows it."""
    network = "dense" if stage == "flatten" and step_of(page).get_attribute("data-step") == "1" else "tutorial"
    expect(page.locator("#stage-title")).to_contain_text(stage)
    expect(page.locator(".probability code")).to_have_text(network)
    expect(page.locator("#sum tr[data-part=computed]")).to_be_visible()
    expect(page).to_have_url(re.compile(f"network={network}&stage={stage}&"))
    assert place(page).items() >= {name: str(index) for name, index in where.items()}.items()


# As a whole.


def test_the_lesson_is_read_before_there_is_any_answer(text):
    page = text(1)
    for step in range(1, LAST + 1):
        expect(step_of(page)).to_have_attribute("data-step", str(step))
        assert len(step_of(page).locator(".step-body > p").first.inner_text()) > 250
        if step < LAST:
            press(page, "Next")


@pytest.mark.parametrize("step", range(1, LAST + 1))
def test_a_link_opens_each_step(text, step):
    expect(step_of(text(step))).to_have_attribute("data-step", str(step))


def test_the_step_is_in_the_address_and_survives_a_reload(lesson):
    page = lesson(2)
    press(page, "Next")
    expect(page).to_have_url(re.compile(r"\?lesson=3"))
    page.reload()
    expect(step_of(page)).to_have_attribute("data-step", "3")


@pytest.mark.parametrize("name", ["coffee", "chelsea"])
def test_a_link_names_a_sample_and_a_place_and_needs_no_file(browser, url, name):
    with opened(
        browser, url, f"?sample={name}&lesson=3#network=tutorial&stage=block2_pool&channel=5&row=7&column=9"
    ) as page:
        expect(page.locator(".frame .shown")).to_have_attribute("alt", f"The photo {name}.jpg")
        landed(page, "block2_pool", channel=5, row=7, column=9)
        expect(step_of(page)).to_have_attribute("data-step", "3")


def test_look_is_the_page_without_the_lesson_and_learn_brings_it_back(lesson):
    page = lesson(4)
    page.get_by_role("link", name="Look").click()
    expect(page.locator("#lesson")).to_be_hidden()
    assert "lesson" not in page.url
    page.get_by_role("link", name="Learn").click()
    expect(step_of(page)).to_have_attribute("data-step", "1")


def test_the_lesson_is_loaded_when_it_is_asked_for_and_knows_the_answer_that_is_there(browser, url):
    with visit(browser, url) as page:
        loaded = []
        page.on("request", lambda request: loaded.append(request.url.removeprefix(f"{url}/web/")))
        page.goto(url)
        page.set_input_files("#file", COFFEE)
        settled(page)
        assert "main.js" in loaded
        assert "lesson/lesson.js" not in loaded
        page.get_by_role("link", name="Learn").click()
        expect(step_of(page)).to_have_attribute("data-step", "1")
        for _ in range(LAST - 1):
            press(page, "Next")
        press(page, "No cat")
        expect(said(page)).to_contain_text("too.")


@pytest.mark.parametrize("word", WORDS)
def test_every_word_of_the_chapter_stands_in_a_step_and_explains_itself_when_it_gets_the_focus(text, word):
    page = text(1)
    for _ in range(LAST):
        term = step_of(page).locator(f'.term:has(strong:text-is("{word}"))').first
        if term.count():
            break
        press(page, "Next")
    term.focus()
    expect(term.locator(".tip")).to_be_visible()
    assert len(term.locator(".tip").inner_text()) > len(word) + 40
    assert term.get_attribute("aria-describedby") == term.locator(".tip").get_attribute("id")


def test_a_word_explains_itself_under_the_pointer_and_escape_puts_that_away(lesson):
    page = lesson(2)
    term = step_of(page).locator(".term", has_text="stride").first
    term.hover()
    expect(term.locator(".tip")).to_be_visible()
    page.keyboard.press("Escape")
    expect(term.locator(".tip")).to_be_hidden()


def test_a_word_explains_itself_when_it_is_tapped(lesson):
    page = lesson(2, viewport={"width": 390, "height": 844}, has_touch=True)
    term = step_of(page).locator(".term", has_text="padding").first
    term.tap()
    expect(term.locator(".tip")).to_be_visible()
    box = term.locator(".tip").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390


# Where "show me" leads, and what the tasks answer.


@pytest.mark.parametrize(
    ("step", "stage", "where"),
    [
        (1, "flatten", {}),
        (2, "block1_conv", {"channel": 8, "row": 71, "column": 21}),
        (3, "block1_pool", {"channel": 8, "row": 35, "column": 10}),
        (4, "block1_relu", {"channel": 8, "row": 35, "column": 13}),
        (5, "block5_conv", {"row": 3, "column": 3}),
        (6, "scores", {"channel": 0}),
        (8, "probabilities", {"channel": 0}),
    ],
)
def test_show_me_leads_to_the_place(lesson, step, stage, where):
    page = lesson(step)
    press(page, "Show me")
    landed(page, stage, **where)
    expect(page.locator(".surface" if "row" in where else "#sum")).to_be_in_viewport()
    expect(step_of(page)).to_have_attribute("data-step", str(step))


@pytest.mark.parametrize("step", [2, 6])
def test_a_step_about_chelsea_brings_her_back(lesson, step):
    page = lesson(step)
    page.set_input_files("#file", COFFEE)
    expect(page.locator(".frame .shown")).to_have_attribute("alt", "The photo coffee.jpg")
    press(page, "Show me")
    expect(page.locator(".frame .shown")).to_have_attribute("alt", "The photo chelsea.jpg")
    expect(page.locator("#sum tr[data-part=computed]")).to_be_visible()
    expect(page.locator("#notice")).to_be_hidden()


def test_a_neuron_that_reads_all_pixels_has_as_many_weights_as_the_ordinary_networks_row_is_long(lesson, url):
    row = httpx2.get(f"{url}/models/dense").json()["stages"][0]["shape"][0]
    page = lesson(1)
    for given, right in (("", False), ("10000", False), (str(row), True)):
        page.locator("#lesson .answer").fill(given)
        press(page, "Check")
        expect(said(page)).to_contain_text("Yes: 100 × 100 × 3 = 30,000" if right else "Not yet")


def test_the_filters_that_like_whiskers_are_recognised_and_no_other(lesson):
    page = lesson(2)
    press(page, "Check")
    expect(said(page)).to_contain_text("Open a channel of block1_conv")
    press(page, "Show me")
    landed(page, "block1_conv", channel=8)
    for channel in range(16):
        page.locator(f'.channel[data-channel="{channel}"]').click()
        expect(page).to_have_url(re.compile(f"channel={channel}&"))
        press(page, "Check")
        expect(said(page)).to_contain_text(f"channel {channel} has")
        assert said(page).inner_text().startswith("Yes") == (channel in WHISKERS)


def test_the_whisker_is_where_the_lesson_says(url):
    """Bright on it, darker above and below, in the photo as the network gets it; and two filters like that."""
    likes = []
    for channel in range(16):
        units = [
            ask(url, "explain/unit", network="tutorial", stage="block1_conv", channel=channel, row=row, column=21)
            for row in (70, 71, 72)
        ]
        above, on, below = (unit["computed"] for unit in units)
        if on > 0 and above < 0 and below < 0:
            likes.append(channel)
    above, on, below = (sum(unit["patch"][1][1]) for unit in units)
    assert on > above
    assert on > below
    assert likes == WHISKERS


def test_the_number_that_stays_in_the_pool_is_the_services(lesson, url):
    unit = ask(url, "explain/unit", network="tutorial", stage="block1_pool", channel=8, row=35, column=10)
    assert unit["maximum_at"][0] == 71, "it is the whisker's"
    page = lesson(3)
    for given, says in (
        ("0.5", "Not yet"),
        (f"{unit['value']:.2f}", "Yes"),
        (f"{unit['value']:.4f}", "Yes"),
    ):
        page.locator("#lesson .answer").fill(given)
        press(page, "Check")
        expect(said(page)).to_contain_text(says)


def test_a_number_below_zero_is_clipped_and_one_above_passes(lesson):
    page = lesson(4)
    press(page, "Show me")
    landed(page, "block1_relu", channel=8, row=35, column=13)
    assert part(page, "computed") == 0
    press(page, "Check")
    expect(said(page)).to_have_text(re.compile(r"Yes: −0\.\d+ goes in, 0 comes out"))
    for _ in range(3):
        page.locator(".surface").press("ArrowLeft")
    expect(page).to_have_url(re.compile("column=10"))
    press(page, "Check")
    expect(said(page)).to_contain_text("This one passes: 0.6")


def test_the_first_stage_that_sees_more_than_half_of_the_photo(lesson, url):
    stages = httpx2.get(f"{url}/models/tutorial").json()["stages"]
    first = next(stage["name"] for stage in stages if stage["receptive_field"]["size"][0] > 50)
    page = lesson(5)
    press(page, "Show me")
    landed(page, first)
    press(page, "Check")
    expect(said(page)).to_contain_text(f"Yes: a number of {first} depends on 78 of 100 rows")
    for stage, says in (("block4_pool", "Not far enough"), ("block5_relu", "Too far")):
        page.locator(f'#ribbon [data-stage="{stage}"]').click()
        landed(page, stage)
        press(page, "Check")
        expect(said(page)).to_contain_text(says)


def test_the_neuron_that_adds_the_most_to_the_cat(lesson, url):
    terms = ask(url, "explain/unit", network="tutorial", stage="scores", channel=0)["contributions"]
    most = max(terms, key=lambda term: term["product"])["index"]
    page = lesson(6)
    for given, says in ((terms[1]["index"], "Not this one"), (most, f"Yes: number {most} adds")):
        page.locator("#lesson .answer").fill(str(given))
        press(page, "Check")
        expect(said(page)).to_contain_text(says)
    press(page, "Show me softmax")
    landed(page, "probabilities", channel=0)


def test_the_curves_are_the_recorded_ones_and_the_worst_epoch_is_found(lesson):
    epochs = json.loads((ROOT / "model" / "tutorial" / "history.json").read_text())["epochs"]
    worst = min(epochs, key=lambda one: one["validation_accuracy"])
    page = lesson(7)
    slider = page.locator("#lesson [type=range]")
    expect(slider).to_have_attribute("max", str(len(epochs)))
    for one in epochs:
        slider.fill(str(one["epoch"]))
        right = f"{100 * one['validation_accuracy']:.1f} %"
        expect(page.locator("#lesson output")).to_have_text(f"epoch {one['epoch']}: loss {one['loss']:.4g}, {right} right")
    press(page, "Check")
    expect(said(page)).to_contain_text("Not this one")
    press(page, "Show me")
    expect(slider).to_have_value(str(worst["epoch"]))
    press(page, "Check")
    expect(said(page)).to_contain_text(f"Yes: after epoch {worst['epoch']} only {100 * worst['validation_accuracy']:.1f} %")
    points = page.locator("#lesson polyline").first.get_attribute("points").split()
    assert len(points) == len(epochs)


def test_what_training_made_of_the_first_filters_is_shown(lesson):
    page = lesson(7)
    press(page, "Show me what it learned")
    landed(page, "block1_conv", channel=8)
    expect(page.locator(".filter figcaption")).to_contain_text("filter 8: 3 × 3 × 3 weights")


def test_the_last_step_compares_what_the_visitor_sees_with_the_services_answer(lesson):
    page = lesson(8)
    page.set_input_files("#file", COFFEE)
    expect(page.locator("#verdict")).to_have_text("No cat in this photo.")
    cat = value(page.locator(".probability"))
    shown = page.locator(".probability strong").inner_text()
    assert cat < 0.1
    press(page, "No cat")
    expect(said(page)).to_have_text(f"Yes: tutorial gives a cat {shown}, too.")
    press(page, "A cat")
    expect(said(page)).to_contain_text("One of you is wrong")


@pytest.mark.parametrize("stage", ["block1_pool", "flatten", "scores"])
def test_the_last_step_leads_along_the_way(lesson, stage):
    page = lesson(8)
    press(page, stage)
    landed(page, stage)
