"""Writes what the network `cat` saw in photos that it learned from, and in the held-out sets, as memory.npz beside it.

    python -m training.remember model/cat --data photos --manifests photos/manifest.csv photos/manifest2.csv \
        --held-out val-pets val-breeds val-objects val-wild val-animals val-scenes

`python -m app learn` needs it, so that a network that learns from corrections does not forget: it holds numbers, no photos.
Of each source and kind that training.refine learns from, the same share is drawn. contract.json names the file with its
digest.
"""

from pathlib import Path

from training import outputs
from training.config import Refinement
from training.data import manifest
from training.data.manifest import Photo
from training.errors import Parser, TrainingError, run
from training.measuring import contracts

SHARE = 0.18
"""Of the photos that were learned from: some 6,000, which takes minutes."""


def main() -> None:
    """Read the command line, look at the photos, write the file."""
    parser = Parser(prog="python -m training.remember", description=__doc__.split("\n")[0])
    parser.add_argument("network", type=Path, help="folder of an exported network, such as model/cat")
    parser.add_argument("--data", required=True, type=Path, help="folder that holds a folder for each split")
    parser.add_argument("--manifests", required=True, type=Path, nargs="+", help="CSV files that say what each photo shows")
    parser.add_argument("--held-out", required=True, nargs="+", metavar="SPLIT", help="splits that training did not see")
    arguments = parser.parse_args()
    contract = contracts.load([arguments.network])[0]
    if not {"likeness", "evidence"} <= {stage.name for stage in contract.stages}:
        raise TrainingError(f"{contract.network} has no stages likeness and evidence; only networks as cat learn so")
    learned = manifest.read(arguments.manifests, arguments.data, manifest.REFINED)
    learned = [photo for index, photo in enumerate(learned) if not manifest.is_held_out(index, photo, Refinement())]
    held_out: dict[str, list[Photo]] = {}
    for split in arguments.held_out:
        if split in manifest.REFINED:
            raise TrainingError(f"{split} was learned from, so it cannot be held out")
        held_out[split] = manifest.read(arguments.manifests, arguments.data, (split,))
    outputs.check_folder(arguments.network)

    from training.tasks.remember import drawn, remember

    written = remember(contract, drawn(learned, SHARE), held_out)
    print(f"{written} has {written.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    run(main)
