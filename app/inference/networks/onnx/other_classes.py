"""The bytes of the network `cat` come in; those of a network for other classes, with the same convolutions, go out."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from app.inference.networks.onnx import onnx_file
from app.inference.networks.onnx.onnx_file import FLOAT, INITIALIZER, NODE, OUTPUT, fields
from app.inference.networks.onnx.rewriting import (
    NODE_INPUT,
    NODE_OUTPUT,
    Field,
    Model,
    graph_of,
    node,
    renamed,
    rewritten,
    tensor,
    text,
    texts,
)

LAST = "head"
"""The last of its stages that stays: each of its positions is judged anew."""

_BEHIND = ("pooled", "scores", "probabilities")
"""The stages behind `evidence`, the map of judgements."""


def with_classes(model: Model, weights: Mapping[str, np.ndarray], shape: tuple[int, int, int]) -> bytes:
    """The network with a judge of each class instead of its own, and the mean of what it says of all positions.

    Args:
        model: the ONNX model of the network `cat`, of any version.
        weights: float32, `evidence/kernel` (classes, channels, 1, 1), `evidence/bias` (classes,), `scores/kernel`
            (classes, classes) and `scores/bias` (classes,).
        shape: of `evidence`, (classes, height, width).
    """
    nodes = {text(value, NODE_OUTPUT): texts(value, NODE_INPUT) for number, value in graph_of(model) if number == NODE}
    kept = {*before(LAST, nodes), "evidence", *_BEHIND}
    outputs = {"evidence": shape} | dict.fromkeys(_BEHIND, shape[:1])

    def judged(graph: memoryview) -> Iterator[Field]:
        read: set[str] = set()  # nodes come before arrays, as training.importing.onnx_graph writes them
        for number, value in fields(graph):
            if number == NODE:
                name = text(value, NODE_OUTPUT)
                if name == "evidence":
                    yield NODE, node("Conv", [LAST, "evidence/kernel", "evidence/bias"], "evidence")
                elif name == "pooled/sum":  # of exponentials, whose logarithm follows; here the mean takes the place of both
                    read.update(texts(value, NODE_INPUT))
                    yield NODE, renamed(value, "pooled", "ReduceMean")
                elif name in kept - {"pooled"}:
                    read.update(texts(value, NODE_INPUT))
                    yield NODE, value
            elif number == INITIALIZER:
                name = text(value, onnx_file.NAME)
                if name in read and name not in weights:
                    yield INITIALIZER, value
            elif number == OUTPUT:
                name = text(value, onnx_file.VALUE_NAME)
                if name in kept:
                    yield OUTPUT, onnx_file.value_info(name, ("n", *outputs[name])) if name in outputs else value
            else:
                yield number, value
        for name, values in weights.items():
            yield INITIALIZER, tensor(name, values, FLOAT)

    return rewritten(model, judged)


def before(name: str, inputs: Mapping[str, Sequence[str]]) -> set[str]:
    """What `name` is computed from, and itself; `inputs` has for each node or stage what it reads."""
    left, found = [name], set()
    while left:
        if (reached := left.pop()) in inputs and reached not in found:
            found.add(reached)
            left += inputs[reached]
    return found
