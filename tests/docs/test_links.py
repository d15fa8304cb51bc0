"""What the documentation names exists: links, paths, modules, make targets, settings and endpoints."""

import importlib.util
import re

import pytest

from app.settings import Settings
from tests.conftest import ROOT
from tests.docs.pages import pages

CODE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"(?:app|training|tests|docs|model|deploy|benchmarks|examples|requirements|\.ci|\.github)/[\w./*-]*")
WRITTEN = (
    "model/mine",
    "model/blossoms",
    "model/flowers",
    "model/lilies",
    "model/strangers",
    "model/cat.old",
    "model/*/mistakes",
)
"""What commands write and git does not track."""
every_page = pytest.mark.parametrize("page", pages())


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", pages()[page]):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        linked = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked.read_text()), target


@every_page
def test_every_path_exists(page):
    for code in CODE.findall(pages()[page]):
        for word in code.split():
            if PATH.fullmatch(word) and not word.startswith(WRITTEN) and "NAME" not in word:
                assert list(ROOT.glob(word.rstrip("/."))), word


@every_page
def test_every_module_exists(page):
    for module in re.findall(r"-m ((?:app|training|benchmarks|deploy|docs)[\w.]*)", pages()[page]):
        assert importlib.util.find_spec(module), module


@every_page
def test_every_make_target_exists(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"(?:`|\$ )make ([a-z-]+)", pages()[page])) <= targets


@every_page
def test_every_setting_exists(page):
    known = {name for name, *_ in Settings.table()} | {"CATSCOPE_IMAGE"}  # the last one is compose's
    assert set(re.findall(r"CATSCOPE_\w+", pages()[page])) <= known


@every_page
def test_every_endpoint_exists(page, client):
    known = {re.sub(r"\{\w+\}", "{}", path) for path in client.get("/openapi.json").json()["paths"]} | {"/", "/docs"}
    for path in re.findall(r"`(?:GET|POST) (/[^\s`?]*)", pages()[page]):
        assert re.sub(r"\{\w+\}", "{}", path) in known, path


def test_the_readme_is_short():
    assert len(pages()["README.md"].splitlines()) <= 150


def test_no_table_is_on_two_pages():
    rows = [row for text in pages().values() for row in set(re.findall(r"^\|.+\|$", text, re.M)) if len(row) > 60]
    assert len(rows) == len(set(rows))


def test_the_changelog_names_the_version_that_the_code_has():
    from app import __version__

    assert f"## [{__version__}] - " in pages()["CHANGELOG.md"] or f"released as {__version__}" in pages()["CHANGELOG.md"]
