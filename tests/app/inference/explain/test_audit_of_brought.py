"""The arithmetic of stages that only networks brought from elsewhere have, worked by hand."""

import numpy as np
import pytest

from app.inference.explain.receptive_field import Box, pixels, receptive_field
from app.inference.heatmap import evidence
from app.inference.networks.contract import Stage
from tests.app.inference.explain import on_paper
from tests.app.inference.explain.on_paper import NINE, Tiny, audited


def test_a_bilinear_cell_is_a_mean_of_four_by_nearness():
    """From 3 rows to 6: row 1's centre, 1.5 of 6, lies at 0.75 of 3, which is 0.25 below the centre of row 0."""
    result = audited(Stage("up", "resizing", (6, 6, 2), ("image",), 0, operation="bilinear"), NINE, (1, 3, 0))
    assert result.steps["patch"][:, :, 0].tolist() == [[2, 3], [5, 6]]
    assert result.steps["kernel"][:, :, 0].tolist() == [[0.5625, 0.1875], [0.1875, 0.0625]]
    assert result.value == 2 * 0.5625 + 3 * 0.1875 + 5 * 0.1875 + 6 * 0.0625
    assert result.window == result.receptive_field == Box(0, 1, 2, 3)


def test_a_bilinear_cell_at_the_edge_is_the_edge():
    result = audited(Stage("up", "resizing", (6, 6, 2), ("image",), 0, operation="bilinear"), NINE, (0, 0, 0))
    assert result.value == 1


def test_the_nearest_cell_is_taken_whole():
    result = audited(Stage("down", "resizing", (2, 2, 2), ("image",), 0, operation="nearest"), NINE, (1, 0, 0))
    assert (result.value, result.window) == (7, Box(2, 0, 3, 1))


def test_a_cropping_moves_cells():
    crop = Stage("crop", "cropping", (2, 1, 2), ("image",), 0, cut=(1, 2))
    result = audited(crop, NINE, (1, 0, 0))
    assert (result.value, result.window) == (9, Box(2, 2, 3, 3))


def test_what_is_seen_through_a_resizing_is_exact_for_each_cell_and_everything_for_the_stage():
    up = Stage("up", "resizing", (6, 6, 2), ("image",), 0, operation="bilinear")
    pool = Stage("pool", "pooling", (3, 3, 2), ("up",), 0, (2, 2), (2, 2), "valid", operation="max")
    contract = on_paper.contract(3, 3, 2, up, pool)
    assert pixels(contract, pool, 0, 0) == Box(0, 0, 2, 2)
    assert receptive_field(contract, pool).box(2, 2) == Box(0, 0, 3, 3)


class Learned(Tiny):
    """With a normalization's factor and shift, and a PReLU's slopes."""

    def normalization(self, stage: str) -> tuple[np.ndarray, np.ndarray]:
        return np.array([1.0, 2.0]), np.array([0.5, -0.5])

    def slopes(self, stage: str) -> np.ndarray:
        return np.array([[[0.25, 0.5]]])


@pytest.fixture
def learned(monkeypatch):
    monkeypatch.setattr(on_paper, "Tiny", Learned)


@pytest.mark.usefixtures("learned")
def test_a_normalization_is_over_the_channels_of_one_position():
    """6 and 1 have the mean 3.5 and the variance 6.25; with 0.75² added, the root is 2.61."""
    norm = Stage("norm", "normalization", (3, 3, 2), ("image",), 4, epsilon=0.5625)
    result = audited(norm, NINE, (1, 2, 1))
    assert (result.steps["mean"], result.steps["variance"]) == (3.5, 6.25)
    assert result.value == pytest.approx((1 - 3.5) / np.sqrt(6.8125) * 2 - 0.5)


@pytest.mark.usefixtures("learned")
@pytest.mark.parametrize(("value", "expected"), [(-2.0, -1.0), (3.0, 3.0)])
def test_a_prelu_has_a_slope_for_each_channel(value, expected):
    image = np.full((1, 1, 2), value)
    result = audited(Stage("act", "activation", (1, 1, 2), ("image",), 2, operation="prelu"), image, (0, 0, 1))
    assert (result.value, result.steps["slope"]) == (expected, 0.5)


def test_evidence_goes_back_through_a_normalization_as_its_slope():
    """Against a difference of the scores when one cell changes."""
    stages = (
        Stage("pooled", "pooling", (2,), ("image",), 0, operation="average"),
        Stage("norm", "normalization", (2,), ("pooled",), 4, epsilon=1.0),
        Stage("scores", "dense", (2,), ("norm",), 6),
        Stage("probabilities", "probabilities", (2,), ("scores",), 0),
    )
    kernel = np.array([[1.0, -1.0], [0.5, 2.0]])
    network = Learned(on_paper.contract(2, 1, 2, *stages), {"scores": kernel}, {"scores": np.zeros(2)})
    image = np.array([[[1.0, 4.0]], [[2.0, 8.0]]])

    def score(picture: np.ndarray) -> float:
        pooled = picture.mean(axis=(0, 1))
        normal = (pooled - pooled.mean()) / np.sqrt(pooled.var() + 1) * [1, 2] + [0.5, -0.5]
        return float(normal @ kernel @ [1, -1])

    found = evidence(network, image[np.newaxis], {"pooled": image.mean(axis=(0, 1)), "norm": np.zeros(2)}, "cat")
    for row in (0, 1):
        moved = image.copy()
        moved[row] *= 1 + 1e-6
        assert found[row, 0] == pytest.approx((score(moved) - score(image)) / 1e-6, abs=1e-4)
