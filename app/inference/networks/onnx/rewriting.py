"""The bytes of an ONNX model come in, and a function that changes the fields of its graph; the changed model goes out.

Beside it, the messages that such functions read and write: nodes, tensors and texts.
"""

import mmap
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from app.inference.networks.onnx import onnx_file
from app.inference.networks.onnx.onnx_file import GRAPH, fields

# Field numbers of NodeProto, and a data type of TensorProto.
NODE_INPUT, NODE_OUTPUT, _NODE_NAME, OPERATOR = 1, 2, 3, 4
BOOL = 9

Model = bytes | mmap.mmap
Bytes = bytes | memoryview
Field = tuple[int, int | Bytes]


def rewritten(model: Model, rewrite: Callable[[memoryview], Iterable[Field]]) -> bytes:
    """The model with other fields in its graph. Its megabytes of weights are copied once."""
    parts: list[Bytes] = []
    for number, value in fields(memoryview(model)):
        if number == GRAPH:
            inside = [part for field in rewrite(message(value)) for part in encoded(*field)]
            parts += [onnx_file.head(GRAPH, sum(map(len, inside))), *inside]
        else:
            parts += encoded(number, value)
    return b"".join(parts)


def graph_of(model: Model) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of the model's graph."""
    for number, value in fields(memoryview(model)):
        if number == GRAPH:
            yield from fields(message(value))


def encoded(number: int, value: int | Bytes) -> list[Bytes]:
    """A field as it was, in pieces; models, graphs and nodes have no numbers of a fixed length."""
    if isinstance(value, int):
        return [onnx_file.encoded_number(number, value)]
    return [onnx_file.head(number, len(value)), value]


def renamed(value: int | memoryview, output: str, operator: str = "") -> bytes:
    """The node with another name for its only output, and with another operator if one is named."""
    others = {NODE_OUTPUT: output.encode()} | ({OPERATOR: operator.encode()} if operator else {})
    return joined((number, others.get(number, inner)) for number, inner in fields(message(value)))


def node(operator: str, inputs: Iterable[str], output: str, name: str = "") -> bytes:
    """A node without attributes and with one output, after which it is named, unless it has a name of its own."""
    named = [(NODE_INPUT, read) for read in inputs]
    named += [(NODE_OUTPUT, output), (_NODE_NAME, name or output), (OPERATOR, operator)]
    return joined((number, value.encode()) for number, value in named)


def tensor(name: str, values: np.ndarray, kind: int) -> bytes:
    """An array of that data type."""
    sizes: list[Field] = [(onnx_file.DIMS, size) for size in values.shape]
    return joined(
        [*sizes, (onnx_file.DATA_TYPE, kind), (onnx_file.NAME, name.encode()), (onnx_file.RAW_DATA, values.tobytes())]
    )


def joined(inside: Iterable[Field]) -> bytes:
    """A message of these fields."""
    return b"".join(part for field in inside for part in encoded(*field))


def text(value: int | memoryview, number: int) -> str:
    """The message's first text of that field; empty if there is none."""
    return next(iter(texts(value, number)), "")


def texts(value: int | memoryview, number: int) -> list[str]:
    """The message's texts of that field."""
    return [bytes(message(inner)).decode() for field, inner in fields(message(value)) if field == number]


def message(value: int | memoryview) -> memoryview:
    """A field that by the format is a message or a text."""
    assert not isinstance(value, int)
    return value
