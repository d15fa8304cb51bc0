"""A photo comes in on the page; the pictures of the page in docs/ go out.

    .venv/bin/python -m docs.screenshots

It starts the service, opens the page in Debian's Chromium and needs no other host.
"""

from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from benchmarks.chromium import CHROMIUM
from benchmarks.page import SAVES_DATA
from benchmarks.start import start

ROOT = Path(__file__).parent.parent
CAT = ROOT / "app" / "web" / "samples" / "chelsea.jpg"
POSITION = "#network=tutorial&stage=block2_conv&channel=14&row=20&column=17"
EPOCH = "#network=tutorial&stage=block2_relu&epoch=12"


def main() -> None:
    """Take all pictures: the answer, one stage down to its sum, the guises, an epoch of the training, a step of the lesson,
    and the answer on a phone in dark mode.
    """
    _, service, url = start()
    try:
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
            page = opened(chromium, url, width=1240, height=860)
            save(page, "page.png")
            save(page.locator("#why"), "guises.png")
            save(opened(chromium, url + "/" + POSITION, width=1240, height=860).locator("#stage"), "walk.png")
            save(opened(chromium, url + "/" + EPOCH, width=1240, height=860).locator("#learned .stop"), "learned.png")
            page = opened(chromium, url + "/?lesson=2", width=1240, height=860)
            expect(page.locator("#step-2")).to_be_visible()
            save(page, "lesson.png")
            save(opened(chromium, url, width=390, height=844, color_scheme="dark"), "phone.png")
            chromium.close()
    finally:
        service.terminate()
        service.wait()


def opened(chromium: Browser, url: str, width: int, height: int, **options: str) -> Page:
    """The page with everything about the cat answered, scrolled to the top."""
    page = chromium.new_page(viewport={"width": width, "height": height}, **options)
    page.add_init_script(SAVES_DATA)
    page.goto(url)
    expect(page.locator("#network option").first).to_be_attached()
    page.set_input_files("#file", CAT)
    expect(page.locator("table.guises")).to_be_visible(timeout=30_000)
    expect(page.locator("#sum tr[data-part=computed]")).to_be_visible()
    expect(page.locator(".filter figcaption")).to_be_visible()
    page.evaluate("scrollTo(0, 0)")
    return page


def save(target: Page | Locator, name: str) -> None:
    """Write a screenshot in 256 colours: enough for these pictures, at a third of the bytes."""
    path = ROOT / "docs" / name
    target.screenshot(path=path)
    Image.open(path).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
