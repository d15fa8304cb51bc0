"""The edges of the page: every way to give it a photo, files that are not photos, keys, and walks saved and replayed."""

import base64
import json
import re

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.conftest import opened, service, visit
from tests.browser.visitor import CAT, COFFEE, settled, value
from tests.conftest import encoded, sha256


@pytest.fixture
def page(browser, url):
    with opened(browser, url, permissions=["clipboard-read", "clipboard-write"]) as page:
        yield page


def give(page, event: str, holder: str, data: bytes, name: str, kind: str) -> None:
    """Drop or paste a file, as far as a script can."""
    page.evaluate(
        """([event, holder, data, name, kind]) => {
          const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], name, { type: kind }));
          const given = new Event(event, { bubbles: true, cancelable: true });
          Object.defineProperty(given, holder, { value: transfer });
          document.body.dispatchEvent(given);
        }""",
        [event, holder, base64.b64encode(data).decode(), name, kind],
    )


@pytest.mark.parametrize(("event", "holder"), [("drop", "dataTransfer"), ("paste", "clipboardData")])
def test_a_photo_can_be_dropped_and_pasted(page, event, holder):
    give(page, event, holder, COFFEE.read_bytes(), "coffee.jpg", "image/jpeg")
    expect(page.locator("#verdict")).to_have_text("No cat in this photo.")


def test_a_photo_can_be_taken_with_the_camera(page):
    page.get_by_role("button", name="Take a photo").click()
    expect(page.locator("video")).to_have_js_property("readyState", 4)
    page.get_by_role("button", name="Capture").click()
    expect(page.locator(".frame .shown")).to_have_attribute("alt", "The photo camera.jpg")
    expect(page.locator(".probability")).to_be_visible()
    assert page.evaluate(
        "document.querySelector('video').srcObject.getTracks().every((track) => track.readyState === 'ended')"
    )


