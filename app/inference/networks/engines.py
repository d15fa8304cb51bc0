"""Third step: an input tensor comes in; probabilities and the feature maps of the same pass go out.

Two engines can run a network. ONNX Runtime, the default, runs the export `model.onnx`. Keras runs `model.keras`, from which
the export was made; it needs TensorFlow and starts slowly. tests/model/test_shipped_networks.py checks that both compute
the same.
"""

import functools
import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from app.errors import InvalidRequest, NetworkError
from app.inference.networks import edits, onnx_changes, onnx_file
from app.inference.networks.contract import Contract
from app.inference.networks.edits import Changes, Edit
from app.inference.networks.onnx_file import ModelFile
from app.inference.networks.runtime import passing_session, session


@dataclass(frozen=True)
class ForwardPass:
    """The result of one forward pass: `probabilities` (n,) float32, one for each class in the contract's order, and the
    requested `stages` by name, each (height, width, channels) or (n,) float32.
    """

    probabilities: np.ndarray
    stages: dict[str, np.ndarray]


class Network(Protocol):
    """A loaded network, or an edited one. Several threads may call `run` at once.

    `changes` are its edits; none in a network as it was loaded.
    """

    contract: Contract
    sha256: str
    changes: Changes

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

    def edited(self, wanted: Sequence[Edit]) -> "Network":
        """The network with those edits; itself where there are none.

        Raises InvalidRequest for what does not fit, and where the engine cannot do it. Its `run` raises InvalidRequest when
        the edits make numbers too large for float32.
        """


class OnnxNetwork:
    """A network run by ONNX Runtime, one thread per pass: parallel single-thread passes give more throughput on a CPU.

    The edited network that was asked for last, of all networks, is held, so that its next question needs no new session.
    """

    def __init__(self, contract: Contract, file: ModelFile | None = None, changes: Changes | None = None) -> None:
        """Load the network; with the open `file` of one that is loaded, an edited network."""
        self.contract = contract
        self.sha256 = contract.files["model.onnx"]
        self.changes = changes or Changes()
        path = contract.folder / "model.onnx" if file else contract.verified("model.onnx")
        try:
            self._file = file or ModelFile(path, self.sha256)
            self._session = passing_session(self.model) if changes else session(path)
        except NetworkError:
            raise
        except Exception as error:  # the runtime's own exceptions share no base class
            raise NetworkError(f"{path} cannot be run: {error}") from error
        self._inner = [layer.name for layer in contract.inner]
        self._inner_session: Any = None
        self._inner_session_lock = threading.Lock()
        self._recent: OnnxNetwork | None = None

    def edited(self, wanted: Sequence[Edit]) -> "OnnxNetwork":
        """See Network.edited."""
        changes = edits.changes(wanted, self.contract)
        if not changes.count:
            return self
        recent = self._recent  # another thread may replace it, which costs a session and nothing else
        if recent is None or recent.changes.key != changes.key:
            for other in list(_WITH_EDITED):
                other._recent = None
            recent = self._recent = OnnxNetwork(self.contract, self._file, changes)
            _WITH_EDITED.add(self)
        return recent

    def run(self, tensor: np.ndarray, stages: Iterable[str] = ()) -> ForwardPass:
        """See Network.run."""
        names = ["probabilities", *(name for name in stages if name != "probabilities")]
        active = self._session if set(self._inner).isdisjoint(names) else self._session_with_inner_layers()
        outputs = active.run(names, {"image": tensor})
        arrays = {name: _channels_last(output[0]) for name, output in zip(names, outputs, strict=True)}
        if self.changes.count:
            check_finite(arrays)
        return ForwardPass(arrays["probabilities"], arrays)

    def _session_with_inner_layers(self) -> Any:
        """A second session, created when a layer inside a stage is first requested."""
        with self._inner_session_lock:
            if self._inner_session is None:
                self._inner_session = passing_session(lambda: self.model(with_inner_layers=True))
            return self._inner_session

    def model(self, with_inner_layers: bool = False) -> bytes:
        """The ONNX model, with its changes; the layers inside stages are outputs on request.

        Raises NetworkError if the file was overwritten.
        """
        weights = {
            f"{stage}/kernel": functools.partial(_patched, filters) for stage, filters in self.changes.kernels.items()
        }
        weights |= {f"{stage}/bias": functools.partial(_patched, one) for stage, one in self.changes.biases.items()}
        muted = {}
        for stage, channels in self.changes.muted.items():
            shape = self.contract.stage(stage).shape  # type: ignore[union-attr]  # `edits` checked it
            muted[stage] = channels[:, None, None] if len(shape) == 3 else channels
        with self._file.map() as mapped:
            model = onnx_changes.changed(mapped, weights, muted)
        return onnx_file.with_outputs(model, self._inner) if with_inner_layers else model

    def kernel(self, stage: str) -> np.ndarray:
        """See Network.kernel."""
        return _filters_last(_patched(self.changes.kernels.get(stage, {}), self._file.weight(f"{stage}/kernel")))

    def bias(self, stage: str) -> np.ndarray:
        """See Network.bias."""
        return _patched(self.changes.biases.get(stage, {}), self._file.weight(f"{stage}/bias"))

    def scaling(self, stage: str) -> tuple[float, float]:
        """See Network.scaling."""
        return self._file.weight(f"{stage}/scale").item(), self._file.weight(f"{stage}/offset").item()

    def slopes(self, stage: str) -> np.ndarray:
        """See Network.slopes."""
        return _channels_last(self._file.weight(f"{stage}/slopes"))

    def normalization(self, stage: str) -> tuple[np.ndarray, np.ndarray]:
        """See Network.normalization."""
        return self._file.weight(f"{stage}/gamma"), self._file.weight(f"{stage}/beta")


