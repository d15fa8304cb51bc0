"""Photos come in on the page; the pictures of the page in docs/ go out.

    .venv/bin/python -m docs.screenshots

It starts the service, opens the page in Debian's Chromium and needs no other host.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from benchmarks.chromium import CHROMIUM
from benchmarks.page import SAVES_DATA
from benchmarks.start import start

ROOT = Path(__file__).parent.parent
CAT = ROOT / "app" / "web" / "samples" / "chelsea.jpg"
POSITION = "#network=tutorial&stage=block2_conv&channel=14&row=20&column=17"
EPOCH = "#network=tutorial&stage=block2_relu&epoch=12"
THINGS = {"Chelsea": "chelsea.png", "cup of coffee": "coffee.png", "astronaut": "astronaut.png", "rocket": "rocket.jpg"}


def main() -> None:
    """Take all pictures: the answer, one stage down to its sum, the guises, an epoch of the training, a step of the lesson,
    the answer on a phone in dark mode, and what came of teaching.
    """
    with tempfile.TemporaryDirectory() as folder:
        _, service, url = start(CATSCOPE_STORE=folder)
        try:
            take(url, crops(Path(folder) / "crops"))
        finally:
            service.terminate()
            service.wait()


def take(url: str, classes: Path) -> None:
    """Take the pictures of the service at `url`, which is taught the folders of photos in `classes`."""
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
        page = chromium.new_page(viewport={"width": 1200, "height": 1000})
        page.goto(url + "/?teach")
        page.locator("#teach input[webkitdirectory]").set_input_files(classes)
        page.get_by_label("Name of the network").fill("my-things")
        page.get_by_role("button", name="Teach", exact=True).click()
        expect(page.locator("#taught-title")).to_be_visible(timeout=120_000)
        page.evaluate("scrollTo(0, 0)")
        end = page.locator(".result").bounding_box()
        assert end
        save(
            page, "teach.png", full_page=True, clip={"x": 0, "y": 0, "width": 1200, "height": end["y"] + end["height"] + 20}
        )
        chromium.close()


def crops(folder: Path) -> Path:
    """The folder, filled with 26 crops of each of four photos of scikit-image, and with one crop in a wrong place."""
    random = np.random.default_rng(3)
    for name, file in THINGS.items():
        (folder / name).mkdir(parents=True)
        image = photograph(file)
        for number in range(26):
            side = int(random.integers(int(min(image.size) * 0.3), int(min(image.size) * 0.8)))
            x, y = (int(random.integers(0, length - side)) for length in image.size)
            image.crop((x, y, x + side, y + side)).resize((240, 240)).save(folder / name / f"{number:02d}.jpg")
    photograph("coffee.png").crop((160, 60, 460, 360)).resize((240, 240)).save(folder / "astronaut" / "IMG_0471.jpg")
    return folder


def photograph(file: str) -> Image.Image:
    """One of scikit-image's photos."""
    return Image.open(Path(skimage.data.__file__).parent / file).convert("RGB")


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


def save(target: Page | Locator, name: str, **options: Any) -> None:
    """Write a screenshot in 256 colours: enough for these pictures, at a third of the bytes."""
    path = ROOT / "docs" / name
    target.screenshot(path=path, **options)
    Image.open(path).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
