"""The act "Teach": photos come into columns, a network comes out, is tried and deleted; and all that can go wrong."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import numpy as np
import pytest
import skimage.data
from PIL import Image
from playwright.sync_api import expect

from tests.browser.conftest import opened, service, visit
from tests.browser.visitor import CAT, drop
from tests.conftest import ROOT, encoded

SOURCES = {"cat face": "chelsea.png", "cup": "coffee.png", "space suit": "astronaut.png"}
EACH = 6
"""Photos of a class."""
HOSTILE = "<img src=x onerror=window.hacked=1>"
PATIENT = 120_000
"""Milliseconds for a network to be taught while other tests run."""


@pytest.fixture(scope="module")
def teaching_url(tmp_path_factory) -> Iterator[str]:
    """The service as it is shipped, with a store."""
    with service(ROOT / "model", store=tmp_path_factory.mktemp("store")) as url:
        yield url


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """A folder with a folder of crops for each of three classes, and a file that is no photo."""
    folder = tmp_path_factory.mktemp("taught") / "things"
    random = np.random.default_rng(7)
    for name, source in SOURCES.items():
        (folder / name).mkdir(parents=True)
        image = Image.open(Path(skimage.data.__file__).parent / source).convert("RGB")
        for number in range(EACH):
            side = int(random.integers(120, 240))
            x, y = int(random.integers(0, image.width - side)), int(random.integers(0, image.height - side))
            crop = image.crop((x, y, x + side, y + side)).resize((120, 120))
            (folder / name / f"{number}.jpg").write_bytes(encoded(crop, "JPEG"))
    (folder / "notes.txt").write_text("no photo")
    return folder


def of_class(photos: Path, name: str) -> list[Path]:
    return sorted((photos / name).iterdir())


@contextmanager
def teach(browser, url: str, **options):
    """The act, opened by its address."""
    with opened(browser, url, "?teach", **options) as page:
        expect(page.locator(".class-column")).to_have_count(2)
        expect(page.locator(".kept-here li").first).to_be_visible()
        yield page


def fill(page, photos: Path, names=tuple(SOURCES)) -> None:
    """Give the columns names and photos, with the file picker."""
    for number, name in enumerate(names):
        if number > 1:
            page.get_by_role("button", name="Add a class").click()
        column = page.locator(".class-column").nth(number)
        column.locator("input[type=text]").fill(name)
        column.locator("input[type=file]").set_input_files(of_class(photos, list(SOURCES)[number]))
        expect(column.locator(".shots li")).to_have_count(EACH)


def press_teach(page) -> None:
    page.get_by_role("button", name="Teach", exact=True).click()


def job(**changes) -> dict[str, object]:
    """What the service says of a job."""
    return {
        "job": "0193695c4f2a1-5f0c33aa",
        "state": "running",
        "progress": 0.4,
        "network": "things",
        "version": "1.0.0",
        "classes": {"cat face": EACH, "cup": EACH},
        "error": None,
        "metrics": None,
        "warnings": [],
        "skipped": [],
    } | changes


def figure(value: float, count: int) -> dict[str, float]:
    return {"value": value, "low": value - 0.1, "high": min(1.0, value + 0.05), "count": count}


def done(one: str = "cat face", other: str = "cup") -> dict[str, object]:
    """A job whose network took one photo of the second class for the first."""
    metrics = {
        "folds": 5,
        "photos": 2 * EACH,
        "alike": 2,
        "accuracy": figure(0.9167, 2 * EACH),
        "recall": {one: figure(1.0, EACH), other: figure(0.8333, EACH)},
        "confusion": [[EACH, 0], [1, EACH - 1]],
        "decided_accuracy": 0.99,
        "unsure": 0.03,
        "mistakes": [{"name": f"{other}/3.jpg", "shows": other, "said": one, "probability": 0.83}],
        "warnings": [],
    }
    warnings = [f"{EACH} photos of {one} prove little; 20 would do."]
    skipped = [{"name": f"{one}/9.jpg", "why": "It is not an image."}]
    classes = {one: EACH, other: EACH}
    return job(state="done", progress=1.0, metrics=metrics, warnings=warnings, skipped=skipped, classes=classes)


def stand_in(page, *answers: dict[str, object]) -> None:
    """Answer the questions about a job with these, the last one for ever; its photos are taken."""
    left = list(answers)

    def answer(route):
        status = 202 if route.request.method == "POST" else 200
        told = left[0] if status == 202 or len(left) == 1 else left.pop(0)
        route.fulfill(status=status, content_type="application/json", body=json.dumps(told))

    page.route(
        re.compile(r"/teach/\d|/teach(\?.*)?$"), lambda route: answer(route) if is_about_job(route) else route.fallback()
    )


def is_about_job(route) -> bool:
    return route.request.method == "POST" or "/teach/" in route.request.url


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
        expect(page.locator("#result .probability")).to_contain_text("three-things", timeout=30_000)
        assert page.locator("#network").input_value() == "three-things"
        expect(page.locator("#teach")).to_be_hidden()
        heatmaps = set()
        for chip in page.locator("#result .chip").all():
            chip.click()
            expect(chip).to_have_attribute("aria-pressed", "true", timeout=30_000)
            said = re.sub(r" [\d.]+ %$", "", chip.inner_text())
            expect(page.locator("#evidence")).to_contain_text(f"“{said}”")
            heatmaps.add(page.locator("#picture .heat").get_attribute("src"))
        assert len(heatmaps) == 3
        expect(page.locator('#ribbon [data-stage="evidence"]')).to_be_visible(timeout=30_000)
        expect(page.locator("table.guises")).to_be_visible(timeout=60_000)

        page.go_back()
        expect(page.locator("#taught-title")).to_be_visible()
        page.get_by_role("button", name="Delete three-things").click()
        page.get_by_role("button", name="Delete three-things for good?").click()
        expect(page.locator("#network option[value=three-things]")).to_have_count(0, timeout=30_000)
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
        expect(page).to_have_url(re.compile(r"teach=\w"), timeout=30_000)
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
        expect(page.locator(".failed")).to_contain_text("cat", timeout=30_000)
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
        expect(page.locator(".failed")).to_have_text(f"{why} Your photos are still here.", timeout=15_000)
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
        expect(bar).to_have_attribute("aria-valuenow", "60", timeout=15_000)
        expect(bar).to_have_attribute("aria-valuetext", "Learning: 60 %")
        expect(page.locator(".failed")).to_contain_text("Cancelled", timeout=15_000)
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


# Photos come in, and go out again.


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
