"""The classic course set comes in (two HDF5 files of 64x64 images); the tutorial network's accuracy on its test goes out.

    python -m training.studies.catvnoncat --h5 catvnoncat --out build/catvnoncat --seeds 5

The published split is kept: each seed trains on train_catvnoncat.h5 alone (209 images, some of them held out for
calibration as always) and is measured once, on the 50 images of test_catvnoncat.h5, where a course's 4-layer network is
published with 80 %. The same command continues an interrupted run.
"""

import json
from dataclasses import replace
from pathlib import Path

import h5py
import keras
import numpy as np
from PIL import Image

from app.inference.decode import decode
from app.inference.tensor import to_pixels
from training.config import CATVNONCAT, CLASSES
from training.data.dataset import photos
from training.errors import Parser, TrainingError, run
from training.fitting import checkpoint
from training.fitting.fit import predict_scores
from training.train import train


def main() -> None:
    """Read the command line, train every seed, print and write the report."""
    parser = Parser(prog="python -m training.studies.catvnoncat", description=__doc__.split("\n")[0])
    parser.add_argument("--h5", required=True, type=Path, help="folder with train_catvnoncat.h5 and test_catvnoncat.h5")
    parser.add_argument("--out", required=True, type=Path, help="folder for the unpacked images and a folder a seed")
    parser.add_argument("--report", type=Path, help="JSON file to write the figures to (default: OUT/report.json)")
    parser.add_argument("--seeds", type=int, default=5, help="how many times to train (default: 5)")
    parser.add_argument("--epochs", type=int, default=CATVNONCAT.epochs, help="replaces the recipe's")
    arguments = parser.parse_args()
    if min(arguments.seeds, arguments.epochs) < 1:
        raise TrainingError("--seeds and --epochs must be at least 1")
    for part in ("train", "test"):
        unpack(arguments.h5 / f"{part}_catvnoncat.h5", arguments.out / part)
    accuracies = []
    for seed in range(1, arguments.seeds + 1):
        out = arguments.out / f"seed-{seed}"
        if not (out / "model.keras").exists():
            train(replace(CATVNONCAT, seed=seed, epochs=arguments.epochs), arguments.out / "train", out, resume=True)
        accuracies.append(test_accuracy(out / "model.keras", arguments.out / "test"))
        print(f"seed {seed}: {accuracies[-1]:.2f} of the test images", flush=True)
    report = {
        "command": f"python -m training.studies.catvnoncat --seeds {arguments.seeds}",
        "test_accuracy": accuracies,
        "mean": round(float(np.mean(accuracies)), 4),
        "lowest": min(accuracies),
        "highest": max(accuracies),
        "published_4_layers": 0.80,
    }
    checkpoint.replace(arguments.report or arguments.out / "report.json", json.dumps(report, indent=1) + "\n")
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


if __name__ == "__main__":
    run(main)
