"""The drift report counts kept answers by week and says what changed, with an interval."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.corrections.drift import drift
from app.corrections.records import Correction, new_id

MONDAY = datetime(2026, 11, 23, 12, tzinfo=UTC)
"""Of the week 2026-W48."""


def answers(week: int, count: int, cat: float, verdict: str = "unsure", corrected: int = 0) -> list[Correction]:
    time = MONDAY + timedelta(weeks=week)
    return [
        Correction(
            id=new_id(time),
            kind="corrected" if number < corrected else "unsure",
            sha256="0" * 64,
            label="cat" if number < corrected else None,
            network="cat",
            version="2.0.0",
            verdict=verdict,
            probabilities={"cat": cat, "not_cat": 1 - cat},
            time=time,
            source="api",
        )
        for number in range(count)
    ]


def test_answers_are_counted_by_iso_week_from_old_to_new():
    found = drift([*answers(1, 3, 0.6), *answers(0, 10, 0.3, corrected=4), *answers(0, 2, 0.9, "cat")])
    assert [(week.week, week.kept) for week in found.weeks] == [("2026-W48", 12), ("2026-W49", 3)]
    first = found.weeks[0]
    assert first.confidence.value == pytest.approx((10 * 0.7 + 2 * 0.9) / 12, abs=1e-4)
    assert {name: share.value for name, share in first.verdicts.items()} == {"cat": 0.1667, "unsure": 0.8333}
    assert (first.corrected.value, first.corrected.count) == (0.3333, 12)


def test_a_week_belongs_to_the_year_that_iso_8601_gives_it():
    [answer] = answers(0, 1, 0.5)
    [week] = drift([replace(answer, time=datetime(2027, 1, 2, tzinfo=UTC))]).weeks
    assert week.week == "2026-W53"


def test_a_large_change_between_the_last_two_weeks_is_certain_and_a_small_one_is_not():
    found = drift([*answers(-1, 50, 0.99, "cat"), *answers(0, 200, 0.6), *answers(1, 200, 0.6, corrected=100)])
    changes = {change.what: change for change in found.changes}
    corrections = changes["share of corrections"]
    assert corrections.certain
    assert (corrections.before, corrections.after) == (0.0, 0.5)
    assert corrections.low < 0.5 < corrections.high
    assert not changes["mean confidence"].certain
    assert not changes["share of unsure"].certain
    assert "share of cat" not in changes  # neither of the last two weeks has one


def test_few_answers_prove_no_change():
    found = drift([*answers(0, 4, 0.6), *answers(1, 4, 0.6, corrected=2)])
    assert not any(change.certain for change in found.changes)


@pytest.mark.parametrize("counts", [(1, 1), (1, 200), (200, 1), (2, 2), (2, 200)])
def test_values_too_few_to_have_a_spread_prove_no_change_of_confidence(counts):
    found = drift([*answers(0, counts[0], 0.61), *answers(1, counts[1], 0.99)])
    [confidence] = [change for change in found.changes if change.what == "mean confidence"]
    assert not confidence.certain
    assert -1 <= confidence.low < confidence.difference == 0.38 < confidence.high <= 1


def test_two_values_that_happen_to_lie_close_prove_no_change_of_confidence():
    weeks = (*answers(0, 1, 0.61), *answers(0, 1, 0.62)), (*answers(1, 1, 0.98), *answers(1, 1, 0.99))
    assert not any(change.certain for change in drift([*weeks[0], *weeks[1]]).changes)


def test_many_answers_prove_a_change_of_confidence():
    confidence = drift([*answers(0, 50, 0.6), *answers(1, 50, 0.7)]).changes[0]
    assert (confidence.what, confidence.certain) == ("mean confidence", True)


def test_the_confidence_of_one_answer_may_lie_anywhere():
    [week] = drift(answers(0, 1, 0.61)).weeks
    assert (week.confidence.value, week.confidence.low, week.confidence.high) == (0.61, 0.0, 1.0)


def test_one_week_has_nothing_to_compare_with():
    assert drift(answers(0, 4, 0.6)).changes == ()
    assert drift([]).weeks == ()
