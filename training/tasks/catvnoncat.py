"""The course set's two files come in; the test accuracy of a network for each seed goes out."""

import json
from dataclasses import replace
from pathlib import Path

import h5py
import keras
import numpy as np
from PIL import Image

from app.inference.decode import decode
from app.inference.tensor import to_pixels
from training import outputs
from training.config import CATVNONCAT, CLASSES
from training.data.dataset import photos
from training.errors import TrainingError
from training.fitting.fit import predict_scores
from training.tasks.train import train


def measure(files: dict[str, Path], out: Path, seeds: int, epochs: int, report_file: Path) -> None:
    """Unpack the files `train` and `test` into `out`, train every seed there, print and write the report."""
    for part, file in files.items():
        unpack(file, out / part)
    accuracies = []
    for seed in range(1, seeds + 1):
        trained = out / f"seed-{seed}"
        if not (trained / "model.keras").exists():
            train(replace(CATVNONCAT, seed=seed, epochs=epochs), out / "train", trained, resume=True)
        accuracies.append(test_accuracy(trained / "model.keras", out / "test"))
        print(f"seed {seed}: {accuracies[-1]:.2f} of the test images", flush=True)
    report = {
        "command": f"python -m training.studies.catvnoncat --seeds {seeds}",
        "test_accuracy": accuracies,
        "mean": round(float(np.mean(accuracies)), 4),
        "lowest": min(accuracies),
        "highest": max(accuracies),
        "published_4_layers": 0.80,
    }
    outputs.replace(report_file, json.dumps(report, indent=1) + "\n")
    print(f"mean {report['mean']:.3f}, from {report['lowest']:.2f} to {report['highest']:.2f}")


def unpack(file: Path, folder: Path) -> None:
    """Write the images of one HDF5 file as PNGs into `folder`/cat and `folder`/not_cat.

    The file holds `{part}_set_x` (n, 64, 64, 3) uint8 and `{part}_set_y` (n,), 1 for a cat. Raises TrainingError when it
    is missing or holds something else.
    """
    part = file.name.split("_")[0]
    try:
        with h5py.File(file, "r") as content:
            images, labels = content[f"{part}_set_x"][:], content[f"{part}_set_y"][:]
    except (OSError, KeyError) as error:
        raise TrainingError(f"{file} cannot be read as the course set: {error}") from error
    if len(images) != len(labels):
        raise TrainingError(f"{file} cannot be read as the course set: {len(images)} images have {len(labels)} labels")
    for name in CLASSES:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        Image.fromarray(image).save(folder / CLASSES[0 if label else 1] / f"{number:03d}.png")


def test_accuracy(model: Path, folder: Path) -> float:
    """The fraction of the photos below `folder` that a saved network gets right."""
    network = keras.saving.load_model(model, compile=False)
    files = photos(folder)
    side = network.input_shape[1]
    pixels = np.stack([to_pixels(decode(path.read_bytes()).image, side, side) for path, _ in files])
    labels = np.array([label for _, label in files])
    return round(float((predict_scores(network, pixels).argmax(axis=1) == labels).mean()), 4)
