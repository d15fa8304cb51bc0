"""`training.refine`, step by step; nothing is trained on real photos here."""

from pathlib import Path

import numpy as np
import pytest
from scipy.special import logit

from training.config import Refinement
from training.data.manifest import Photo
from training.fitting.bank_views import log_odds
from training.networks import cat
from training.tasks.refine import SCENERY, chosen_views, scenes_of


def photo(kind: str = "cat", source: str = "stuffcats", split: str = "train2") -> Photo:
    return Photo(Path("photos", split, "cat", f"{source}_1.webp"), 0, source, kind)


@pytest.mark.parametrize("kind", ["rabbit", "bunny", "lepus-americanus"])
def test_rabbits_are_in_the_most_scenes(kind):
    assert scenes_of(photo(kind)) > scenes_of(photo("martes-americana")) > scenes_of(photo("cat"))


def test_a_photo_of_train2_is_seen_as_it_is_and_in_a_scene():
    assert [view.turn for view in chosen_views([photo()], Refinement())] == [0, 1]


def test_some_photos_of_train_are_seen_in_a_scene():
    seen = chosen_views([photo(split="train")] * 1000, Refinement(old=0.4))
    assert 300 < len(seen) < 500
    assert {view.turn for view in seen} == {1}


def test_log_odds_are_those_of_the_network():
    whole = cat.build(side=64, rivals=2)
    training = cat.build(training=True, side=64, rivals=2)
    training.set_weights(whole.get_weights())
    training.get_layer("doubt").set_weights([np.zeros((1, 1, 2, 1)), np.zeros(1)])
    whole.set_weights(training.get_weights())
    pixels = np.random.default_rng(3).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    likeness = np.asarray(training(pixels)[1])
    assert log_odds(training, likeness) == pytest.approx(logit(np.asarray(whole(pixels))[:, 0].astype(float)), abs=1e-3)


def test_held_out_sources_may_still_be_named_as_scenery():
    assert set(Refinement().held_out) & set(SCENERY) == {"flickr8k", "camvid", "barnyard10"}
