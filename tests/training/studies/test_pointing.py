"""Whether the heatmap's peak lies on a pasted cat."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tests.conftest import CHELSEA
from training.data.manifest import Photo
from training.tasks import pointing
from training.tasks.pointing import LARGEST, SMALLEST, measure_boxes, paste, peak


@pytest.mark.parametrize("seed", range(5))
def test_the_cat_is_where_the_box_says(seed):
    scene, cat = Image.new("RGB", (300, 200), "black"), Image.new("RGB", (90, 60), "white")
    composed, box = paste(scene, cat, np.random.default_rng(seed))
    rows, columns = np.nonzero(np.asarray(composed.convert("L")))
    assert (columns.min() / 300, rows.min() / 200) == pytest.approx(box[:2])
    assert ((columns.max() + 1) / 300, (rows.max() + 1) / 200) == pytest.approx(box[2:])


@pytest.mark.parametrize("seed", range(5))
def test_the_cat_keeps_its_shape_and_its_size_is_a_share_of_the_scenes_shorter_side(seed):
    _, (left, top, right, bottom) = paste(
        Image.new("RGB", (300, 200)), Image.new("RGB", (90, 60)), np.random.default_rng(seed)
    )
    width, height = (right - left) * 300, (bottom - top) * 200
    assert width / height == pytest.approx(1.5, rel=0.05)
    assert SMALLEST - 0.01 <= np.sqrt(width * height) / 200 <= LARGEST + 0.01


def test_the_scene_itself_stays_as_it_was():
    scene = Image.new("RGB", (300, 200), "black")
    paste(scene, Image.new("RGB", (90, 60), "white"), np.random.default_rng(0))
    assert not np.asarray(scene).any()


def test_the_peak_is_the_centre_of_the_cell_with_the_most_evidence():
    evidence = np.zeros((4, 10))
    evidence[1, 7] = 1
    assert peak(evidence) == (0.75, 0.375)


@pytest.mark.parametrize(
    ("boxes", "inside"), [(((0.7, 0.3, 0.8, 0.4),), 1.0), (((0, 0, 0.5, 1), (0.7, 0, 1, 1)), 1.0), (((0, 0, 0.5, 1),), 0.0)]
)
def test_a_peak_counts_if_it_lies_in_the_box_of_any_cat(monkeypatch, boxes, inside):
    evidence = np.zeros((4, 10))
    evidence[1, 7] = 1
    answer = SimpleNamespace(stages={}, probabilities=np.array([0.9, 0.1]))
    network = SimpleNamespace(contract=SimpleNamespace(input_shape=(40, 100, 3)), run=lambda *_: answer)
    monkeypatch.setattr(pointing.heatmap, "stages_needed", lambda _: [])
    monkeypatch.setattr(pointing.heatmap, "evidence", lambda *_: evidence)
    result = measure_boxes(network, [Photo(CHELSEA, 0, "web", "cat", boxes)])
    assert result["inside"]["value"] == result["inside_where_found"]["value"] == inside
