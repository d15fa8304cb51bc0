"""How far a photo is from those that were taught, and the verdict that follows."""

import json
import shutil

import numpy as np
import pytest

from app.errors import NetworkError
from app.inference.familiarity import Familiarity, read
from app.inference.networks.contract import load
from app.inference.networks.engines.onnx_engine import OnnxNetwork

STAGE, CHANNELS = "block5_relu", 192


def some(limit: float = 0.3, stage: str = STAGE, channels: int = CHANNELS) -> Familiarity:
    random = np.random.default_rng(0)
    looks = random.random((2, 2, channels)).astype(np.float32)
    looks[0] /= np.linalg.norm(looks[0], axis=1, keepdims=True)
    looks[1] /= np.linalg.norm(looks[1], axis=1, keepdims=True)
    return Familiarity(stage, limit, np.full(channels, 0.5, np.float32), np.full(channels, 0.2, np.float32), *looks)


@pytest.fixture
def folder(model_dir, tmp_path):
    """The untrained tutorial network, as if it had been taught."""
    folder = shutil.copytree(model_dir / "tutorial", tmp_path / "tutorial")
    change(folder, some().plain())
    return folder


def change(folder, unfamiliar) -> None:
    plain = json.loads((folder / "contract.json").read_text())
    (folder / "contract.json").write_text(json.dumps(plain | {"unfamiliar": unfamiliar}))


def test_a_contract_has_what_was_written(folder):
    known = load(folder).familiarity
    assert (known.stage, known.limit) == (STAGE, 0.3)
    for name in ("centre", "unit", "levels", "deviations"):
        assert np.array_equal(getattr(known, name), getattr(some(), name))


@pytest.mark.parametrize(
    "wrong",
    [
        {"levels": "AAAA"},
        {"levels": "no base64!"},
        {"unit": some(channels=3).plain()["unit"]},
        {"unit": Familiarity("", 0, *[np.zeros(CHANNELS)] * 4).plain()["unit"]},
        {"centre": Familiarity("", 0, *[np.full(CHANNELS, np.nan)] * 4).plain()["centre"]},
        {"stage": "elsewhere"},
        {"stage": "block1_relu"},
        {"limit": None},
    ],
)
def test_a_contract_that_does_not_fit_is_refused(folder, wrong):
    change(folder, some().plain() | wrong)
    with pytest.raises(NetworkError, match="is not a contract"):
        load(folder)


def test_arrays_of_another_number_of_classes_are_refused():
    with pytest.raises(ValueError, match="reshape"):
        read(some().plain(), classes=3)


def test_the_distance_is_zero_only_for_what_looks_as_a_class_does():
    """Two channels: the classes are where one of them is 4 and the other 1."""
    means = np.array([[4.0, 1.0], [1.0, 4.0]], np.float32)
    centre, unit = np.array([2.5, 2.5], np.float32), np.ones(2, np.float32)
    levels = np.array([[2.0, 1.0], [1.0, 2.0]], np.float32) / np.sqrt(5)
    deviations = np.array([[1.0, -1.0], [-1.0, 1.0]], np.float32) / np.sqrt(2)
    known = Familiarity(STAGE, 0.3, centre, unit, levels, deviations)
    assert known.distances(means) == pytest.approx([0, 0], abs=1e-6)
    same_levels, between = known.distances(np.array([[8.0, 2.0], [2.5, 2.5]], np.float32))
    # the levels are those of the first class; its deviations (5.5, -0.5) are at the cosine 6 / sqrt(30.5 * 2) to it
    assert same_levels == pytest.approx(1 - (1 + 0.5 * 6 / 61**0.5) / 1.5, abs=1e-6)
    # the centre deviates nowhere, so only the levels, (1, 1), count: at the cosine 3 / sqrt(10) to both
    assert between == pytest.approx(1 - 3 / 10**0.5 / 1.5, abs=1e-6)


def test_a_photo_in_which_nothing_is_seen_is_as_far_as_can_be():
    assert some().distances(np.zeros((1, CHANNELS), np.float32))[0] > 0.9


def test_every_pass_measures_the_distance_at_the_stage_whichever_stages_are_asked_for(folder):
    network = OnnxNetwork(load(folder))
    tensor = np.random.default_rng(1).integers(0, 256, (1, *network.contract.input_shape)).astype(np.float32)
    alone, beside = network.run(tensor), network.run(tensor, ["block1_relu", STAGE])
    means = beside.stages[STAGE].mean(axis=(0, 1))
    assert alone.distance == beside.distance == pytest.approx(some().distances(means[None])[0], abs=1e-6)
    assert np.array_equal(alone.probabilities, beside.probabilities)


def test_a_network_that_was_trained_has_none(model_dir):
    network = OnnxNetwork(load(model_dir / "tutorial"))
    assert network.contract.familiarity is None
    assert network.run(np.zeros((1, *network.contract.input_shape), np.float32)).distance is None


@pytest.mark.parametrize(
    ("cat", "distance", "verdict"),
    [(0.9, 0.29, "cat"), (0.9, 0.3, "cat"), (0.9, 0.31, "unfamiliar"), (0.5, 0.31, "unfamiliar"), (0.5, 0.1, "unsure")],
)
def test_unfamiliar_comes_before_unsure_and_every_class(folder, cat, distance, verdict):
    assert load(folder).verdict({"cat": cat, "not_cat": 1 - cat}, distance) == verdict
