"""The lesson's toy against NumPy, by mouse and by keyboard; the lesson on phones, in the dark, for screen readers."""

import itertools
import re

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.app.inference.test_golden_arithmetic import FILTERS, IMAGE, RELU_LEFT_EDGE, SAME_PLUS, STRIDE_2, VALID
from tests.browser.conftest import opened, visit
from tests.browser.visitor import value

NAMES = {"plus": "plus", "rising": "rising line", "left_edge": "left edge"}
PHONE = {"width": 390, "height": 844}


@pytest.fixture
def toy(browser, url):
    with opened(browser, url, "?lesson=2") as page:
        yield page


def cells(page, name: str) -> list[list[int]]:
    values = [value(cell) for cell in page.locator(f'[data-cells="{name}"] .table > *').all()]
    side = round(len(values) ** 0.5)
    return [[int(one) for one in values[row * side : (row + 1) * side]] for row in range(side)]


def choose(page, **settings: int) -> None:
    for name, setting in settings.items():
        page.locator(f'select[data-toy="{name}"]').select_option(str(setting))


def by_numpy(image, weights, stride: int, padding: int, pool: int) -> tuple[list, list]:
    picture = np.pad(np.array(image), padding)
    windows = np.lib.stride_tricks.sliding_window_view(picture, np.shape(weights))[::stride, ::stride]
    sums = (windows * np.array(weights)).sum((2, 3))
    side = len(sums) // pool
    pooled = sums[: side * pool, : side * pool].reshape(side, pool, side, pool).max((1, 3))
    return sums.tolist(), pooled.tolist()


def test_every_combination_of_the_toy_is_worked_out_as_numpy_does(toy):
    rng = np.random.default_rng(7)
    cases = []
    for kernel, stride, padding, pool in itertools.product(range(1, 6), (1, 2, 3), (0, 1, 2), (1, 2)):
        image = rng.integers(0, 2, (5, 5)).tolist()
        weights = rng.integers(-1, 2, (kernel, kernel)).tolist()
        cases.append((image, weights, stride, padding, pool))
    answers = toy.evaluate(
        """async (cases) => {
          const toy = await import("/web/lesson/toy.js");
          return cases.map(([image, filter, stride, padding, pool]) => {
            const map = toy.featureMap(image, filter, stride, padding);
            const size = toy.outputSize(image.length, filter.length, stride, padding);
            return [map, toy.pooled(map, pool), toy.clipped(map), size];
          });
        }""",
        cases,
    )
    for case, (sums, pooled, clipped, size) in zip(cases, answers, strict=True):
        assert (sums, pooled) == by_numpy(*case)
        assert clipped == np.maximum(sums, 0).tolist()
        assert size == len(sums)


@pytest.mark.parametrize("name", FILTERS)
def test_the_chapters_filters_give_the_chapters_sums(toy, name):
    toy.get_by_role("button", name=NAMES[name], exact=True).click()
    assert cells(toy, "picture") == IMAGE
    assert cells(toy, "filter") == FILTERS[name]
    assert cells(toy, "feature map") == VALID[name]
    choose(toy, stride=2)
    assert cells(toy, "feature map") == STRIDE_2[name]


def test_padding_pooling_and_relu_follow_the_chapter(toy):
    choose(toy, padding=1)
    assert cells(toy, "feature map") == SAME_PLUS
    choose(toy, pool=2)
    assert cells(toy, "pooled") == by_numpy(IMAGE, FILTERS["plus"], 1, 1, 2)[1]
    expect(toy.locator('[data-toy="size"]')).to_have_text("Output size: (5 + 2 × 1 − 3) / 1 + 1 = 5; pooled, 2")
    toy.get_by_role("button", name="left edge").click()
    choose(toy, padding=0, pool=1, relu=1)
    assert cells(toy, "after ReLU") == RELU_LEFT_EDGE


def test_the_sum_of_a_clicked_cell_is_worked_out(toy):
    expect(toy.locator('[data-toy="sum"]')).to_have_text(
        "Row 0, column 0: 0 × 0 + 1 × 1 + 0 × 0 + 1 × 1 + 1 × 1 + 1 × 1 + 0 × 0 + 1 × 1 + 0 × 0 = 5"
    )
    toy.locator('[data-cells="feature map"] [aria-label^="row 2, column 0"]').click()
    expect(toy.locator('[data-toy="sum"]')).to_have_text(re.compile(r"^Row 2, column 0: .* = 1$"))
    assert toy.locator('[data-cells="picture"] .seen').count() == 9