_WITH_EDITED: weakref.WeakSet[OnnxNetwork] = weakref.WeakSet()
"""The network that holds an edited one, of all that are loaded; two threads at once may leave two."""


def check_finite(arrays: dict[str, np.ndarray]) -> None:
    """Raise InvalidRequest when a stage of an edited network, by name, has numbers that are not finite."""
    for name, values in reversed(arrays.items()):  # the probabilities last: they follow from the stages
        if not np.isfinite(values).all():
            raise InvalidRequest(f"With these edits, numbers of stage {name} leave the range of float32; use smaller ones.")


def _channels_last(output: np.ndarray) -> np.ndarray:
    """ONNX's (channels, height, width) as (height, width, channels), as people and Keras read it. A view, no copy."""
    return output.transpose(1, 2, 0) if output.ndim == 3 else output


def _filters_last(weights: np.ndarray) -> np.ndarray:
    """ONNX's (filters, inputs, height, width) as (height, width, inputs, filters); other shapes unchanged. A view."""
    return weights.transpose(2, 3, 1, 0) if weights.ndim == 4 else weights


def _patched(by_channel: Mapping[int, np.ndarray] | Mapping[int, float], weights: np.ndarray) -> np.ndarray:
    """ONNX's `weights` with others for some channels: a copy, or themselves if there are none."""
    if by_channel:
        weights = weights.copy()
        for channel, values in by_channel.items():
            _filters_last(weights)[..., channel] = values
    return weights


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
        self.changes = Changes()
        self._model = model
        names = [stage.name for stage in (*contract.stages, *contract.inner)]
        self._tapped = keras.Model(model.input, {name: model.get_layer(name).output for name in names})

    def run(self, tensor: np.ndarray, stages: Iterable[str] = ()) -> ForwardPass:
        """See Network.run."""
        outputs = self._tapped(tensor, training=False)
        arrays = {name: np.asarray(outputs[name])[0] for name in {"probabilities", *stages}}
        return ForwardPass(arrays["probabilities"], arrays)

    def edited(self, wanted: Sequence[Edit]) -> "KerasNetwork":
        """See Network.edited."""
        if wanted:
            raise InvalidRequest("Networks are edited by the engine onnx only; this service runs CATSCOPE_ENGINE=keras.")
        return self

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
