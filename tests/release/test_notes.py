"""A release has notes once code, changelog and citation name it."""

from pathlib import Path

import pytest

from app import __version__
from tests.conftest import ROOT
from tools.release import notes


@pytest.fixture
def ready(tmp_path: Path) -> Path:
    """A checkout that is ready for 1.2.3."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text('"""Docs."""\n\n__version__ = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n## [1.2.3] - 2026-12-01\n\n### Fixed\n\n- A bug.\n\n## [1.2.2] - 2026-11-01\n\n- Old.\n"
    )
    (tmp_path / "CITATION.cff").write_text(
        'title: Catscope\nversion: 1.2.3\ndate-released: "2026-12-01"\nlicense: Apache-2.0\n'
    )
    return tmp_path


def test_the_notes_are_what_the_changelog_says_of_the_release(ready):
    assert notes("v1.2.3", ready) == "### Fixed\n\n- A bug."


def test_the_last_release_of_this_repository_has_notes():
    assert notes(f"v{__version__}", ROOT).startswith("### ")


@pytest.mark.parametrize(
    ("name", "text", "instead", "error"),
    [
        ("app/__init__.py", "1.2.3", "1.2.2", r"app/__init__\.py has 1\.2\.2"),
        ("CHANGELOG.md", "[1.2.3] - 2026-12-01", "[Unreleased]", r"no section \[1\.2\.3\]"),
        ("CITATION.cff", "version: 1.2.3", "version: 1.2.2", "another release"),
        ("CITATION.cff", "2026-12-01", "2026-11-30", "another release"),
    ],
)
def test_what_does_not_name_the_release_is_named(ready, name, text, instead, error):
    path = ready / name
    path.write_text(path.read_text().replace(text, instead))
    with pytest.raises(ValueError, match=error):
        notes("v1.2.3", ready)
