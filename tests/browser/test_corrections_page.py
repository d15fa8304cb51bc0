""" "That's wrong" beside an answer, and the review of what was corrected or unsure."""

import time
from collections.abc import Iterator

import httpx2
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.conftest import opened, service
from tests.browser.visitor import CAT, COFFEE
from tests.conftest import ROOT, sha256


@pytest.fixture(scope="module")
def correcting_url(tmp_path_factory) -> Iterator[str]:
    with service(ROOT / "model", store=tmp_path_factory.mktemp("store"), keep="corrections") as url:
        yield url


@pytest.fixture
def kept(correcting_url) -> Iterator[str]:
    """The service with two corrections: that the coffee is a cat, then that the cat is none."""
    httpx2.delete(f"{correcting_url}/corrections?all=true").raise_for_status()
    for photo, label in ((COFFEE, "cat"), (CAT, "not_cat")):
        files = {"file": photo.read_bytes()}
        httpx2.post(f"{correcting_url}/corrections?label={label}", files=files, timeout=60).raise_for_status()
    yield correcting_url
    httpx2.delete(f"{correcting_url}/corrections?all=true").raise_for_status()


def corrections(url: str) -> list[dict]:
    return httpx2.get(f"{url}/corrections").json()["corrections"]


def labels(url: str) -> dict[str, str | None]:
    """By photo, what it shows."""
    names = {sha256(CAT.read_bytes()): "the cat", sha256(COFFEE.read_bytes()): "the coffee"}
    return {names[one["sha256"]]: one["label"] for one in corrections(url)}


def answered(page, photo) -> None:
    page.set_input_files("#file", photo)
    expect(page.locator("#result .probability")).to_be_visible()


@pytest.fixture
def review(browser, kept):
    """The review of these two, the newest first."""
    with opened(browser, kept, "?teach") as page:
        page.get_by_role("button", name="Review what was wrong or unsure").click()
        expect(page.locator(".facts-of-photo")).to_contain_text("1 of 2")
        yield page


# Beside an answer.


def test_the_right_class_is_kept_with_the_photo_and_taken_back(browser, correcting_url):
    with opened(browser, correcting_url) as page:
        answered(page, COFFEE)
        page.get_by_role("button", name="That’s wrong").click()
        expect(page.locator(".correcting .chip")).to_have_text(["cat"])
        page.locator(".correcting .chip").click()
        expect(page.locator(".correcting")).to_contain_text("kept as “cat”")
        [one] = corrections(correcting_url)
        assert (one["label"], one["network"], one["source"]) == ("cat", "cat", "page")
        assert one["sha256"] == sha256(COFFEE.read_bytes())
        page.get_by_role("button", name="Undo").click()
        expect(page.get_by_role("button", name="That’s wrong")).to_be_focused()
        assert corrections(correcting_url) == []


def test_it_works_with_the_keyboard_alone(browser, correcting_url):
    with opened(browser, correcting_url) as page:
        answered(page, CAT)
        page.get_by_role("button", name="That’s wrong").press("Enter")
        expect(page.locator(".correcting .chip")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Undo")).to_be_focused()
        expect(page.locator("#spoken")).to_contain_text("kept as “no cat”")
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="That’s wrong")).to_be_focused()
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Cancel").press("Enter")
        expect(page.get_by_role("button", name="That’s wrong")).to_be_focused()
    assert corrections(correcting_url) == []


def test_the_answer_to_a_second_photo_is_corrected_too(browser, correcting_url):
    with opened(browser, correcting_url, "?beside=coffee#network=tutorial&stage=block1_conv") as page:
        answered(page, CAT)
        beside = page.locator("#beside .correcting")
        beside.get_by_role("button", name="That’s wrong").click()
        beside.locator(".chip").first.click()
        expect(beside).to_contain_text("kept as “cat”")
        [one] = corrections(correcting_url)
        assert (one["sha256"], one["network"]) == (sha256(COFFEE.read_bytes()), "tutorial")
        beside.get_by_role("button", name="Undo").click()
        expect(beside.get_by_role("button", name="That’s wrong")).to_be_focused()
    assert corrections(correcting_url) == []


def test_where_nothing_is_kept_a_sentence_says_so(browser, url):
    with opened(browser, url) as page:
        answered(page, CAT)
        page.get_by_role("button", name="That’s wrong").click()
        page.locator(".correcting .chip").click()
        expect(page.locator(".correcting")).to_contain_text("Corrections are not kept here")
        expect(page.locator(".correcting")).to_contain_text("CATSCOPE_")
        expect(page.locator("#alert")).to_be_hidden()


def test_the_foot_of_the_page_says_what_is_kept(browser, url, correcting_url):
    with opened(browser, url) as page:
        expect(page.locator("#kept")).to_have_text("Your photo is not stored: the service answers it and forgets it.")
    with opened(browser, correcting_url) as page:
        expect(page.locator("#kept")).to_have_text(
            "Your photo is kept here for 90 days if you say that its answer is wrong; otherwise it is forgotten."
        )


def test_it_is_loaded_when_it_is_pressed(browser, url):
    with opened(browser, url) as page:
        loaded = []
        page.on("request", lambda request: loaded.append(request.url))
        answered(page, CAT)
        assert not any("correct/" in address for address in loaded)
        page.get_by_role("button", name="That’s wrong").click()
        expect(page.locator(".correcting .chip")).to_be_visible()
        assert any(address.endswith("correct/correct.js") for address in loaded)


# The review.


