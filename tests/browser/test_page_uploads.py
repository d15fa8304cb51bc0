"""What the page sends: the photo once, and from then on only the small file of what the network saw."""

import json

import httpx2
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import opened
from tests.browser.visitor import COUNT, LARGEST, part, settled, value
from tests.conftest import sha256


@pytest.fixture
def visited(browser, url, large):
    """The page after the large photo was dropped, with the bytes of every request that it sent."""
    with opened(browser, url) as page:
        page.evaluate(COUNT)
        page.set_input_files("#file", large)
        settled(page)
        yield page


def answer(url, path, photo, **query):
    response = httpx2.post(f"{url}/{path}", params=query, files={"file": photo.read_bytes()}, timeout=60)
    return response.raise_for_status().json()


def test_the_photo_travels_once_and_every_later_question_is_small(visited, large):
    visited.locator(".surface").press("ArrowRight")
    visited.locator("#network").select_option("tutorial")
    expect(visited.locator(".probability code")).to_have_text("tutorial")
    settled(visited)
    sizes = sorted(visited.evaluate("sent"))
    assert len(sizes) > 8
    assert sizes[-1] == large.stat().st_size
    assert sizes[-2] < LARGEST


def test_the_numbers_are_those_of_the_photo(visited, url, large):
    cat = answer(url, "predict", large, feature_maps="none", precision="float32")["probabilities"]["cat"]
    assert value(visited.locator(".probability")) == cat
    place = dict(pair.split("=") for pair in visited.url.partition("#")[2].split("&"))
    unit = answer(url, "explain/unit", large, **place)
    assert (part(visited, "computed"), part(visited, "difference")) == (unit["computed"], unit["difference"])
    guises = answer(url, "guises", large)["guises"]
    for row, guise in zip(visited.locator("table.guises tbody tr").all(), guises, strict=True):
        shown = [value(cell) for cell in row.locator("td").all()]
        assert shown == [guise["networks"][name]["probabilities"]["cat"] for name in ("cat", "tutorial", "dense")]


def test_another_network_gets_its_own_input_and_the_photo_keeps_its_name(visited, url, large, tmp_path):
    visited.locator("#network").select_option("dense")
    expect(visited.locator(".probability code")).to_have_text("dense")
    settled(visited)
    dense = answer(url, "predict", large, network="dense", feature_maps="none")
    assert value(visited.locator(".probability")) == dense["probabilities"]["cat"]
    with visited.expect_download() as waiting:
        visited.get_by_role("button", name="Download this walk").click()
    waiting.value.save_as(tmp_path / "walk.json")
    photo = json.loads((tmp_path / "walk.json").read_text())["photo"]
    assert photo == {"name": "large.jpg", **dense["image"]}
    assert photo["sha256"] == sha256(large.read_bytes())


def test_a_network_that_is_chosen_during_the_upload_is_answered_without_another(browser, url, large):
    with opened(browser, url) as page:
        page.evaluate(COUNT)
        page.set_input_files("#file", large)
        page.locator("#network").select_option("tutorial")
        settled(page)
        expect(page.locator(".probability code")).to_have_text("tutorial")
        assert [size for size in page.evaluate("sent") if size > LARGEST] == [large.stat().st_size]
