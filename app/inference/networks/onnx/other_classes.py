"""The bytes of the network `cat` come in; those of a network for other classes, with the same convolutions, go out."""

from collections.abc import Iterator, Mapping

import numpy as np

from app.inference.networks.onnx import onnx_file
from app.inference.networks.onnx.onnx_file import FLOAT, GRAPH, INITIALIZER, NODE, OUTPUT, fields
from app.inference.networks.onnx.rewriting import (
    NODE_INPUT,
    NODE_OUTPUT,
    Field,
    Model,
    message,
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
    kept = {*_before(model), "evidence", *_BEHIND}
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
                    yield OUTPUT, onnx_file.float_value(name, ("n", *outputs[name])) if name in outputs else value
            else:
                yield number, value
        for name, values in weights.items():
            yield INITIALIZER, tensor(name, values, FLOAT)

    return rewritten(model, judged)


def _before(model: Model) -> set[str]:
    """The nodes that LAST is computed from, and itself."""
    makers: dict[str, list[str]] = {}
    for number, graph in fields(memoryview(model)):
        for inner, value in fields(message(graph)) if number == GRAPH else ():
            if inner == NODE:
                makers[text(value, NODE_OUTPUT)] = texts(value, NODE_INPUT)
    needed, found = [LAST], set()
    while needed:
        if (name := needed.pop()) in makers and name not in found:
            found.add(name)
            needed += makers[name]
    return found
