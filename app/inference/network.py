"""Third step: an input tensor comes in; probabilities and the feature maps of the same pass go out.

Two engines run a network. ONNX Runtime runs `model.onnx`, the export; it is what the service uses. Keras runs
`model.keras`, the truth that the export was made from; it needs TensorFlow and is slow to start. Both answer alike, and
tests/model/test_parity.py holds them to it.
"""

import contextlib
import functools
import hashlib
import mmap
import os
import threading
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from app.errors import NetworkError
from app.inference import taps, versions, weights
from app.inference.contract import Contract
from app.inference.versions import Found


@dataclass(frozen=True)
class Pass:
    """One photo's way through a network: `probabilities` (2,) float32 in the order of the contract's classes, and the
    `stages` that were asked for, by name, float32, (height, width, channels) or (n,).
    """

    probabilities: np.ndarray
    stages: dict[str, np.ndarray]


class Network(Protocol):
    """A loaded network; `run` may be called from several threads at once."""

    contract: Contract
    sha256: str

    def run(self, tensor: np.ndarray, stages: Iterable[str] = ()) -> Pass:
        """Pass one photo, (1, height, width, 3) float32 0..255, through the network."""

    def kernel(self, stage: str) -> np.ndarray:
        """A stage's trained kernel, float32: a convolution's is (height, width, inputs, filters), with 1 input in a
        depthwise one, a dense stage's is (inputs, units). Raises KeyError for a stage without one.
        """

    def bias(self, stage: str) -> np.ndarray:
        """A stage's trained bias, (n,) float32. Raises KeyError for a stage without one."""

    def scaling(self, stage: str) -> tuple[float, float]:
        """What a rescaling stage multiplies with, and what it adds then. Raises KeyError for another kind of stage."""


