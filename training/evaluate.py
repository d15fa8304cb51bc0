"""Measures exported networks on folders of photos; writes metrics.json and pictures beside each network.

    python -m training.evaluate model/tutorial model/dense --set val-pets=photos/val-pets --set val-breeds=photos/val-breeds

Each set is a folder that holds a folder for each of the networks' classes, such as cat/ and not_cat/. Photos are processed
as in the service: the same decoding, the same resizing, model.onnx. Besides each set, all of them pooled, and the sets in
every disguise, are measured; with a manifest also each kind of photo.
"""

from pathlib import Path

from training import outputs
from training.data import manifest
from training.data.dataset import photos
from training.errors import Parser, TrainingError, run
from training.measuring import contracts
from training.measuring.report import table
from training.measuring.sets import named_sets


def main() -> None:
    """Read the command line, measure, print the tables."""
    parser = Parser(prog="python -m training.evaluate", description=__doc__.split("\n")[0])
    parser.add_argument("networks", nargs="+", type=Path, help="folders of exported networks, such as model/tutorial")
    parser.add_argument(
        "--set", dest="sets", action="append", required=True, metavar="NAME=DIR", help="photos to measure on"
    )
    parser.add_argument("--pool", help="comma-separated names of the sets to pool (default: all)")
    parser.add_argument(
        "--manifest",
        dest="manifests",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="CSV file that says what each photo shows, in the columns split (the set's name), label, source, file and kind",
    )
    arguments = parser.parse_args()
    sets = named_sets(arguments.sets)
    pool = list(dict.fromkeys(arguments.pool.split(","))) if arguments.pool else list(sets)
    if unknown := [name for name in pool if name not in sets]:
        raise TrainingError(f"--pool names {', '.join(unknown)}, which is no --set")
    kinds = manifest.kinds(arguments.manifests) if arguments.manifests else {}
    if kinds and not {split for split, _ in kinds} & set(sets):
        raise TrainingError(f"the manifest's splits are none of the sets {', '.join(sets)}")
    classes = contracts.load(arguments.networks)[0].classes
    for folder in sets.values():
        photos(folder, classes, every_class=False)
    for folder in arguments.networks:
        outputs.check_folder(folder)

    from training.tasks.evaluate import evaluate  # it imports scikit-learn and Matplotlib, which takes seconds

    print(table(evaluate(arguments.networks, sets, pool, kinds)))


if __name__ == "__main__":
    run(main)
