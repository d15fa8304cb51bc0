"""Corrected photos are looked at once, and a quarter of them is held out, always the same."""

import hashlib

import numpy as np
import pytest

from app.inference.decode import MAX_PIXELS
from app.inference.networks import contract
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.learn.corrected import FEWEST_HELD_OUT, Look, look, split, usable
from tests.app.learn.camera import CAT, corrected, photos


def looks(count: int, seed: int = 0) -> list[Look]:
    """Photos that do not look alike."""
    random = np.random.default_rng(seed)
    return [
        Look(hashlib.sha256(random.bytes(8)).hexdigest(), 0, random.random(256) < 0.5, np.zeros((2, 3)), np.zeros((2, 2)))
        for _ in range(count)
    ]


def test_about_a_quarter_is_held_out():
    learn, held_out = split(looks(400))
    assert len(learn) + len(held_out) == 400
    assert 70 < len(held_out) < 130


def test_more_corrections_move_no_photo_to_the_other_side():
    some = looks(400)
    learn, held_out = ({one.sha256 for one in side} for side in split(some[:200]))
    later, held_out_later = ({one.sha256 for one in side} for side in split(some))
    assert learn <= later
    assert held_out <= held_out_later


def test_of_few_corrections_some_are_held_out():
    for seed in range(20):
        assert len(split(looks(10, seed))[1]) >= FEWEST_HELD_OUT


def test_photos_that_look_alike_stay_on_one_side():
    some = looks(60)
    pairs = [Look(hashlib.sha256(one.sha256.encode()).hexdigest(), 0, one.looks, one.seen, one.scores) for one in some]
    learn, _ = split([*some, *pairs])
    sides = {one.sha256 for one in learn}
    assert all((one.sha256 in sides) == (other.sha256 in sides) for one, other in zip(some, pairs, strict=True))


@pytest.fixture(scope="module")
def cat() -> OnnxNetwork:
    return OnnxNetwork(contract.load(CAT))


def test_a_correction_that_cannot_be_used_is_skipped_with_its_reason(cat):
    shown = photos(3)
    kept = {hashlib.sha256(photo).hexdigest(): photo for photo in shown[:2]}
    broken = corrected(shown[0][:300], "cat")
    kept[broken.sha256] = shown[0][:300]
    listed = [corrected(shown[0], "cat"), corrected(shown[1], "dog"), broken]
    good, skipped = usable(look(listed, kept.__getitem__, cat, MAX_PIXELS, threads=1))
    assert [photo.sha256 for photo in good] == [listed[0].sha256]
    assert "dog is no class of cat." in {one.why for one in skipped}
    assert len(skipped) == 2


def test_a_photo_and_its_mirror_image_are_seen(cat):
    [photo] = photos(1)
    [seen] = list(look([corrected(photo, "cat")], lambda _: photo, cat, MAX_PIXELS, threads=1))
    assert isinstance(seen, Look)
    assert seen.seen.shape == (2, 1280)
    assert (seen.seen[0] != seen.seen[1]).any()
    np.testing.assert_allclose(seen.seen[0], seen.seen[1], atol=0.5)
