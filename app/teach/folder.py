"""What was taught comes in; the folder of a network that can be served goes out."""

import hashlib
import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.errors import NetworkError
from app.inference.networks.contract import AXES, INT8_FILE, Contract, Stage, plain
from app.inference.networks.onnx.other_classes import LAST, before, with_classes
from app.teach import twin as twins
from app.teach.twin import Twin

if TYPE_CHECKING:  # the service, which only names the folder's version, need not load what teaches
    from app.teach.teach import Taught

VERSION = "1.0.0"
"""Of every network that is taught: a name can be taught once."""

PHOTOS = "photos.npz"
"""What was seen in the photos, so that other judges can be fitted without them."""


def check_start(contract: Contract) -> None:
    """Raise NetworkError unless other classes can be taught to this network."""
    names = [stage.name for stage in contract.stages]
    if not {LAST, "evidence", "pooled", "scores", "probabilities"} <= set(names):
        raise NetworkError(f"teaching starts from the network cat; {contract.network} has no stages {LAST} and evidence")


def write(taught: "Taught", start: Contract, folder: Path, within: Path | None = None) -> Twin:
    """Write the network that begins as `start` does: model.onnx, int8.onnx if it may have that twin, photos.npz,
    contract.json, metrics.json and history.json.

    The folder appears whole or not at all; until then its files are `within` another folder of the same file system, or
    beside it. Returns what became of the twin. Raises NetworkError if there is something already, or if it cannot be
    written.
    """
    check_free(folder)
    stages, inner = _before(start)
    shape, twin = _shape(taught, stages[-1]), twins.compare(taught, start)
    model = with_classes(start.verified("model.onnx").read_bytes(), weights(taught), shape)
    files = {"model.onnx": model, PHOTOS: seen_in(taught)}
    if twin.contract:
        files[INT8_FILE] = with_classes(start.verified(INT8_FILE).read_bytes(), weights(taught), shape)
    new = _judging(len(taught.classes), stages[-1].shape[-1], shape)
    begun = {"network": start.network, "version": start.version, "sha256": start.files["model.onnx"]}
    contract = {
        "network": folder.name,
        "architecture": "cat",
        "version": VERSION,
        "classes": taught.classes,
        "input": {"name": "image", "shape": start.input_shape, "range": [0, 255], "resize": "stretch"},
        "axes": AXES,
        **verdicts(taught, twin),
        "parameters": sum(stage.parameters for stage in (*stages, *inner, *new)),
        "started_from": begun,
        "stages": [plain(stage) for stage in (*stages, *new)],
        "inner": [plain(layer) for layer in inner],
    }
    records = {
        "metrics": {"network": folder.name, "version": VERSION, "sha256": hashlib.sha256(model).hexdigest()}
        | metrics(taught, twin),
        "history": {"version": VERSION} | history(taught, begun),
    }
    put(folder, contract, files, records, within or folder.parent, ".teaching-")
    return twin


def put(
    folder: Path,
    contract: Mapping[str, Any],
    files: Mapping[str, bytes],
    records: Mapping[str, Any],
    within: Path,
    prefix: str,
) -> None:
    """Write a network's folder. It appears in one step, so that a process which is killed leaves no part of it to be served.

    Args:
        folder: the folder.
        contract: all but the digests of the files.
        files: names and bytes.
        records: names and contents of further JSON files, such as metrics.
        within: a folder of the same file system, in which the files lie until then.
        prefix: with which their folder's name begins.

    Raises NetworkError where it cannot be written.
    """
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=prefix, dir=within))
        try:
            part.chmod(0o755)
            for name, data in files.items():
                (part / name).write_bytes(data)
            for name, record in {"contract": {**contract, "files": digests}, **records}.items():
                (part / f"{name}.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            os.rename(part, folder)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    except OSError as error:
        raise NetworkError(f"{folder} cannot be written: {error.strerror or error}") from error


def check_free(folder: Path) -> None:
    """Raise NetworkError if there is something in the folder already."""
    if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise NetworkError(f"{folder} holds something already; choose another name, or delete it first")


def weights(taught: "Taught") -> dict[str, np.ndarray]:
    """What differs from the network that it started from, float32, as `with_classes` takes it. The temperature divides the
    scores.
    """
    kernel, bias = taught.judges.kernel.astype(np.float32), taught.judges.bias.astype(np.float32)
    return {
        "evidence/kernel": np.ascontiguousarray(kernel.T)[:, :, None, None],
        "evidence/bias": bias,
        "scores/kernel": (np.eye(len(bias)) / taught.temperature).astype(np.float32),
        "scores/bias": np.zeros(len(bias), np.float32),
    }


def seen_in(taught: "Taught") -> bytes:
    """The file PHOTOS, in the order of the photos' digests; the same photos give the same bytes.

    `means` (n, 2, channels) float16, of the photo and its mirror image; `labels` (n,) int64; `sha256` (n,) of 64 bytes;
    `looks` (n, 32) uint8, the bits of the fingerprints; `scores` (n, classes) float32, those of cross-validation. Of photos
    that integers saw, too, `integers` (m, channels) float16, and `rows` (m,) int64, which of all photos they are.
    """
    arrays = {
        "means": taught.means,
        "labels": np.array([photo.label for photo in taught.photos], np.int64),
        "sha256": np.array([photo.sha256 for photo in taught.photos], "S64"),
        "looks": np.packbits(np.stack([photo.looks for photo in taught.photos]), axis=1),
        "scores": taught.unseen,
    }
    if taught.compared:
        arrays |= {"integers": taught.compared.means, "rows": taught.compared.rows}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, values in arrays.items():
            array = io.BytesIO()
            np.lib.format.write_array(array, values, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), array.getvalue())  # all of one date, unlike np.savez
    return packed.getvalue()


