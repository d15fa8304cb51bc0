"""Reading the page: what it shows, as numbers, and what the service answers to the same question."""

import re

import httpx2
from playwright.sync_api import expect

from tests.conftest import ROOT

SAMPLES = ROOT / "app" / "web" / "samples"
CAT, COFFEE = SAMPLES / "chelsea.jpg", SAMPLES / "coffee.jpg"
TUTORIAL = "#network=tutorial&stage=block1_conv&channel=3&row=12&column=7"
"""The address of a unit in the chapter's network."""
TIMELINE = "?sample=chelsea#network=tutorial&stage=block2_relu&channel=3&row=12&column=7&epoch="
"""The address of an epoch of its training."""

LARGEST = 300_000
"""Bytes that a question may send, once the photo was answered."""

COUNT = """() => {
  window.sent = [];
  const ask = window.fetch;
  window.fetch = (address, options) => {
    if (options?.body) window.sent.push(options.body.get("file").size);
    return ask(address, options);
  };
}"""
"""Notes how many bytes of photo each request sends; Playwright cannot read the bodies of forms with files."""


def ask(url, path, **query):
    """What the service answers about the cat to the same question."""
    return httpx2.post(f"{url}/{path}", params=query, files={"file": CAT.read_bytes()}, timeout=30).raise_for_status().json()


def value(locator) -> float:
    return float(locator.get_attribute("data-value"))


def part(page, name):
    """The number that a line of the sum shows."""
    return value(page.locator(f"#sum tr[data-part={name}] td").first)


def table(page, name) -> list[list[float]]:
    rows = page.locator(f"#sum table[data-part={name}] tr").all()
    return [[value(cell) for cell in row.locator("td").all()] for row in rows]


def rect(page, figure) -> dict[str, float]:
    outline = page.locator(f".{figure} svg rect.outline")
    x, y, width, height = (float(outline.get_attribute(name)) for name in ("x", "y", "width", "height"))
    return {"top": y, "left": x, "bottom": y + height, "right": x + width}


def settled(page):
    """Wait until all requests about the photo are answered."""
    expect(page.locator("table.guises")).to_be_visible()
    expect(page.locator("#sum tr[data-part=computed]")).to_be_visible()


def stands_at(page, epoch: int) -> None:
    """The timeline shows that epoch, and all answers about it are there."""
    expect(page.locator("#learned .timeline")).to_have_attribute("data-epoch", str(epoch))
    expect(page.locator("#learned [type=range]")).to_have_value(str(epoch))


def take_step(page) -> None:
    """Take one step of learning on the photo."""
    page.get_by_role("button", name=re.compile("Take one step")).click()
    expect(page.locator("#learned .arithmetic")).to_be_visible()


def percent(probability: float) -> str:
    return f"{100 * probability:.1f} %"


def drop(page, paths, selector: str) -> None:
    """Drop files and folders on an element, as a person does: Chromium reads them itself."""
    box = page.locator(selector).first.bounding_box()
    devtools = page.context.new_cdp_session(page)
    data = {"items": [], "files": list(map(str, paths)), "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        where = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        devtools.send("Input.dispatchDragEvent", {"type": kind, **where, "data": data})
    devtools.detach()
