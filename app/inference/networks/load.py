"""The folder model/ comes in; every usable network goes out, loaded and run once."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from app.inference.networks import versions
from app.inference.networks.contract import INT8_FILE, Contract
from app.inference.networks.engines.keras_engine import KerasNetwork
from app.inference.networks.engines.network import Network
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.networks.versions import Catalogue


def load_all(
    roots: Sequence[Path],
    engine: str,
    pins: Mapping[str, str] | None = None,
    only: str | None = None,
    loaded: Mapping[Path, Network] | None = None,
    precision: str = "float32",
) -> Catalogue[Network]:
    """Load every version of every network below the folders `roots`, or of the network `only`, and run each once. A network
    that is `loaded` already, by its folder, and whose contract is still the same is taken as it is. `precision` says whether
    twins in integers may answer, see `integers.PRECISIONS`.

    Raises NetworkError when there is no network, or when a network has no usable version; see `versions.catalogue`.
    """

    def start(contract: Contract) -> Network:
        before = (loaded or {}).get(contract.folder)
        if before and before.contract == contract:
            contract.verified(f"model.{engine}")
            if before.integers is not None:
                contract.verified(INT8_FILE)
            return before
        network: Network = KerasNetwork(contract) if engine == "keras" else OnnxNetwork(contract, precision)
        network.run(np.zeros((1, *contract.input_shape), np.float32))
        return network

    return versions.catalogue(roots, start, pins or {}, only)
