"""The engine that serves: ONNX Runtime runs the export `model.onnx`. tests/model/test_shipped_networks.py checks that Keras
computes the same.
"""

import functools
import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from app.errors import NetworkError
from app.inference.networks import edits, epochs
from app.inference.networks.contract import INT8_FILE, Contract
from app.inference.networks.edits import Changes, Edit
from app.inference.networks.engines import integers
from app.inference.networks.engines.network import ForwardPass, Twin, channels_last, check_finite, computed, passed
from app.inference.networks.epochs import RecentEpochs
from app.inference.networks.onnx import onnx_changes, onnx_file
from app.inference.networks.onnx.onnx_changes import Change
from app.inference.networks.onnx.onnx_file import ModelFile
from app.inference.networks.runtime import import_onnxruntime, passing_session, session
from app.inference.networks.weights import GivenWeights, Weights, filters_last


class OnnxNetwork:
    """A network run by ONNX Runtime, one thread per pass: parallel single-thread passes give more throughput on a CPU.

    The edited network that was asked for last, of all networks, is held, so that its next question needs no new session; so
    are a few epochs of each. `precision` is one of `integers.PRECISIONS`: whether its twin may answer for it.
    """

    integers: Twin | None

    def __init__(self, contract: Contract, precision: str = "float32") -> None:
        self.contract = contract
        self.sha256 = contract.files["model.onnx"]
        path = contract.verified("model.onnx")
        try:
            self._file = ModelFile(path, self.sha256)
            self._epochs: RecentEpochs[OnnxNetwork] = RecentEpochs(contract)
            import_onnxruntime()  # once, before two threads might
            with ThreadPoolExecutor(1) as beside:  # making a session is most of the start
                twin = beside.submit(integers.twin, contract, precision)
                self._begin(self._file, Changes(), None, session(path))
            if made := twin.result():
                integers.prefer(self, made, precision)
                self.integers = made
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
        self.integers = None

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
        arrays = {name: channels_last(output[0]) for name, output in zip(names, outputs, strict=True)}
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

    def twin_model(self) -> bytes | None:
        """The ONNX model of its twin in integers with the network's weights, or None where there is no twin, or where one of
        the weights that were replaced is not in float there.

        Raises NetworkError where the file is not that of the contract.
        """
        if self.contract.int8 is None:
            return None
        model = self.contract.verified(INT8_FILE).read_bytes()
        kept = onnx_file.read(model)
        if not set(self._weights.names) <= {name for name, values in kept.items() if values.dtype == np.float32}:
            return None
        weights = {name: functools.partial(_replaced, self._weights.weight(name)) for name in self._weights.names}
        return onnx_changes.changed(model, weights, {})

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
        return channels_last(self._file.weight(f"{stage}/slopes"))

    def normalization(self, stage: str) -> tuple[np.ndarray, np.ndarray]:
        """See Network.normalization."""
        return self._file.weight(f"{stage}/gamma"), self._file.weight(f"{stage}/beta")


_WITH_EDITED: weakref.WeakSet[OnnxNetwork] = weakref.WeakSet()
"""The network that holds an edited one, of all that are loaded; two threads at once may leave two."""


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
