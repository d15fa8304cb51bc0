"""The course set's layout, from small HDF5 files."""

import json
import shutil
import sys
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from PIL import Image

from training.errors import TrainingError, run
from training.studies import catvnoncat
from training.tasks import catvnoncat as task
from training.tasks.catvnoncat import unpack

LABELS = np.array([1, 0, 0, 1, 1, 0])


def images(count: int = 6) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)


def written(folder: Path, part: str, pixels: np.ndarray, labels: np.ndarray) -> Path:
    """A file as the course publishes it."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{part}_catvnoncat.h5"
    with h5py.File(path, "w") as file:
        file[f"{part}_set_x"], file[f"{part}_set_y"] = pixels, labels
        file["list_classes"] = np.array([b"non-cat", b"cat"])
    return path


@pytest.fixture
def course(tmp_path) -> Path:
    """A folder with both files."""
    for part in ("train", "test"):
        written(tmp_path / "h5", part, images(), LABELS)
    return tmp_path / "h5"


@pytest.mark.parametrize("part", ["train", "test"])
def test_every_image_is_unpacked_pixel_for_pixel_into_its_class(course, tmp_path, part):
    unpack(course / f"{part}_catvnoncat.h5", tmp_path / "out")
    for number, (pixels, label) in enumerate(zip(images(), LABELS, strict=True)):
        path = tmp_path / "out" / ("cat" if label else "not_cat") / f"{number:03d}.png"
        assert np.array_equal(np.asarray(Image.open(path)), pixels)


def test_nothing_else_is_unpacked(course, tmp_path):
    unpack(course / "train_catvnoncat.h5", tmp_path / "out")
    assert len(list((tmp_path / "out").rglob("*.png"))) == len(LABELS)


def test_unpacking_twice_gives_the_same_files(course, tmp_path):
    for _ in range(2):
        unpack(course / "train_catvnoncat.h5", tmp_path / "out")
    assert len(list((tmp_path / "out").rglob("*"))) == len(LABELS) + 2


def refused(file: Path, tmp_path: Path) -> str:
    with pytest.raises(TrainingError) as error:
        unpack(file, tmp_path / "out")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_missing_file_is_named(tmp_path):
    assert "nowhere/train_catvnoncat.h5" in refused(tmp_path / "nowhere" / "train_catvnoncat.h5", tmp_path)


def test_a_file_that_is_not_hdf5_is_named(tmp_path):
    (tmp_path / "train_catvnoncat.h5").write_bytes(b"<html>not found</html>")
    assert "train_catvnoncat.h5 cannot be read as the course set" in refused(tmp_path / "train_catvnoncat.h5", tmp_path)


def test_a_file_of_another_layout_is_named(course, tmp_path):
    other = shutil.copy(course / "train_catvnoncat.h5", tmp_path / "test_catvnoncat.h5")
    assert "test_set_x" in refused(Path(other), tmp_path)


def test_a_file_with_more_images_than_labels_is_named(tmp_path):
    refused(written(tmp_path / "h5", "train", images(), LABELS[:4]), tmp_path)


# Measuring


@pytest.fixture
def brightness(tmp_path) -> Path:
    """A saved network that calls a photo a cat when it is light."""
    photo = keras.Input((20, 20, 3), name="image")
    x = keras.layers.Flatten(name="flatten")(photo)
    x = keras.layers.Dense(2, name="scores")(x)
    model = keras.Model(photo, keras.layers.Softmax(name="probabilities")(x))
    model.get_layer("scores").set_weights([np.tile([[0.001, 0.0]], (1200, 1)), np.array([0.0, 0.001 * 1200 * 127.5])])
    model.save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


def test_the_accuracy_is_the_share_of_photos_that_are_answered_correctly(brightness, tmp_path):
    """Light cats and dark others are answered correctly; of eight photos one light other and two dark cats are not."""
    shades = {"cat": [200, 210, 220, 10, 20], "not_cat": [30, 40, 250]}
    for label, values in shades.items():
        (tmp_path / "photos" / label).mkdir(parents=True)
        for value in values:
            Image.new("RGB", (64, 64), (value,) * 3).save(tmp_path / "photos" / label / f"{value}.png")
    assert task.test_accuracy(brightness, tmp_path / "photos") == 5 / 8


def test_a_seed_that_was_trained_before_is_measured_and_not_trained_again(course, brightness, tmp_path, monkeypatch):
    out = tmp_path / "out"
    for seed in (1, 2):
        (out / f"seed-{seed}").mkdir(parents=True)
        shutil.copy(brightness, out / f"seed-{seed}")
    monkeypatch.setattr(sys, "argv", ["catvnoncat", "--h5", str(course), "--out", str(out), "--seeds", "2"])
    catvnoncat.main()
    report = json.loads((out / "report.json").read_text())
    expected = task.test_accuracy(brightness, out / "test")
    assert report["test_accuracy"] == [expected, expected]
    assert (report["mean"], report["lowest"], report["highest"]) == (expected, expected, expected)


@pytest.mark.parametrize("option", ["--seeds=0", "--seeds=-1", "--epochs=0"])
def test_zero_seeds_and_zero_epochs_are_refused(monkeypatch, tmp_path, option):
    monkeypatch.setattr(sys, "argv", ["catvnoncat", "--h5", "h5", "--out", str(tmp_path), option])
    with pytest.raises(SystemExit, match="--seeds and --epochs must be at least 1"):
        run(catvnoncat.main)
