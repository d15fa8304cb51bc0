"""Means of very large values, and of very many."""

import json

import numpy as np
import pytest
from PIL import Image

from app.inference.feature_maps import summarize
from tests.conftest import ROOT, encoded, ready_client

LARGE = 2.6e37
"""Of a float's 3.4e38: fourteen of these have no finite sum."""


@pytest.mark.parametrize("sign", [1, -1])
def test_the_mean_of_finite_values_is_finite(sign):
    values = np.full((6, 6, 40), sign * LARGE, np.float32)
    summary = summarize("block5_conv", "conv", values, 40, thumbnails=False)
    assert summary.mean == pytest.approx(sign * LARGE, rel=1e-6)
    assert [channel.mean for channel in summary.channels] == [pytest.approx(sign * LARGE, rel=1e-6)] * 40
    assert "Infinity" not in json.dumps([channel.mean for channel in summary.channels])


def test_the_means_of_usual_values_are_those_of_numpy():
    values = np.random.default_rng(0).normal(size=(48, 48, 7)).astype(np.float32)
    summary = summarize("block1_conv", "conv", values, 7, thumbnails=False)
    means = {channel.index: channel.mean for channel in summary.channels}
    assert [means[index] for index in range(7)] == pytest.approx(values.mean(axis=(0, 1), dtype=np.float64), abs=1e-6)


def test_a_white_photo_has_a_mean_of_white():
    photo = encoded(Image.new("RGB", (400, 400), "white"), "PNG")
    with ready_client(ROOT / "model") as client:
        shown = client.post("/explain/stage?stage=image&network=cat", files={"file": photo}).json()
    assert [(channel["mean"], channel["peak"]) for channel in shown["channels"]] == [(255.0, 255.0)] * 3
