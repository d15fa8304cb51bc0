"""Somebody's model file comes in on standard input; its configuration and plain arrays go out, read without any rights.

    python -m training.importing.confined keras|h5 < FILE

A model file is a stranger's, and the parsers of ZIP and HDF5 are large. So they run in a process that gives up its rights
first: it can open no file, socket or device, start no process, and write only to its pipe. It knows no Keras, and nothing in
the file can name what is to be run; what it answers is JSON and arrays, which `archive` reads.
"""

import io
import json
import struct
import sys
import zipfile
from typing import Any

import h5py
import numpy as np

from app.inference.cage.confinement import confine

MAX_CONFIG = 64 * 2**20
MAX_WEIGHTS = 4 * 2**30
"""Bytes of a configuration, and of all weights together; the largest of keras.applications has 0.9 GB."""
MAX_MEMORY = 4 * MAX_WEIGHTS
MAX_SECONDS = 300
"""CPU time."""


class Refused(Exception):
    """The file cannot be read; the text goes to whoever gave it."""


def main() -> None:
    """Read the file, give up all rights, parse it, and write a header of JSON, its length before it, and the arrays."""
    data, kind = sys.stdin.buffer.read(), sys.argv[1]
    rehearse()
    missing = confine(MAX_MEMORY, MAX_SECONDS, also=("newfstatat",))
    arrays: list[np.ndarray] = []
    try:
        header = from_keras(data, arrays) if kind == "keras" else from_h5(data, arrays)
    except Refused as error:
        header, arrays = {"refused": str(error)}, []
    except MemoryError:
        header, arrays = {"refused": "needs more memory than a network may"}, []
    except Exception as error:  # what parsers of broken files raise has no common class
        header, arrays = {"refused": f"is damaged ({type(error).__name__})"}, []
    text = json.dumps(header | {"missing": missing}).encode()
    out = sys.stdout.buffer
    out.write(struct.pack("<Q", len(text)) + text)
    for array in arrays:
        out.write(array.data if array.size else b"")
    out.flush()


def rehearse() -> None:
    """Parse a file of our own once, since Python loads modules when they are first used, and later no file can be opened."""
    packed, stored = io.BytesIO(), io.BytesIO()
    with h5py.File(stored, "w") as file:
        file.attrs["model_config"] = "{}"
        file.attrs["layer_names"] = np.array([b"a"])
        file.create_dataset("a/b", data=np.zeros((4, 4), np.float32), chunks=(2, 2), compression="gzip")
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", '{"é": 1.5}'.encode())
        archive.writestr("model.weights.h5", stored.getvalue())
    from_keras(packed.getvalue(), [])
    for broken in (packed.getvalue()[:-30], b"nothing"):
        try:
            from_keras(broken, [])
        except Exception as error:
            str(error)


def from_keras(data: bytes, arrays: list[np.ndarray]) -> dict[str, Any]:
    """A .keras file: a ZIP archive of config.json, metadata.json and model.weights.h5."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        if "config.json" not in names:
            if any(name.endswith(("data.pkl", ".pkl", ".pickle")) for name in names):
                raise Refused("holds pickles, as PyTorch's files do, and a pickle runs code when it is read")
            raise Refused("is a ZIP archive, but not one of Keras': it holds no config.json")
        if "model.weights.h5" not in names:
            raise Refused("holds no model.weights.h5")
        config = json.loads(_member(archive, "config.json", MAX_CONFIG))
        metadata = json.loads(_member(archive, "metadata.json", MAX_CONFIG)) if "metadata.json" in names else {}
        weights = _member(archive, "model.weights.h5", MAX_WEIGHTS)
    with h5py.File(io.BytesIO(weights), "r") as file:
        tree = _tree(file, arrays)
    return {"config": config, "keras": str(metadata.get("keras_version", "3")), "legacy": False, "tree": tree}


def _member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    with archive.open(name) as member:
        content = member.read(most + 1)
    if len(content) > most:
        raise Refused(f"holds a {name} of more than {most} bytes")
    return content


def from_h5(data: bytes, arrays: list[np.ndarray]) -> dict[str, Any]:
    """A file that Keras 2 saved, or Keras 3 under a name that ends in .h5."""
    with h5py.File(io.BytesIO(data), "r") as file:
        text = file.attrs.get("model_config")
        if text is None:
            raise Refused('holds weights without the network; save the whole of it with model.save("network.keras")')
        config = json.loads(text)
        version = file.attrs.get("keras_version", "2")
        tree = _tree(file["model_weights"], arrays)
    return {"config": config, "keras": _text(version), "legacy": True, "tree": tree}


def _tree(group: h5py.Group, arrays: list[np.ndarray]) -> list[dict[str, Any]]:
    """Every group and array below `group` by path, with attributes that are text; what points out of the file is refused."""
    found: list[dict[str, Any]] = [{"path": "", "attributes": _attributes(group)}]
    waiting = [(name, group) for name in group]
    bytes_left = MAX_WEIGHTS - sum(array.nbytes for array in arrays)
    prefix = group.name.rstrip("/")
    while waiting:
        name, parent = waiting.pop(0)
        if not isinstance(parent.get(name, getlink=True), h5py.HardLink):
            raise Refused("holds a link, which Keras does not write; it may point to other files")
        item = parent[name]
        entry: dict[str, Any] = {"path": item.name.removeprefix(prefix).strip("/"), "attributes": _attributes(item)}
        if isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                raise Refused("keeps its weights in other files, which Keras does not do")
            if item.dtype.kind not in "fiu":
                raise Refused(f"holds an array of {item.dtype}; weights are numbers")
            bytes_left -= item.size * item.dtype.itemsize
            if bytes_left < 0:
                raise Refused(f"holds weights of more than {MAX_WEIGHTS} bytes")
            array = np.ascontiguousarray(item[()])
            array = array.astype(array.dtype.newbyteorder("<"), copy=False)
            arrays.append(array)
            entry |= {"shape": item.shape, "dtype": array.dtype.str}
        else:
            waiting += [(below, item) for below in item]
        found.append(entry)
        if len(found) > 100_000:
            raise Refused("holds more than 100000 arrays")
    return found


def _attributes(item: Any) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name in item.attrs:
        value = item.attrs[name]
        if isinstance(value, np.ndarray) and value.ndim == 1 and (not value.size or value.dtype.kind in "SO"):
            kept[name] = [_text(one) for one in value]
        elif isinstance(value, str | bytes):
            kept[name] = _text(value)
    return kept


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


if __name__ == "__main__":
    main()
