"""`training.refine` from photos to network, on a few crops: what it learns is not the point, what it writes is."""

import argparse
import json
import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest

from app.inference.networks.pooling import LogMeanExpPooling2D
from tests.conftest import ROOT
from training.config import ALONE, TOGETHER, Refinement
from training.errors import TrainingError
from training.tasks import refine as module
from training.tasks.refine import refine

RECIPE = Refinement(
    alone=replace(ALONE, epochs=1, batch_size=8), together=replace(TOGETHER, batch_size=4), old=1.0, held_out=("garipov",)
)
SOURCES = ("stuffcats", "garipov", "felids10")


@pytest.fixture(scope="module")
def paths(photo_folder, tmp_path_factory) -> argparse.Namespace:
    """The command's options: 8 photos of train, 12 of train2, a third of these from a source that is held out."""
    folder = tmp_path_factory.mktemp("refine")
    lines = ["split,label,source,file,kind"]
    for split, numbers in (("train", range(4)), ("train2", range(4, 10))):
        for label in ("cat", "not_cat"):
            (folder / "photos" / split / label).mkdir(parents=True)
            for number in numbers:
                name = f"{label}/{number:03d}.jpg"
                shutil.copy(photo_folder / name, folder / "photos" / split / name)
                lines.append(f"{split},{label},{SOURCES[number % 3]},{name},{'rabbit' if number == 9 else label}")
    (folder / "manifest.csv").write_text("\n".join(lines))
    start = next(path.parent for path in sorted((ROOT / "model" / "cat").rglob("model.keras")))
    return argparse.Namespace(
        photos=folder / "photos",
        manifests=[folder / "manifest.csv"],
        start=start,
        work=folder / "work",
        out=folder / "out",
    )


@pytest.fixture(scope="module")
def refined(paths) -> argparse.Namespace:
    refine(RECIPE, paths)
    return paths


@pytest.fixture(scope="module")
def network(refined) -> keras.Model:
    return keras.saving.load_model(refined.out / "model.keras", {"LogMeanExpPooling2D": LogMeanExpPooling2D})


def test_the_network_takes_384_pixels_and_answers_probabilities(network):
    probabilities = np.asarray(network(np.full((1, 384, 384, 3), 127, np.float32)))
    assert probabilities.shape == (1, 2)
    assert probabilities.sum() == pytest.approx(1, abs=1e-6)


def test_no_rival_speaks_for_a_cat(network):
    kernel, _ = network.get_layer("doubt").get_weights()
    assert (kernel <= 0).all()
    assert (kernel < 0).any()


def test_the_layers_before_the_last_blocks_are_those_of_version_1(network, refined):
    before = keras.saving.load_model(refined.start / "model.keras", {"LogMeanExpPooling2D": LogMeanExpPooling2D})
    for name in ("stem", "block11"):
        layer = name if name == "stem" else "block11_expand"
        assert all(map(np.array_equal, network.get_layer(layer).get_weights(), before.get_layer(layer).get_weights()))
    after, early = (model.get_layer("head").get_weights()[0] for model in (network, before))
    assert not np.array_equal(after, early)


def test_a_blend_of_nothing_from_the_second_phase_leaves_the_convolutions_as_they_were(refined, network, tmp_path):
    paths = argparse.Namespace(**vars(refined) | {"out": tmp_path / "out"})
    refine(replace(RECIPE, together=replace(RECIPE.together, blend=0.0)), paths)
    objects = {"LogMeanExpPooling2D": LogMeanExpPooling2D}
    unchanged, before = (
        keras.saving.load_model(folder / "model.keras", objects).get_layer("head").get_weights()[0]
        for folder in (paths.out, refined.start)
    )
    assert np.array_equal(unchanged, before)
    assert not np.array_equal(network.get_layer("head").get_weights()[0], before)


def test_history_says_how_many_of_each_held_out_source_were_right(refined):
    history = json.loads((refined.out / "history.json").read_text())
    assert {(entry["source"], entry["class"], entry["right"]["count"]) for entry in history["held_out"]} == {
        ("garipov", "cat", 2), ("garipov", "not_cat", 2)
    }  # fmt: skip
    assert history["version"] == "2.0.0"
    assert history["calibration"]["count"] == 4
    assert history["recipe"]["together"]["blend"] == TOGETHER.blend


def test_the_features_stay_and_the_checkpoints_do_not(refined):
    assert sorted(path.name for path in refined.work.iterdir()) == ["features"]


def test_the_features_of_other_views_are_refused(refined):
    with pytest.raises(TrainingError, match="features of other photos or scenes"):
        refine(replace(RECIPE, old=0.0), refined)


def test_features_that_are_there_are_not_computed_again(refined, monkeypatch):
    monkeypatch.setattr("training.fitting.bank.frozen", None)
    monkeypatch.setattr(module, "phase", lambda *_: (_ for _ in ()).throw(InterruptedError))
    with pytest.raises(InterruptedError):
        refine(RECIPE, refined)


def test_interrupted_features_continue_where_they_were(refined, monkeypatch):
    rows = refined.work / "features" / "rows"
    count = int(rows.read_text())
    likeness = np.load(refined.work / "features" / "likeness.npy")
    rows.write_text("8")
    composed = []
    compose = module.fill.__globals__["compose"]
    monkeypatch.setitem(module.fill.__globals__, "compose", lambda *given: composed.append(given[2]) or compose(*given))
    monkeypatch.setattr(module, "phase", lambda *_: (_ for _ in ()).throw(InterruptedError))
    with pytest.raises(InterruptedError):
        refine(RECIPE, refined)
    assert 0 < len(composed) < count - 8
    assert int(rows.read_text()) == count
    assert np.array_equal(np.load(refined.work / "features" / "likeness.npy"), likeness)


def test_a_source_that_is_not_there_cannot_be_held_out(refined):
    with pytest.raises(TrainingError, match="no source nowhere to hold out"):
        refine(replace(RECIPE, held_out=("nowhere",)), refined)
