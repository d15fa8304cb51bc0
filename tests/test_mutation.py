"""The faults that tests notice: the committed scores are high enough, and what measures them counts and explains correctly."""

import json
import time
import tomllib
from types import SimpleNamespace

import pytest

from tests.conftest import ROOT
from tools import mutate

COMMITTED = json.loads(mutate.RESULT.read_text())["modules"]
MODULE = "app/inference/jpeg.py"
CODE = """
def x_half__mutmut_orig(number):
    if number > 1:
        return number // 2
    return 0

def x_half__mutmut_1(number):
    if number >= 1:
        return number // 2
    return 0

class Box:
    async def xǁBoxǁ_open__mutmut_orig(self):
        self.open = True

    async def xǁBoxǁ_open__mutmut_1(self):
        self.open = False
"""
HALF, OPEN = "app.x_half__mutmut_1", "app.xǁBoxǁ_open__mutmut_1"
REASON = """
[[reason]]
module = "app/inference/jpeg.py"
why = "Half of one is nothing."
mutants = [
'''half
- if number > 1:
+ if number >= 1:''',
]
"""


@pytest.mark.parametrize("module", COMMITTED)
def test_a_modules_tests_notice_most_faults_and_the_others_are_explained(module):
    entry = COMMITTED[module]
    assert (ROOT / module).exists()
    assert entry["killed"] + entry["timeout"] + entry["survived"] == entry["mutants"] > 0
    assert entry["score"] == round((entry["killed"] + entry["timeout"]) / entry["mutants"], 4) >= mutate.LEAST
    known = mutate.explanations()
    for one in entry["survivors"]:
        assert one["why"] == known[module, one["function"], one["diff"]], "make mutate writes it anew"
    assert len(entry["survivors"]) == entry["survived"]


def test_no_explanation_is_of_a_fault_that_is_noticed():
    left = {(module, one["function"], one["diff"]) for module, entry in COMMITTED.items() for one in entry["survivors"]}
    assert set(mutate.explanations()) - left == set()


def test_all_that_is_covered_to_its_last_branch_is_mutated():
    covered = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["coverage"]["run"]["source_pkgs"]
    modules = set()
    for name in covered:
        path = ROOT / name.replace(".", "/")
        modules |= set(path.glob("[!_]*.py")) if path.is_dir() else {path.with_suffix(".py")}
    assert {str(path.relative_to(ROOT)) for path in modules} == set(mutate.MEASURED)
    assert all((ROOT / test).exists() for tests in mutate.MEASURED.values() for test in tests)


def test_a_score_of_other_code_is_told_from_one_of_the_code_that_is_there(tmp_path, monkeypatch):
    entry = {"mutants": 2000, "killed": 1800, "timeout": 100, "survived": 100, "score": 0.95, "survivors": []}
    monkeypatch.setattr(mutate, "RESULT", tmp_path / "mutation.json")
    monkeypatch.setattr(mutate, "distributions", lambda name, path: [SimpleNamespace(version="1.2.3")])
    monkeypatch.setattr(mutate, "MEASURED", {MODULE: ("tests",), "app/teach/alike.py": ("tests",)})
    mutate.keep(MODULE, entry)
    kept = json.loads(mutate.RESULT.read_text())
    assert kept["tool"] == "mutmut 1.2.3"
    *_, row, other = mutate.table(kept).splitlines()
    assert row == f"| `{MODULE}` | 2,000 | 1,900 | 0.950 | 100 |"
    assert other == "| `app/teach/alike.py` | not measured | | | |"
    kept["modules"][MODULE]["code"] = "0" * 64
    assert f"| `{MODULE}`, changed since | 2,000 |" in mutate.table(kept)


@pytest.fixture
def explained(tmp_path, monkeypatch):
    path = tmp_path / "mutants.toml"
    path.write_text(REASON)
    monkeypatch.setattr(mutate, "EXPLANATIONS", path)
    return path


def test_a_survivor_is_told_by_its_function_and_what_was_changed(explained):
    entry = mutate.judged(MODULE, {HALF: "survived", OPEN: "untested", "a": "killed", "b": "timeout"}, CODE)
    assert entry == {
        "mutants": 4,
        "killed": 1,
        "timeout": 1,
        "survived": 2,
        "score": 0.5,
        "survivors": [
            {"function": "half", "diff": "- if number > 1:\n+ if number >= 1:", "why": "Half of one is nothing."},
            {"function": "Box._open", "diff": "- self.open = True\n+ self.open = False", "why": ""},
        ],
    }
    low, unexplained = mutate.complaints_of(MODULE, entry)
    assert low == f"{MODULE}: 0.500 is below 0.85"
    explained.write_text(unexplained.replace('why = ""', 'why = "Nobody looks into the box."'))
    assert mutate.explanations() == {
        (MODULE, "Box._open", "- self.open = True\n+ self.open = False"): "Nobody looks into the box."
    }


