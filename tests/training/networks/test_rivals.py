"""The rivals of `training.networks.cat`."""

import keras
import numpy as np
import pytest

from training.networks import cat
from training.tasks.export import describe

SIDE = 64


@pytest.fixture(scope="module")
def network() -> keras.Model:
    """A small network with three rivals and random weights."""
    keras.utils.set_random_seed(1)
    return cat.build(training=True, side=SIDE, rivals=3)


def test_rivals_never_speak_for_a_cat(network):
    network.get_layer("doubt").set_weights([-np.ones((1, 1, 3, 1)), np.zeros(1)])
    both = keras.Model(network.input, [network.get_layer(name).output for name in ("likeness", "evidence")])
    likeness, evidence = both(np.random.default_rng(2).uniform(0, 255, (2, SIDE, SIDE, 3)).astype(np.float32))
    assert (np.asarray(evidence) <= np.asarray(likeness)).all()


def test_a_weight_that_would_speak_for_a_cat_becomes_zero():
    assert np.asarray(cat.NeverPositive()(np.array([-1.0, 0.0, 2.0]))).tolist() == [-1.0, 0.0, 0.0]


def test_what_is_shipped_is_loaded_without_knowing_the_constraint():
    assert cat.build(side=SIDE, rivals=3).get_layer("doubt").kernel_constraint is None


def test_every_layer_of_the_judgement_is_a_stage():
    stages, inner = describe(cat.build(side=SIDE, rivals=3))
    names = [stage.name for stage in stages]
    assert {"head", "likeness", "rivals", "doubt"} < set(names)
    assert names[-4:] == ["evidence", "pooled", "scores", "probabilities"]
    assert "rivals_scores" in [layer.name for layer in inner]


def test_without_rivals_the_evidence_is_one_convolution():
    assert isinstance(cat.build(training=True, side=SIDE).get_layer("evidence"), keras.layers.Conv2D)
