"""A folder of photos comes in, a trained network goes out.

    python -m training.train --network tutorial --data photos --out model/tutorial

`photos` holds the folders cat/ and not_cat/; with --classes daisy rose tulip it holds those. Ctrl-C or a kill loses at most
the current epoch; the same command with --resume continues. --network cat with --classes starts from the shipped network and
takes a minute (`training.transfer`). The exit status is 3 if the network was written but may be guessing. Written below
--out: model.keras (the network, folded and calibrated), history.json (the recipe, every epoch, the calibration),
learning_curves.png, logs/ for TensorBoard and, with --keep-epochs, epochs.npy (the network after each epoch).
"""

import math
import shlex
import sys
from dataclasses import fields, replace
from pathlib import Path

from training import outputs
from training.backend import load_keras
from training.config import CLASSES, RECIPES, Recipe, check_classes
from training.data.dataset import photos
from training.errors import Parser, Stopped, TrainingError, run, version


def main() -> None:
    """Read the command line and train."""
    parser = Parser(prog="python -m training.train", description=__doc__.split("\n")[0])
    parser.add_argument("--network", required=True, choices=sorted(RECIPES), help="which network to train")
    parser.add_argument("--data", required=True, type=Path, help="folder with the photos, in cat/ and not_cat/")
    parser.add_argument(
        "--classes", nargs="+", metavar="NAME", help="other classes than cat and not_cat, each a folder in --data"
    )
    parser.add_argument("--out", required=True, type=Path, help="folder to write the network to, such as model/tutorial")
    parser.add_argument("--resume", action="store_true", help="continue an interrupted run")
    parser.add_argument("--force", action="store_true", help="replace a finished network in --out")
    parser.add_argument(
        "--keep-epochs", action="store_true", help="also keep the network as it was after each epoch, in epochs.npy"
    )
    parser.add_argument("--version", default="1.0.0", type=version, help="the network's version (default: 1.0.0)")
    parser.add_argument("--distribute", action="store_true", help="train on all GPUs of this machine, or on all its CPUs")
    for option in ("epochs", "batch_size", "learning_rate", "patience", "seed"):
        kind = next(f.type for f in fields(Recipe) if f.name == option)
        parser.add_argument(
            f"--{option.replace('_', '-')}", type=int if kind is int else float, help="instead of the recipe's"
        )
    arguments = vars(parser.parse_args())
    network, data, out, resume, force = (arguments.pop(name) for name in ("network", "data", "out", "resume", "force"))
    distribute, keep_epochs = arguments.pop("distribute"), arguments.pop("keep_epochs")
    own = arguments["classes"] is not None
    classes = tuple(arguments.pop("classes") or CLASSES)
    check_classes(classes)
    transferred = bool(RECIPES[network].frozen) and own
    given = {name: value for name, value in arguments.items() if value is not None}
    recipe = replace(RECIPES[network], classes=classes, **given)
    if min(recipe.epochs, recipe.batch_size, recipe.patience) < 1 or not 0 < recipe.learning_rate < math.inf:
        raise TrainingError("epochs, batch size, patience and learning rate must be above zero, and finite")
    if recipe.seed < 0:
        raise TrainingError("the seed must not be negative")
    if transferred and (unused := sorted(set(given) - {"version", "seed"})):
        raise TrainingError(f"--{unused[0].replace('_', '-')} means nothing to {network} with --classes; leave it out")
    if keep_epochs and recipe.frozen:
        raise TrainingError(f"--keep-epochs is for networks that begin at random; {network} begins with trained weights")
    if (out / "model.keras").exists() and not outputs.checkpoints(out).exists() and not force:
        if resume:
            print(f"the run in {out} is finished, there is nothing to resume; --force trains it anew")
            return
        raise TrainingError(f"{out} holds a finished network; --force replaces it, or name another folder")
    if not resume and not transferred:
        outputs.check_unfinished(out)
    outputs.check_folder(out)
    photos(data, classes)

    load_keras()
    # These import Keras, which takes seconds: only now, when nothing is wrong with the arguments.
    from training.fitting.devices import Devices
    from training.measuring import learned
    from training.tasks.train import train
    from training.transfer.transfer import transfer

    if transferred:
        learned.check(transfer(recipe, data, out))
        return
    try:
        learned.check(train(recipe, data, out, resume, Devices(distribute), tuple(given), keep_epochs))
    except KeyboardInterrupt as stop:
        raise Stopped(f"continue with: {_resuming()}") from stop


def _resuming() -> str:
    """The command that was typed, with --resume."""
    options = [option for option in sys.argv[1:] if option != "--resume"]
    return shlex.join([sys.orig_argv[0], "-m", "training.train", *options, "--resume"])


if __name__ == "__main__":
    run(main)
