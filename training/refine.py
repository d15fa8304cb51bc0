r"""Version 1.0.0 of `cat` comes in, version 2.0.0 goes out: the same network, right more often on strangers' photos.

    python -m training.refine --photos photos --manifests data/manifest.csv data/manifest2.csv \
        --start model/cat/1.0.0 --work build/refine --out model/cat/2.0.0

It takes 384 pixels instead of 304, and has 32 rivals that speak against a cat. First the rivals learn alone, starting from
ImageNet's rabbits, wild cats and dogs; then the last blocks learn with them, but where the first version was right, they go
on seeing a cat where it did. The shipped weights lie between the two.

Some sources teach nothing, nor do some of the cats whose box is known: temperature and the `unsure` band are chosen on
these, and history.json says how many of each source were answered right. With other sources after --hold-out it is one fold
of a cross-validation over sources. Features and checkpoints stay in --work; the same command continues an interrupted run.
"""

from dataclasses import replace
from pathlib import Path

from training import outputs
from training.backend import load_keras
from training.config import Refinement
from training.data import manifest
from training.errors import Parser, TrainingError, run


def main() -> None:
    """Read the command line and train."""
    parser = Parser(prog="python -m training.refine", description=__doc__.split("\n")[0])
    parser.add_argument("--photos", required=True, type=Path, help="folder that holds a folder for each split")
    parser.add_argument("--manifests", required=True, type=Path, nargs="+", help="CSV files that name each photo's source")
    parser.add_argument("--start", required=True, type=Path, help="folder of version 1.0.0, such as model/cat/1.0.0")
    parser.add_argument("--work", required=True, type=Path, help="folder for features and checkpoints, 15 GB")
    parser.add_argument(
        "--hold-out", nargs="+", metavar="SOURCE", help="sources that teach nothing, instead of the recipe's"
    )
    parser.add_argument("--out", required=True, type=Path, help="folder to write the network to")
    arguments = parser.parse_args()
    recipe = replace(Refinement(), held_out=tuple(arguments.hold_out)) if arguments.hold_out else Refinement()
    photos = manifest.read(arguments.manifests, arguments.photos, manifest.REFINED)
    if unknown := set(recipe.held_out) - {photo.source for photo in photos}:
        raise TrainingError(f"the manifests have no source {', '.join(sorted(unknown))} to hold out")
    if not (arguments.start / "model.keras").is_file():
        raise TrainingError(f"{arguments.start} holds no model.keras; python -m training.train --network cat writes it")
    for folder in (arguments.work, arguments.out):
        outputs.check_folder(folder)

    load_keras()
    from training.tasks.refine import refine  # it imports Keras, which takes seconds: only when the arguments are right

    refine(recipe, arguments)


if __name__ == "__main__":
    run(main)
