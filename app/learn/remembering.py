"""A network with a memory, and corrections of it, come in; a candidate for its next version goes out.

Such is the network cat: its convolutions stay, and so does all else but what it looks for at each position.
"""

import io
from collections.abc import Mapping, Sequence

import numpy as np

from app.errors import NetworkError
from app.inference.networks.contract import Contract
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.learn import memory
from app.learn.candidate import Candidate, Shown, compared, raw
from app.learn.corrected import Look
from app.learn.fit import HOLDS, Change, fit, log_odds
from app.learn.memory import Memory
from app.learn.promotion import compare, forgotten

LEARNED = "corrections.npz"
"""What a version saw in the corrections that it learned from; their photos may be deleted before the next one learns."""


def base_of(versions: Mapping[str, OnnxNetwork], served: OnnxNetwork) -> tuple[OnnxNetwork, Memory]:
    """The version with a memory that the served one was learned from, or that it is itself, with its memory.

    Raises NetworkError if there is none.
    """
    start = raw(served.contract).get("started_from", {}).get("sha256", served.sha256)
    for network in versions.values():
        if network.sha256 == start and (found := memory.load(network.contract)):
            return network, found
    raise NetworkError(
        f"{served.contract.network} {served.contract.version} came without {memory.FILE}, so it would forget what it knows; "
        "the network cat has one"
    )


def carried(served: Contract) -> list[Look]:
    """The corrections that a version learned from, as it saw them; none if it did not learn."""
    if LEARNED not in served.files:
        return []
    with np.load(served.verified(LEARNED), allow_pickle=False) as file:
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
    held_out: Sequence[Shown],
    max_pixels: int,
) -> Candidate:
    """The version that learned from these corrections: of HOLDS the boldest change that forgets nothing, else the last.

    The sets that came with the network are compared by what its memory holds, see app.learn.attention; the corrections
    `held_out` are answered by both networks.

    Args:
        base: the version that the corrections were seen by, and that the memory is of.
        served: the version to compare with; it has the same stages.
        known: the memory.
        learn: the corrections to learn from.
        held_out: the others.
        max_pixels: of a photo.
    """
    seen, scores = np.stack([photo.seen for photo in learn]), np.stack([photo.scores for photo in learn])
    labels = np.array([photo.label for photo in learn])
    tested = known.of(*known.held_out)
    before = _remembered(tested, between(base, served))
    for hold in HOLDS:
        change = fit(seen, scores, labels, known, hold)
        after = _remembered(tested, change)
        chosen = [(name, tested.sets == name) for name in known.held_out]
        sets = [compare(name, before[rows], after[rows], tested.labels[rows]) for name, rows in chosen]
        if not forgotten(sets):
            break
    network = changed(base, change)
    plain, dropped = raw(base.contract), ("parity", "epochs", "shipped_epoch", "files")
    if "int8" in plain:  # a larger kernel makes more of the errors that its integers make before it
        larger = float(np.linalg.norm(network.kernel("likeness")) / np.linalg.norm(base.kernel("likeness")))
        own = plain["int8"]
        plain["int8"] = {
            "margin": round(own["margin"] * max(1.0, larger), 2),
            "times_as_fast": own["times_as_fast"],
        }
    begun = {
        "network": base.contract.network,
        "version": base.contract.version,
        "sha256": base.sha256,
    }
    low, high = base.contract.unsure
    return Candidate(
        network=network,
        held_out=tuple(sets),
        corrections=compared(served, network, held_out, max_pixels),
        contract={name: value for name, value in plain.items() if name not in dropped}
        | {"network": base.contract.network, "started_from": begun},
        files={LEARNED: _packed(learn)},
        metrics={"network": base.contract.network, "sets": {}},
        history={
            "network": plain.get("architecture", base.contract.network),
            "classes": base.contract.classes,
            "started_from": begun,
            "calibration": {"band": {"low": low, "high": high}},
            "validation": {"how": "held-out sets that came with it"} | memory.accuracy(after, tested.labels),
            "epochs": [],
        },
    )


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


def _packed(learn: Sequence[Look]) -> bytes:
    """The file LEARNED."""
    file = io.BytesIO()
    np.savez_compressed(
        file,
        sha256=np.array([photo.sha256 for photo in learn]),
        labels=np.array([photo.label for photo in learn]),
        looks=np.stack([photo.looks for photo in learn]),
        seen=np.stack([photo.seen for photo in learn]).astype(np.float16),
        scores=np.stack([photo.scores for photo in learn]),
    )
    return file.getvalue()


def _remembered(photos: Memory, change: Change) -> np.ndarray:
    """The scores of photos, (n, 2), after a change."""
    odds = log_odds(photos.scores) + change(photos.seen)
    return np.stack([odds, np.zeros_like(odds)], axis=1)


def _sharpness(network: OnnxNetwork) -> float:
    """By how much the log odds of the first class rise when the evidence rises by one everywhere."""
    first, second = network.kernel("scores")[0]
    return float(first) - float(second)
