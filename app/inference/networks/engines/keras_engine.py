"""The engine for comparison: Keras runs `model.keras`, of which the export was made. It needs TensorFlow."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from app.errors import InvalidRequest, NetworkError
from app.inference.networks import epochs
from app.inference.networks.contract import Contract
from app.inference.networks.edits import Changes, Edit
from app.inference.networks.engines.network import ForwardPass, Twin, computed, passed


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
        self.integers: Twin | None = None
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
