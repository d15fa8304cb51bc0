"""One step of gradient descent on the visitor's photo, below the timeline of the network's training."""

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.visitor import ask, percent, take_step, value


def grid(page, part: str) -> list[list[float]]:
    rows = page.locator(f"#learned table[data-part={part}] tr").all()
    return [[value(cell) for cell in row.locator("td").all()] for row in rows]


def stepped(url: str, **query):
    return ask(url, "explain/step", network="tutorial", **query)


@pytest.mark.parametrize("truth", ["cat", "not_cat"])
def test_a_step_shows_the_services_numbers_and_one_weight_worked_out(timeline, url, truth):
    page = timeline(1)
    if truth == "not_cat":
        page.get_by_role("button", name="no cat", exact=True).click()
    page.get_by_label("filter", exact=False).fill("5")
    take_step(page)
    answer = stepped(url, epoch=1, stage="block1_conv", channel=5, truth=truth)
    kernel = {part: np.array(answer["kernel"][part]) for part in ("before", "gradient", "after")}
    row, column, source = np.unravel_index(np.abs(kernel["gradient"]).argmax(), kernel["gradient"].shape)
    for part, numbers in kernel.items():
        assert grid(page, part) == numbers[..., source].tolist()
    chosen = [numbers[row, column, source] for numbers in kernel.values()]
    assert value(page.locator("#learned .arithmetic")) == chosen[2]
    text = page.locator("#learned .arithmetic strong").inner_text().replace("−", "-").replace("(", "").replace(")", "")
    before, rate, gradient, after = map(float, re.fullmatch(r"(\S+) - (\S+) × (\S+) = (\S+)", text).groups())
    assert [before, gradient, after] == pytest.approx(chosen, rel=1e-6)
    assert rate == pytest.approx(answer["learning_rate"], rel=1e-6)
    assert before - rate * gradient == pytest.approx(after, rel=1e-6)
    says = page.locator("#learned .step .caption").inner_text()
    loss, probability = answer["loss"], answer["probabilities"]
    assert f"= {loss['before']:.4g}" in says
    assert f"After one step it is {loss['after']:.4g}" in says
    assert f"{percent(probability['before'][truth])} → {percent(probability['after'][truth])}" in says


def test_another_answer_is_asked_for_at_once_and_another_epoch_takes_the_step_away(timeline):
    page = timeline(1)
    take_step(page)
    with page.expect_request(re.compile("/explain/step.*truth=not_cat")):
        page.get_by_role("button", name="no cat", exact=True).click()
    expect(page.locator("#learned .step .caption")).to_contain_text("“no cat”")
    page.get_by_role("button", name="Next epoch").click()
    expect(page.locator("#learned .arithmetic")).to_be_hidden()


def test_the_filter_is_the_one_that_is_open_in_the_walk(timeline):
    page = timeline(1)
    expect(page.locator("#learned .step-form")).to_contain_text("of block1_conv, 0 to 15")
    page.locator('#ribbon [data-stage="block2_conv"]').click()
    expect(page.locator("#learned .step-form")).to_contain_text("of block2_conv, 0 to 31")
    page.locator('#stage .channel[data-channel="7"]').click()
    expect(page.locator("#learned .step-form [type=number]")).to_have_value("7")
    with page.expect_request(re.compile("/explain/step.*stage=block2_conv&channel=7&truth=cat")):
        page.get_by_role("button", name="Take one step").click()


def test_each_input_of_the_filter_can_be_seen(timeline, url):
    page = timeline(1)
    take_step(page)
    answer = stepped(url, epoch=1, stage="block1_conv", channel=0, truth="cat")
    for index, colour in enumerate(("red", "green", "blue")):
        page.locator("#learned .step-result select").select_option(colour)
        assert grid(page, "before") == np.array(answer["kernel"]["before"])[..., index].tolist()
