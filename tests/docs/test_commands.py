"""Every command of the documentation is run, and every answer that it shows is the real one."""

import functools
import json
import os
import shlex
import subprocess
from pathlib import Path

import httpx2
import pytest

from tests.conftest import CHELSEA, ROOT, serving
from tests.docs.commands import APPENDED, COURSE_SET, ELSEWHERE, EXPORT, NEEDS
from tests.docs.pages import ANSWER, commands, pages

CURLS = [command for command in commands() if command.startswith("curl ")]
ANSWERS = [(name, command, answer) for name, text in pages().items() for command, answer in ANSWER.findall(text)]


def run(command: str, folder: Path, **environment: str) -> str:
    result = subprocess.run(
        shlex.split(command),
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


def test_every_command_of_the_documentation_is_listed_here():
    assert sorted(commands()) == sorted([*ELSEWHERE, *APPENDED, *CURLS, "make serve"])


@pytest.fixture(scope="module")
def url(checkout, tmp_path_factory):
    with serving("make", "serve", folder=checkout, store=tmp_path_factory.mktemp("store")) as (_, url):
        yield url


@pytest.mark.parametrize("command", CURLS)
def test_a_request_of_the_documentation_is_answered(checkout, url, command):
    run(command.replace("localhost:8000", url), checkout)


@pytest.mark.parametrize(("page", "command", "shown"), ANSWERS, ids=[f"{name}-{command}" for name, command, _ in ANSWERS])
def test_the_answer_shown_on_a_page_is_the_real_one(checkout, url, page, command, shown):
    assert same(json.loads(run(command.replace("localhost:8000", url), checkout)), json.loads(shown))


def same(answer: object, shown: object) -> bool:
    """Whether two answers have the same members and values: numbers to within a thousandth, times ignored."""
    if isinstance(shown, dict):
        assert isinstance(answer, dict)
        assert answer.keys() == shown.keys()
        return all(name == "timings_ms" or same(answer[name], shown[name]) for name in shown) and (
            "timings_ms" not in shown or answer["timings_ms"].keys() == shown["timings_ms"].keys()
        )
    if isinstance(shown, list):
        assert isinstance(answer, list)
        return len(answer) == len(shown) and all(map(same, answer, shown))
    if isinstance(shown, float):
        assert answer == pytest.approx(shown, rel=1e-3, abs=1e-4)
        return True
    assert answer == shown
    return True


def short(command: str) -> str:
    """What names a command in a test's id: pytest numbers those that are long."""
    return command.removeprefix(".venv/bin/python ").removeprefix("-m ")[:60]


@pytest.mark.parametrize("command", sorted(APPENDED, key=list(commands()).index), ids=short)
def test_a_command_of_the_documentation_works(once, command):
    once(command)


@pytest.fixture(scope="module")
def once(checkout):
    """Run a command that has not run yet, after those that it needs: pytest-xdist's workers share out the tests."""

    @functools.cache
    def run_once(command: str) -> None:
        if command in NEEDS:
            run_once(NEEDS[command])
        run(f"{command} {APPENDED[command]}", checkout)

    return run_once


def test_the_course_sets_command_wrote_what_it_promises(checkout, once):
    once(COURSE_SET)
    assert (checkout / "build" / "catvnoncat" / "seed-1" / "model.keras").is_file()
    assert json.loads((checkout / "benchmarks" / "catvnoncat.json").read_text())["test_accuracy"]


def test_what_training_wrote_is_served_under_its_name(checkout, once):
    once(EXPORT)
    contract = json.loads((checkout / "model" / "mine" / "contract.json").read_text())
    assert contract["network"] == "mine"


@pytest.mark.fresh
def test_a_fresh_clone_answers_after_make_serve(tmp_path):
    clone = tmp_path / "catscope"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    with serving("make", "serve", folder=clone, timeout_s=400, store=clone.parent / "store") as (_, url):
        answer = httpx2.post(f"{url}/predict", files={"file": CHELSEA.read_bytes()}).json()
    assert answer["label"] == "cat"
    assert not list((clone / ".venv").glob("lib/*/site-packages/tensorflow")), "serving installs no TensorFlow"
