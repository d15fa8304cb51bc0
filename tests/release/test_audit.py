"""A known vulnerability fails the audit, unless somebody has said for how long it does not, and why."""

import subprocess
import sys
from datetime import date

import pytest

from tests.conftest import ROOT
from tools import audit

TODAY = date(2026, 12, 1)
EXCEPTION = """
[[exception]]
id = "CVE-2026-1"
package = "pillow"
reason = "The format that it is in is refused before Pillow sees it."
until = 2027-01-31
"""
REPORT = {
    "dependencies": [
        {"name": "numpy", "version": "2.4.6", "vulns": []},
        {
            "name": "pillow",
            "version": "13.0.0",
            "vulns": [
                {"id": "PYSEC-2026-9", "aliases": ["CVE-2026-1", "GHSA-x"], "fix_versions": ["13.0.1"], "description": "."}
            ],
        },
    ]
}


def judged(text: str, today: date = TODAY) -> list[str]:
    return audit.judged(audit.vulnerabilities(REPORT), audit.exceptions(text), today)


def test_a_vulnerability_is_named_with_the_version_that_has_it_no_longer():
    assert judged("") == ["pillow 13.0.0: PYSEC-2026-9, CVE-2026-1, GHSA-x, fixed in 13.0.1"]


def test_an_exception_holds_by_any_name_of_the_vulnerability_and_to_its_last_day():
    assert judged(EXCEPTION) == []
    assert judged(EXCEPTION.replace("CVE-2026-1", "GHSA-x")) == []
    assert judged(EXCEPTION, date(2027, 1, 31)) == []


def test_an_exception_that_has_expired_fails_with_its_reason():
    lines = judged(EXCEPTION, date(2027, 2, 1))
    assert lines[0].startswith("pillow 13.0.0: ")
    assert lines[1].startswith("the exception CVE-2026-1 expired on 2027-01-31: The format")


def test_an_exception_of_another_package_does_not_hold():
    assert len(judged(EXCEPTION.replace("pillow", "numpy"))) == 2


def test_an_exception_that_is_not_needed_has_to_go():
    assert judged(EXCEPTION + EXCEPTION.replace("CVE-2026-1", "CVE-2026-2")) == [
        "the exception CVE-2026-2 is no longer needed: delete it"
    ]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            EXCEPTION.replace('reason = "The format that it is in is refused before Pillow sees it."', ""),
            "exception 1 needs",
        ),
        (EXCEPTION.replace("until = 2027-01-31", ""), "exception 1 needs"),
        (EXCEPTION + "by = 'me'\n", "exception 1 needs"),
        (EXCEPTION.replace("2027-01-31", '"2027-01-31"'), "is no day"),
        (EXCEPTION.replace("The format that it is in is refused before Pillow sees it.", "fine"), "says too little"),
        (EXCEPTION + EXCEPTION, "there twice"),
        ("[[exceptions]]\n", "exceptions is not known"),
        ("[[exception]", "Expected"),
    ],
)
def test_an_exception_without_its_reason_or_its_day_is_none(text, error):
    with pytest.raises(ValueError, match=error):
        audit.exceptions(text)


def test_packages_that_could_not_be_looked_up_are_not_taken_for_safe():
    skipped = {"name": "pillow", "skip_reason": "Dependency not found on PyPI and could not be audited: pillow (13.0.0)"}
    assert audit.unknown({"dependencies": [*REPORT["dependencies"], skipped]}) == ["pillow"]
    assert audit.unknown(REPORT) == []


def test_the_exceptions_of_this_repository_can_be_read():
    audit.exceptions((ROOT / "requirements" / "audit-exceptions.toml").read_text())


@pytest.mark.fresh
def test_make_audit_knows_whether_it_reached_the_database(tmp_path):
    """Where it is not reached, as behind a mirror of the package index, the audit does not pass."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path], check=True)
    install = [tmp_path / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r"]
    subprocess.run([*install, ROOT / "requirements" / "audit.txt"], check=True)
    command = [tmp_path / "bin" / "python", "-m", "tools.audit"]
    result = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if result.returncode == 2:
        assert "is the database reached?" in result.stderr
    else:
        assert result.returncode in (0, 1), result.stderr
        assert result.stdout.strip()
