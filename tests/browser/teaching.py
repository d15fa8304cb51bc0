"""What the tests of the act "Teach" share: filling its columns, and a service that is told what to say of a job."""

import json
import re
from pathlib import Path

from playwright.sync_api import expect

SOURCES = {"cat face": "chelsea.png", "cup": "coffee.png", "space suit": "astronaut.png"}
"""Classes to teach, each with the photo of scikit-image whose crops show it."""
EACH = 6
"""Photos of a class."""


def of_class(photos: Path, name: str) -> list[Path]:
    return sorted((photos / name).iterdir())


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
        re.compile(r"/teach/\d|/teach(\?.*)?$"), lambda route: answer(route) if _is_about_job(route) else route.fallback()
    )


def _is_about_job(route) -> bool:
    return route.request.method == "POST" or "/teach/" in route.request.url
