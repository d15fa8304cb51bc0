"""The bytes of the network `cat`, or of its twin in integers, come in; those of a network for other classes, with the same
convolutions, go out.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from app.errors import NetworkError
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
    """The network with a judge of each class instead of its own, and the mean of what it says of all positions. A twin's
    outputs are the probabilities and LAST.

    Args:
        model: the ONNX model of the network `cat`, of any version, of one that was taught, or of a twin of theirs.
        weights: float32, `evidence/kernel` (classes, channels, 1, 1), `evidence/bias` (classes,), `scores/kernel`
            (classes, classes) and `scores/bias` (classes,).
        shape: of `evidence`, (classes, height, width).
    """
    nodes = _nodes(model)
    last = _last(nodes)
    kept = {*before(last, nodes), "evidence", *_BEHIND}
    replaced = {"pooled"} if "pooled/sum" in nodes else set()  # a network that was taught has the mean already
    given = {text(value, onnx_file.VALUE_NAME) for number, value in graph_of(model) if number == OUTPUT}
    outputs = {"evidence": shape} | dict.fromkeys(_BEHIND, shape[:1])

    def judged(graph: memoryview) -> Iterator[Field]:
        read: set[str] = set()  # nodes come before arrays, as training.importing.onnx_graph writes them
        for number, value in fields(graph):
            if number == NODE:
                name = text(value, NODE_OUTPUT)
                if name == "evidence":
                    yield NODE, node("Conv", [last, "evidence/kernel", "evidence/bias"], "evidence")
                    if last != LAST:
                        yield NODE, node("Identity", [last], LAST)
                    if LAST not in given:
                        yield OUTPUT, onnx_file.value_info(LAST, ("n", weights["evidence/kernel"].shape[1], *shape[1:]))
                elif name == "pooled/sum":  # of exponentials, whose logarithm follows; here the mean takes the place of both
                    read.update(texts(value, NODE_INPUT))
                    yield NODE, renamed(value, "pooled", "ReduceMean")
                elif name in kept - replaced:
                    read.update(texts(value, NODE_INPUT))
                    yield NODE, value
            elif number == INITIALIZER:
                name = text(value, onnx_file.NAME)
                if name in read and name not in weights:
                    yield INITIALIZER, value
            elif number == OUTPUT:
                name = text(value, onnx_file.VALUE_NAME)
                if name in {*kept, LAST}:
                    yield OUTPUT, onnx_file.value_info(name, ("n", *outputs[name])) if name in outputs else value
            else:
                yield number, value
        for name, values in weights.items():
            yield INITIALIZER, tensor(name, values, FLOAT)

    return rewritten(model, judged)


def last_of(twin: Model) -> str:
    """What a twin's graph calls LAST: another name, where it is restored from integers. Raises NetworkError where it has
    neither.
    """
    return _last(_nodes(twin))


def _nodes(model: Model) -> dict[str, list[str]]:
    """What each node reads, by what comes out of it."""
    return {text(value, NODE_OUTPUT): texts(value, NODE_INPUT) for number, value in graph_of(model) if number == NODE}


def _last(nodes: Mapping[str, Sequence[str]]) -> str:
    for name in (f"{LAST}/dequantized", LAST):  # a twin that has the former may have the latter as an output
        if name in nodes:
            return name
    raise NetworkError(f"the ONNX model computes no {LAST}")


def before(name: str, inputs: Mapping[str, Sequence[str]]) -> set[str]:
    """What `name` is computed from, and itself; `inputs` has for each node or stage what it reads."""
    left, found = [name], set()
    while left:
        if (reached := left.pop()) in inputs and reached not in found:
            found.add(reached)
            left += inputs[reached]
    return found
