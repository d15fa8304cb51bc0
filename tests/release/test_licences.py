"""The licence of everything that is served is known, listed and allowed."""

import pytest

from tests.conftest import ROOT
from tools import licences
from tools.licences import Surprise

PAGE = (ROOT / "docs" / "licences.md").read_text()


def test_the_page_is_what_the_packages_say():
    assert licences.page() == PAGE, "make licences writes it anew"


@pytest.mark.parametrize("group", licences.GROUPS)
def test_every_package_is_listed(group):
    names = licences.packages(group)
    assert len(names) > 2
    assert [name for name in names if f"\n| `{name}` | " not in PAGE] == []


def test_every_network_is_listed():
    for contract in (ROOT / "model").glob("*/contract.json"):
        assert f"\n| `{contract.parent.name}` | Apache-2.0 | " in PAGE


@pytest.mark.parametrize(
    "expression", ["GPL-3.0-only", "MIT AND AGPL-3.0-only", "MIT OR (Apache-2.0 AND SSPL-1.0)", "UNKNOWN"]
)
def test_a_licence_that_is_not_allowed_is_a_surprise(expression):
    with pytest.raises(Surprise, match="not allowed yet"):
        licences.allowed("some-package", expression)


def entry(expression: str = "UNKNOWN", metadata: str = "UNKNOWN", classifier: str = "UNKNOWN") -> dict[str, str]:
    return {"License-Expression": expression, "License-Metadata": metadata, "License-Classifier": classifier}


def test_what_a_package_says_in_two_places_counts_together():
    lgpl = "GNU Lesser General Public License v3 (LGPLv3)"
    assert licences.stated("pi-heif", entry(metadata="BSD-3-Clause", classifier=lgpl)) == "BSD-3-Clause AND LGPL-3.0-only"


def test_a_package_that_has_only_the_text_of_a_licence_is_under_it():
    assert licences.stated("pytest", entry()) == "MIT"


def test_a_package_that_says_nothing_is_a_surprise(monkeypatch):
    monkeypatch.setattr(licences, "TEXTS", {})
    with pytest.raises(Surprise, match="pytest states no licence"):
        licences.stated("pytest", entry())


def test_a_library_that_nobody_has_looked_at_is_a_surprise(monkeypatch):
    monkeypatch.setitem(licences.BUNDLED, "pi-heif", {"libheif": "LGPL-3.0-or-later"})
    with pytest.raises(Surprise, match="brings libde265"):
        licences.libraries("pi-heif")


def test_a_network_that_nobody_has_looked_at_is_a_surprise(monkeypatch):
    monkeypatch.delitem(licences.WEIGHTS, "dense")
    with pytest.raises(Surprise, match="the network dense"):
        licences.weights()
