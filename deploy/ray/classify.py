"""On any node: a batch of paths comes in, a row for each goes out. The network is loaded once in each process.

Each process works on one photo at a time with one thread, as the service's workers do: a CPU does more photos a second side
by side than together. The network's files come from the driver by way of Ray, so that every node runs the very same ones.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray

from app.errors import RequestError
from app.inference import contract, decode
from app.inference.contract import Contract
from app.inference.network import Network, OnnxNetwork
from app.inference.predict import Wanted, predict
from deploy.ray.photos import Unread, read_ahead

COLUMNS = pa.schema(
    [
        ("path", pa.string()),
        ("label", pa.string()),
        ("verdict", pa.string()),
        ("cat", pa.float64()),  # the probability of a cat
        ("width", pa.int32()),  # pixels, upright
        ("height", pa.int32()),
        ("sha256", pa.string()),  # of the photo's bytes
        ("network", pa.string()),
        ("version", pa.string()),
        ("network_sha256", pa.string()),
        ("error", pa.string()),  # why there is no answer, or null
    ]
)
UNREAD = "could not be read: "
"""Begins the error of a photo whose bytes could not be had."""
ENDED = "no answer: each process that worked on it ended"
"""The error of a photo that no process came to the end of."""
AGAIN = (UNREAD, ENDED)
"""What another time may be different: the next run asks again."""

_ANSWER = Wanted(feature_maps="none")
_loaded: dict[str, Network] = {}  # by SHA-256, for as long as the process lives


@dataclass(frozen=True)
class Shipment:
    """A network on its way to the nodes: what it is, and its files as Ray keeps them."""

    name: str
    version: str
    sha256: str
    files: Any
    """ray.ObjectRef of a dict: file names to bytes."""

    def network(self) -> Network:
        """The network, loaded when this process first asks for it. Raises NetworkError when it cannot be."""
        if self.sha256 not in _loaded:
            with tempfile.TemporaryDirectory(prefix="catscope-") as place:  # ONNX Runtime keeps what it has read
                folder = Path(place) / self.name
                folder.mkdir()
                for name, data in ray.get(self.files).items():
                    (folder / name).write_bytes(data)
                _loaded[self.sha256] = OnnxNetwork(contract.load(folder, self.name))
            decode.prepare()
        return _loaded[self.sha256]


def ship(found: Contract) -> Shipment:
    """Hand a network's files to Ray. Raises NetworkError when they are not those that its contract names."""
    paths = [found.verified("model.onnx"), found.folder / "contract.json"]
    files = ray.put({path.name: path.read_bytes() for path in paths})
    return Shipment(found.network, found.version, found.files["model.onnx"], files)


def prepare(shipment: Shipment) -> None:
    """Load the network, as the first photo would. Raises NetworkError when it cannot be."""
    shipment.network()


def classify(batch: pa.Table, shipment: Shipment, max_pixels: int) -> pa.Table:
    """A table of COLUMNS for the photos of the column `path`, in its order. No photo raises anything."""
    network = shipment.network()
    return _table([_row(path, data, network, max_pixels) for path, data in read_ahead(batch["path"].to_pylist())], shipment)


def ended(paths: list[str], shipment: Shipment) -> pa.Table:
    """Rows of photos that no process came to the end of."""
    return _table([{"path": path, "error": ENDED} for path in paths], shipment)


def _table(rows: list[dict[str, Any]], shipment: Shipment) -> pa.Table:
    same = {"network": shipment.name, "version": shipment.version, "network_sha256": shipment.sha256}
    return pa.Table.from_pylist([same | row for row in rows], COLUMNS)


def _row(path: str, data: bytes | Unread, network: Network, max_pixels: int) -> dict[str, Any]:
    if isinstance(data, Unread):
        return {"path": path, "error": f"{UNREAD}{data}"}
    try:
        answer = predict(data, network, _ANSWER, max_pixels)
    except RequestError as error:
        return {"path": path, "error": str(error)}
    except Exception as error:  # a mistake of ours with one photo is no reason to lose the others
        return {"path": path, "error": f"a mistake in Catscope: {type(error).__name__}: {error}"[:300]}
    photo = answer.photo
    return {
        "path": path,
        "label": answer.label,
        "verdict": answer.verdict,
        "cat": answer.probabilities["cat"],
        "width": photo.width,
        "height": photo.height,
        "sha256": photo.sha256,
    }
