"""Every promise of docs/reliability.md has tests that guard it, and every test that guards one is named by it."""

import json
from collections.abc import Callable
from inspect import getsource

import pytest

from docs import figures
from docs.figures import FIGURES
from tests.conftest import ROOT
from tests.docs.pages import pages
from tests.docs.promises import cited, faults, marked, promises

PAGE = "docs/reliability.md"
TESTS = {str(path.relative_to(ROOT)): path.read_text() for path in sorted((ROOT / "tests").rglob("*.py"))}


def test_promises_tests_and_figures_agree():
    assert faults(pages()[PAGE], marked(TESTS), FIGURES) == []


def test_the_page_makes_promises():
    assert len(promises(pages()[PAGE])) > 50


@pytest.mark.parametrize("page", [name for name, text in pages().items() if cited(text)])
def test_a_page_refers_only_to_promises_that_are_made(page):
    assert set(cited(pages()[page])) <= {promise.number for promise in promises(pages()[PAGE]) if not promise.is_withdrawn}


def test_the_threat_model_refers_to_every_promise():
    """Otherwise nobody knows against whom one of them is."""
    made = {promise.number for promise in promises(pages()[PAGE]) if not promise.is_withdrawn}
    assert made - set(cited(pages()["docs/threat-model.md"])) == set()


def test_every_long_test_that_was_recorded_stands_below_a_promise():
    source = getsource(figures)
    assert [
        name for name in json.loads((ROOT / "benchmarks" / "reliability.json").read_text()) if f'"{name}"' not in source
    ] == []


# The comparison itself, on small pages and tests

SOURCE = """
import pytest

@pytest.mark.promise("P1")
@pytest.mark.parametrize("n", [1, 2])
def test_one(n):
    pass

class TestTwo:
    @pytest.mark.promise("P1", "P2")
    async def test_two(self):
        pass

def test_free():
    pass
"""
MADE = """
**P1.** A body of more than `a.b. c` is
answered 413.
- `tests/test_a.py::test_one`
- `tests/test_a.py::TestTwo::test_two`
- Measured: <!-- figure P1 -->3 of 1.5 were<!-- end -->

**P2.** Nothing is lost.
- `tests/test_a.py::TestTwo::test_two`

Other text, with P1 in it.
"""
GIVEN = {"P1": lambda: "3 of 1.5 were"}


def missing() -> str:
    return str({}["lost"])


def compared(page: str = MADE, source: str = SOURCE, given: dict[str, Callable[[], str]] = GIVEN) -> list[str]:
    return faults(page, marked({"tests/test_a.py": source}), given)


def test_what_agrees_has_no_fault():
    assert compared() == []
    first, second = promises(MADE)
    assert first.sentence == "A body of more than `a.b. c` is answered 413."
    assert (len(first.tests), first.figures, len(second.tests)) == (2, ["P1"], 1)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("\n- `tests/test_a.py::TestTwo::test_two`\n\nOther", "\n\nOther", "P2 names no test"),
        ("::test_one", "::test_none", "P1 names tests/test_a.py::test_none, which does not exist"),
        ("::test_one", "::test_free", "P1 names tests/test_a.py::test_free, which is not marked with it"),
        ("\n- `tests/test_a.py::test_one`", "", "tests/test_a.py::test_one guards P1, which does not name it"),
        ("**P2.**", "**P1.**", "P1 is used 2 times"),
        (
            "**P2.**",
            "**P2.** Withdrawn in 1.0.\n\n**P3.**",
            "tests/test_a.py::TestTwo::test_two guards P2, which does not name it",
        ),
        ("**P2.**", "**P3.**", "P2 is missing: a number that was used stays, as withdrawn"),
        ("is lost.", "is lost. Never.", "P2 is not one sentence"),
        ("is lost.", "is lost", "P2 is not one sentence"),
        ("- Measured", "- Perhaps", "P1 has a line that is neither a test nor a figure"),
        ("test_one`\n", "test_one`\n- `tests/test_a.py::test_one`\n", "P1 names tests/test_a.py::test_one twice"),
        ("figure P1", "figure P2", "P1 shows the figure of P2"),
        ("- Measured: <!-- figure P1 -->3 of 1.5 were<!-- end -->\n", "", "P1 has a figure, which the page lacks"),
    ],
)
def test_a_page_that_contradicts_the_tests_is_found(old, new, fault):
    assert MADE.count(old) == 1
    assert any(one.startswith(fault) for one in compared(MADE.replace(old, new)))


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('promise("P1")', 'promise("P9")', "tests/test_a.py::test_one guards P9, which the page lacks"),
        ('@pytest.mark.promise("P1")\n', "", "P1 names tests/test_a.py::test_one, which is not marked with it"),
        ('promise("P1")', 'promise("P1", "P1")', "tests/test_a.py::test_one is marked with P1 twice"),
        ('promise("P1")', "promise(FIRST)", "tests/test_a.py, line 4: a marker that"),
        ('promise("P1")', "promise", "tests/test_a.py, line 4: a marker that"),
        ('promise("P1")', 'promise(number="P1")', "tests/test_a.py, line 4: a marker that"),
        (
            "def test_free",
            'pytestmark = pytest.mark.promise("P1")\ndef test_free',
            "tests/test_a.py, line 14: a marker that",
        ),
        ("def test_free", '@pytest.mark.promise("P1")\ndef helper', "tests/test_a.py, line 14: a marker that"),
    ],
)
def test_a_test_that_contradicts_the_page_is_found(old, new, fault):
    assert SOURCE.count(old) == 1
    assert any(one.startswith(fault) for one in compared(source=SOURCE.replace(old, new)))


def test_a_figure_without_a_source_is_found():
    assert compared(given={"P1": missing}) == ["P1 shows a figure whose source is missing: 'lost'"]
    assert compared(given={}) == ["P1 shows a figure that nothing writes"]


def test_a_withdrawn_promise_needs_no_test_and_keeps_its_number():
    assert compared(MADE + "\n**P3.** Withdrawn in 1.0. There was no test.\n") == []


def test_numbers_are_cited_in_text_alone():
    assert cited('P1, P3–P5 and (P7); not `promise("P8")`, p99, P2P or XP9') == ["P1", "P3", "P4", "P5", "P7"]
