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
from app.inference.networks import edits, epochs
from app.inference.networks.contract import Contract
from app.inference.networks.edits import Changes, Edit
from app.inference.networks.epochs import RecentEpochs
from app.inference.networks.onnx import onnx_changes, onnx_file
from app.inference.networks.onnx.onnx_changes import Change
from app.inference.networks.onnx.onnx_file import ModelFile
from app.inference.networks.runtime import passing_session, session
from app.inference.networks.weights import GivenWeights, Weights, filters_last


@dataclass(frozen=True)
class ForwardPass:
    """The result of one forward pass: `probabilities` (n,) float32, one for each class in the contract's order, and the
    requested `stages` by name, each (height, width, channels) or (n,) float32. `distance` is the photo's from those that
    were taught, None where the contract has no familiarity.
    """

    probabilities: np.ndarray
    stages: dict[str, np.ndarray]
    distance: float | None = None


class Network(Protocol):
    """A loaded network, or an edited one. Several threads may call `run` at once.

    `changes` are its edits; none in a network as it was loaded. `epoch` is the epoch of its training after which it was so,
    where one was asked for.
    """

    contract: Contract
    sha256: str
    changes: Changes
    epoch: int | None

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

    def at_epoch(self, epoch: int) -> "Network":
        """The network as it was after that epoch of its training, 0 for the random start. Takes no time before it is used.

        Raises InvalidRequest for an epoch that was not kept, and where the engine cannot do it.
        """

    def with_weights(self, weights: Mapping[str, np.ndarray]) -> "Network":
        """The network with other weights, by name, such as `scores/kernel` and `scores/bias`; shaped as `kernel` and `bias`
        have them. Raises InvalidRequest where the engine cannot do it.
        """


class OnnxNetwork:
    """A network run by ONNX Runtime, one thread per pass: parallel single-thread passes give more throughput on a CPU.

    The edited network that was asked for last, of all networks, is held, so that its next question needs no new session; so
    are a few epochs of each.
    """

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.sha256 = contract.files["model.onnx"]
        path = contract.verified("model.onnx")
        try:
            self._file = ModelFile(path, self.sha256)
            self._epochs: RecentEpochs[OnnxNetwork] = RecentEpochs(contract)
            self._begin(self._file, Changes(), None, session(path))
        except NetworkError:
            raise
        except Exception as error:  # the runtime's own exceptions share no base class
            raise NetworkError(f"{path} cannot be run: {error}") from error

    def _begin(self, weights: Weights, changes: Changes, epoch: int | None, made: Any) -> None:
        self._weights, self.changes, self._session = weights, changes, made
        self.epoch: int | None = epoch
        self._inner = [layer.name for layer in self.contract.inner]
        self._inner_session: Any = None
        self._making = threading.Lock()
        self._recent: OnnxNetwork | None = None

    def _derived(self, weights: Weights, changes: Changes, epoch: int | None, made: Any = None) -> "OnnxNetwork":
        """Another network of the same file. Unless its session is given, it is made on first use."""
        derived = object.__new__(OnnxNetwork)
        derived.contract, derived.sha256 = self.contract, self.sha256
        derived._file, derived._epochs = self._file, self._epochs
        derived._begin(weights, changes, epoch, made)
        return derived

    def at_epoch(self, epoch: int) -> "OnnxNetwork":
        """See Network.at_epoch."""
        epochs.check(self.contract, epoch)
        if epoch == self.contract.shipped_epoch:  # bit for bit
            return self._derived(self._weights, Changes(), epoch, self._session)
        return self._epochs.get(epoch, lambda weights: self._derived(weights, Changes(), epoch))

    def with_weights(self, weights: Mapping[str, np.ndarray]) -> "OnnxNetwork":
        """See Network.with_weights."""
        return self._derived(GivenWeights(weights, self._weights), self.changes, self.epoch)

    def edited(self, wanted: Sequence[Edit]) -> "OnnxNetwork":
        """See Network.edited."""
        changes = edits.changes(wanted, self.contract)
        if not changes.count:
            return self
        recent = self._recent  # another thread may replace it, which costs a session and nothing else
        if recent is None or recent.changes.key != changes.key:
            for other in list(_WITH_EDITED):
                other._recent = None
            recent = self._recent = self._derived(self._weights, changes, self.epoch)
            _WITH_EDITED.add(self)
        return recent

    def run(self, tensor: np.ndarray, stages: Iterable[str] = ()) -> ForwardPass:
        """See Network.run."""
        names = computed(self.contract, stages)
        outputs = self._active_session(names).run(names, {"image": tensor})
        arrays = {name: _channels_last(output[0]) for name, output in zip(names, outputs, strict=True)}
        if self.changes.count:
            check_finite(arrays)
        return passed(self.contract, arrays)

    def _active_session(self, names: list[str]) -> Any:
        """The session with those outputs. That with the layers inside stages is created when one is first requested."""
        with_inner = not set(self._inner).isdisjoint(names)
        ready = self._inner_session if with_inner else self._session
        if ready is None:
            with self._making:
                if with_inner:
                    self._inner_session = self._inner_session or passing_session(lambda: self.model(with_inner_layers=True))
                else:
                    self._session = self._session or passing_session(self.model)
                ready = self._inner_session if with_inner else self._session
        return ready

    def model(self, with_inner_layers: bool = False) -> bytes:
        """The ONNX model, with its weights and changes; the layers inside stages are outputs on request.

        Raises NetworkError if the file was overwritten.
        """
        weights = {name: functools.partial(_replaced, self._weights.weight(name)) for name in self._weights.names}
        edited: dict[str, Mapping[int, Any]] = {f"{stage}/kernel": by for stage, by in self.changes.kernels.items()}
        edited |= {f"{stage}/bias": by for stage, by in self.changes.biases.items()}
        for name, by_channel in edited.items():
            weights[name] = functools.partial(_patched, by_channel, weights.get(name))
        muted = {}
        for stage, channels in self.changes.muted.items():
            shape = self.contract.stage(stage).shape  # type: ignore[union-attr]  # `edits` checked it
            muted[stage] = channels[:, None, None] if len(shape) == 3 else channels
        with self._file.map() as mapped:
            model = onnx_changes.changed(mapped, weights, muted)
        return onnx_file.with_outputs(model, self._inner) if with_inner_layers else model

    def kernel(self, stage: str) -> np.ndarray:
        """See Network.kernel."""
        return filters_last(_patched(self.changes.kernels.get(stage, {}), None, self._weights.weight(f"{stage}/kernel")))

    def bias(self, stage: str) -> np.ndarray:
        """See Network.bias."""
        return _patched(self.changes.biases.get(stage, {}), None, self._weights.weight(f"{stage}/bias"))

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