@functools.cache
def import_onnxruntime() -> ModuleType:
    """ONNX Runtime, imported when it is first needed, with its telemetry off and one arena for all sessions.

    Since 1.32 its Linux builds report to their maker unless told not to before the import (its Privacy.md); a service for
    people's photos tells nobody anything. The arena is where passes keep what they compute: shared, and grown by what is
    asked for instead of to the next power of two, it takes less memory.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    place = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    growth = {"max_mem": 0, "arena_extend_strategy": 1, "initial_chunk_size_bytes": -1, "max_dead_bytes_per_chunk": -1}
    onnxruntime.create_and_register_allocator(place, onnxruntime.OrtArenaCfg(growth))
    module: ModuleType = onnxruntime
    return module


class OnnxNetwork:
    """A network run by ONNX Runtime, one thread a pass: a CPU does more passes a second side by side than together."""

    def __init__(self, contract: Contract) -> None:
        path = contract.verified("model.onnx")
        try:
            self._file = os.open(path, os.O_RDONLY)  # the same file still, when another was put in its place
            weakref.finalize(self, os.close, self._file)
            self._session = session(path)
        except Exception as error:  # the runtime's own exceptions share no base class
            raise NetworkError(f"{path} cannot be run: {error}") from error
        self.contract = contract
        self.sha256 = contract.files["model.onnx"]
        self._weights: dict[str, np.ndarray] = {}
        self._inner = [layer.name for layer in contract.inner]
        self._tapped: Any = None
        self._making = threading.Lock()

    def run(self, tensor: np.ndarray, stages: Iterable[str] = ()) -> Pass:
        """See Network.run."""
        names = ["probabilities", *(name for name in stages if name != "probabilities")]
        runs = self._session if set(self._inner).isdisjoint(names) else self._session_of_every_layer()
        outputs = runs.run(names, {"image": tensor})
        arrays = {name: _channels_last(output[0]) for name, output in zip(names, outputs, strict=True)}
        return Pass(arrays["probabilities"], arrays)

    def _session_of_every_layer(self) -> Any:
        """A second session, made when a layer inside of a stage is first asked for."""
        with self._making:
            if self._tapped is None:
                with self._model() as model:
                    self._tapped = session(taps.with_outputs(model[:], self._inner))
            return self._tapped

    def _model(self) -> mmap.mmap:
        """The bytes that the session was made from. Raises NetworkError when somebody wrote over them."""
        with contextlib.suppress(ValueError, OSError):  # an empty file cannot be mapped
            model = mmap.mmap(self._file, 0, access=mmap.ACCESS_READ)
            if hashlib.sha256(model).hexdigest() == self.sha256:
                return model
            model.close()
        path = self.contract.folder / "model.onnx"
        raise NetworkError(f"{path} was written over; put another file in its place instead")

    def kernel(self, stage: str) -> np.ndarray:
        """See Network.kernel."""
        kernel = self._weight(f"{stage}/kernel")
        return kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel

    def bias(self, stage: str) -> np.ndarray:
        """See Network.bias."""
        return self._weight(f"{stage}/bias")

    def scaling(self, stage: str) -> tuple[float, float]:
        """See Network.scaling."""
        return self._weight(f"{stage}/scale").item(), self._weight(f"{stage}/offset").item()

    def _weight(self, name: str) -> np.ndarray:
        """One array of trained numbers, read from the file when it is first asked for: the runtime has them all already, and
        answering a photo asks for next to none. Raises KeyError when there is none of that name.
        """
        if name not in self._weights:
            with self._model() as model:
                self._weights[name] = weights.copy(model, name)
        return self._weights[name]


def session(model: bytes | Path) -> Any:
    """An ONNX Runtime session of a serialized model or of a file that holds one, on the CPU, one thread a pass."""
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_mem_pattern = False  # one block for a whole pass saves no time here and takes more memory
    options.add_session_config_entry("session.use_env_allocators", "1")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _channels_last(output: np.ndarray) -> np.ndarray:
    """ONNX computes (channels, height, width); people and Keras read (height, width, channels). A view, no copy."""
    return output.transpose(1, 2, 0) if output.ndim == 3 else output


class KerasNetwork:
    """A network run by Keras itself."""

    def __init__(self, contract: Contract) -> None:
        path = contract.verified("model.keras")
        try:
            import keras

            from app.inference import pooling  # noqa: F401  makes Keras know the layer that a saved network may name
        except ImportError as error:
            raise NetworkError(f"CATSCOPE_ENGINE=keras needs TensorFlow and Keras: {error}") from error
        try:
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
        except (ValueError, OSError, TypeError) as error:
            raise NetworkError(f"{path} cannot be loaded: {error}") from error
        self.contract = contract
        self.sha256 = contract.files["model.keras"]
        self._model = model
        names = [stage.name for stage in (*contract.stages, *contract.inner)]
        self._tapped = keras.Model(model.input, {name: model.get_layer(name).output for name in names})

    def run(self, tensor: np.ndarray, stages: Iterable[str] = ()) -> Pass:
        """See Network.run."""
        outputs = self._tapped(tensor, training=False)
        arrays = {name: np.asarray(outputs[name])[0] for name in {"probabilities", *stages}}
        return Pass(arrays["probabilities"], arrays)

    def kernel(self, stage: str) -> np.ndarray:
        """See Network.kernel."""
        kernel = self._weight(stage, 0)
        if self.contract.stage(stage).kind == "depthwise_convolution":  # type: ignore[union-attr]  # _weight found it
            kernel = kernel.reshape(*kernel.shape[:2], 1, -1)  # Keras: (height, width, channels, filters a channel)
        return kernel

    def bias(self, stage: str) -> np.ndarray:
        """See Network.bias."""
        return self._weight(stage, 1)

    def scaling(self, stage: str) -> tuple[float, float]:
        """See Network.scaling."""
        layer = self._model.get_layer(stage)
        if not hasattr(layer, "scale"):
            raise KeyError(stage)
        return float(layer.scale), float(layer.offset)

    def _weight(self, stage: str, place: int) -> np.ndarray:
        values: list[np.ndarray] = self._model.get_layer(stage).get_weights()
        if len(values) <= place:
            raise KeyError(stage)
        return values[place]


ENGINES: dict[str, type[OnnxNetwork] | type[KerasNetwork]] = {"onnx": OnnxNetwork, "keras": KerasNetwork}


def load_all(folder: Path, engine: str, pins: Mapping[str, str] | None = None, only: str | None = None) -> Found[Network]:
    """Load every version of every network below `folder`, or of the network `only`, and let each answer once.

    Raises NetworkError when there is none, or when a network has no version that can be served; see `versions.good`.
    """

    def make(promised: Contract) -> Network:
        network: Network = ENGINES[engine](promised)
        network.run(np.zeros((1, *promised.input_shape), np.float32))
        return network

    return versions.good(folder, make, pins or {}, only)
