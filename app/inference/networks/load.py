"""The folder model/ comes in; every usable network goes out, loaded and run once."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from app.inference.networks import versions
from app.inference.networks.contract import Contract
from app.inference.networks.engines import KerasNetwork, Network, OnnxNetwork
from app.inference.networks.versions import Catalogue

ENGINES: dict[str, type[OnnxNetwork] | type[KerasNetwork]] = {"onnx": OnnxNetwork, "keras": KerasNetwork}


def load_all(
    folder: Path, engine: str, pins: Mapping[str, str] | None = None, only: str | None = None
) -> Catalogue[Network]:
    """Load every version of every network below `folder`, or of the network `only`, and run each once.

    Raises NetworkError when there is no network, or when a network has no usable version; see `versions.catalogue`.
    """

    def start(contract: Contract) -> Network:
        network: Network = ENGINES[engine](contract)
        network.run(np.zeros((1, *contract.input_shape), np.float32))
        return network

    return versions.catalogue(folder, start, pins or {}, only)
