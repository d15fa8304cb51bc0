"""The benchmark of corrections corrects what one half of a source got wrong, measures on the other, and sums up honestly."""

from pathlib import Path

import numpy as np

from app.inference.networks import contract
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.learn.candidate import answered
from app.learn.fit import Change, log_odds
from app.learn.remembering import changed
from benchmarks import corrections
from tests.conftest import CHELSEA, ROOT
from training.data.manifest import Photo


def test_no_photo_is_corrected_and_measured():
    camera, rest = corrections.halves(101, 7)
    assert sorted([*camera, *rest]) == list(range(101))
    assert len(camera) == 50
    assert corrections.halves(101, 8)[0].tolist() != camera.tolist()


def test_all_wrong_photos_that_the_camera_has_seen_are_corrected_first():
    labels = np.array([0, 1] * 100)
    odds = np.where(labels == 0, 3.0, -3.0)
    wrong = [4, 7, 150, 199]
    odds[wrong] *= -1
    camera = np.arange(0, 200)
    chosen = corrections.worst(odds, labels, camera)
    assert set(wrong) == set(chosen[:4].tolist())
    assert len(chosen) == corrections.CORRECTED
    assert set(corrections.worst(odds, labels, np.arange(100)).tolist()) <= set(range(100))
    assert corrections.errors(odds, labels) == 4


def test_the_answers_of_a_changed_network_are_exact():
    network = OnnxNetwork(contract.load(ROOT / "model" / "cat"))
    seen = corrections.looked([Photo(CHELSEA, 0, "a", "a")], network, "photos")
    other = changed(network, Change(np.random.default_rng(1).normal(scale=0.1, size=1280), 0.5))
    for one in (network, other):
        exact = log_odds(answered(one, Path(CHELSEA).read_bytes(), 10**8)[None])
        np.testing.assert_allclose(corrections.answers(seen, network, one), exact, atol=0.02)


def test_the_summary_says_whether_errors_halved_and_which_set_lost_most():
    run = {"source": "a", "promoted": True, "rest": 100, "before": 10, "lost": {"b": 0.1, "c": 0.3}}
    [row] = corrections.summary([run | {"after": 6}, run | {"after": 4, "promoted": False, "lost": {"b": -0.1, "c": 0.0}}])
    assert (row["left"], row["halved"], row["promoted"], row["draws"]) == (0.5, True, 1, 2)
    assert row["most_lost"] == {"set": "c", "points": 0.15}
    assert row["forgot_nothing"]
    [worse] = corrections.summary([run | {"after": 6}])
    assert not worse["halved"]
    assert not worse["forgot_nothing"]
    assert "| a | 1, 1 | 10.0 to 6.0 of 100 | 60% | c: +0.30 points |" in corrections.table({"summary": [worse]})
