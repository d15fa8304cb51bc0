"""The part of a network after one stage: the stage's values come in, the probabilities go out."""

import numpy as np

from app.errors import InvalidRequest
from app.inference.networks.contract import Contract, Stage
from app.inference.networks.engines.network import Network, check_finite
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.networks.onnx import onnx_changes
from app.inference.networks.runtime import passing_session


class Rest:
    """The part of a network after `stage`, edits included.

    `needs` are the stages whose values it reads: first that stage, then those that do not depend on it, such as the other
    way around a block.

    Raises InvalidRequest when Keras runs the network.
    """

    def __init__(self, network: Network, stage: Stage) -> None:
        if not isinstance(network, OnnxNetwork):
            raise InvalidRequest("This is computed by the engine onnx only; this service runs CATSCOPE_ENGINE=keras.")
        self.needs: tuple[str, ...] = ()

        def model() -> bytes:
            rest, needs = onnx_changes.rest(network.model(), stage.name, _shapes(network.contract))
            self.needs = tuple(needs)
            return rest

        self._session = passing_session(model)

    def run(self, values: dict[str, np.ndarray]) -> np.ndarray:
        """The probabilities, (n,) float32. `values` are those of `needs`, as `in_graph` has them.

        Raises InvalidRequest when edits make numbers too large for float32.
        """
        probabilities: np.ndarray = self._session.run(["probabilities"], values)[0][0]
        check_finite({"probabilities": probabilities})
        return probabilities


def in_graph(values: np.ndarray) -> np.ndarray:
    """A copy of a stage's values, (height, width, channels) or (n,), as the graph has them: (1, channels, height, width) or
    (1, n).
    """
    return np.array(values.transpose(2, 0, 1) if values.ndim == 3 else values, np.float32, order="C")[None]


def _shapes(contract: Contract) -> dict[str, tuple[int, ...]]:
    """The shape of every stage in the graph, without n."""
    shapes = {stage.name: stage.shape for stage in (*contract.stages, *contract.inner)}
    shapes[onnx_changes.FIRST] = contract.input_shape
    return {name: (shape[2], *shape[:2]) if len(shape) == 3 else shape for name, shape in shapes.items()}