def computed(contract: Contract, stages: Iterable[str]) -> list[str]:
    """What a pass has to compute, once each: `probabilities`, these stages, and the one that tells what is familiar."""
    known = contract.familiarity
    return list(dict.fromkeys(["probabilities", *stages, *([known.stage] if known else [])]))


def passed(contract: Contract, arrays: dict[str, np.ndarray]) -> ForwardPass:
    """The result of a pass that computed these stages."""
    known = contract.familiarity
    return ForwardPass(arrays["probabilities"], arrays, known.distance(arrays[known.stage]) if known else None)


def check_finite(arrays: dict[str, np.ndarray]) -> None:
    """Raise InvalidRequest when a stage of an edited network, by name, has numbers that are not finite."""
    for name, values in reversed(arrays.items()):  # the probabilities last: they follow from the stages
        if not np.isfinite(values).all():
            raise InvalidRequest(f"With these edits, numbers of stage {name} leave the range of float32; use smaller ones.")


def _channels_last(output: np.ndarray) -> np.ndarray:
    """ONNX's (channels, height, width) as (height, width, channels), as people and Keras read it. A view, no copy."""
    return output.transpose(1, 2, 0) if output.ndim == 3 else output


def _replaced(weights: np.ndarray, _: np.ndarray) -> np.ndarray:
    return weights


def _patched(by_channel: Mapping[int, Any], before: Change | None, weights: np.ndarray) -> np.ndarray:
    """ONNX's `weights` after the change `before`, with others for some channels: a copy, or themselves if there are none."""
    weights = weights if before is None else before(weights)
    if by_channel:
        weights = weights.copy()
        for channel, values in by_channel.items():
            filters_last(weights)[..., channel] = values
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
        self.epoch: int | None = None
        self._model = model
        names = [stage.name for stage in (*contract.stages, *contract.inner)]
        self._tapped = keras.Model(model.input, {name: model.get_layer(name).output for name in names})

    def run(self, tensor: np.ndarray, stages: Iterable[str] = ()) -> ForwardPass:
        """See Network.run."""
        outputs = self._tapped(tensor, training=False)
        arrays = {name: np.asarray(outputs[name])[0] for name in computed(self.contract, stages)}
        return passed(self.contract, arrays)

    def edited(self, wanted: Sequence[Edit]) -> "KerasNetwork":
        """See Network.edited."""
        if wanted:
            raise InvalidRequest("Networks are edited by the engine onnx only; this service runs CATSCOPE_ENGINE=keras.")
        return self

    def at_epoch(self, epoch: int) -> "KerasNetwork":
        """See Network.at_epoch."""
        epochs.check(self.contract, epoch)
        raise InvalidRequest("Epochs are answered by the engine onnx only; this service runs CATSCOPE_ENGINE=keras.")

    def with_weights(self, weights: Mapping[str, np.ndarray]) -> "KerasNetwork":
        """See Network.with_weights."""
        raise InvalidRequest("Weights are changed by the engine onnx only; this service runs CATSCOPE_ENGINE=keras.")

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
