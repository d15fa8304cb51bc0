"""A model.onnx comes in; the trained numbers inside it go out, by name.

ONNX Runtime does not hand out a model's weights, and the onnx package would be the largest thing in the image, for four
fields. So they are read here, straight from the file's protocol buffer (the wire format is documented at protobuf.dev,
the field numbers in onnx.proto3 of the ONNX project).
"""

import mmap
from collections.abc import Iterator

import numpy as np

from app.errors import NetworkError

# Field numbers of ModelProto, GraphProto and TensorProto.
_GRAPH, _INITIALIZER, _DIMS, _DATA_TYPE, _NAME, _RAW_DATA = 7, 5, 1, 2, 8, 9
_TYPES = {1: np.float32, 7: np.int64}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def copy(model: bytes | mmap.mmap, name: str) -> np.ndarray:
    """One initializer of an ONNX model, as `read` has it but with memory of its own. Raises KeyError for another name."""
    return read(model)[name].copy()


def read(model: bytes | mmap.mmap) -> dict[str, np.ndarray]:
    """All initializers of an ONNX model, read-only views into `model`, shaped as ONNX has them.

    A convolution's kernel is (filters, inputs, height, width), a dense layer's (inputs, units), a bias (n,).

    Raises NetworkError when the bytes are no ONNX model.
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
            place = 0
            while place < len(value):
                number, place = _varint(value, place)
                dims.append(number)
        elif field == _NAME:
            name = bytes(value).decode()
        elif field == _RAW_DATA:
            raw = value
    return name, np.frombuffer(raw, _TYPES[kind]).reshape(dims)


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of one message as (number, value): an int for numbers, the bytes for everything else."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, place = _varint(data, place)
            yield number, value
            continue
        if wire == _BYTES:
            size, place = _varint(data, place)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire} at byte {place}")
        if place + size > len(data):
            raise ValueError(f"a field of {size} bytes at byte {place} runs past the end")
        yield number, data[place : place + size]
        place += size


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    """A number of 7 bits a byte, lowest first; the top bit says that more follow."""
    number = shift = 0
    while True:
        byte = data[place]
        number |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return number, place
