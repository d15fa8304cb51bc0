"""A path comes in; the Keras network in the file there goes out, built from what a process without rights read in it."""

import contextlib
import json
import os
import struct
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
from keras.src.applications.convnext import LayerScale

from training.errors import TrainingError
from training.importing.cleaned import cleaned

SAVE = 'save it in Keras 3 with model.save("network.keras") and bring that'

IMPORTED_FROM = Path(__file__).parents[__name__.count(".")]
"""The folder that this package is imported from."""

OTHERS: tuple[tuple[bytes, int, str], ...] = (
    (b"\x80", 0, "holds a pickle, and a pickle runs code when it is read"),
    (b"TFL3", 4, "is a TensorFlow Lite file, whose layers are gone"),
    (b"\x08", 0, "looks like ONNX or a TensorFlow graph, whose layers are gone"),
    (b"\x93NUMPY", 0, "is a NumPy array, not a network"),
    (b"{", 0, "is text; a network has weights too"),
)
"""How files that are no Keras networks begin: the bytes, where, and what they are."""


def read(path: Path) -> keras.Model:
    """The network in a file of Keras 2 or 3. Raises TrainingError, one line, for every other file."""
    kind = _kind(path)
    header, arrays = _unpacked(path, kind)
    if "refused" in header:
        raise TrainingError(f"{path} {header['refused']}")
    if header["missing"]:
        sys.stderr.write(f"warning: {path} was read with limited memory, time and files only: {header['missing']}\n")
    legacy = header["legacy"] or header["keras"].split(".")[0] in ("1", "2")
    try:
        config = cleaned(header["config"], legacy)
    except TrainingError as error:
        raise TrainingError(f"{path} cannot be brought: {error}") from error
    try:
        with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
            warnings.simplefilter("ignore")  # about input shapes and names, which are Keras' own here
            model = keras.saving.deserialize_keras_object(config, custom_objects={"LayerScale": LayerScale})
            if not model.built or (isinstance(model, keras.Sequential) and not model.inputs):
                raise TrainingError(f"{path} was saved before it was built; call it on a photo once, then save it")
            weights = Path(folder, "old.h5" if header["legacy"] else "network.weights.h5")
            _write(weights, header["tree"], arrays)
            model.load_weights(weights)
    except TrainingError:
        raise
    except Exception as error:  # Keras answers a configuration that does not fit with whatever happens to fail
        raise TrainingError(f"{path} cannot be loaded: {_one_line(error)}; {SAVE}") from error
    return model


def _kind(path: Path) -> str:
    """Which parser a file needs, by its first bytes, whatever its name."""
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            raise TrainingError(
                f"{path} is a SavedModel folder, which holds a graph of TensorFlow's operations instead of layers; where "
                'it was made, load it with tf.keras.models.load_model and save it with model.save("network.h5"); bring that'
            )
        raise TrainingError(f"{path} is a folder without a network; name a .keras or .h5 file")
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise TrainingError(f"{path} cannot be read: {error.strerror}") from error
    if start.startswith(b"PK\x03\x04"):
        return "keras"
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return "h5"
    for signature, place, what in OTHERS:
        if start[place:].startswith(signature):
            raise TrainingError(f"{path} {what}; {SAVE}")
    raise TrainingError(f"{path} cannot be loaded: it is neither a .keras nor an .h5 file of Keras; {SAVE}")


def _unpacked(path: Path, kind: str) -> tuple[dict[str, Any], list[np.ndarray]]:
    """What `confined` reads in a file: its header, and the arrays that the header's `tree` names."""
    environment = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT") if name in os.environ}
    environment |= {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(IMPORTED_FROM)}
    command = [sys.executable, "-m", "training.importing.confined", kind]
    with path.open("rb") as file:
        result = subprocess.run(  # noqa: S603 our own module
            command, stdin=file, capture_output=True, env=environment, check=False
        )
    with contextlib.suppress(ValueError, KeyError, struct.error):
        (length,) = struct.unpack_from("<Q", result.stdout)
        header = json.loads(result.stdout[8 : 8 + length])
        arrays, start = [], 8 + length
        for entry in header.get("tree", []):
            if "shape" in entry:
                kind_of = np.dtype(entry["dtype"])
                count = int(np.prod(entry["shape"], dtype=np.int64))
                arrays.append(np.frombuffer(result.stdout, kind_of, count, start).reshape(entry["shape"]))
                start += count * kind_of.itemsize
        return header, arrays
    raise TrainingError(f"{path} is damaged: its reader ended with status {result.returncode}")


def _write(path: Path, tree: list[dict[str, Any]], arrays: list[np.ndarray]) -> None:
    """The weights as a new HDF5 file in the places where Keras looks for them."""
    left = iter(arrays)
    with h5py.File(path, "w") as file:
        for entry in tree:
            if "shape" in entry:
                file.create_dataset(entry["path"], data=next(left))
                continue
            group = file.require_group(entry["path"]) if entry["path"] else file
            for name, value in entry["attributes"].items():
                group.attrs[name] = np.array([one.encode() for one in value]) if isinstance(value, list) else value


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
