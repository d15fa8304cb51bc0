"""When a twin's answers are near enough to those of its network."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, logit

from app.inference.familiarity import Familiarity
from app.inference.networks.contract import Contract, Int8
from app.teach import agreement
from app.teach.agreement import Agreement


@pytest.fixture(scope="module")
def contract() -> Contract:
    """The twin settles what lies outside 0.21 to 0.79: these are 0.5 in log odds beyond the band."""
    return Contract("pets", "1.0.0", ("cat", "not_cat"), (8, 8, 3), (0.3, 0.7), 0, (), {}, Path(), int8=Int8(margin=0.5))


@pytest.fixture(scope="module")
def taught(contract) -> Contract:
    """What is farther than 0.2 is unfamiliar; the twin settles what is more than 0.02 from that."""
    known = Familiarity("dense", 0.2, *[np.zeros(1, np.float32)] * 2, *[np.zeros((2, 1), np.float32)] * 2)
    return replace(contract, familiarity=known)


def two(*cats: float) -> np.ndarray:
    return np.array([[cat, 1 - cat] for cat in cats])


GOOD = Agreement(
    1000, right_float=900, right=900, changed=1, handed_over=20, right_alone=899, changed_alone=4, opposite_alone=1
)


def test_as_many_answers_and_one_verdict_in_a_thousand_are_near_enough():
    assert agreement.objection({"one": GOOD}) == ""


def test_a_set_that_loses_an_answer_is_refused_though_another_wins_one():
    objection = agreement.objection({"lost": replace(GOOD, right=899), "won": replace(GOOD, right=901)})
    assert objection == "integers lose answers of lost (899 right, 900 in float)"


def test_all_sets_that_lose_an_answer_are_named():
    objection = agreement.objection({"one": replace(GOOD, right=899), "fine": GOOD, "other": replace(GOOD, right=0)})
    assert objection == "integers lose answers of one (899 right, 900 in float), other (0 right, 900 in float)"


@pytest.mark.parametrize(
    ("changed", "what"),
    [({"changed": 2}, "verdicts"), ({"opposite_alone": 2}, "verdicts of the twin alone to the opposite")],
)
def test_two_verdicts_in_a_thousand_are_refused(changed, what):
    assert agreement.objection({"one": replace(GOOD, **changed)}) == f"integers change 2 {what} of 1000, more than 0.1%"


@pytest.mark.parametrize("name", ["changed", "opposite_alone"])
def test_verdicts_are_counted_over_all_sets(name):
    """Of 2000 photos two may change, in whichever sets they are."""
    assert agreement.objection({"one": replace(GOOD, **{name: 2}), "other": replace(GOOD, **{name: 0})}) == ""
    three = agreement.objection({"one": replace(GOOD, **{name: 2}), "other": GOOD})
    assert three.startswith("integers change 3 verdicts")
    assert three.endswith("of 2000, more than 0.1%")


def test_of_few_photos_one_verdict_may_change_and_not_two():
    few = replace(GOOD, photos=50, right=40, right_float=40)
    assert agreement.objection({"one": few}) == ""
    assert agreement.objection({"one": replace(few, changed=2)}) == "integers change 2 verdicts of 50, more than 0.1%"


def test_a_contract_has_what_was_counted_by_the_name_of_the_set():
    assert agreement.plain({"photos of 2024": replace(GOOD, photos=50)}) == {
        "photos of 2024": {
            "photos": 50,
            "right_float": 900,
            "right": 900,
            "changed": 1,
            "handed_over": 20,
            "right_alone": 899,
            "changed_alone": 4,
            "opposite_alone": 1,
        }
    }


def test_log_odds_are_those_of_each_class_and_finite():
    probabilities = np.array([[0.2, 0.3, 0.5], [0.0, 1.0, 0.0], [1e-5, 0.9, 0.0999]], np.float32)
    found = agreement.log_odds(probabilities)
    assert found.dtype == np.float64
    assert found[[0, 2]] == pytest.approx(logit(probabilities[[0, 2]].astype(float)))
    assert found[1] == pytest.approx([-16.118, 16.118, -16.118], abs=1e-3)  # those of one in ten million


def test_answers_are_compared_with_and_without_handing_over(contract):
    network = two(0.99, 0.69, 0.02, 0.6)
    twin = two(0.98, 0.71, 0.97, 0.4)
    assert agreement.between(contract, network, twin, np.array([0, 1, 1, 0])) == Agreement(
        photos=4, right_float=3, right=2, changed=1, handed_over=2, right_alone=1, changed_alone=2, opposite_alone=1
    )


def test_every_way_to_agree_or_not_is_counted(taught):
    photos = [  # network, distance; twin, distance; label
        (0.99, 0.1, 0.98, 0.1, 0),  # both say cat, rightly
        (0.99, 0.3, 0.99, 0.1, 0),  # unfamiliar to the network only
        (0.99, 0.1, 0.99, 0.3, 1),  # unfamiliar to the twin only, clearly; and no cat
        (0.99, 0.1, 0.02, 0.21, 0),  # unfamiliar to the twin only, nearly; it would be wrong, too
        (0.02, 0.1, 0.97, 0.1, 1),  # the opposite
        (0.60, 0.1, 0.10, 0.1, 0),  # the network is unsure, the twin certain and wrong
        (0.10, 0.1, 0.60, 0.1, 1),  # the twin is unsure
    ]
    network, far, twin, twins_far, labels = map(list, zip(*photos, strict=True))
    distances = np.array([far, twins_far]).T
    assert agreement.between(taught, two(*network), two(*twin), np.array(labels), distances) == Agreement(
        photos=7, right_float=6, right=4, changed=4, handed_over=2, right_alone=2, changed_alone=6, opposite_alone=1
    )


def test_without_distances_nothing_is_unfamiliar(taught):
    sure = two(0.99, 0.01)
    found = agreement.between(taught, sure, sure, np.array([0, 1]))
    assert (found.right, found.changed_alone, found.handed_over) == (2, 0, 0)


def test_of_what_was_taught_unfamiliar_is_a_verdict_too(taught):
    sure, labels = two(0.99, 0.99, 0.99), np.array([0, 0, 0])
    far = np.array([[0.1, 0.1], [0.19, 0.21], [0.15, 0.3]])  # both familiar; near the limit; the twin alone thinks it is not
    found = agreement.between(taught, sure, sure, labels, far)
    assert (found.handed_over, found.changed, found.changed_alone, found.opposite_alone) == (1, 1, 2, 0)
    nearer = replace(taught, int8=Int8(margin=0.5, near=0.04))
    assert agreement.between(nearer, sure, sure, labels, far).handed_over == 0


def test_what_is_clearly_unfamiliar_is_settled_however_close_the_classes_are(taught):
    assert [taught.settled(taught.by_class([0.5, 0.5]), distance) for distance in (0.1, 0.21, 0.3)] == [False, False, True]


def test_a_distance_is_near_within_six_deviations():
    random = np.random.default_rng(0)
    distances = random.uniform(0.1, 0.5, 2000)
    both = np.stack([distances, distances + random.normal(0, 0.004, 2000)], axis=1)
    assert agreement.near(both, 0.4) == pytest.approx(0.06, abs=0.003)
    assert agreement.near(both[:, :1].repeat(2, axis=1), 0.4) == agreement.LEAST_NEAR
    assert agreement.near(np.zeros((20, 2)), 0.0) == agreement.LEAST_NEAR


def test_a_margin_is_six_deviations_of_undecided_photos():
    random = np.random.default_rng(0)
    odds = random.uniform(-4, 4, 2000)
    noisy = odds + random.normal(0, 0.1, 2000)
    certain, wrong = np.full(500, 12.0), np.full(500, 9.0)
    network, twin = (two(*1 / (1 + np.exp(-values))) for values in (np.append(odds, certain), np.append(noisy, wrong)))
    assert agreement.margin(network, twin) == pytest.approx(0.6, abs=0.03)


def test_distances_deviate_in_shares_of_the_limit():
    found = np.array([[0.1, 0.11], [0.3, 0.29]] * 10)  # the differences are 0.01 and -0.01
    assert agreement.near(found, 0.9) == 0.067  # 6 times 0.01 of 0.9 is 0.0667
    assert agreement.near(found + np.array([0, 0.05]), 0.9) == 0.067  # a difference of all does not deviate
    assert agreement.near(found, 0.0) == pytest.approx(6 * 0.01 / 1e-6)


def margin(undecided: int, certain: int) -> float:
    """The margin where log odds of photos with odds around 3 differ by 0.1239, up and down, and those of 12 by 1."""
    true = np.repeat([3.0, 12.0], [undecided, certain])
    signs = np.where(np.arange(len(true)) % 2, 1, -1)
    own = true + signs * np.repeat([0.1239, 1.0], [undecided, certain])
    return agreement.margin(two(*expit(true)), two(*expit(own)))


def test_a_margin_has_two_decimals():
    assert margin(40, 0) == 0.74  # 6 times 0.1239 is 0.7434
    assert margin(40, 100) == 0.74


def test_where_few_log_odds_are_undecided_the_others_count_too():
    """A photo has two, of two classes."""
    assert margin(10, 100) == 0.74
    assert margin(8, 100) > 5


def test_log_odds_of_six_are_decided():
    random = np.random.default_rng(0)
    true = np.concatenate([random.uniform(-2, 2, 200), np.linspace(6.01, 8, 200)])
    own = true.copy()
    own[200:] += random.normal(0, 1, 200)
    assert agreement.margin(two(*expit(true)), two(*expit(own))) == agreement.LEAST_MARGIN
    assert agreement.margin(two(*expit(true - 1)), two(*expit(own - 1))) > 2, "between five and seven, half are undecided"


def test_a_margin_is_never_nothing():
    network = two(*[0.9] * 30)
    assert agreement.margin(network, network) == agreement.LEAST_MARGIN
