"""The bytes of model.onnx come in; those of another network go out: one with other weights and muted channels, or the part
from one stage to the probabilities.

Every stage, kernel and bias keeps its name.
"""

import mmap
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from app.inference.networks.onnx import onnx_file
from app.inference.networks.onnx.onnx_file import FLOAT, GRAPH, INITIALIZER, INPUT, NODE, OUTPUT, VALUE_INFO, fields

# Field numbers of NodeProto, and a data type of TensorProto.
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _OPERATOR = 1, 2, 3, 4
_BOOL = 9

FIRST = "image/channels_first"
"""The input picture, (n, 3, height, width), as the graph's first node turns it."""

Model = bytes | mmap.mmap
Change = Callable[[np.ndarray], np.ndarray]
Bytes = bytes | memoryview
Field = tuple[int, int | Bytes]


def changed(model: Model, weights: Mapping[str, Change], muted: Mapping[str, np.ndarray]) -> bytes:
    """The model with other weights, and with some channels of stages at 0.

    `weights` has for the name of an array a function from its values to others, float32 of the same shape.
    `muted` says for a stage which of its channels, bool, (channels, 1, 1) or (units,). A node behind the stage chooses 0 for
    them. It does not multiply: infinity times 0 is no number, and -1 times 0 is a zero with a sign.
    """

    def change(graph: memoryview) -> Iterator[Field]:
        for number, value in fields(graph):
            if number == INITIALIZER and (name := _text(value, onnx_file.NAME)) in weights:
                yield number, _tensor(name, weights[name](onnx_file.tensor(_message(value))[1]), FLOAT)
            elif number == NODE and (name := _text(value, _NODE_OUTPUT)) in muted:
                yield number, _renamed(value, f"{name}/unmuted")
                yield INITIALIZER, _tensor(f"{name}/muted", muted[name], _BOOL)
                yield INITIALIZER, _tensor(f"{name}/zero", np.zeros((), np.float32), FLOAT)
                yield NODE, _node("Where", [f"{name}/muted", f"{name}/zero", f"{name}/unmuted"], name)
            else:
                yield number, value

    return _rewritten(model, change)


def rest(model: Model, start: str, shapes: Mapping[str, tuple[int, ...]]) -> tuple[bytes, list[str]]:
    """The part of the model that computes the probabilities from the stage `start`, and the names of its inputs: `start` and
    whatever else it reads that does not depend on it, such as the other way around a block.

    `shapes` are those of all stages and of FIRST as the graph has them, without n, which is 1.
    """
    nodes, weights = [], set()
    for number, graph in fields(memoryview(model)):
        for inner, value in fields(_message(graph)) if number == GRAPH else ():
            if inner == NODE:
                nodes.append((_texts(value, _NODE_INPUT), _texts(value, _NODE_OUTPUT)))
            elif inner == INITIALIZER:
                weights.add(_text(value, onnx_file.NAME))
    reached, needed = {start}, {start: None}
    for read, made in nodes:  # in the order of the computation
        if not reached.isdisjoint(read):
            reached.update(made)
            needed |= dict.fromkeys(name for name in read if name and name not in reached and name not in weights)
    kept = reached - {start}

    def cut(graph: memoryview) -> Iterator[Field]:
        for number, value in fields(graph):
            if number == NODE and _text(value, _NODE_OUTPUT) not in kept:
                continue
            if number not in (INPUT, OUTPUT, VALUE_INFO):
                yield number, value
        for name in needed:
            yield INPUT, onnx_file.float_value(name, (1, *shapes[name]))
        yield OUTPUT, onnx_file.float_value("probabilities")

    return _rewritten(model, cut), list(needed)


def _rewritten(model: Model, rewrite: Callable[[memoryview], Iterable[Field]]) -> bytes:
    """The model with other fields in its graph. Its megabytes of weights are copied once."""
    parts: list[Bytes] = []
    for number, value in fields(memoryview(model)):
        if number == GRAPH:
            inside = [part for field in rewrite(_message(value)) for part in _encoded(*field)]
            parts += [onnx_file.head(GRAPH, sum(map(len, inside))), *inside]
        else:
            parts += _encoded(number, value)
    return b"".join(parts)


def _encoded(number: int, value: int | Bytes) -> list[Bytes]:
    """A field as it was, in pieces; models, graphs and nodes have no numbers of a fixed length."""
    if isinstance(value, int):
        return [onnx_file.encoded_number(number, value)]
    return [onnx_file.head(number, len(value)), value]


def _renamed(node: int | memoryview, output: str) -> bytes:
    """The node with another name for its only output."""
    return _joined(
        (number, output.encode() if number == _NODE_OUTPUT else value) for number, value in fields(_message(node))
    )


def _node(operator: str, inputs: list[str], output: str) -> bytes:
    texts = [(_NODE_INPUT, name) for name in inputs]
    texts += [(_NODE_OUTPUT, output), (_NODE_NAME, f"{output}/muting"), (_OPERATOR, operator)]
    return _joined((number, text.encode()) for number, text in texts)


def _tensor(name: str, values: np.ndarray, kind: int) -> bytes:
    sizes: list[Field] = [(onnx_file.DIMS, size) for size in values.shape]
    return _joined(
        [*sizes, (onnx_file.DATA_TYPE, kind), (onnx_file.NAME, name.encode()), (onnx_file.RAW_DATA, values.tobytes())]
    )


def _joined(message: Iterable[Field]) -> bytes:
    return b"".join(part for field in message for part in _encoded(*field))


def _text(message: int | memoryview, number: int) -> str:
    """The first text of that field; empty if there is none."""
    return next(iter(_texts(message, number)), "")


def _texts(message: int | memoryview, number: int) -> list[str]:
    return [bytes(_message(value)).decode() for field, value in fields(_message(message)) if field == number]


def _message(value: int | memoryview) -> memoryview:
    assert not isinstance(value, int)  # by the format, a message or a text
    return value
