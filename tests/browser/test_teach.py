"""The act "Teach": a network comes out of photos, is tried and deleted; and all that can go wrong with a job."""

import re

import httpx2
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import opened, teach, visit
from tests.browser.teaching import EACH, SOURCES, done, fill, job, of_class, press_teach, stand_in
from tests.browser.visitor import CAT, drop

HOSTILE = "<img src=x onerror=window.hacked=1>"
PATIENT = 120_000
"""Milliseconds for a network to be taught while other tests run."""

# From photos to a network.


def test_a_stranger_teaches_three_classes_by_dropping_a_folder_and_sees_a_heatmap_of_each(browser, teaching_url, photos):
    with teach(browser, teaching_url) as page:
        drop(page, [photos], ".class-column")
        expect(page.locator(".shots li")).to_have_count(3 * EACH)
        names = [field.input_value() for field in page.locator(".named input").all()]
        assert set(names) == set(SOURCES)
        expect(page.locator("#notice")).to_contain_text("1 file left out")
        page.get_by_label("Name of the network").fill("three things")
        press_teach(page)
        expect(page.locator("#taught-title")).to_have_text("“three-things” is taught.", timeout=PATIENT)
        expect(page.locator("#taught-title")).to_be_focused()
        name = re.search(r"teach=([\w-]+)", page.url).group(1)
        metrics = httpx2.get(f"{teaching_url}/teach/{name}").json()["metrics"]
        expect(page.locator(".result .figure")).to_contain_text(f"{100 * metrics['accuracy']['value']:.1f} % of 18 photos")
        expect(page.locator(".mistakes img")).to_have_count(len(metrics["mistakes"]))
        cells = [[int(cell.inner_text()) for cell in row.locator("td").all()[2:]] for row in confusion_rows(page)]
        assert cells == metrics["confusion"]

        page.locator(".try input").set_input_files(of_class(photos, "cup")[0])
        expect(page.locator("#result .probability")).to_contain_text("three-things")
        assert page.locator("#network").input_value() == "three-things"
        expect(page.locator("#teach")).to_be_hidden()
        heatmaps = set()
        for chip in page.locator("#result .chip").all():
            chip.click()
            expect(chip).to_have_attribute("aria-pressed", "true")
            said = re.sub(r" [\d.]+ %$", "", chip.inner_text())
            expect(page.locator("#evidence")).to_contain_text(f"“{said}”")
            heatmaps.add(page.locator("#picture .heat").get_attribute("src"))
        assert len(heatmaps) == 3
        expect(page.locator('#ribbon [data-stage="evidence"]')).to_be_visible()
        expect(page.locator("table.guises")).to_be_visible()

        page.go_back()
        expect(page.locator("#taught-title")).to_be_visible()
        page.get_by_role("button", name="Delete three-things").click()
        page.get_by_role("button", name="Delete three-things for good?").click()
        expect(page.locator("#network option[value=three-things]")).to_have_count(0)
        expect(page.locator(".kept-here")).to_contain_text("No network was taught here yet.")
    assert "three-things" not in [one["network"] for one in httpx2.get(f"{teaching_url}/models").json()["networks"]]


def confusion_rows(page):
    return page.locator(".confusion tbody tr").all()


def test_two_classes_are_taught_with_the_keyboard_alone(browser, teaching_url, photos):
    def tab_to(selector: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("what => document.activeElement.matches(what)", selector):
                return
        raise AssertionError(f"Tab never comes to {selector}")

    with teach(browser, teaching_url) as page:
        page.on("filechooser", lambda _: None)  # or Playwright stops listening after the first one
        for number, name in enumerate(["cup", "space suit"], 1):
            tab_to(f"[aria-label='Name of class {number}']")
            page.keyboard.type(name)
            tab_to(f"[aria-label='Add photos to {name}']")
            with page.expect_file_chooser() as chooser:
                page.keyboard.press("Space")
            chooser.value.set_files([*of_class(photos, name), CAT])
        column = page.locator(".class-column").nth(1)
        expect(column.locator(".shots li")).to_have_count(EACH + 1)
        page.keyboard.press("Shift+Tab")
        assert page.evaluate("document.activeElement.ariaLabel") == "Take out 0.jpg", "the list is one stop of Tab"
        for _ in range(EACH):
            page.keyboard.press("ArrowRight")
        page.keyboard.press("Delete")
        expect(column.locator(".shots li")).to_have_count(EACH)
        assert page.evaluate("document.activeElement.ariaLabel") == "Take out 5.jpg"
        tab_to("#teach-name")
        page.keyboard.type("by-keyboard")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.textContent") == "Cancel"
        expect(page.locator("#taught-title")).to_be_focused(timeout=PATIENT)
        expect(page.locator("#spoken")).to_contain_text("by-keyboard is taught. Right about")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator("#answer")).to_be_focused()
        assert page.locator("#network").input_value() == "by-keyboard"


