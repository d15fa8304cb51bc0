"""The documentation's commands that need a browser."""

import json
import shutil
import subprocess
import sys

from PIL import Image

from benchmarks.page import visit
from tests.conftest import ROOT


def run(*command: str, folder) -> None:
    result = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, result.stderr[-3000:]


def test_the_page_weighs_at_most_220_kilobytes(browser, url):
    with browser.new_page() as page:
        assert 0 < visit(page, url) < 220_000


def test_the_page_is_measured(tmp_path):
    run("benchmarks.page", "--out", str(tmp_path / "page.json"), folder=ROOT)
    result = json.loads((tmp_path / "page.json").read_text())
    assert result["photo"]["bytes"] > 400_000
    assert result["milliseconds_from_drop_to_answer"]["median"] > 0
    assert result["page_bytes"] > 0
    assert result["milliseconds_from_click_to_sum"] > 0
    slow = result["slow_line"]
    assert 2_500_000 < slow["photo"]["bytes"] <= 3_000_000
    arriving = 1000 * slow["photo"]["bytes"] / slow["bytes_up_a_second"]
    assert slow["milliseconds_to_answer"] > 0.9 * arriving  # the line is slow
    assert slow["milliseconds_to_first_sum"] >= slow["milliseconds_to_answer"]


def test_the_pictures_of_the_page_are_taken(tmp_path):
    for name in ("app", "benchmarks", "docs", "model"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.png", "*.keras", "logs"))
    run("docs.screenshots", folder=tmp_path)
    taken = sorted(path.name for path in (tmp_path / "docs").glob("*.png"))
    assert taken == ["guises.png", "learned.png", "lesson.png", "page.png", "phone.png", "walk.png"]
    for name in taken:
        with Image.open(tmp_path / "docs" / name) as ours, Image.open(ROOT / "docs" / name) as committed:
            assert ours.width == committed.width