def test_a_broken_file_is_reported_in_a_sentence_and_the_next_photo_is_answered(page, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(CAT.read_bytes()[:4000])
    page.set_input_files("#file", broken)
    expect(page.locator("#alert")).to_contain_text("The JPEG file is broken")
    expect(page.locator("#verdict")).to_have_text("No answer for this photo.")
    page.set_input_files("#file", CAT)
    expect(page.locator("#verdict")).to_have_text("There is a cat in this photo.")
    expect(page.locator("#alert")).to_be_hidden()


def test_a_wrong_file_leaves_the_answer_as_it_was_and_is_named(page, tmp_path):
    page.set_input_files("#file", CAT)
    settled(page)
    page.locator("#network").select_option("tutorial")
    expect(page.locator(".probability code")).to_have_text("tutorial")
    settled(page)
    probability, address = value(page.locator(".probability")), page.url
    wrong = tmp_path / "notes.txt"
    wrong.write_text("no picture at all")
    page.set_input_files("#file", wrong)
    expect(page.locator("#alert")).to_contain_text("notes.txt: The file of 17 bytes is text; accepted formats are JPEG")
    expect(page.locator("#alert")).to_contain_text("still about chelsea.jpg")
    settled(page)
    assert value(page.locator(".probability")) == probability
    assert page.url == address
    expect(page.locator(".frame .shown")).to_have_attribute("alt", "The photo chelsea.jpg")


def test_a_format_that_browsers_do_not_show_is_shown_as_the_network_gets_it(page, tmp_path):
    photo = tmp_path / "cat.tiff"
    photo.write_bytes(encoded(Image.open(CAT), "TIFF"))
    page.set_input_files("#file", photo)
    settled(page)
    expect(page.locator("#verdict")).to_have_text("There is a cat in this photo.")
    expect(page.locator(".frame .shown")).to_have_js_property("naturalWidth", 384)


def test_an_unreachable_service_is_reported_in_a_sentence(page):
    page.route("**/walk?*", lambda route: route.abort())
    page.set_input_files("#file", CAT)
    expect(page.locator("#alert")).to_contain_text("The service did not answer.")
    page.complaints.clear()  # Chromium itself logs the request that failed


def test_an_api_key_is_asked_for_and_used(browser, model_dir):
    with service(model_dir, api_keys=("secret",)) as url, visit(browser, url) as page:
        page.goto(url)
        expect(page.locator("#alert")).to_contain_text("No key was sent")
        page.get_by_label("This service requires an API key").fill("secret")
        page.get_by_role("button", name="Use this key").click()
        expect(page.locator("#network option").first).to_be_attached()
        page.set_input_files("#file", CAT)
        settled(page)
        command = page.locator("#curl-predict code").text_content()
        assert '-H "X-API-Key: $KEY"' in command
        assert "secret" not in command, "a command that is copied to others tells no key"


# Saved walks.


@pytest.fixture
def page_with_cat(page, url):
    page.goto(f"{url}/#network=tutorial&stage=block2_conv&channel=5&row=9&column=14")
    page.reload()
    page.set_input_files("#file", CAT)
    settled(page)
    return page


def downloaded(page, path, with_photo: bool):
    page.get_by_label("include the photo").set_checked(with_photo)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download this walk").click()
    assert waiting.value.suggested_filename == "chelsea.walk.json"
    waiting.value.save_as(path)
    return json.loads(path.read_text())


def test_a_downloaded_walk_holds_hashes_settings_and_answers(page_with_cat, tmp_path):
    walk = downloaded(page_with_cat, tmp_path / "walk.json", with_photo=False)
    assert walk["photo"]["sha256"] == sha256(CAT.read_bytes())
    assert walk["model"]["network"] == "tutorial"
    assert len(walk["model"]["sha256"]) == 64
    assert walk["place"] == {"stage": "block2_conv", "channel": 5, "row": 9, "column": 14}
    assert walk["settings"] == {"opacity": 0.8}
    assert walk["answers"]["predict"]["probabilities"]["cat"] == value(page_with_cat.locator(".probability"))
    assert walk["answers"]["unit"]["stage"] == "block2_conv"
    assert len(walk["answers"]["guises"]["guises"]) == 12
    assert walk["picture"] is None


def test_a_walk_with_the_photo_inside_replays_by_itself(page_with_cat, page, url, tmp_path):
    downloaded(page_with_cat, tmp_path / "walk.json", with_photo=True)
    page.goto("about:blank")
    page.goto(url)
    expect(page.locator("#network option").first).to_be_attached()
    page.set_input_files("#file", tmp_path / "walk.json")
    expect(page.locator("#notice")).to_contain_text("same photo, same network, same answer (difference 0)")
    settled(page)
    expect(page.locator(".on-this figcaption")).to_have_text("block2_conv, channel 5")
    expect(page.locator("#readout")).to_contain_text("row 9, column 14:")


def test_a_walk_without_the_photo_asks_for_it_and_recognises_another(page_with_cat, page, url, tmp_path):
    path = tmp_path / "walk.json"
    walk = downloaded(page_with_cat, path, with_photo=False)
    walk["photo"] |= {"sha256": sha256(COFFEE.read_bytes() + b"x"), "name": "mine.jpg"}
    path.write_text(json.dumps(walk))
    page.goto("about:blank")
    page.goto(url)
    expect(page.locator("#network option").first).to_be_attached()
    page.set_input_files("#file", path)
    expect(page.locator("#notice")).to_contain_text("This walk is of mine.jpg, 451 × 300")
    page.set_input_files("#file", CAT)
    expect(page.locator("#notice")).to_contain_text("This is another photo")


def test_a_walk_of_another_version_of_the_network_says_so(page_with_cat, page, url, tmp_path):
    path = tmp_path / "walk.json"
    walk = downloaded(page_with_cat, path, with_photo=True)
    walk["model"]["sha256"] = "0" * 64
    path.write_text(json.dumps(walk))
    page.set_input_files("#file", path)
    expect(page.locator("#notice")).to_contain_text("another version of the network")


@pytest.mark.parametrize("text", ["{", "[]", '{"format": "catscope-walk"}', '{"format": "else", "photo": {}}'])
def test_a_file_that_is_not_a_walk_is_refused_and_nothing_is_lost(page, tmp_path, text):
    page.set_input_files("#file", CAT)
    settled(page)
    path = tmp_path / "other.json"
    path.write_text(text)
    page.set_input_files("#file", path)
    expect(page.locator("#alert")).to_contain_text("other.json is not a walk")
    expect(page.locator("#verdict")).to_have_text("There is a cat in this photo.")


def test_a_copied_link_leads_to_the_same_unit_with_the_sample(page_with_cat, page):
    page.get_by_role("button", name="Copy a link to this view").click()
    expect(page.locator("#notice")).to_contain_text("The link is copied")
    link = page.evaluate("navigator.clipboard.readText()")
    assert f"photo={sha256(CAT.read_bytes())}" in link
    assert "stage=block2_conv&channel=5&row=9&column=14" in link
    page.goto("about:blank")
    page.goto(link)
    settled(page)
    expect(page.locator("#notice")).to_contain_text("Replayed: the same photo, the same network.")
    expect(page.locator("#readout")).to_contain_text("row 9, column 14:")


def test_a_link_with_an_unknown_photo_asks_for_it_and_recognises_it(page, url, tmp_path):
    photo = tmp_path / "mine.png"
    photo.write_bytes(encoded(Image.open(CAT).crop((100, 50, 300, 250)), "PNG"))
    page.goto(f"{url}/#network=tutorial&stage=block1_relu&photo={sha256(photo.read_bytes())}")
    page.reload()
    expect(page.locator("#alert")).to_contain_text("Drop that photo here to follow it.")
    page.set_input_files("#file", photo)
    expect(page.locator("#notice")).to_contain_text("Replayed: the same photo, the same network.")
    expect(page.locator("#stage-title")).to_contain_text("block1_relu")
    expect(page).to_have_url(re.compile("stage=block1_relu"))


@pytest.mark.parametrize(
    "fragment",
    [
        "#network=lion&stage=block1_conv",
        "#stage=nonsense",
        "#network=tutorial&stage=block5_pool&channel=9999&row=77&column=-1",
    ],
)
def test_an_address_that_leads_nowhere_still_leads_to_an_answer(browser, url, fragment):
    with visit(browser, url) as page:
        page.goto(url + "/" + fragment)
        page.set_input_files("#file", CAT)
        expect(page.locator("table.guises")).to_be_visible()
        expect(page.locator("#verdict")).to_have_text(re.compile("There is a cat in this photo|I am not sure"))
        assert page.complaints == []
