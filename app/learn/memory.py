"""The file memory.npz of a network comes in; what it saw in photos that it learned from and in held-out sets goes out.

It takes the place of the photos: a new version must not forget the first, and must not be worse on the second. Of each photo
it has what app.learn.attention says, a byte for each channel.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.errors import NetworkError
from app.inference.networks.contract import Contract
from app.teach.figures import share

FILE = "memory.npz"

LEVELS = 255
"""From 0, the least that a channel of LAST has, to the most that was seen of it."""

_TINY = 1e-12  # where a channel is never above 0

LEARNED = "learned"
"""The set of the photos that a network learned from; all others were held out."""


@dataclass(frozen=True)
class Memory:
    """What a network saw.

    - `sha256`: of the model.onnx that saw it
    - `seen` (n, channels) float32, `scores` (n, classes) float32, `labels` (n,) class indices and `sets` (n,) names
    """

    sha256: str
    seen: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    sets: np.ndarray

    def of(self, *sets: str) -> "Memory":
        """The photos of these sets."""
        rows = np.isin(self.sets, sets)
        return Memory(self.sha256, self.seen[rows], self.scores[rows], self.labels[rows], self.sets[rows])

    @property
    def held_out(self) -> list[str]:
        """The names of the sets that were held out."""
        return sorted(set(self.sets.tolist()) - {LEARNED})


def load(contract: Contract) -> Memory | None:
    """The memory that came with a network, or None. Raises NetworkError if it is of another network, or is damaged."""
    if FILE not in contract.files:
        return None
    path = contract.verified(FILE)
    try:
        with np.load(path, allow_pickle=False) as file:
            plain = {name: file[name] for name in file.files}
        memory = Memory(
            sha256=str(plain["sha256"]),
            seen=plain["seen"] * plain["units"],
            scores=plain["scores"].astype(np.float32),
            labels=plain["labels"].astype(np.int64),
            sets=plain["names"][plain["sets"]],
        )
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise NetworkError(f"{path} is no memory of a network: {type(error).__name__} {error}") from error
    if memory.sha256 != contract.files["model.onnx"]:
        raise NetworkError(f"{path} is of another network than model.onnx; python -m training.remember writes it anew")
    if LEARNED not in memory.sets or not memory.held_out:
        raise NetworkError(f"{path} must have photos that were learned from and photos that were held out")
    return memory


def packed(sha256: str, seen: np.ndarray, scores: np.ndarray, labels: np.ndarray, sets: Sequence[str]) -> bytes:
    """The file of a memory.

    Args:
        sha256: of the model.onnx that saw the photos.
        seen: (n, channels), what it saw, 0 or more.
        scores: (n, classes).
        labels: (n,) class indices.
        sets: n names.
    """
    names = sorted(set(sets))
    units = seen.max(axis=0) / LEVELS + _TINY
    file = io.BytesIO()
    np.savez_compressed(
        file,
        sha256=np.array(sha256),
        units=units.astype(np.float32),
        seen=np.round(seen / units).astype(np.uint8),
        scores=scores.astype(np.float16),
        labels=labels.astype(np.uint8),
        sets=np.array([names.index(name) for name in sets], np.uint8),
        names=np.array(names),
    )
    return file.getvalue()


def accuracy(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The accuracy of (n, classes) scores as history.json has it."""
    found = share(int((scores.argmax(axis=1) == labels).sum()), len(labels))
    assert found  # a memory without held-out photos was refused
    return {"photos": found.count, "accuracy": found.value, "low": found.low, "high": found.high}
