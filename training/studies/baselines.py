"""Baselines: two models that anybody can use instead, measured on the same photos.

    python -m training.studies.baselines --set val-pets=photos/val-pets --out benchmarks/references.json

The first is EfficientNet-Lite0 as Google trained it on ImageNet, with its own preprocessing: the probabilities of its five
classes of cats are summed. The second is the cat-face cascade that OpenCV ships (Howse 2014), which answers yes or no.
"""

import json
import shlex
import sys
from pathlib import Path

from training import outputs
from training.backend import load_keras
from training.data.dataset import photos
from training.errors import Parser, run
from training.measuring.sets import named_sets


def main() -> None:
    """Read the command line, measure, print the table."""
    parser = Parser(prog="python -m training.studies.baselines", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--set", dest="sets", action="append", required=True, metavar="NAME=DIR", help="photos to measure on"
    )
    parser.add_argument("--out", required=True, type=Path, help="file to write the figures to")
    arguments = parser.parse_args()
    sets = named_sets(arguments.sets)
    for folder in sets.values():
        photos(folder)
    outputs.check_file(arguments.out)

    load_keras()
    from training.tasks.baselines import cascade, imagenet, measure  # they import Keras, which takes seconds

    models = {"imagenet": imagenet(), "cascade": cascade()}
    measured = {name: measure(models, folder, name) for name, folder in sets.items()}
    results = {
        "command": f"python -m training.studies.baselines {shlex.join(sys.argv[1:])}",
        "models": {
            "imagenet": "EfficientNet-Lite0 at 224, central crop of 0.875, five cat classes summed",
            "cascade": "OpenCV's haarcascade_frontalcatface_extended, any detection",
        },
        "sets": measured,
    }
    outputs.replace(arguments.out, json.dumps(results, indent=1) + "\n")
    for name, by_model in measured.items():
        print(name, *(f"{model} {by_model[model]['accuracy']['value']:.3f}" for model in models))


if __name__ == "__main__":
    run(main)
