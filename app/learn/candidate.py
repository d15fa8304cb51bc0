"""A network with a memory, and corrections of it, come in; its next version goes out, compared with the one served."""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.errors import NetworkError
from app.inference.decode import decode
from app.inference.networks.contract import Contract
from app.inference.networks.engines import OnnxNetwork
from app.inference.tensor import to_tensor
from app.learn import memory, version
from app.learn.corrected import Look
from app.learn.fit import Change, fit, log_odds
from app.learn.memory import Memory
from app.learn.promotion import CORRECTIONS, Comparison, compare

LEARNED_FILE = "corrections.npz"
"""What a version saw in the corrections that it learned from; their photos may be deleted before the next one learns."""


@dataclass(frozen=True)
class Candidate:
    """A version that may be served: its `network`, and how it compares with the one that is served.

    `remembered` is its accuracy on all held-out sets together, as history.json has it; `learned` is what it learned from.
    """

    network: OnnxNetwork
    base: Contract
    learned: tuple[Look, ...]
    held_out: tuple[Comparison, ...]
    corrections: Comparison
    remembered: dict[str, float]


def base_of(versions: Mapping[str, OnnxNetwork], served: OnnxNetwork) -> tuple[OnnxNetwork, Memory]:
    """The version with a memory that the served one was learned from, or that it is itself, with its memory.

    Raises NetworkError if there is none.
    """
    start = _raw(served.contract).get("started_from", {}).get("sha256", served.sha256)
    for network in versions.values():
        if network.sha256 == start and (found := memory.load(network.contract)):
            if not len(found.labels):
                raise NetworkError(f"{network.contract.folder / memory.FILE} has no held-out set to compare on")
            return network, found
    raise NetworkError(
        f"{served.contract.network} {served.contract.version} came without {memory.FILE}, so it would forget what it knows; "
        "the network cat has one"
    )


def carried(served: Contract) -> list[Look]:
    """The corrections that a version learned from, as it saw them; none if it did not learn."""
    if LEARNED_FILE not in served.files:
        return []
    with np.load(served.verified(LEARNED_FILE), allow_pickle=False) as file:
        plain = {name: file[name] for name in file.files}
    columns = (plain["sha256"].tolist(), plain["labels"].tolist(), plain["looks"], plain["seen"], plain["scores"])
    return [
        Look(sha256, label, looks, seen.astype(np.float32), scores)
        for sha256, label, looks, seen, scores in zip(*columns, strict=True)
    ]


def candidate(
    base: OnnxNetwork,
    served: OnnxNetwork,
    known: Memory,
    learn: Sequence[Look],
    held_out: Sequence[tuple[int, bytes]],
    max_pixels: int,
) -> Candidate:
    """The version that learned from these corrections.

    The sets that came with the network are compared by what its memory holds, see app.learn.attention; the corrections
    `held_out`, (class, photo) each, are answered by both networks.

    Args:
        base: the version that the corrections were seen by, and that the memory is of.
        served: the version to compare with; it has the same stages.
        known: the memory.
        learn: the corrections to learn from.
        held_out: the others.
        max_pixels: of a photo.
    """
    labels = np.array([photo.label for photo in learn])
    change = fit(np.stack([photo.seen for photo in learn]), np.stack([photo.scores for photo in learn]), labels, known)
    network = changed(base, change)
    before, after = (_remembered(known, one) for one in (between(base, served), change))
    sets = [
        compare(name, before[known.sets == name], after[known.sets == name], known.labels[known.sets == name])
        for name in np.unique(known.sets).tolist()
    ]
    answers = [np.stack([answered(one, photo, max_pixels) for _, photo in held_out]) for one in (served, network)]
    corrections = compare(CORRECTIONS, answers[0], answers[1], np.array([label for label, _ in held_out]))
    return Candidate(network, base.contract, tuple(learn), tuple(sets), corrections, memory.accuracy(known, after))


def changed(base: OnnxNetwork, change: Change) -> OnnxNetwork:
    """The network that looks for something else at each position, so that its log odds change so."""
    sharpness = _sharpness(base)
    return base.with_weights(
        {
            "likeness/kernel": base.kernel("likeness") + (change.kernel / sharpness).astype(np.float32)[None, None, :, None],
            "likeness/bias": base.bias("likeness") + np.float32(change.bias / sharpness),
        }
    )


def between(base: OnnxNetwork, other: OnnxNetwork) -> Change:
    """By how much the log odds of two networks differ that differ in what they look for."""
    sharpness = _sharpness(base)
    kernel = (other.kernel("likeness").astype(np.float64) - base.kernel("likeness"))[0, 0, :, 0] * sharpness
    return Change(kernel, float(other.bias("likeness")[0] - base.bias("likeness")[0]) * sharpness)


def answered(network: OnnxNetwork, photo: bytes, max_pixels: int) -> np.ndarray:
    """The scores of a photo, (classes,) float32. Raises what `decode` raises."""
    height, width, _ = network.contract.input_shape
    tensor = to_tensor(decode(photo, max_pixels, max(height, width)).image, height, width)
    return network.run(tensor, ["scores"]).stages["scores"]


def write(made: Candidate, folder: Path, record: Mapping[str, Any]) -> None:
    """Write the version's folder, NETWORK/VERSION in the store. `record` is what history.json says beside what follows from
    the candidate. Raises NetworkError where it cannot be written.
    """
    base = made.base
    begun = {"network": base.network, "version": base.version, "sha256": base.files["model.onnx"]}
    contract = {
        name: value for name, value in _raw(base).items() if name not in ("parity", "epochs", "shipped_epoch", "files")
    }
    contract |= {"network": base.network, "version": folder.name, "started_from": begun}
    model = made.network.model()
    seen = io.BytesIO()
    np.savez_compressed(
        seen,
        sha256=np.array([photo.sha256 for photo in made.learned]),
        labels=np.array([photo.label for photo in made.learned]),
        looks=np.stack([photo.looks for photo in made.learned]),
        seen=np.stack([photo.seen for photo in made.learned]).astype(np.float16),
        scores=np.stack([photo.scores for photo in made.learned]),
    )
    metrics = {
        "network": base.network,
        "version": folder.name,
        "sha256": hashlib.sha256(model).hexdigest(),
        "sets": {},
        "compared": [asdict(one) for one in (*made.held_out, made.corrections)],
    }
    history = {
        "network": _raw(base).get("architecture", base.network),
        "version": folder.name,
        "classes": base.classes,
        "started_from": begun,
        **record,
        "calibration": {"band": {"low": base.unsure[0], "high": base.unsure[1]}},
        "validation": {"how": "held-out sets that came with it"} | made.remembered,
        "epochs": [],
    }
    files = {"model.onnx": model, LEARNED_FILE: seen.getvalue()}
    version.write(folder, contract, files, {"metrics": metrics, "history": history})


def _remembered(known: Memory, change: Change) -> np.ndarray:
    """The scores of the held-out photos, (n, 2), after a change."""
    odds = log_odds(known.scores) + change(known.seen)
    return np.stack([odds, np.zeros_like(odds)], axis=1)


def _sharpness(network: OnnxNetwork) -> float:
    """By how much the log odds of the first class rise when the evidence rises by one everywhere."""
    first, second = network.kernel("scores")[0]
    return float(first) - float(second)


def _raw(contract: Contract) -> dict[str, Any]:
    """The contract's file."""
    found: dict[str, Any] = json.loads((contract.folder / "contract.json").read_text())
    return found
