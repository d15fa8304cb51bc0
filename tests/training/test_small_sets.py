"""What people bring is 20 to a few thousand photos: settings that fit, splits that work, and a word when nothing was learned."""

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.runs import FAST
from training import train as module
from training.config import DENSE, RECIPES, TUTORIAL
from training.data import dataset
from training.data.splits import SPLITS, assign, split_of
from training.errors import Guessing, run
from training.measuring import learned
from training.networks import build
from training.tasks.sizes import LARGE, STEPS, fitted, normalise_for
from training.tasks.train import train


def hashes(seed: int, count: int) -> list[str]:
    return [hashlib.sha256(f"{seed} {number}".encode()).hexdigest() for number in range(count)]


# Settings


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("photos", [LARGE, 18_000, 1_000_000])
def test_with_many_photos_a_recipe_stays_as_it_is(name, photos):
    assert fitted(RECIPES[name], photos) == RECIPES[name]


@pytest.mark.parametrize("name", ["dense", "tutorial"])
def test_with_many_photos_batch_normalisation_stays_as_it_is(name):
    network = build(name, training=True)
    normalise_for(network, 18_000 // RECIPES[name].batch_size)
    assert [layer.get_config() for layer in network.layers] == [
        layer.get_config() for layer in build(name, training=True).layers
    ]


@pytest.mark.parametrize("recipe", [DENSE, TUTORIAL], ids=lambda recipe: recipe.network)
@pytest.mark.parametrize("photos", [12, 60, 400, 1_500, 5_000])
def test_few_photos_are_seen_often_enough(recipe, photos):
    few = fitted(recipe, photos)
    assert few.epochs * -(-photos // few.batch_size) >= STEPS
    assert few.patience / few.epochs >= recipe.patience / recipe.epochs - 1e-9


@pytest.mark.parametrize("batches", [1, 3, 7, 25])
def test_batch_normalisation_follows_within_an_epoch(batches):
    """With 0.95 and 7 batches an epoch, 0.70 of the statistics were still those of the untrained network."""
    network = build("tutorial", training=True)
    normalise_for(network, batches)
    momenta = [layer.momentum for layer in network.layers if hasattr(layer, "momentum")]
    assert momenta
    assert all(momentum ** max(batches, 4) < 0.1 for momentum in momenta)


def test_settings_that_somebody_chose_stay():
    chosen = replace(TUTORIAL, epochs=3, batch_size=8, patience=1)
    assert fitted(chosen, 100, ("epochs", "batch_size", "patience")) == chosen


def test_the_history_holds_the_settings_that_were_trained_with(photos, tmp_path):
    history = train(replace(DENSE, epochs=1), photos, tmp_path / "out", given=("epochs",))
    assert history["recipe"]["batch_size"] == 16


# Splits


@pytest.mark.parametrize("seed", range(100))
def test_twenty_photos_a_class_fill_every_split(seed):
    """By place alone, 93 of 100 sets of three such classes had no calibration photo of some class."""
    names = assign(hashes(seed, 20))
    assert min(names.count(name) for name in SPLITS) >= 2


@pytest.mark.parametrize("seed", range(20))
def test_three_photos_are_one_for_each_split(seed):
    assert sorted(assign(hashes(seed, 3))) == sorted(SPLITS)


def test_the_split_of_a_large_class_goes_by_each_photo_alone():
    digests = hashes(0, 9_000)
    assert assign(digests) == [split_of(digest) for digest in digests]


def test_the_split_does_not_depend_on_the_order_of_the_photos():
    digests = hashes(1, 30)
    backwards = assign(digests[::-1])[::-1]
    assert assign(digests) == backwards


def picture(seed: int) -> Image.Image:
    """Coloured noise of eight by eight patches."""
    small = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((160, 120), Image.Resampling.BICUBIC)


@pytest.fixture
def twins(tmp_path) -> Path:
    """Twenty pictures of each of two classes, and those of the first a second time, half as large and compressed harder."""
    folder = tmp_path / "photos"
    for label, name in enumerate(("cat", "not_cat")):
        (folder / name).mkdir(parents=True)
        for number in range(20):
            picture(100 * label + number).save(folder / name / f"{number:02}.png")
    for number in range(20):
        picture(number).resize((80, 60)).save(folder / "cat" / f"{number:02}-small.jpg", quality=60)
    return folder


def test_a_photo_that_was_resized_comes_into_the_same_split(twins):
    splits, tally, _ = dataset.load(twins, 16)
    assert tally.used == 60
    where = {path.name: name for name, split in splits.items() for path in split.paths if path.parent.name == "cat"}
    assert [where[f"{number:02}.png"] for number in range(20)] == [where[f"{number:02}-small.jpg"] for number in range(20)]


def test_a_photo_that_was_resized_into_another_class_is_reported_and_left_out(twins, capsys):
    picture(3).resize((100, 75)).save(twins / "not_cat" / "three.jpg")
    splits, tally, _ = dataset.load(twins, 16)
    used = {path for split in splits.values() for path in split.paths}
    assert not used & {twins / "cat" / "03.png", twins / "cat" / "03-small.jpg", twins / "not_cat" / "three.jpg"}
    assert {path.name for path, _ in tally.skipped} == {"03.png", "03-small.jpg", "three.jpg"}
    assert "which is in another class" in capsys.readouterr().err


def test_plain_pictures_do_not_look_like_each_other(tmp_path):
    for label in ("cat", "not_cat"):
        (tmp_path / label).mkdir()
        for number in range(5):
            Image.new("RGB", (30, 30), (number * 20, 0, 200 if label == "cat" else 0)).save(
                tmp_path / label / f"{number}.png"
            )
    assert dataset.load(tmp_path, 16)[1].used == 10


# Guessing


@pytest.mark.parametrize(("right", "guesses"), [(10, True), (14, True), (26, False)])
def test_a_network_whose_interval_reaches_down_to_one_answer_for_all_may_be_guessing(right, guesses):
    labels = np.arange(30) % 3
    history = {"validation": learned.validated(right, labels)}
    if not guesses:
        learned.check(history)
        return
    with pytest.raises(Guessing, match="MAY BE GUESSING"):
        learned.check(history)


def test_a_network_that_learned_nothing_is_written_and_the_command_exits_with_3(photos, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    arguments = ["--network", "dense", "--data", str(photos), "--out", str(out), "--epochs", "1", "--learning-rate", "1e-9"]
    monkeypatch.setattr(sys, "argv", ["train", *arguments])
    with pytest.raises(SystemExit) as stop:
        run(module.main)
    assert stop.value.code == 3
    assert "MAY BE GUESSING" in capsys.readouterr().err.splitlines()[-1]
    known = json.loads((out / "history.json").read_text())["validation"]
    assert known["low"] <= known["guess"] == 0.5


# Versions, and networks that are there already


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["train", "--network", "dense", *arguments])
    try:
        run(module.main)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    return 0


@pytest.fixture(scope="module")
def finished(photos, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "dense"
    train(FAST, photos, out)
    return out


def test_a_finished_network_is_not_replaced(finished, photos, monkeypatch):
    before = (finished / "model.keras").read_bytes()
    assert call(monkeypatch, "--data", str(photos), "--out", str(finished)) == 1
    assert (finished / "model.keras").read_bytes() == before


def test_resuming_a_finished_run_says_that_it_is_finished(finished, monkeypatch, capsys):
    assert call(monkeypatch, "--data", "nowhere", "--out", str(finished), "--resume") == 0
    assert capsys.readouterr().out.count("is finished, there is nothing to resume") == 1


def test_a_finished_network_is_replaced_by_force_and_gets_the_version_asked_for(photos, tmp_path, monkeypatch):
    out = tmp_path / "dense"
    out.mkdir()
    (out / "model.keras").write_text("another")
    arguments = ("--data", str(photos), "--out", str(out), "--epochs", "1", "--version", "2.1.0", "--force")
    assert call(monkeypatch, *arguments) in (0, 3)
    assert json.loads((out / "history.json").read_text())["version"] == "2.1.0"
    assert (out / "model.keras").read_bytes()[:2] == b"PK"


def test_a_version_that_is_none_is_refused(monkeypatch, capsys):
    assert call(monkeypatch, "--data", "nowhere", "--out", "nothing", "--version", "newest!") == 2
    assert "newest!" in capsys.readouterr().err
