"""An exported network comes in; its convolutions go out."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper


@dataclass(frozen=True)
class Layer:
    """A convolution of the graph: its node, what it reads, whether it is depthwise, and the range, `low` to `high`, that the
    cut-off behind it leaves, if there is one.
    """

    node: onnx.NodeProto
    reads: str
    depthwise: bool
    low: float = -np.inf
    high: float = np.inf


def layers(model: onnx.ModelProto) -> dict[str, Layer]:
    """The convolutions by the name of what comes out of them, after their cut-off."""
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    readers = Counter(name for node in model.graph.node for name in node.input)
    after = {node.input[0]: node for node in model.graph.node if node.op_type in ("Clip", "Relu")}
    collected = {}
    for node in model.graph.node:
        if node.op_type == "Conv" and len(node.input) == 3:
            cut, low, high = after.get(node.output[0]), -np.inf, np.inf
            if cut is not None and readers[node.output[0]] > 1:
                cut = None
            if cut is not None:
                low, high = [weights[name].item() for name in cut.input[1:]] or [0.0, np.inf]
            group = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
            collected[(node if cut is None else cut).output[0]] = Layer(node, node.input[0], group > 1, low, high)
    return collected
