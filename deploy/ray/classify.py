"""On any node: a batch of paths comes in, a row for each goes out. Each process loads the network once.

Each process works on one photo at a time with one thread, as the service's workers do: on a CPU, several photos in parallel
give more throughput than several threads per photo. The driver distributes the network's files through Ray, so every node
runs the same ones.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray

from app.errors import RequestError
from app.inference import decode
from app.inference.networks.contract import INT8_FILE, Contract, load
from app.inference.networks.engines.network import Network
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.predict import PredictOptions, predict
from deploy.ray.photos import Unread, read_ahead

COLUMNS = pa.schema(
    [
        ("path", pa.string()),
        ("label", pa.string()),
        ("verdict", pa.string()),
        ("cat", pa.float64()),  # the probability of a cat, null from networks without that class
        ("width", pa.int32()),  # pixels, upright
        ("height", pa.int32()),
        ("sha256", pa.string()),  # of the photo's bytes
        ("network", pa.string()),
        ("version", pa.string()),
        ("network_sha256", pa.string()),
        ("precision", pa.string()),  # what computed the answer: float32, or int8, the network's twin in integers
        ("error", pa.string()),  # why there is no answer, or null
    ]
)
UNREAD = "could not be read: "
"""Prefix of the error of a photo whose bytes could not be read."""
ENDED = "no answer: each process that worked on it ended"
"""The error of a photo that every process crashed on."""
RETRYABLE = (UNREAD, ENDED)
"""Prefixes of errors that may not recur: the next run tries these photos again."""

_ANSWER = PredictOptions(feature_maps="none")
_loaded: dict[str, Network] = {}  # by SHA-256, for as long as the process lives


@dataclass(frozen=True)
class Shipment:
    """A network to distribute to the nodes: its identity, its files in Ray's object store, and what may answer."""

    name: str
    version: str
    sha256: str
    files: Any
    """ray.ObjectRef of a dict: file names to bytes."""
    precision: str = "auto"
    """One of integers.PRECISIONS; each node decides for its own CPU what `auto` is."""

    def network(self) -> Network:
        """The network, loaded on first use in this process. Raises NetworkError if that fails."""
        if self.sha256 not in _loaded:
            with tempfile.TemporaryDirectory(
                prefix="catscope-"
            ) as directory:  # ONNX Runtime has read the files when it is deleted
                folder = Path(directory) / self.name
                folder.mkdir()
                for name, data in ray.get(self.files).items():
                    (folder / name).write_bytes(data)
                _loaded[self.sha256] = OnnxNetwork(load(folder, self.name), self.precision)
            decode.prepare()
        return _loaded[self.sha256]


def ship(contract: Contract, precision: str = "auto") -> Shipment:
    """Put a network's files into Ray's object store. Raises NetworkError if they do not match its contract."""
    names = ["model.onnx", *([INT8_FILE] if contract.int8 else [])]
    paths = [*map(contract.verified, names), contract.folder / "contract.json"]
    files = ray.put({path.name: path.read_bytes() for path in paths})
    return Shipment(contract.network, contract.version, contract.files["model.onnx"], files, precision)


def prepare(shipment: Shipment) -> None:
    """Load the network, as the first photo would. Raises NetworkError if that fails."""
    shipment.network()


def classify(batch: pa.Table, shipment: Shipment, max_pixels: int) -> pa.Table:
    """A table of COLUMNS for the paths in the column `path`, in the same order. No photo makes it raise an exception."""
    network = shipment.network()
    return _table([_row(path, data, network, max_pixels) for path, data in read_ahead(batch["path"].to_pylist())], shipment)


def ended(paths: list[str], shipment: Shipment) -> pa.Table:
    """Rows for photos that every process crashed on."""
    return _table([{"path": path, "error": ENDED} for path in paths], shipment)


def _table(rows: list[dict[str, Any]], shipment: Shipment) -> pa.Table:
    common = {"network": shipment.name, "version": shipment.version, "network_sha256": shipment.sha256}
    return pa.Table.from_pylist([common | row for row in rows], COLUMNS)


def _row(path: str, data: bytes | Unread, network: Network, max_pixels: int) -> dict[str, Any]:
    if isinstance(data, Unread):
        return {"path": path, "error": f"{UNREAD}{data}"}
    try:
        answer = predict(data, network, _ANSWER, max_pixels)
    except RequestError as error:
        return {"path": path, "error": str(error)}
    except Exception as error:  # a bug that one photo triggers must not lose the others
        return {"path": path, "error": f"a bug in Catscope: {type(error).__name__}: {error}"[:300]}
    photo = answer.photo
    return {
        "path": path,
        "label": answer.label,
        "verdict": answer.verdict,
        "cat": answer.probabilities.get("cat"),
        "width": photo.width,
        "height": photo.height,
        "sha256": photo.sha256,
        "precision": answer.precision,
    }
