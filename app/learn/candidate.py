"""A version that may be served comes in, with how it compares with the one that is; its folder in the store goes out."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.inference.cage.photos import decode
from app.inference.networks.contract import INT8_FILE, Contract
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.tensor import to_tensor
from app.learn import version
from app.learn.promotion import CORRECTIONS, Comparison, compare

Shown = tuple[int, bytes]
"""A photo and the index of its class."""


@dataclass(frozen=True)
class Candidate:
    """A version that may be served.

    `held_out` and `corrections` compare it with the one that is. `contract`, `files`, `metrics` and `history` are what its
    folder has beside model.onnx; what follows from the version's number and the model's digest is left out.
    """

    network: OnnxNetwork
    held_out: tuple[Comparison, ...]
    corrections: Comparison
    contract: Mapping[str, Any]
    files: Mapping[str, bytes]
    metrics: Mapping[str, Any]
    history: Mapping[str, Any]


def compared(served: OnnxNetwork, network: OnnxNetwork, held_out: Sequence[Shown], max_pixels: int) -> Comparison:
    """Two networks on corrections that neither has learned from, each answered by both."""
    before, after = (np.stack([answered(one, photo, max_pixels) for _, photo in held_out]) for one in (served, network))
    return compare(CORRECTIONS, before, after, np.array([label for label, _ in held_out]))


def answered(network: OnnxNetwork, photo: bytes, max_pixels: int) -> np.ndarray:
    """The scores of a photo, (classes,) float32. Raises what `decode` raises."""
    height, width, _ = network.contract.input_shape
    tensor = to_tensor(decode(photo, max_pixels, max(height, width)).image, height, width)
    return network.run(tensor, ["scores"]).stages["scores"]


def write(made: Candidate, folder: Path, counts: Mapping[str, int], served: Path) -> None:
    """Write the version's folder, NETWORK/VERSION in the store. `counts` says of how many corrections it was made, and
    `served` is the folder of the version that it follows.

    Raises NetworkError where it cannot be written, or where the network was deleted meanwhile.
    """
    model, number = made.network.model(), {"version": folder.name}
    metrics = {**made.metrics, **number, "sha256": hashlib.sha256(model).hexdigest()}
    metrics["compared"] = [asdict(one) for one in (*made.held_out, made.corrections)]
    history = {**made.history, **number, "corrections": dict(counts)}
    files = {"model.onnx": model, **made.files}
    contract = {**made.contract, **number}
    known, twin = contract.pop("int8", None), made.network.twin_model()
    if known and twin:  # what was learned is in its part that is in float
        files[INT8_FILE] = twin
        contract["int8"] = known
    version.write(folder, contract, files, {"metrics": metrics, "history": history}, served)


def raw(contract: Contract) -> dict[str, Any]:
    """The contract's file."""
    found: dict[str, Any] = json.loads((contract.folder / "contract.json").read_text(encoding="utf-8"))
    return found
