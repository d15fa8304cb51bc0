"""A new version takes the old one's place only if it is better where it was wrong, and no worse anywhere else."""

import numpy as np
import pytest

from app.learn.promotion import Comparison, compare, refusals

BETTER = Comparison("corrections held out", photos=12, before=0, after=9, gained=9, lost=0)
EQUAL = Comparison("val-objects", photos=1000, before=990, after=990, gained=1, lost=1)


def test_each_version_is_counted_and_what_only_one_of_them_answers_rightly():
    labels = np.array([0, 0, 1, 1])
    before = np.array([[1, 0], [0, 1], [0, 1], [0, 1]])
    after = np.array([[1, 0], [1, 0], [1, 0], [0, 1]])
    found = compare("a", before, after, labels)
    assert (found.photos, found.before, found.after, found.gained, found.lost) == (4, 3, 3, 1, 1)
    assert (found.relief, found.better) == (0.0, False)


def test_it_is_better_if_it_answers_as_many_rightly_and_is_surer_of_them_beyond_chance():
    labels = np.zeros(10, int)
    before, steady = np.tile([-2.0, 0.0], (10, 1)), np.tile([-1.0, 0.0], (10, 1))
    assert compare("a", before, steady, labels).better
    certain, more_certain = np.tile([10.0, 0.0], (10, 1)), np.tile([12.0, 0.0], (10, 1))
    assert not compare("a", certain, more_certain, labels).better, "nobody would notice"
    unsteady = np.stack([np.linspace(-5.0, -0.1, 10), np.zeros(10)], axis=1)
    other = compare("a", before, unsteady, labels)
    assert (other.before, other.after) == (0, 0)
    assert not other.better


def test_it_is_served_if_it_is_better_on_corrections_and_loses_nothing():
    assert refusals([EQUAL], BETTER) == []


@pytest.mark.parametrize("after", [3, 4])
def test_it_is_refused_if_it_is_no_better_on_corrections(after):
    [why] = refusals([EQUAL], Comparison("corrections held out", photos=12, before=4, after=after, gained=0, lost=4 - after))
    assert f"12 corrections that it did not learn from it answers {after} rightly" in why


def test_it_is_refused_for_a_loss_in_one_set_that_chance_does_not_explain():
    small = Comparison("val-wild", photos=180, before=170, after=165, gained=0, lost=5)
    large = Comparison("val-objects", photos=10_000, before=9900, after=9900, gained=0, lost=0)
    [why] = refusals([small, large], BETTER)
    assert "Of 180 photos of val-wild it answers 165 rightly; the version that is served answers 170." in why
    assert "3.1%" in why  # 1 in 2 to the power of 5


def test_a_loss_that_chance_explains_is_accepted_in_one_set():
    small = Comparison("val-wild", photos=180, before=170, after=168, gained=1, lost=3)
    assert refusals([small, EQUAL], BETTER) == []


def test_losses_that_chance_explains_in_each_set_are_refused_where_there_are_many():
    sets = [Comparison(str(number), photos=500, before=490, after=488, gained=1, lost=3) for number in range(3)]
    [why] = refusals(sets, BETTER)
    assert "Of all 1500 photos of the held-out sets it answers 6 fewer rightly" in why


@pytest.mark.parametrize(("gained", "lost", "chance"), [(0, 1, 0.5), (0, 5, 1 / 32), (1, 1, 0.75), (0, 0, 1.0)])
def test_chance_is_that_of_a_fair_coin(gained, lost, chance):
    assert Comparison("a", 100, 90, 90, gained, lost).chance == pytest.approx(chance)
