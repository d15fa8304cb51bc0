"""Does the network learn from what a camera's worth of corrections tells it, and what does it forget?

    python -m benchmarks.corrections --data photos --manifests photos/manifest.csv photos/manifest2.csv \
        --out benchmarks/corrections.json

Each source is one that `cat` did not learn from. In each draw, half of its photos have been seen by a camera: of these, the
50 that the network answered worst, all wrong ones among them, are corrected. It learns from them as `python -m app learn`
does, promotion included, and is then measured on the other half, and on all other sets. Where the new version is not
promoted, the old one goes on answering.

Needs 3 GB of memory: the last feature map of every photo is kept, so that each new version's answer is exact.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.capacity import cores
from app.inference.decode import MAX_PIXELS, decode
from app.inference.networks import contract
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.networks.onnx.other_classes import LAST
from app.inference.tensor import to_tensor
from app.learn import memory
from app.learn.corrected import see, split
from app.learn.fit import log_odds
from app.learn.promotion import refusals
from app.learn.remembering import candidate
from benchmarks import draws
from training.config import Refinement
from training.data import manifest
from training.data.manifest import Photo
from training.progress import Progress

SOURCES = ("barnyard10", "val-wild", "garipov")
"""Wild animals turned and mirrored by their publisher; phone photos of small cats; stock photos of cats with people. Of the
sources that were held out, these are the ones that `cat` gets most of wrong."""

HELD_OUT = ("val-pets", "val-breeds", "val-objects", "val-wild", "val-animals", "val-scenes")
CORRECTED = 50
MOST_LOST = 0.2
"""Points that no other set may lose."""


@dataclass(frozen=True)
class Set:
    """Photos of one set: `labels` (n,) class indices, `maps` (n, positions, channels) float16, `evidence` (n, positions)."""

    photos: list[Photo]
    labels: np.ndarray
    maps: np.ndarray
    evidence: np.ndarray


def main() -> None:
    """Read the command line, measure, print and write the table."""
    options = draws.parser(__doc__, "corrections", 10)
    options.add_argument("--first", type=int, default=100, help="the first draw's seed")
    arguments = options.parse_args()
    network = OnnxNetwork(contract.load(Path("model/cat")))
    known = memory.load(network.contract)
    if known is None:
        raise SystemExit("model/cat has no memory.npz; python -m training.remember writes it")
    sets = {name: looked(photos, network, name) for name, photos in listed(arguments.manifests, arguments.data).items()}
    runs = []
    for source in SOURCES:
        for seed in range(arguments.first, arguments.first + arguments.draws):
            runs.append({"source": source, "seed": seed} | measure(source, seed, sets, network, known))
            print(json.dumps(runs[-1]), flush=True)
    result = {
        "network": {"network": network.contract.network, "version": network.contract.version},
        "corrected": CORRECTED,
        "photos": {name: len(one.labels) for name, one in sets.items()},
        "runs": runs,
        "summary": summary(runs),
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


def listed(manifests: list[Path], data: Path) -> dict[str, list[Photo]]:
    """The photos of every set that `cat` did not learn from, by name: HELD_OUT, and the sources that were held out."""
    found = {split: manifest.read(manifests, data, (split,)) for split in HELD_OUT}
    for photo in manifest.read(manifests, data, manifest.REFINED):
        if photo.source in Refinement().held_out:
            found.setdefault(photo.source, []).append(photo)
    return found


def looked(photos: list[Photo], network: OnnxNetwork, title: str) -> Set:
    """What the network sees in each photo."""
    height, width, _ = network.contract.input_shape

    def look(photo: Photo) -> tuple[np.ndarray, np.ndarray]:
        tensor = to_tensor(decode(photo.path.read_bytes(), MAX_PIXELS, max(height, width)).image, height, width)
        stages = network.run(tensor, [LAST, "evidence"]).stages
        return stages[LAST].reshape(-1, stages[LAST].shape[-1]).astype(np.float16), stages["evidence"].ravel()

    with ThreadPoolExecutor(cores()) as pool:
        seen = list(Progress(len(photos), title, "photo").over(pool.map(look, photos)))
    return Set(
        photos,
        np.array([photo.label for photo in photos]),
        np.stack([maps for maps, _ in seen]),
        np.stack([evidence for _, evidence in seen]),
    )


def measure(source: str, seed: int, sets: dict[str, Set], network: OnnxNetwork, known: memory.Memory) -> dict[str, Any]:
    """One draw: the errors on the rest of the source before and after, whether the version was promoted, and the points
    that each other set lost.
    """
    own, others = sets[source], {name: one for name, one in sets.items() if name != source}
    camera, rest = halves(len(own.labels), seed)
    odds = answers(own, network, network)
    corrected = worst(odds, own.labels, camera)
    elsewhere = known.of(memory.LEARNED, *(name for name in known.held_out if name != source))
    files = {hashlib.sha256(data).hexdigest(): (data, int(own.labels[row])) for row, data in _read(own, corrected)}
    looks = [see(data, digest, label, network, MAX_PIXELS) for digest, (data, label) in sorted(files.items())]
    learn, held_out = split(looks)
    made = candidate(
        network, network, elsewhere, learn, [(files[one.sha256][1], files[one.sha256][0]) for one in held_out], MAX_PIXELS
    )
    why = refusals(made.held_out, made.corrections)
    served = network if why else made.network
    after = answers(own, network, served)
    return {
        "learned": len(learn),
        "held_out": len(held_out),
        "wrong_among_corrected": errors(odds[corrected], own.labels[corrected]),
        "promoted": not why,
        "why": why,
        "rest": len(rest),
        "before": errors(odds[rest], own.labels[rest]),
        "after": errors(after[rest], own.labels[rest]),
        "lost": {
            name: round(
                100
                * (errors(answers(one, network, served), one.labels) - errors(answers(one, network, network), one.labels))
                / len(one.labels),
                3,
            )
            for name, one in others.items()
        },
    }


def _read(own: Set, rows: Iterable[int]) -> list[tuple[int, bytes]]:
    return [(row, own.photos[row].path.read_bytes()) for row in rows]


def halves(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The photos that the camera has seen, and the rest, as indices."""
    order = np.random.default_rng(seed).permutation(count)
    return order[: count // 2], order[count // 2 :]


def worst(odds: np.ndarray, labels: np.ndarray, among: np.ndarray) -> np.ndarray:
    """The CORRECTED photos, of those indices, whose right class is least likely by the (n,) log odds of class 0."""
    sure = np.where(labels == 0, odds, -odds)
    return among[np.argsort(sure[among], kind="stable")[:CORRECTED]]


def errors(odds: np.ndarray, labels: np.ndarray) -> int:
    """How many are wrong, by (n,) log odds of class 0."""
    return int(((odds > 0) != (labels == 0)).sum())


def answers(one: Set, base: OnnxNetwork, other: OnnxNetwork) -> np.ndarray:
    """The log odds, (n,), of a network that differs from `base`, which saw the photos, in what it looks for."""
    kernel = (other.kernel("likeness") - base.kernel("likeness"))[0, 0, :, 0]
    bias = float(other.bias("likeness")[0] - base.bias("likeness")[0])
    pooled = []
    for maps, evidence in zip(one.maps, one.evidence, strict=True):
        changed = evidence + maps.astype(np.float32) @ kernel + bias
        pooled.append(changed.max() + np.log(np.exp(changed - changed.max()).mean()))
    return log_odds(np.array(pooled)[:, None] @ base.kernel("scores") + base.bias("scores"))


def summary(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each source the mean errors on the rest, what is left of them, and the mean loss of each other set in points."""
    rows = []
    for source in dict.fromkeys(run["source"] for run in runs):
        chosen = [run for run in runs if run["source"] == source]
        before, after = (float(np.mean([run[when] for run in chosen])) for when in ("before", "after"))
        lost = {name: float(np.mean([run["lost"][name] for run in chosen])) for name in chosen[0]["lost"]}
        most = max(lost, key=lambda name: lost[name])
        rows.append(
            {
                "source": source,
                "draws": len(chosen),
                "promoted": sum(run["promoted"] for run in chosen),
                "rest": chosen[0]["rest"],
                "before": round(before, 2),
                "after": round(after, 2),
                "left": round(after / before, 3),
                "halved": after <= before / 2,
                "most_lost": {"set": most, "points": round(lost[most], 3)},
                "forgot_nothing": lost[most] <= MOST_LOST,
                "lost": {name: round(points, 3) for name, points in lost.items()},
            }
        )
    return rows


def table(result: dict[str, Any]) -> str:
    """A Markdown table of the summary."""
    lines = [
        "| source | draws, promoted | errors on the rest | left | set that lost most |",
        "|---|---|---|---|---|",
    ]
    for row in result["summary"]:
        worst_set = f"{row['most_lost']['set']}: {row['most_lost']['points']:+.2f} points"
        cells = (
            row["source"],
            f"{row['draws']}, {row['promoted']}",
            f"{row['before']:.1f} to {row['after']:.1f} of {row['rest']}",
            f"{row['left']:.0%}",
            worst_set,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
