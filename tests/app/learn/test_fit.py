"""A change makes a network right about corrections, and hardly touches what it remembers."""

import numpy as np
import pytest

from app.inference.decode import MAX_PIXELS, decode
from app.inference.networks import contract
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.tensor import to_tensor
from app.learn.attention import attended
from app.learn.candidate import answered
from app.learn.fit import HOLDS, Change, fit, log_odds
from app.learn.memory import LEARNED, Memory
from app.learn.remembering import between, changed
from tests.app.learn.camera import CAT, photos
from tests.conftest import CHELSEA

CHANNELS = 20


@pytest.fixture(scope="module")
def known() -> Memory:
    """Photos that vary in the first ten channels, whose first says the class, and hardly in the others."""
    random = np.random.default_rng(3)
    seen = random.normal(size=(500, CHANNELS)) * np.where(np.arange(CHANNELS) < 10, 1.0, 0.01)
    labels = (seen[:, 0] < 0).astype(int)
    scores = np.stack([3 * seen[:, 0], -3 * seen[:, 0]], axis=1)
    return Memory("", seen.astype(np.float32), scores, labels, np.full(500, LEARNED))


def corrections(count: int = 30, channel: int = 15) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Photos like the others that share one channel more, answered 2 to 1 against class 0, which is right."""
    seen = np.random.default_rng(0).normal(size=(count, 1, CHANNELS)) * (np.arange(CHANNELS) < 10)
    seen[:, :, channel] = 1.0
    return seen, np.tile([-0.35, 0.35], (count, 1, 1)), np.zeros(count, int)


def test_the_corrections_become_right(known):
    seen, scores, labels = corrections()
    change = fit(seen, scores, labels, known)
    assert (log_odds(scores[:, 0]) + change(seen[:, 0]) > 0).all()


def test_photos_that_lack_what_the_corrections_share_keep_their_answers(known):
    seen, scores, labels = corrections()
    change = fit(seen, scores, labels, known)
    others = np.random.default_rng(1).normal(size=(500, CHANNELS)) * (np.arange(CHANNELS) < 10)
    assert np.abs(change(others)).mean() < 0.1 * np.abs(change(seen[:, 0])).mean()


def test_corrections_that_differ_from_nothing_change_little(known):
    seen, scores, labels = corrections(channel=3)
    seen[:, :, 3] = 0
    plain = np.abs(fit(*corrections(), known)(corrections()[0][:, 0])).mean()
    assert np.abs(fit(seen, scores, labels, known)(seen[:, 0])).mean() < 0.5 * plain


def test_the_more_it_is_held_the_less_it_changes(known):
    others = np.random.default_rng(1).normal(size=(500, CHANNELS)) * (np.arange(CHANNELS) < 10)
    changes = [np.abs(fit(*corrections(), known, hold)(others)).mean() for hold in HOLDS]
    assert changes == sorted(changes, reverse=True)
    assert changes[-1] < changes[0]


def test_the_order_of_the_corrections_does_not_matter(known):
    seen, scores, labels = corrections()
    labels[::3] = 1
    there, back = fit(seen, scores, labels, known), fit(seen[::-1], scores[::-1], labels[::-1], known)
    np.testing.assert_allclose(there.kernel, back.kernel, atol=1e-6)


@pytest.fixture(scope="module")
def cat() -> OnnxNetwork:
    return OnnxNetwork(contract.load(CAT))


@pytest.fixture(scope="module")
def change() -> Change:
    return Change(np.random.default_rng(2).normal(scale=0.05, size=1280), 0.3)


def test_the_changed_network_answers_as_predicted_and_errs_upwards_only(cat, change):
    other = changed(cat, change)
    for photo in (CHELSEA.read_bytes(), *photos(3)):
        seen, scores = attended(cat, to_tensor(decode(photo).image, 384, 384))
        [predicted] = log_odds(scores[None]) + change(seen[None])
        [answer] = log_odds(answered(other, photo, MAX_PIXELS)[None])
        assert -1e-3 < answer - predicted < 0.2, photo[:4]


def test_the_change_between_two_networks_is_found_in_their_weights(cat, change):
    found = between(cat, changed(cat, change))
    np.testing.assert_allclose(found.kernel, change.kernel, atol=1e-5)
    assert found.bias == pytest.approx(change.bias, abs=1e-5)
