"""A photo's bytes come in, the probabilities of cat and not cat go out: the work that every peer does, in two variants.

`documented` prepares a photo as the peers' image examples do, and creates the session as ONNX Runtime's quickstart does: one
thread per core for each pass. `ours` uses the service's code inside the peer: decoding at a reduced size where that is
enough, and one thread per pass, so that passes run in parallel.

The peers' own Pythons import this module, so it may only need numpy, Pillow and ONNX Runtime; `ours` also needs isal, which
the service's modules import.
"""

import io
import json
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np

MODEL = Path(__file__).parents[2] / "model" / "cat"
SIDE = json.loads((MODEL / "contract.json").read_text())["input"]["shape"][0]  # pixels
CLASSES = ("cat", "not_cat")
CORES = len(os.sched_getaffinity(0))


class Work(Protocol):
    """The two halves of the work, which peers put where they belong: decoding a request, and running a batch."""

    def tensor(self, data: bytes) -> np.ndarray:
        """A photo's bytes as (SIDE, SIDE, 3) float32, 0..255."""

    def probabilities(self, batch: np.ndarray) -> np.ndarray:
        """The (n, 2) float32 probabilities of (n, SIDE, SIDE, 3) float32."""


def variant() -> str:
    """The variant to measure, `documented` or `ours`, from the environment variable VARIANT."""
    return os.environ.get("VARIANT", "documented")


def load() -> Work:
    """Load the network for that variant."""
    return {"documented": Documented, "ours": Ours}[variant()]()


def named(probabilities: np.ndarray) -> dict[str, float]:
    """The two probabilities of one photo by the names of their classes, as every peer answers them."""
    return dict(zip(CLASSES, map(float, probabilities), strict=True))


class Documented:
    """Pillow's open, convert and resize; a session with nothing set; a batch in one pass."""

    def __init__(self) -> None:
        import onnxruntime

        self._session = onnxruntime.InferenceSession(MODEL / "model.onnx", providers=["CPUExecutionProvider"])

    def tensor(self, data: bytes) -> np.ndarray:
        """See Work.tensor."""
        from PIL import Image

        image = Image.open(io.BytesIO(data)).convert("RGB").resize((SIDE, SIDE))
        return np.asarray(image, dtype=np.float32)

    def probabilities(self, batch: np.ndarray) -> np.ndarray:
        """See Work.probabilities. Only the output that is answered is asked for, not every stage's."""
        answer: np.ndarray = self._session.run(["probabilities"], {"image": batch})[0]
        return answer


class Ours:
    """The service's own decoding, resizing and session; a batch photo by photo, which costs a CPU no more."""

    def __init__(self) -> None:
        from app.inference import predict
        from app.inference.decode import MAX_PIXELS
        from app.inference.networks import contract
        from app.inference.networks.engines.onnx_engine import OnnxNetwork

        self._network: Any = OnnxNetwork(contract.load(MODEL))
        self._read = lambda data: predict.read(data, self._network, MAX_PIXELS)[1]

    def tensor(self, data: bytes) -> np.ndarray:
        """See Work.tensor."""
        one: np.ndarray = self._read(data)[0]
        return one

    def probabilities(self, batch: np.ndarray) -> np.ndarray:
        """See Work.probabilities."""
        return np.stack([self._network.run(one[np.newaxis]).probabilities for one in batch])