def test_the_review_shows_the_photo_and_what_was_said(review, kept):
    newest = corrections(kept)[0]
    with Image.open(CAT) as photo:
        expect(review.locator(".reviewed")).to_have_js_property("naturalWidth", photo.width)
    expect(review.locator(".facts-of-photo")).to_contain_text(f"It said cat ({100 * newest['probabilities']['cat']:.1f} %)")
    expect(review.locator(".chip[aria-pressed=true]")).to_contain_text("no cat")


def test_keys_move_choose_and_undo(review, kept):
    expect(review.locator(".card-of-photo")).to_be_focused()
    review.keyboard.press("1")
    expect(review.locator(".facts-of-photo")).to_contain_text("2 of 2")
    assert labels(kept) == {"the cat": "cat", "the coffee": "cat"}
    review.keyboard.press("ArrowLeft")
    expect(review.locator(".facts-of-photo")).to_contain_text("1 of 2")
    expect(review.locator(".chip[aria-pressed=true]")).to_contain_text("cat")
    review.keyboard.press("u")
    expect(review.locator(".chip[aria-pressed=true]")).to_contain_text("no cat")
    assert labels(kept) == {"the cat": "not_cat", "the coffee": "cat"}
    for _ in range(2):
        review.keyboard.press("ArrowRight")
    expect(review.locator(".nothing")).to_have_text("That was the last one.")


def test_a_deletion_is_done_when_the_next_thing_is_and_can_be_undone_before(review, kept):
    review.keyboard.press("Delete")
    expect(review.locator(".facts-of-photo")).to_contain_text("1 of 1")
    review.keyboard.press("u")
    expect(review.locator(".facts-of-photo")).to_contain_text("1 of 2")
    assert labels(kept) == {"the cat": "not_cat", "the coffee": "cat"}
    review.keyboard.press("Delete")
    expect(review.locator(".facts-of-photo")).to_contain_text("1 of 1")
    review.keyboard.press("2")
    expect(review.locator(".nothing")).to_be_visible()
    assert labels(kept) == {"the coffee": "not_cat"}


def test_a_deletion_is_done_when_the_page_is_left(review, kept):
    review.keyboard.press("Delete")
    expect(review.locator(".facts-of-photo")).to_contain_text("1 of 1")
    review.goto(f"{kept}/docs")
    for _ in range(100):  # nobody waits for the answer to what a page asks when it is left
        if len(labels(kept)) == 1:
            break
        time.sleep(0.1)
    assert labels(kept) == {"the coffee": "cat"}


def test_a_photo_that_was_corrected_twice_is_deleted_wholly(review, kept):
    review.keyboard.press("1")
    expect(review.locator(".facts-of-photo")).to_contain_text("2 of 2")
    review.keyboard.press("ArrowLeft")
    review.keyboard.press("Delete")
    expect(review.locator(".facts-of-photo")).to_contain_text("1 of 1")
    review.get_by_label("Show", exact=True).select_option("corrected")
    expect(review.locator(".review")).to_contain_text("Kept here: 1 photo")
    assert labels(kept) == {"the coffee": "cat"}


def test_it_is_filtered_by_kind_network_and_day(review, kept):
    review.get_by_label("Show", exact=True).select_option("unsure")
    expect(review.locator(".nothing")).to_have_text("Nothing to review.")
    review.get_by_label("Show", exact=True).select_option("")
    expect(review.locator(".facts-of-photo")).to_contain_text("1 of 2")
    review.get_by_label("Network", exact=True).select_option("tutorial")
    expect(review.locator(".nothing")).to_be_visible()
    review.get_by_label("Network", exact=True).select_option("cat")
    expect(review.locator(".facts-of-photo")).to_contain_text("1 of 2")
    review.locator("[type=date]").fill("2020-02-02")
    expect(review.locator(".nothing")).to_be_visible()
    review.locator("[type=date]").fill(corrections(kept)[0]["time"][:10])
    expect(review.locator(".facts-of-photo")).to_contain_text("of 2")


def test_everything_is_deleted_by_a_second_press(review, kept):
    review.get_by_role("button", name="Delete all").click()
    assert len(corrections(kept)) == 2
    review.get_by_role("button", name="Delete every photo and correction?").click()
    expect(review.locator(".nothing")).to_have_text("Nothing to review.")
    assert corrections(kept) == []


def test_everything_is_exported(review):
    with review.expect_download() as download:
        review.get_by_role("button", name="Export as a zip file").click()
    assert download.value.suggested_filename == "corrections.zip"
    assert download.value.path().read_bytes().startswith(b"PK")


def test_where_nothing_is_kept_the_review_says_so(browser, url):
    with opened(browser, url, "?teach") as page:
        page.get_by_role("button", name="Review what was wrong or unsure").click()
        expect(page.locator(".review .teach-off")).to_contain_text("Corrections are not kept here.")


@pytest.mark.parametrize(("colours", "width"), [("light", 1200), ("dark", 1200), ("light", 360)])
def test_axe_finds_no_violation_and_a_photo_fits_with_its_classes_on_the_screen(browser, kept, colours, width):
    from axe_playwright_python.sync_playwright import Axe

    with opened(browser, kept, "?teach", color_scheme=colours, viewport={"width": width, "height": 740}) as page:
        page.get_by_role("button", name="Review what was wrong or unsure").click()
        expect(page.locator(".facts-of-photo")).to_be_visible()
        assert page.locator(".card-of-photo").bounding_box()["height"] <= 740
        violations = Axe().run(page).response["violations"]
        assert [(rule["id"], [node["html"][:150] for node in rule["nodes"]]) for rule in violations] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