def test_where_most_are_noticed_and_the_rest_is_explained_there_is_nothing_to_complain_about(explained):
    entry = mutate.judged(MODULE, {HALF: "survived"} | {str(number): "killed" for number in range(17)}, CODE)
    assert list(mutate.complaints_of(MODULE, entry)) == []


@pytest.mark.parametrize("spoilt", [REASON.replace("why", "because"), REASON.replace(" of one is nothing", "")])
def test_an_explanation_that_says_too_little_is_none(explained, spoilt):
    explained.write_text(spoilt)
    with pytest.raises(ValueError, match="a few words that say why"):
        mutate.explanations()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where mutmut would work; in its place `ended` says what to do."""
    monkeypatch.setattr(mutate, "WORK", tmp_path)
    monkeypatch.setattr(mutate, "ENVIRONMENT", tmp_path / "env")
    return mutate.prepared(MODULE)


def replaced(script: str) -> None:
    program = mutate.ENVIRONMENT / "bin" / "mutmut"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def codes(folder, **by_name: int | None):
    path = folder / "mutants" / f"{MODULE}.meta"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"exit_code_by_key": by_name}))
    return path


def test_every_end_of_a_mutants_tests_but_their_passing_counts_as_noticed(folder):
    codes(folder, failed=1, crashed=-11, passed=0, endless=36, cpu=-24, none=33)
    assert mutate.verdicts(folder, MODULE) == {
        "failed": "killed",
        "crashed": "killed",
        "passed": "survived",
        "endless": "timeout",
        "cpu": "timeout",
        "none": "untested",
    }
    codes(folder, failed=1, untried=None)
    with pytest.raises(SystemExit, match="untried"):
        mutate.verdicts(folder, MODULE)
    path = codes(folder, failed=1, unknown=255)
    with pytest.raises(SystemExit, match="did not run on 1 mutants, unknown first; the next run tries again"):
        mutate.verdicts(folder, MODULE)
    assert json.loads(path.read_text())["exit_code_by_key"] == {"failed": 1, "unknown": None}


def test_survivors_without_a_reason_are_tried_again_when_tests_have_changed(folder, explained, monkeypatch):
    path = codes(folder, **{"app.failed": 1, HALF: 0, OPEN: 36})
    (folder / "mutants" / MODULE).write_text(CODE)
    mutate.prepared(MODULE)
    assert None not in json.loads(path.read_text())["exit_code_by_key"].values(), "they have not"
    monkeypatch.setitem(mutate.MEASURED, MODULE, ("tests/app/inference/test_sloppy.py",))
    mutate.prepared(MODULE)
    assert json.loads(path.read_text())["exit_code_by_key"] == {"app.failed": 1, HALF: 0, OPEN: None}


def test_verdicts_that_were_cut_off_are_those_of_the_run_before(folder):
    path, code = codes(folder, failed=1), folder / "mutants" / MODULE
    code.write_text(CODE)
    whole = path.read_text()
    path.write_text(whole[:20])
    mutate.prepared(MODULE)
    assert not path.exists(), "there was no run before: mutmut makes both anew"
    assert not code.exists()
    path.write_text(whole)
    mutate.prepared(MODULE)
    path.write_text("")
    mutate.prepared(MODULE)
    assert path.read_text() == whole


def test_a_module_whose_mutants_are_known_is_not_tried_again_until_it_changes(folder):
    codes(folder, failed=1, passed=0)
    assert not mutate.known(folder, MODULE)
    (folder / "code.sha256").write_text(mutate.digest(MODULE))
    assert mutate.known(folder, MODULE)
    codes(folder, failed=1, passed=None)
    assert not mutate.known(folder, MODULE)
    codes(folder, failed=1, passed=0)
    (folder / "code.sha256").write_text("of another version")
    assert not mutate.known(folder, MODULE)


def test_mutmut_is_told_what_to_mutate_and_which_tests_to_run(folder):
    told = tomllib.loads((folder / "pyproject.toml").read_text())["tool"]
    assert told["mutmut"]["only_mutate"] == [MODULE]
    assert told["mutmut"]["pytest_add_cli_args_test_selection"] == list(mutate.MEASURED[MODULE])
    assert "pytest" in told
    assert (folder / "app" / "main.py").exists()
    assert (folder / "mutants" / "model").is_dir()


def test_mutmut_works_until_its_end_or_until_its_time_is_over(folder):
    replaced("touch ended; exit $(cat status)")
    (folder / "status").write_text("0")
    assert mutate.tried(folder, 1, None)
    assert (folder / "ended").exists()
    (folder / "status").write_text("1")
    with pytest.raises(SystemExit, match="ended with 1"):
        mutate.tried(folder, 1, time.monotonic() + 60)


def test_mutmut_is_stopped_when_its_time_is_over(folder):
    replaced("exec sleep 60")
    assert not mutate.tried(folder, 1, time.monotonic() + 0.1)
