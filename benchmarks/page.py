"""How soon the page shows an answer: from dropping a photo of 500 kB to the number on the screen, in Debian's Chromium.

    .venv/bin/python -m benchmarks.page --out benchmarks/page.json

The service runs in its own process on the same machine. The photo is scikit-image's cat, enlarged to 2 megapixels
and saved as a JPEG of about 500 kB. `first` is the very first photo of a fresh service in a fresh browser.
"""

import argparse
import base64
import io
import json
import os
import platform
import shutil
import statistics
from pathlib import Path

import skimage.data
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from benchmarks.start import start

ROOT = Path(__file__).parent.parent
RUNS = 15
BYTES = 500_000
PIXELS = (1740, 1157)

# Runs in the page: creates the file, then drops it and waits for the number, timed by the page's clock.
DROP = """async (data) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], "cat.jpg", { type: "image/jpeg" }));
  const dropped = new Event("drop", { bubbles: true, cancelable: true });
  Object.defineProperty(dropped, "dataTransfer", { value: transfer });
  const began = performance.now();
  const answered = new Promise((resolve) => {
    new MutationObserver((_, observer) => {
      if (!document.querySelector(".probability")) return;
      observer.disconnect();
      requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - began)));
    }).observe(document.getElementById("result"), { childList: true });
  });
  document.body.dispatchEvent(dropped);
  return answered;
}"""


def main() -> None:
    """Drop the photo on the page RUNS times, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out
    photo = half_a_megabyte()
    _, service, url = start()
    try:
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            times, weight = [], 0
            for _ in range(RUNS):
                page = chromium.new_page()
                weight = visit(page, url)
                times.append(page.evaluate(DROP, base64.b64encode(photo).decode()))
                page.close()
            chromium.close()
    finally:
        service.terminate()
        service.wait()
    result = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "photo": {"bytes": len(photo), "width": PIXELS[0], "height": PIXELS[1]},
        "milliseconds_from_drop_to_answer": {
            "first": round(times[0]),
            "median": round(statistics.median(times[1:])),
            "slowest": round(max(times[1:])),
            "runs": RUNS,
        },
        "page_bytes": weight,
    }
    print(table(result))
    if out:
        out.write_text(json.dumps(result, indent=1) + "\n")


def half_a_megabyte() -> bytes:
    """The largest JPEG of the enlarged cat that has at most BYTES."""
    image = (
        Image.open(Path(skimage.data.__file__).parent / "chelsea.png")
        .convert("RGB")
        .resize(PIXELS, Image.Resampling.LANCZOS)
    )
    best = b""
    for quality in range(70, 100):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        if len(buffer.getvalue()) > BYTES:
            break
        best = buffer.getvalue()
    return best


SAVES_DATA = "Object.defineProperty(navigator, 'connection', { value: { saveData: true } })"
"""For visitors who asked their browser to load little, the page waits for their photo and does not begin with its sample."""


def visit(page: Page, url: str) -> int:
    """Open the page and wait until it can take a photo; the bytes of its own files, without answers of the service."""
    files = []
    page.add_init_script(SAVES_DATA)
    page.on(
        "response", lambda response: files.append(response) if "/web/" in response.url or response.url == f"{url}/" else None
    )
    page.goto(url)
    page.wait_for_selector("#network option", state="attached")
    page.wait_for_load_state("networkidle")
    return sum({response.url: len(response.body()) for response in files}.values())


def table(result: dict) -> str:
    """The result as a Markdown table."""
    times, photo = result["milliseconds_from_drop_to_answer"], result["photo"]
    return "\n".join(
        [
            "| what | measured |",
            "|---|---|",
            f"| from the drop of a photo of {photo['bytes'] / 1000:.0f} kB to the answer on the page "
            f"| {times['median']} ms (median of {times['runs'] - 1}, slowest {times['slowest']} ms) |",
            f"| the same, the first photo of a fresh service and browser | {times['first']} ms |",
            f"| the page itself | {result['page_bytes'] / 1000:.0f} kB |",
        ]
    )


if __name__ == "__main__":
    main()
