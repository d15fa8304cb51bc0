"""Measures how often the heatmap's peak lies on the cat.

Where a pasted cat is not detected, the map holds next to no evidence and its peak is noise; so the share is given both for
the photos that were answered "cat" and for all.

    python -m training.studies.pointing model/cat --cats photos/val-pets --scenes photos/val-objects \
        --out benchmarks/pointing.json

Each cat photo is made small and pasted into a scene, so that its position is known (the pointing game, Zhang et al. 2016).
The peak is the centre of the cell with the most evidence. The cat photo keeps its shape, and its side (the root of its area)
is 0.3 to 0.6 of the scene's shorter side: smaller, and it is hardly larger than one cell of the map. With manifests that
know boxes, the peak is also looked up in the boxes of the cats that `training.refine` holds out, in photos as taken:

    --manifests photos/manifest.csv photos/manifest2.csv --photos photos
"""

import json
import shlex
import sys
from pathlib import Path

from training import outputs
from training.config import Refinement
from training.data import manifest
from training.data.dataset import photos
from training.errors import Parser, TrainingError, run
from training.measuring import contracts


def main() -> None:
    """Read the command line, measure, print."""
    parser = Parser(prog="python -m training.studies.pointing", description=__doc__.split("\n")[0])
    parser.add_argument("network", type=Path, help="folder of an exported network, such as model/cat")
    parser.add_argument("--cats", required=True, type=Path, help="folder with cat/ and not_cat/: its cats are pasted")
    parser.add_argument("--scenes", required=True, type=Path, help="folder with cat/ and not_cat/: its others are scenes")
    parser.add_argument("--out", required=True, type=Path, help="file to write the figures to")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--manifests", type=Path, nargs="+", default=[], help="CSV files with boxes of cats in cats_at")
    parser.add_argument("--photos", type=Path, help="folder that holds a folder for each split of the manifests")
    arguments = parser.parse_args()
    if bool(arguments.manifests) != bool(arguments.photos):
        raise TrainingError("--manifests and --photos go together")
    contract = contracts.load([arguments.network])[0]
    for folder in (arguments.cats, arguments.scenes):
        photos(folder)
    boxed = []
    if arguments.manifests:
        listed = manifest.read(arguments.manifests, arguments.photos, manifest.REFINED)
        boxed = [
            photo for index, photo in enumerate(listed) if photo.boxes and manifest.is_held_out(index, photo, Refinement())
        ]
    outputs.check_file(arguments.out)

    from training.tasks.pointing import load, measure, measure_boxes  # they import scikit-learn, which takes seconds

    network = load(contract)
    result = measure(network, arguments.cats, arguments.scenes, arguments.seed)
    if arguments.manifests:
        result["boxes"] = measure_boxes(network, boxed)
    command = f"python -m training.studies.pointing {shlex.join(sys.argv[1:])}"
    outputs.replace(arguments.out, json.dumps({"command": command, "sha256": network.sha256} | result, indent=1) + "\n")
    for what, figures in (("pasted", result), ("boxes", result.get("boxes", {}))):
        for name in ("inside", "inside_where_found"):
            if name in figures:
                print(f"{what}, {name.replace('_', ' ')}: {figures[name]['value']:.3f} of {figures[name]['count']} peaks")


if __name__ == "__main__":
    run(main)
