"""The file model.onnx: read its weights by name, and add outputs to it.

ONNX Runtime does not expose a model's weights, and the onnx package would be the largest thing in the image, for a handful
of fields. So this module works on the file's protocol buffer directly (wire format: protobuf.dev; field numbers: onnx.proto3
of the ONNX project).
"""

import mmap
from collections.abc import Iterator

import numpy as np

from app.errors import NetworkError

# Field numbers of ModelProto, GraphProto and TensorProto.
_GRAPH, _INITIALIZER, _DIMS, _DATA_TYPE, _NAME, _RAW_DATA = 7, 5, 1, 2, 8, 9
_TYPES = {1: np.float32, 7: np.int64}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# Field numbers of GraphProto.output, ValueInfoProto and TypeProto.
_OUTPUT, _VALUE_NAME, _TYPE, _TENSOR_TYPE, _ELEMENT_TYPE = 12, 1, 2, 1, 1
_FLOAT = 1


def copy(model: bytes | mmap.mmap, name: str) -> np.ndarray:
    """A copy of one initializer of an ONNX model, shaped as `read` has it. Raises KeyError for an unknown name."""
    return read(model)[name].copy()


def read(model: bytes | mmap.mmap) -> dict[str, np.ndarray]:
    """All initializers of an ONNX model, read-only views into `model`, shaped as ONNX has them.

    A convolution's kernel is (filters, inputs, height, width), a dense layer's (inputs, units), a bias (n,).

    Raises NetworkError when the bytes are not an ONNX model.
    """
    weights = {}
    try:
        for field, graph in _fields(memoryview(model)):
            if field != _GRAPH or isinstance(graph, int):
                continue
            for inner, tensor in _fields(graph):
                if inner == _INITIALIZER and not isinstance(tensor, int):
                    name, values = _tensor(tensor)
                    weights[name] = values
    except (IndexError, ValueError, KeyError, UnicodeDecodeError) as error:
        raise NetworkError(f"the ONNX model cannot be read: {error}") from error
    return weights


def _tensor(data: memoryview) -> tuple[str, np.ndarray]:
    name, kind, dims, raw = "", 1, list[int](), memoryview(b"")
    for field, value in _fields(data):
        if isinstance(value, int):
            if field == _DATA_TYPE:
                kind = value
            elif field == _DIMS:
                dims.append(value)
        elif field == _DIMS:  # repeated numbers may come packed
            position = 0
            while position < len(value):
                number, position = _varint(value, position)
                dims.append(number)
        elif field == _NAME:
            name = bytes(value).decode()
        elif field == _RAW_DATA:
            raw = value
    return name, np.frombuffer(raw, _TYPES[kind]).reshape(dims)


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of one message as (number, value): an int for numbers, bytes for everything else."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, position = _varint(data, position)
            yield number, value
            continue
        if wire == _BYTES:
            size, position = _varint(data, position)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire} at byte {position}")
        if position + size > len(data):
            raise ValueError(f"a field of {size} bytes at byte {position} runs past the end")
        yield number, data[position : position + size]
        position += size


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """A number of 7 bits per byte, lowest first, and the position after it; the top bit means that more bytes follow."""
    number = shift = 0
    while True:
        byte = data[position]
        number |= (byte & 127) << shift
        position, shift = position + 1, shift + 7
        if byte < 128:
            return number, position


def with_outputs(model: bytes, names: list[str]) -> bytes:
    """Add the float32 tensors `names` to an ONNX model's outputs; none of them may be an output already.

    An output in the middle of a block keeps ONNX Runtime from fusing the block's layers and costs a fifth of the time, even
    if it is not requested. So the layers inside a stage are not outputs of the file; they become outputs on demand.

    Two protocol buffer messages, one after the other, parse as one message with the fields of both (protobuf.dev,
    "Encoding", "Last One Wins"), so appending a graph that has only outputs adds those outputs.
    """
    outputs = b"".join(
        _encoded_field(_OUTPUT, _encoded_field(_VALUE_NAME, name.encode()) + _encoded_field(_TYPE, _float_tensor()))
        for name in names
    )
    return model + _encoded_field(_GRAPH, outputs)


def _float_tensor() -> bytes:
    """A tensor type without a shape; the runtime infers it."""
    return _encoded_field(_TENSOR_TYPE, _encoded_varint(_ELEMENT_TYPE << 3) + _encoded_varint(_FLOAT))


def _encoded_field(number: int, value: bytes) -> bytes:
    return _encoded_varint(number << 3 | 2) + _encoded_varint(len(value)) + value


def _encoded_varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))
