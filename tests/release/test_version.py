"""What names a version names the same one: the code, the changelog and the citation."""

import re
import subprocess
import sys
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from packaging.version import Version

from app import __version__
from tests.conftest import ROOT

CITATION = ROOT / "CITATION.cff"
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
HEADING = re.compile(r"^## (.+)$", re.M)
RELEASED = re.compile(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)")


def released() -> list[tuple[Version, date]]:
    """The releases of the changelog, in its order."""
    return [
        (Version(version), date.fromisoformat(day))
        for version, day in RELEASED.findall("\n".join(HEADING.findall(CHANGELOG)))
    ]


def fits(citation: Path) -> bool:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.citation-file-format", citation]
    return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode == 0


def test_the_citation_fits_its_schema(tmp_path):
    assert fits(CITATION)
    spoilt = tmp_path / "CITATION.cff"
    spoilt.write_text(CITATION.read_text().replace("authors:", "writers:"))
    assert not fits(spoilt)


def test_the_citation_names_the_newest_release_with_its_day():
    citation = yaml.safe_load(CITATION.read_text())
    version, day = released()[0]
    assert citation["version"] == str(version) == __version__
    assert citation["date-released"] == day.isoformat()


def test_every_heading_of_the_changelog_is_unreleased_or_a_version_with_its_day():
    first, *others = HEADING.findall(CHANGELOG)
    assert first == "[Unreleased]" or RELEASED.fullmatch(first)
    assert all(map(RELEASED.fullmatch, others))


def test_the_changelog_has_the_newest_release_first():
    for (newer, later), (older, earlier) in pairwise([*released(), (Version("0"), date.min)]):
        assert newer > older
        assert later >= earlier


def test_what_is_unreleased_says_which_version_it_will_be():
    announced = re.search(r"^## \[Unreleased\]\n\nTo be released as (\d+\.\d+\.\d+)\.$", CHANGELOG, re.M)
    if announced is None:
        pytest.skip("nothing is unreleased")
    assert Version(announced[1]) > Version(__version__)


def test_the_sections_of_the_changelog_are_those_of_the_format():
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", CHANGELOG, re.M)) <= kinds
