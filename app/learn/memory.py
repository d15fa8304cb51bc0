"""The file memory.npz of a network comes in; what the photos that it learned from looked like to it, and what it saw in
held-out sets, goes out.

It takes the place of the photos: a new version must not forget the first, and must not be worse on the second. Of the first
it has only the mean and the covariance of what was seen, see app.learn.attention; of the second a byte for each channel of
each photo.
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

_TINY = 1e-12  # where a channel never varies


@dataclass(frozen=True)
class Memory:
    """What a network saw.

    - `sha256`: of the model.onnx that saw it
    - `learned`: how many photos that it learned from `mean` (channels,) and `covariance` (channels, channels) float64 are of
    - `seen` (n, channels) float32, `scores` (n, classes) float32, `labels` (n,) class indices and `sets` (n,) names: of the
      photos held out
    """

    sha256: str
    learned: int
    mean: np.ndarray
    covariance: np.ndarray
    seen: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    sets: np.ndarray


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
            learned=int(plain["learned"]),
            mean=plain["mean"].astype(np.float64),
            covariance=_covariance(plain["deviations"].astype(np.float64), plain["correlations"]),
            seen=plain["seen"] * plain["units"],
            scores=plain["scores"].astype(np.float32),
            labels=plain["labels"].astype(np.int64),
            sets=plain["names"][plain["sets"]],
        )
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise NetworkError(f"{path} is no memory of a network: {type(error).__name__} {error}") from error
    if memory.sha256 != contract.files["model.onnx"]:
        raise NetworkError(f"{path} is of another network than model.onnx; python -m training.remember writes it anew")
    return memory


def packed(
    sha256: str, learned: np.ndarray, seen: np.ndarray, scores: np.ndarray, labels: np.ndarray, sets: Sequence[str]
) -> bytes:
    """The file of a memory.

    Args:
        sha256: of the model.onnx that saw the photos.
        learned: (photos, channels), what it saw in photos that it learned from.
        seen: (n, channels), what it saw in those held out, 0 or more.
        scores: (n, classes).
        labels: (n,) class indices.
        sets: n names.
    """
    names = sorted(set(sets))
    units = seen.max(axis=0) / LEVELS + _TINY
    deviations = learned.std(axis=0, dtype=np.float64) + _TINY
    correlations = np.cov(learned, rowvar=False, bias=True) / np.outer(deviations, deviations)
    file = io.BytesIO()
    np.savez_compressed(
        file,
        sha256=np.array(sha256),
        learned=np.array(len(learned)),
        mean=learned.mean(axis=0, dtype=np.float64).astype(np.float32),
        deviations=deviations.astype(np.float32),
        correlations=correlations[np.triu_indices(len(deviations), 1)].astype(np.float16),
        units=units.astype(np.float32),
        seen=np.round(seen / units).astype(np.uint8),
        scores=scores.astype(np.float16),
        labels=labels.astype(np.uint8),
        sets=np.array([names.index(name) for name in sets], np.uint8),
        names=np.array(names),
    )
    return file.getvalue()


def _covariance(deviations: np.ndarray, correlations: np.ndarray) -> np.ndarray:
    """The covariance, from standard deviations and the correlations above the diagonal."""
    whole = np.eye(len(deviations))
    whole[np.triu_indices(len(deviations), 1)] = correlations
    return np.asarray((whole + np.triu(whole, 1).T) * np.outer(deviations, deviations))


def accuracy(memory: Memory, scores: np.ndarray) -> dict[str, float]:
    """The accuracy of other scores, (n, classes), on all held-out photos, as history.json has it."""
    found = share(int((scores.argmax(axis=1) == memory.labels).sum()), len(memory.labels))
    assert found  # a memory without held-out photos was refused
    return {"photos": found.count, "accuracy": found.value, "low": found.low, "high": found.high}
