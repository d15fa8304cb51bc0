"""How far a loop is, on a terminal and in a log file."""

import sys

import pytest

from tests.training.runs import FAST
from training import progress
from training.progress import Progress
from training.tasks.train import train


@pytest.fixture
def patient(monkeypatch):
    """Every tenth of a loop took long enough to be told."""
    monkeypatch.setattr(progress, "SECONDS", 0.0)


def test_the_items_pass_through_unchanged():
    assert list(Progress(3, "counting", "step").over("abc")) == ["a", "b", "c"]


def test_a_log_file_gets_a_line_for_each_tenth(patient, capsys):
    list(Progress(200, "counting", "step").over(range(200)))
    assert capsys.readouterr().err.splitlines() == [f"counting: {20 * tenth} of 200" for tenth in range(1, 11)]


def test_a_log_file_gets_one_line_of_a_loop_that_is_quick(capsys):
    list(Progress(200, "counting", "step").over(range(200)))
    assert capsys.readouterr().err == "counting: 200 of 200\n"


def test_what_was_done_before_is_not_told_again(patient, capsys):
    with Progress(100, "counting", "step", done=80) as shown:
        for done in range(81, 101):
            shown.reach(done)
    assert capsys.readouterr().err.splitlines() == ["counting: 90 of 100", "counting: 100 of 100"]


def test_bytes_are_told_in_megabytes(capsys):
    Progress(5_500_000, "pets.zip", "bytes").reach(5_500_000)
    assert capsys.readouterr().err == "pets.zip: 5.5 MB of 5.5 MB\n"


def test_a_loop_without_lines_says_only_what_it_is_told_to(patient, capsys):
    shown = Progress(100, "counting", "step", lines=False)
    shown.reach(100)
    shown.say("skipped a.jpg")
    assert capsys.readouterr().err == "skipped a.jpg\n"


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    list(Progress(200, "counting", "step").over(range(200)))
    error = capsys.readouterr().err
    assert "\rcounting: 100%|" in error
    assert "200 of 200" not in error


def test_a_run_in_a_log_file_is_a_line_an_epoch(photos, tmp_path, capsys):
    train(FAST, photos, tmp_path / "out")
    told = capsys.readouterr()
    assert "\r" not in told.out + told.err
    assert told.err == "reading photos: 76 of 76\n"
    (line,) = [line for line in told.out.splitlines() if line.startswith("epoch ")]
    assert line.startswith("epoch 1 loss ")
    assert " validation_accuracy " in line
