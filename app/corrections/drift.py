"""The answers that a store kept come in; how they changed from week to week goes out."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from app.corrections.records import CORRECTED, Correction
from app.teach.figures import Figure, Z, figure, share


@dataclass(frozen=True)
class Week:
    """The answers of one ISO week, such as `2026-W48`.

    `confidence` is the mean probability of the likeliest class with its 95 % interval; `verdicts` and `corrected` are shares
    of the answers that were kept, not of all that were given.
    """

    week: str
    kept: int
    confidence: Figure
    verdicts: dict[str, Figure]
    corrected: Figure


@dataclass(frozen=True)
class Change:
    """By how much a figure changed from one week to the next: the difference with its 95 % interval."""

    what: str
    before: float
    after: float
    difference: float
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Whether the interval excludes no change."""
        return not self.low <= 0 <= self.high


@dataclass(frozen=True)
class Drift:
    """Weeks from old to new, without those that have no answers, and what changed between the last two if there are two."""

    weeks: tuple[Week, ...]
    changes: tuple[Change, ...]


def drift(answers: Iterable[Correction]) -> Drift:
    """How the answers changed, by the ISO weeks of their times in UTC."""
    by_week: dict[str, list[Correction]] = {}
    for answer in answers:
        year, week, _ = answer.time.isocalendar()
        by_week.setdefault(f"{year}-W{week:02}", []).append(answer)
    names = sorted(by_week)
    weeks = tuple(_week(name, by_week[name]) for name in names)
    changes = _changes(by_week[names[-2]], by_week[names[-1]]) if len(names) > 1 else ()
    return Drift(weeks, changes)


def _week(name: str, answers: Sequence[Correction]) -> Week:
    confidence = _confidence(answers)
    mean, half = float(confidence.mean()), Z * _error(confidence)
    counts = Counter(answer.verdict for answer in answers)
    verdicts = {verdict: share(count, len(answers)) for verdict, count in sorted(counts.items())}
    corrected = share(_corrected(answers), len(answers))
    assert corrected  # a week has answers
    return Week(
        week=name,
        kept=len(answers),
        confidence=figure(mean, max(0.0, mean - half), min(1.0, mean + half), len(answers)),
        verdicts={verdict: held for verdict, held in verdicts.items() if held},
        corrected=corrected,
    )


def _changes(before: Sequence[Correction], after: Sequence[Correction]) -> tuple[Change, ...]:
    first, second = _confidence(before), _confidence(after)
    difference = float(second.mean() - first.mean())
    half = Z * float(np.hypot(_error(first), _error(second)))
    low, high = max(-1.0, difference - half), min(1.0, difference + half)
    changes = [_change("mean confidence", float(first.mean()), float(second.mean()), low, high)]
    verdicts = sorted({answer.verdict for answer in (*before, *after)})
    for verdict in verdicts:
        counts = [sum(answer.verdict == verdict for answer in answers) for answers in (before, after)]
        changes.append(_of_shares(f"share of {verdict}", counts[0], len(before), counts[1], len(after)))
    changes.append(_of_shares("share of corrections", _corrected(before), len(before), _corrected(after), len(after)))
    return tuple(changes)


def _of_shares(what: str, hits: int, count: int, hits_after: int, count_after: int) -> Change:
    """The difference of two shares, its interval made of both shares' Wilson intervals (Newcombe 1998, method 10)."""
    before, after = share(hits, count), share(hits_after, count_after)
    assert before  # a week has answers
    assert after
    difference = after.value - before.value
    low = difference - float(np.hypot(after.value - after.low, before.high - before.value))
    high = difference + float(np.hypot(after.high - after.value, before.value - before.low))
    return _change(what, before.value, after.value, low, high)


def _change(what: str, before: float, after: float, low: float, high: float) -> Change:
    return Change(what, *(round(number, 4) for number in (before, after, after - before, low, high)))


def _confidence(answers: Sequence[Correction]) -> np.ndarray:
    """(n,) float64, the probability of each answer's likeliest class."""
    return np.array([max(answer.probabilities.values()) for answer in answers])


def _corrected(answers: Sequence[Correction]) -> int:
    return sum(answer.kind == CORRECTED for answer in answers)


def _error(values: np.ndarray) -> float:
    """The standard error of a mean of probabilities, at least 1/n of n values.

    A single value has no spread, and that of a few which happen to be close says little of the others; with it alone any
    change would be certain. 1/n is about what one further value, anywhere from 0 to 1, could move the mean by: with it, one
    value proves nothing, and a handful proves next to nothing.
    """
    spread = values.std(ddof=1) if len(values) > 1 else 0.0
    return float(max(spread / np.sqrt(len(values)), 1 / len(values)))
