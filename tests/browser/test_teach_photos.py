"""Photos come into the columns of the act "Teach", however they are given, and are taken out again; what is missing is said."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import teach
from tests.browser.teaching import EACH, fill, of_class
from tests.browser.visitor import drop


def test_files_are_dropped_on_a_column(browser, teaching_url, photos):
    with teach(browser, teaching_url) as page:
        drop(page, [*of_class(photos, "cup")[:3], photos / "notes.txt"], ".class-column >> nth=1")
        expect(page.locator(".class-column").nth(1).locator(".shots li")).to_have_count(3)
        expect(page.locator(".class-column").nth(0).locator(".shots li")).to_have_count(0)
        expect(page.locator("#notice")).to_contain_text("1 file left out")
        expect(page.locator("#picture")).to_be_hidden()


def test_a_folder_dropped_on_a_column_names_it(browser, teaching_url, photos):
    with teach(browser, teaching_url) as page:
        drop(page, [photos / "cup"], ".class-column >> nth=1")
        expect(page.get_by_label("Name of class 2")).to_have_value("cup")
        expect(page.locator(".class-column").nth(1).locator(".shots li")).to_have_count(EACH)


def test_a_folder_of_folders_is_chosen(browser, teaching_url, photos):
    with teach(browser, teaching_url) as page:
        page.locator("[webkitdirectory]").set_input_files(photos)
        expect(page.locator(".class-column")).to_have_count(3)
        expect(page.locator(".shots li")).to_have_count(3 * EACH)


def test_what_is_pasted_goes_into_the_class_that_was_used_last(browser, teaching_url):
    with teach(browser, teaching_url) as page:
        page.get_by_label("Name of class 2").focus()
        page.evaluate(
            """async () => {
              const blob = await (await fetch("web/samples/chelsea.jpg")).blob();
              const clipboardData = new DataTransfer();
              clipboardData.items.add(new File([blob], "image.png", { type: "image/png" }));
              document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
            }"""
        )
        expect(page.locator(".class-column").nth(1).locator(".shots li")).to_have_count(1)
        expect(page.locator("#picture")).to_be_hidden()


def test_the_camera_takes_several_photos(browser, teaching_url):
    with teach(browser, teaching_url) as page:
        page.get_by_label("Name of class 1").fill("green")
        page.get_by_role("button", name="Camera: take photos of green").click()
        for number in (1, 2, 3):
            page.get_by_role("button", name="Capture").click()
            expect(page.locator("dialog.camera [role=status]")).to_have_text(f"{number} photo{'s' * (number > 1)}")
        page.get_by_role("button", name="Done").click()
        expect(page.locator(".class-column").first.locator(".shots li")).to_have_count(3)
        expect(page.get_by_role("button", name="Camera: take photos of green")).to_be_focused()
        assert page.locator(".shots img").first.evaluate("one => one.decode().then(() => one.naturalWidth)") > 0


def test_a_photo_that_is_taken_out_is_freed_and_a_class_is_removed_by_a_second_press(browser, teaching_url, photos):
    with teach(browser, teaching_url) as page:
        fill(page, photos)
        page.evaluate(
            "const free = URL.revokeObjectURL; window.freed = []; URL.revokeObjectURL = (u) => { freed.push(u); free(u); }; 0"
        )
        address = page.locator(".shots img").first.get_attribute("src")
        page.get_by_role("button", name="Take out 0.jpg").first.click()
        assert page.evaluate("freed") == [address]
        page.locator(".shut").nth(1).click()
        expect(page.locator(".class-column")).to_have_count(3)
        page.locator(".shut").nth(1).click()
        expect(page.locator(".class-column")).to_have_count(2)
        assert len(page.evaluate("freed")) == 1 + EACH


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (("", "cup"), "Class 1 needs a name."),
        (("cup", "Cup"), "Two classes are called Cup."),
        (("a/b", "cup"), "The name a/b cannot be sent"),
        (("cat face", "cup"), "Ready. With 20 photos it would prove more: cat face, cup."),
    ],
)
def test_what_is_missing_is_said_beside_the_button(browser, teaching_url, photos, names, missing):
    with teach(browser, teaching_url) as page:
        expect(page.locator("#teach-missing")).to_have_text("5 photos of each class at least; 20 prove something.")
        fill(page, photos, names)
        expect(page.locator("#teach-missing")).to_contain_text(missing)


def test_too_few_photos_are_counted(browser, teaching_url, photos):
    with teach(browser, teaching_url) as page:
        fill(page, photos, ("cat face", "cup"))
        for _ in range(3):
            page.get_by_role("button", name=re.compile(r"Take out \d.jpg")).first.click()
        expect(page.locator("#teach-missing")).to_contain_text("Missing: 2 more of cat face.")
        page.get_by_role("button", name="Teach", exact=True).press("Enter")
        expect(page.get_by_label("Add photos to cat face")).to_be_focused()
        expect(page.locator(".progress")).to_be_hidden()
