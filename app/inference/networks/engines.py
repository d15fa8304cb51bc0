"""Third step: an input tensor comes in; probabilities and the feature maps of the same pass go out.

Two engines can run a network. ONNX Runtime, the default, runs the export `model.onnx`. Keras runs `model.keras`, from which
the export was made; it needs TensorFlow and starts slowly. tests/model/test_shipped_networks.py checks that both compute
the same.
"""

import contextlib
import functools
import hashlib
import mmap
import os
import threading
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from app.errors import NetworkError
from app.inference.networks import onnx_file
from app.inference.networks.contract import Contract


@dataclass(frozen=True)
class ForwardPass:
    """The result of one forward pass: `probabilities` (n,) float32, one for each class in the contract's order, and the
    requested `stages` by name, each (height, width, channels) or (n,) float32.
    """

    probabilities: np.ndarray
    stages: dict[str, np.ndarray]


class Network(Protocol):
    """A loaded network. Several threads may call `run` at once."""

    contract: Contract
    sha256: str

    def run(self, tensor: np.ndarray, stages: Iterable[str] = ()) -> ForwardPass:
        """Run one photo, (1, height, width, 3) float32 0..255, through the network."""

    def kernel(self, stage: str) -> np.ndarray:
        """A stage's kernel, float32: (height, width, inputs, filters) for a convolution, with 1 input if it is depthwise;
        (inputs, units) for a dense stage. Raises KeyError for a stage without one.
        """

    def bias(self, stage: str) -> np.ndarray:
        """A stage's bias, (n,) float32. Raises KeyError for a stage without one."""

    def scaling(self, stage: str) -> tuple[float, float]:
        """A rescaling stage's scale and offset. Raises KeyError for another kind of stage."""

    def slopes(self, stage: str) -> np.ndarray:
        """A PReLU's slopes below zero, float32, in the shape of its stage, with 1 for what shares a slope.

        Raises KeyError for another kind of stage.
        """

    def normalization(self, stage: str) -> tuple[np.ndarray, np.ndarray]:
        """A normalization's factor and shift, each (channels,) float32. Raises KeyError for another kind of stage."""


