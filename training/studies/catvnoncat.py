"""The classic course set comes in (two HDF5 files of 64x64 images); the tutorial network's accuracy on its test goes out.

    python -m training.studies.catvnoncat --h5 catvnoncat --out build/catvnoncat --seeds 5

The published split is kept: each seed trains on train_catvnoncat.h5 alone (209 images, some of them held out for
calibration as always) and is measured once, on the 50 images of test_catvnoncat.h5, where a course's 4-layer network is
published with 80 %. The same command continues an interrupted run.
"""

from pathlib import Path

from training import outputs
from training.backend import load_keras
from training.config import CATVNONCAT
from training.errors import Parser, TrainingError, run

PARTS = ("train", "test")


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
    files = {part: arguments.h5 / f"{part}_catvnoncat.h5" for part in PARTS}
    if missing := [file for file in files.values() if not file.is_file()]:
        raise TrainingError(f"{missing[0]} is missing; the course set is two files of that form")
    report = arguments.report or arguments.out / "report.json"
    outputs.check_folder(arguments.out)
    outputs.check_file(report)

    load_keras()
    from training.tasks.catvnoncat import measure  # it imports Keras, which takes seconds: only when the arguments are right

    measure(files, arguments.out, arguments.seeds, arguments.epochs, report)


if __name__ == "__main__":
    run(main)
