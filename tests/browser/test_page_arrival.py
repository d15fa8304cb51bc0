"""Who comes to the page first: Chelsea is walked by herself, unless a link or a photo comes before her; networks have names."""

import httpx2
from playwright.sync_api import expect

from tests.browser.conftest import opened
from tests.browser.visitor import CAT, COFFEE, ask, settled, value


def test_nobody_meets_an_empty_page(browser, url):
    with opened(browser, url, greeted=True) as page:
        expect(page.locator(".frame .shown")).to_have_attribute("alt", "The photo chelsea.jpg")
        settled(page)
        assert (
            value(page.locator(".probability"))
            == ask(url, "predict", feature_maps="none", precision="float32")["probabilities"]["cat"]
        )


def test_a_photo_that_is_dropped_takes_precedence_over_chelsea(browser, url):
    with opened(browser, url, greeted=True) as page:
        page.set_input_files("#file", COFFEE)
        settled(page)
        expect(page.locator("#verdict")).to_have_text("No cat in this photo.")
        expect(page.locator(".frame .shown")).to_have_attribute("alt", "The photo coffee.jpg")


def test_a_link_about_another_photo_takes_precedence_over_chelsea(browser, url):
    with opened(browser, url, "#photo=" + "0" * 64, greeted=True) as page:
        expect(page.locator("#alert")).to_contain_text("Drop that photo here to follow it.")
        expect(page.locator("#picture")).to_be_hidden()


def test_networks_are_named_for_people_and_keep_their_names(browser, url):
    with opened(browser, url) as page:
        names = page.locator("#network option").all_inner_texts()
        served = [one["network"] for one in httpx2.get(f"{url}/models").json()["networks"]]
        people = {"cat": "the expert", "tutorial": "the chapter's CNN", "dense": "an ordinary network"}
        assert names == [f"{people[name]} ({name})" for name in served]


def test_a_units_weights_are_shown_as_a_picture(browser, url):
    with opened(browser, url, "#network=dense&stage=dense1&channel=5") as page:
        page.set_input_files("#file", CAT)
        settled(page)
        expect(page.locator(".weights figcaption")).to_contain_text("100 × 100 for red, green and blue")
        image = page.locator(".weights img")
        expect(image).to_have_js_property("naturalWidth", 303)


def test_the_photos_card_says_that_it_is_squeezed_and_opens_as_red_green_and_blue(browser, url):
    with opened(browser, url, "#network=tutorial") as page:
        page.set_input_files("#file", CAT)
        settled(page)
        card = page.locator('#ribbon [data-stage="image"]')
        expect(card).to_contain_text("squeezed to a square")
        card.click()
        expect(page.locator("#stage-title")).to_contain_text("image")
        expect(page.locator(".channel")).to_have_count(3)
        names = [cell.get_attribute("title") for cell in page.locator(".channel").all()]
        assert names == ["red", "green", "blue"]
        expect(page.locator("#sum")).to_contain_text("451 × 300 pixels became 100 × 100")
        page.locator('.channel[title="blue"]').click()
        expect(page.locator(".on-this figcaption")).to_have_text("image, blue")