def test_a_stride_that_does_not_fit_is_rounded_down(toy):
    choose(toy, kernel=2, stride=2)
    expect(toy.locator('[data-toy="size"]')).to_have_text("Output size: (5 + 2 × 0 − 2) / 2 + 1 = 2, rounded down")
    assert len(cells(toy, "feature map")) == 2


def test_cells_of_the_picture_and_the_filter_are_changed_with_the_keyboard(toy):
    toy.locator('[data-cells="picture"] [tabindex="0"]').focus()
    toy.keyboard.press("Enter")
    assert cells(toy, "picture")[0][0] == 1
    toy.keyboard.press("ArrowDown")
    toy.keyboard.press("ArrowRight")
    toy.keyboard.press("Space")
    assert cells(toy, "picture")[1][1] == 0
    toy.locator('[data-cells="filter"] [tabindex="0"]').focus()
    for weight in (1, -1, 0):
        toy.keyboard.press("Enter")
        assert cells(toy, "filter")[0][0] == weight
        changed = [[1, *IMAGE[0][1:]], [1, 0, *IMAGE[1][2:]], *IMAGE[2:]]
        assert cells(toy, "feature map") == by_numpy(changed, cells(toy, "filter"), 1, 0, 1)[0]
    toy.get_by_role("button", name="Start over").click()
    assert cells(toy, "picture") == IMAGE


@pytest.mark.parametrize(("step", "shown"), [(3, "pooled"), (4, "after ReLU")])
def test_the_toy_shows_what_the_step_is_about(browser, url, step, shown):
    with opened(browser, url, f"?lesson={step}") as page:
        expect(page.locator(f'[data-cells="{shown}"]')).to_be_visible()


# Everywhere.


def test_the_lesson_is_walked_through_without_a_mouse(browser, url):
    with opened(browser, url, "?lesson=1") as page:
        for step in range(1, 9):
            opened_step = page.locator(f'#lesson li[data-step="{step}"]')
            expect(opened_step.locator(".task")).to_be_visible()
            for _ in range(40):
                page.keyboard.press("Tab")
                if page.evaluate("document.activeElement.matches('.next')"):
                    break
            if step < 8:
                page.keyboard.press("Enter")
                expect(page.locator(f'#lesson li[data-step="{step + 1}"] h3 button')).to_be_focused()


def test_on_a_phone_the_lesson_is_a_sheet_that_show_me_lowers_and_the_handle_raises(browser, url):
    with opened(browser, url, "?lesson=2", viewport=PHONE) as page:
        expect(page.locator(".task:visible")).to_be_attached()
        page.locator("#lesson").get_by_role("button", name="Show me", exact=True).click()
        expect(page.locator("#lesson")).to_have_class("down")
        expect(page.locator("#sum tr[data-part=computed]")).to_be_visible()
        expect(page.locator(".surface")).to_be_in_viewport()
        page.locator(".handle").click()
        expect(page.locator("#lesson")).not_to_have_class("down")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_the_sheet_is_pulled_by_its_handle(browser, url):
    with opened(browser, url, "?lesson=2", viewport=PHONE) as page:
        for by, classes in ((200, "down"), (-200, "")):
            box = page.locator(".handle").bounding_box()
            x, y = box["x"] + 40, box["y"] + 20
            page.mouse.move(x, y)
            page.mouse.down()
            page.mouse.move(x, y + by, steps=5)
            page.mouse.up()
            expect(page.locator("#lesson")).to_have_class(classes)
            page.evaluate("Promise.all(document.getAnimations().map((one) => one.finished))")


@pytest.mark.parametrize(
    ("colours", "width"),
    [("light", 1300), ("dark", 1300), ("light", 360), ("dark", 360)],
    ids=["light", "dark", "phone", "dark phone"],
)
def test_axe_finds_no_violation_in_any_step(browser, url, colours, width):
    from axe_playwright_python.sync_playwright import Axe

    with visit(browser, url, color_scheme=colours, viewport={"width": width, "height": 900}) as page:
        page.goto(f"{url}/?lesson=1")
        for step in range(1, 9):
            body = page.locator(f"#step-{step}")
            expect(body).to_be_visible()
            expect(body.locator(".facts" if step not in (4, 6, 8) else ".task")).to_be_visible()
            if step == 7:
                expect(body.locator("[type=range]")).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            violations = Axe().run(page).response["violations"]
            assert [(one["id"], one["impact"], [node["html"][:120] for node in one["nodes"]]) for one in violations] == []
            if step < 8:
                body.locator(".next").click()