@functools.cache
def import_onnxruntime() -> ModuleType:
    """ONNX Runtime, imported on first use, with its telemetry off and one memory arena for all sessions.

    Since 1.32 its Linux builds send telemetry to Microsoft unless that is disabled before the import (see its Privacy.md); a
    service for people's photos must not. Passes allocate from the arena: shared by all sessions, and grown by the requested
    size instead of to the next power of two, it takes less memory.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    growth = {"max_mem": 0, "arena_extend_strategy": 1, "initial_chunk_size_bytes": -1, "max_dead_bytes_per_chunk": -1}
    onnxruntime.create_and_register_allocator(memory, onnxruntime.OrtArenaCfg(growth))
    module: ModuleType = onnxruntime
    return module


class OnnxNetwork:
    """A network run by ONNX Runtime, one thread per pass: parallel single-thread passes give more throughput on a CPU."""

    def __init__(self, contract: Contract) -> None:
        path = contract.verified("model.onnx")
        try:
            self._file = os.open(path, os.O_RDONLY)  # stays open, so that a replaced file still has its old bytes
            weakref.finalize(self, os.close, self._file)
            self._session = session(path)
        except Exception as error:  # the runtime's own exceptions share no base class
            raise NetworkError(f"{path} cannot be run: {error}") from error
        self.contract = contract
        self.sha256 = contract.files["model.onnx"]
        self._weights: dict[str, np.ndarray] = {}
        self._inner = [layer.name for layer in contract.inner]
        self._inner_session: Any = None
        self._inner_session_lock = threading.Lock()

    def run(self, tensor: np.ndarray, stages: Iterable[str] = ()) -> ForwardPass:
        """See Network.run."""
        names = ["probabilities", *(name for name in stages if name != "probabilities")]
        active = self._session if set(self._inner).isdisjoint(names) else self._session_with_inner_layers()
        outputs = active.run(names, {"image": tensor})
        arrays = {name: _channels_last(output[0]) for name, output in zip(names, outputs, strict=True)}
        return ForwardPass(arrays["probabilities"], arrays)

    def _session_with_inner_layers(self) -> Any:
        """A second session, created when a layer inside a stage is first requested."""
        with self._inner_session_lock:
            if self._inner_session is None:
                with self._model() as model:
                    self._inner_session = session(onnx_file.with_outputs(model[:], self._inner))
            return self._inner_session

    def _model(self) -> mmap.mmap:
        """The bytes that the session was made from. Raises NetworkError if they were overwritten."""
        with contextlib.suppress(ValueError, OSError):  # an empty file cannot be mapped
            model = mmap.mmap(self._file, 0, access=mmap.ACCESS_READ)
            if hashlib.sha256(model).hexdigest() == self.sha256:
                return model
            model.close()
        path = self.contract.folder / "model.onnx"
        raise NetworkError(f"{path} was overwritten in place; replace the file instead")

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

    def slopes(self, stage: str) -> np.ndarray:
        """See Network.slopes."""
        return _channels_last(self._weight(f"{stage}/slopes"))

    def normalization(self, stage: str) -> tuple[np.ndarray, np.ndarray]:
        """See Network.normalization."""
        return self._weight(f"{stage}/gamma"), self._weight(f"{stage}/beta")

    def _weight(self, name: str) -> np.ndarray:
        """One array of weights, read from the file on first use: the runtime has its own copy, and answering a photo needs
        almost none of them. Raises KeyError for an unknown name.
        """
        if name not in self._weights:
            with self._model() as model:
                self._weights[name] = onnx_file.copy(model, name)
        return self._weights[name]


def session(model: bytes | Path) -> Any:
    """An ONNX Runtime session on the CPU, one thread per pass, for a serialized model or its file."""
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_mem_pattern = False  # preallocating a whole pass saves no time here and takes more memory
    options.add_session_config_entry("session.use_env_allocators", "1")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _channels_last(output: np.ndarray) -> np.ndarray:
    """ONNX's (channels, height, width) as (height, width, channels), as people and Keras read it. A view, no copy."""
    return output.transpose(1, 2, 0) if output.ndim == 3 else output


class KerasNetwork:
    """A network run by Keras itself."""

    def __init__(self, contract: Contract) -> None:
        path = contract.verified("model.keras")
        try:
            import keras

            from app.inference.networks import pooling  # noqa: F401  registers the layer that a saved network may name
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

    def run(self, tensor: np.ndarray, stages: Iterable[str] = ()) -> ForwardPass:
        """See Network.run."""
        outputs = self._tapped(tensor, training=False)
        arrays = {name: np.asarray(outputs[name])[0] for name in {"probabilities", *stages}}
        return ForwardPass(arrays["probabilities"], arrays)

    def kernel(self, stage: str) -> np.ndarray:
        """See Network.kernel."""
        kernel = self._weight(stage, 0)
        if self.contract.stage(stage).kind == "depthwise_convolution":  # type: ignore[union-attr]  # _weight checked it
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

    def slopes(self, stage: str) -> np.ndarray:
        """See Network.slopes."""
        if not hasattr(self._model.get_layer(stage), "alpha"):
            raise KeyError(stage)
        return self._weight(stage, 0)

    def normalization(self, stage: str) -> tuple[np.ndarray, np.ndarray]:
        """See Network.normalization."""
        if not hasattr(self._model.get_layer(stage), "gamma"):
            raise KeyError(stage)
        return self._weight(stage, 0), self._weight(stage, 1)

    def _weight(self, stage: str, index: int) -> np.ndarray:
        values: list[np.ndarray] = self._model.get_layer(stage).get_weights()
        if len(values) <= index:
            raise KeyError(stage)
        return values[index]
