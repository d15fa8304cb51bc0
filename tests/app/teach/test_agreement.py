"""When a twin's answers are near enough to those of its network."""

from dataclasses import replace

import numpy as np
import pytest

from app.inference.familiarity import Familiarity
from app.inference.networks.contract import Int8, load
from app.teach import agreement
from app.teach.agreement import Agreement


@pytest.fixture(scope="module")
def contract(model_dir):
    """Its band is 0.3 to 0.7."""
    return replace(load(model_dir / "tutorial"), int8=Int8(margin=0.5))


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


@pytest.mark.parametrize("changed", [{"changed": 2}, {"opposite_alone": 2}])
def test_two_verdicts_in_a_thousand_are_refused(changed):
    assert "change 2 verdicts" in agreement.objection({"one": replace(GOOD, **changed)})


def test_of_few_photos_one_verdict_may_change():
    assert agreement.objection({"one": replace(GOOD, photos=50, right=40, right_float=40)}) == ""


def test_answers_are_compared_with_and_without_handing_over(contract):
    network = two(0.99, 0.69, 0.02, 0.6)
    twin = two(0.98, 0.71, 0.97, 0.4)
    assert agreement.between(contract, network, twin, np.array([0, 1, 1, 0])) == Agreement(
        photos=4, right_float=3, right=2, changed=1, handed_over=2, right_alone=1, changed_alone=2, opposite_alone=1
    )


def test_of_what_was_taught_unfamiliar_is_a_verdict_too(contract):
    known = Familiarity("dense", 0.2, *[np.zeros(1, np.float32)] * 2, *[np.zeros((2, 1), np.float32)] * 2)
    taught = replace(contract, familiarity=known)
    sure, labels = two(0.99, 0.99, 0.99), np.array([0, 0, 0])
    far = np.array([[0.1, 0.1], [0.19, 0.21], [0.15, 0.3]])  # both familiar; near the limit; the twin alone thinks it is not
    found = agreement.between(taught, sure, sure, labels, far)
    assert (found.handed_over, found.changed, found.changed_alone, found.opposite_alone) == (1, 1, 2, 0)
    nearer = replace(taught, int8=Int8(margin=0.5, near=0.04))
    assert agreement.between(nearer, sure, sure, labels, far).handed_over == 0


def test_what_is_clearly_unfamiliar_is_settled_however_close_the_classes_are(contract):
    known = Familiarity("dense", 0.2, *[np.zeros(1, np.float32)] * 2, *[np.zeros((2, 1), np.float32)] * 2)
    taught = replace(contract, familiarity=known)
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


def test_a_margin_is_never_nothing(contract):
    network = two(*[0.9] * 30)
    assert agreement.margin(network, network) == agreement.LEAST_MARGIN