def test_a_job_that_is_cancelled_leaves_no_network_and_all_photos(browser, teaching_url, photos):
    with teach(browser, teaching_url) as page:
        fill(page, photos)
        page.get_by_label("Name of the network").fill("never")
        press_teach(page)
        expect(page).to_have_url(re.compile(r"teach=\w"))
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator(".failed")).to_contain_text("Cancelled", timeout=PATIENT)
        expect(page.locator(".shots li")).to_have_count(3 * EACH)
        expect(page.get_by_role("button", name="Teach", exact=True)).to_be_enabled()
    assert "never" not in httpx2.get(f"{teaching_url}/teach").json()["networks"]


def test_a_name_that_is_taken_is_refused_in_the_services_words(browser, teaching_url, photos):
    with teach(browser, teaching_url) as page:
        fill(page, photos, ("one", "two"))
        page.get_by_label("Name of the network").fill("cat")
        press_teach(page)
        expect(page.locator(".failed")).to_contain_text("cat")
        expect(page.locator(".failed")).to_contain_text("Your photos are still here.")


# What goes wrong, and what is hostile, with a service that is told what to say.


def test_an_upload_can_be_cancelled(browser, teaching_url, photos):
    with teach(browser, teaching_url) as page:
        fill(page, photos, ("one", "two"))
        page.route(re.compile(r"/teach(\?.*)?$"), lambda route: route.request.method == "POST" or route.fallback())
        press_teach(page)
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator(".failed")).to_contain_text("Cancelled before all photos were sent.")
        expect(page.locator(".progress")).to_be_hidden()


def test_a_failed_job_says_why_and_loses_nothing(browser, teaching_url, photos):
    why = "Of class cup, 3 photos can be used; at least 5 are needed."
    with teach(browser, teaching_url) as page:
        fill(page, photos, ("cat face", "cup"))
        stand_in(page, job(), job(state="failed", error=why))
        press_teach(page)
        expect(page.locator(".failed")).to_have_text(f"{why} Your photos are still here.")
        expect(page.locator(".failed")).to_have_attribute("role", "alert")
        expect(page.locator(".shots li")).to_have_count(2 * EACH)


def test_progress_is_a_progressbar_that_is_spoken_at_its_quarters(browser, teaching_url, photos):
    with teach(browser, teaching_url) as page:
        fill(page, photos, ("cat face", "cup"))
        page.evaluate(
            "new MutationObserver(() => (window.said ??= []).push(spoken.textContent)).observe(spoken, {childList: true})"
        )
        waiting, *steps = job(state="waiting", progress=0), *(job(progress=share) for share in (0.1, 0.2, 0.3, 0.6, 0.62))
        stand_in(page, waiting, *steps, job(state="cancelled"))
        press_teach(page)
        bar = page.get_by_role("progressbar")
        expect(bar).to_have_attribute("aria-valuenow", "60")
        expect(bar).to_have_attribute("aria-valuetext", "Learning: 60 %")
        expect(page.locator(".failed")).to_contain_text("Cancelled")
        said = [sentence for sentence in page.evaluate("said") if sentence.startswith("Learning")]
        assert said == ["Learning: 0 %", "Learning: 25 %", "Learning: 50 %"]


