"""A checkout with photos, course set and a Keras classifier, in which the documentation's commands run."""

import shutil
import subprocess
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from tests.conftest import ROOT


@pytest.fixture(scope="session")
def checkout(tmp_path_factory, photo_folder) -> Path:
    """The tracked files in a folder of their own, with this checkout's virtual environment and some photos in photos/."""
    folder = tmp_path_factory.mktemp("docs") / "catscope"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    shutil.copytree(photo_folder, folder / "photos")
    for name in ("val-pets", "val-breeds", "val-objects", "val-wild", "val-animals", "val-scenes", "catvnoncat-test"):
        for label in ("cat", "not_cat"):
            (folder / "photos" / name / label).mkdir(parents=True)
            for path in sorted((photo_folder / label).iterdir())[:2]:
                shutil.copy2(path, folder / "photos" / name / label)
    shutil.copytree(photo_folder / "cat", folder / "flowers" / "daisy")
    shutil.copytree(photo_folder / "not_cat", folder / "flowers" / "rose")
    (folder / "flowers" / "tulip").mkdir()
    for path in photo_folder.rglob("*.jpg"):  # a third class, of the same photos upside down
        turned = Image.open(path).rotate(180)
        turned.save(folder / "flowers" / "tulip" / f"{path.parent.name}-{path.name}")
    answer = layers.Dense(3, activation="softmax")
    keras.Sequential(
        [keras.Input((64, 64, 3)), layers.Conv2D(4, 3, activation="relu"), layers.GlobalAveragePooling2D(), answer]
    ).save(folder / "flowers.keras")
    (folder / "catvnoncat").mkdir()
    for part, count in (("train", 160), ("test", 4)):
        write_course_set(folder / "catvnoncat", part, photo_folder, count)
    return folder


def write_course_set(folder: Path, part: str, photos: Path, count: int) -> None:
    """An HDF5 file of the course set's layout; each image has a number drawn into a corner, so that all are different."""
    paths = [sorted((photos / ("cat" if n % 2 else "not_cat")).iterdir())[n // 2 % 60] for n in range(count)]
    images = np.stack([np.asarray(Image.open(path).resize((64, 64))) for path in paths])
    images[:, 0, 0, 0] = np.arange(count)
    with h5py.File(folder / f"{part}_catvnoncat.h5", "w") as file:
        file[f"{part}_set_x"], file[f"{part}_set_y"] = images, np.arange(count) % 2