def _shape(taught: "Taught", last: Stage) -> tuple[int, int, int]:
    """Of `evidence`: (classes, height, width)."""
    return len(taught.classes), last.shape[0], last.shape[1]


def _before(start: Contract) -> tuple[list[Stage], list[Stage]]:
    """The stages and the layers inside them that LAST is computed from, itself included, in their order."""
    found = before(LAST, {stage.name: stage.inputs for stage in (*start.stages, *start.inner)})
    return [stage for stage in start.stages if stage.name in found], [layer for layer in start.inner if layer.name in found]


def _judging(classes: int, channels: int, shape: tuple[int, int, int]) -> list[Stage]:
    """The stages behind LAST."""
    _, height, width = shape
    return [
        Stage(
            name="evidence",
            kind="convolution",
            shape=(height, width, classes),
            inputs=(LAST,),
            parameters=(channels + 1) * classes,
            kernel=(1, 1),
            stride=(1, 1),
            padding="valid",
        ),
        Stage("pooled", "pooling", (classes,), ("evidence",), 0, operation="average"),
        Stage("scores", "dense", (classes,), ("pooled",), (classes + 1) * classes),
        Stage("probabilities", "probabilities", (classes,), ("scores",), 0),
    ]


def verdicts(taught: "Taught", twin: Twin) -> dict[str, Any]:
    """What the contract says of verdicts, and of the twin, if there is one."""
    known = {"unsure": {"low": taught.band.low, "high": taught.band.high}, "unfamiliar": taught.familiarity.plain()}
    return known | ({"int8": twin.contract} if twin.contract else {})


def metrics(taught: "Taught", twin: Twin) -> dict[str, Any]:
    """What metrics.json says, without the network's name, version and digest."""
    return {
        "sets": {},
        "cross_validation": {
            "folds": taught.folds,
            "photos": len(taught.photos),
            "alike": taught.alike,
            "accuracy": asdict(taught.accuracy),
            "recall": {label: asdict(figure) for label, figure in taught.recall.items()},
            "confusion": taught.confusion,
            "decided_accuracy": taught.band.decided_accuracy,
            "unsure": taught.band.unsure,
            "unfamiliar": {"own": asdict(taught.unfamiliar), "limit": round(taught.familiarity.limit, 4)},
            "int8": twin.plain(),
            "mistakes": [asdict(mistake) for mistake in taught.mistakes],
            "warnings": taught.warnings,
        },
    }


def history(taught: "Taught", begun: dict[str, str]) -> dict[str, Any]:
    """What history.json says, without the version. `begun` is the network that it started from."""
    digests = "".join(photo.sha256 for photo in taught.photos)
    return {
        "network": "cat",
        "classes": taught.classes,
        "started_from": begun,
        "penalty": taught.penalty,
        "photos": {label: sum(row) for label, row in zip(taught.classes, taught.confusion, strict=True)}
        | {"skipped": len(taught.skipped)},
        "photos_sha256": hashlib.sha256(digests.encode()).hexdigest(),
        "calibration": {
            "temperature": round(taught.temperature, 4),
            "count": len(taught.photos),
            "band": asdict(taught.band),
        },
        "validation": {
            "how": f"{taught.folds}-fold cross-validation",
            "photos": len(taught.photos),
            "accuracy": taught.accuracy.value,
            "low": taught.accuracy.low,
            "high": taught.accuracy.high,
        },
        "epochs": [],
    }