def test_a_result_shows_recall_mistakes_warnings_and_what_was_not_used(browser, teaching_url, photos):
    with teach(browser, teaching_url) as page:
        fill(page, photos, ("cat face", "cup"))
        stand_in(page, done())
        press_teach(page)
        result = page.locator(".result")
        expect(result.locator(".figure")).to_have_text(
            "Right about 91.7 % of 12 photos that it had not seen (95 % interval: 81.7 % to 96.7 %)."
        )
        expect(result.locator(".warnings")).to_contain_text("6 photos of cat face prove little")
        expect(result.locator("tbody tr").nth(1)).to_contain_text("83.3 %")
        expect(result.locator(".mistakes figcaption")).to_contain_text("cup, it said cat face (83.0 %)")
        width = result.locator(".mistakes img").evaluate("one => one.decode().then(() => one.naturalWidth)")
        assert width == 120, "the picture is the visitor's own file"
        expect(result.locator(".skipped")).to_contain_text("cat face/9.jpg: It is not an image.", use_inner_text=False)
        expect(result.locator("details.curl code")).to_contain_text("for class in 'cat face' 'cup'", use_inner_text=False)


def test_a_hostile_name_of_a_class_is_text(browser, teaching_url, photos):
    with teach(browser, teaching_url) as page:
        fill(page, photos, (HOSTILE, "cup"))
        stand_in(page, done(HOSTILE, "cup"))
        press_teach(page)
        expect(page.locator(".confusion tbody th").first).to_have_text(HOSTILE)
        expect(page.locator(".mistakes figcaption")).to_contain_text(HOSTILE)
        assert page.evaluate("window.hacked") is None
        assert page.locator("img[src=x]").count() == 0


def test_where_teaching_is_off_the_page_says_what_switches_it_on(browser, untrained_url):
    with opened(browser, untrained_url, "?teach") as page:
        expect(page.locator(".teach-off").first).to_contain_text("Teaching is off here")
        expect(page.locator(".teach-off").first).to_contain_text("CATSCOPE_STORE")
        expect(page.locator(".class-column").first).to_be_hidden()


# A part of the page.


def test_it_is_loaded_when_it_is_opened_and_back_leads_to_the_walk(browser, teaching_url):
    with opened(browser, teaching_url) as page:
        loaded = []
        page.on("request", lambda request: loaded.append(request.url))
        page.get_by_role("link", name="Teach").click()
        expect(page.locator("#teach")).to_be_visible()
        expect(page.locator("#answer")).to_be_hidden()
        assert any(address.endswith("teach/teach.js") for address in loaded)
        assert page.url.endswith("?teach")
        expect(page.get_by_role("link", name="Teach")).to_have_attribute("aria-current", "true")
        page.go_back()
        expect(page.locator("#answer")).to_be_visible()
        expect(page.locator("#teach")).to_be_hidden()
        expect(page.get_by_role("link", name="Look")).to_have_attribute("aria-current", "true")
        page.go_forward()
        expect(page.locator("#teach")).to_be_visible()
        page.get_by_role("link", name="Learn").click()
        expect(page.locator("#lesson")).to_be_visible()
        expect(page.locator("#teach")).to_be_hidden()
        expect(page.get_by_role("link", name="Learn")).to_have_attribute("aria-current", "true")
        page.get_by_role("link", name="Teach").click()
        expect(page.locator("#lesson")).to_be_hidden()
        expect(page.locator("#teach")).to_be_visible()


def test_a_link_to_a_job_shows_its_result(browser, teaching_url):
    with visit(browser, teaching_url) as page:
        stand_in(page, done())
        page.goto(f"{teaching_url}/?teach=0193695c4f2a1-5f0c33aa")
        expect(page.locator("#taught-title")).to_have_text("“things” is taught.")
        expect(page.locator(".mistakes")).to_contain_text("not on this page")


@pytest.mark.parametrize(("colours", "width"), [("light", 1200), ("dark", 1200), ("light", 360)])
def test_axe_finds_no_violation_and_nothing_sticks_out(browser, teaching_url, photos, colours, width):
    from axe_playwright_python.sync_playwright import Axe

    options = {"color_scheme": colours, "viewport": {"width": width, "height": 740}, "reduced_motion": "reduce"}
    with teach(browser, teaching_url, **options) as page:
        fill(page, photos, ("cat face", "cup"))
        for column in page.locator(".class-column").all():
            assert column.bounding_box()["height"] <= 740, "a class fits on the screen"
        stand_in(page, done())
        press_teach(page)
        expect(page.locator("#taught-title")).to_be_visible()
        violations = Axe().run(page).response["violations"]
        assert [(rule["id"], [node["html"][:150] for node in rule["nodes"]]) for rule in violations] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
