"""The file model.onnx: its weights by name; and adding outputs to it.

ONNX Runtime does not expose a model's weights, and the onnx package would be the largest thing in the image, for a handful
of fields. So this module works on the file's protocol buffer directly (wire format: protobuf.dev; field numbers: onnx.proto3
of the ONNX project).
"""

import mmap
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import numpy as np

from app.errors import NetworkError
from app.inference.networks.held_file import HeldFile

# Field numbers of ModelProto, GraphProto and TensorProto.
GRAPH, NODE, INITIALIZER, INPUT, OUTPUT, VALUE_INFO = 7, 1, 5, 11, 12, 13
DIMS, DATA_TYPE, NAME, RAW_DATA = 1, 2, 8, 9
_TYPES = {1: np.float32, 2: np.uint8, 3: np.int8, 6: np.int32, 7: np.int64}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# Field numbers of ValueInfoProto, TypeProto and TensorShapeProto.
VALUE_NAME, _TYPE, _TENSOR_TYPE, _ELEMENT_TYPE, _SHAPE, _DIMENSION, _SIZE, _SIZE_NAME = 1, 2, 1, 1, 2, 1, 1, 2
FLOAT, UINT8 = 1, 2


class ModelFile(HeldFile):
    """One model.onnx, held open. Threads may share it."""

    names: Collection[str] = ()
    """Those of its arrays that differ from the network's own: none."""

    def __init__(self, path: Path, sha256: str) -> None:
        super().__init__(path, sha256)
        self._weights: dict[str, np.ndarray] = {}

    def weight(self, name: str) -> np.ndarray:
        """One array of weights, shaped as `read` has it, read from the file on first use: the runtime has its own copy, and
        answering a photo needs almost none of them. Raises KeyError for an unknown name.
        """
        if name not in self._weights:
            with self.map() as model:
                self._weights[name] = copy(model, name)
        return self._weights[name]


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
        for field, graph in fields(memoryview(model)):
            if field != GRAPH or isinstance(graph, int):
                continue
            for inner, data in fields(graph):
                if inner == INITIALIZER and not isinstance(data, int):
                    name, values = tensor(data)
                    weights[name] = values
    except (IndexError, ValueError, KeyError, UnicodeDecodeError) as error:
        raise NetworkError(f"the ONNX model cannot be read: {error}") from error
    return weights


def tensor(data: memoryview) -> tuple[str, np.ndarray]:
    """A TensorProto's name and values, a read-only view into `data`."""
    name, kind, dims, raw = "", 1, list[int](), memoryview(b"")
    for field, value in fields(data):
        if isinstance(value, int):
            if field == DATA_TYPE:
                kind = value
            elif field == DIMS:
                dims.append(value)
        elif field == DIMS:  # repeated numbers may come packed
            position = 0
            while position < len(value):
                number, position = _varint(value, position)
                dims.append(number)
        elif field == NAME:
            name = bytes(value).decode()
        elif field == RAW_DATA:
            raw = value
    return name, np.frombuffer(raw, _TYPES[kind]).reshape(dims)


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
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


def with_outputs(model: bytes, names: Iterable[str], kind: int = FLOAT) -> bytes:
    """Add the tensors `names`, all of one data type, to an ONNX model's outputs; none of them may be an output already.

    An output in the middle of a block keeps ONNX Runtime from fusing the block's layers and costs a fifth of the time, even
    if it is not requested. So the layers inside a stage are not outputs of the file; they become outputs on demand.

    Two protocol buffer messages, one after the other, parse as one message with the fields of both (protobuf.dev,
    "Encoding", "Last One Wins"), so appending a graph that has only outputs adds those outputs.
    """
    return model + _encoded_field(GRAPH, b"".join(_encoded_field(OUTPUT, value_info(name, kind=kind)) for name in names))


def value_info(name: str, shape: tuple[int | str, ...] | None = None, kind: int = FLOAT) -> bytes:
    """The ValueInfoProto of a tensor; the runtime infers a shape that is not given. A size that may be any number has a
    name.
    """
    tensor = encoded_number(_ELEMENT_TYPE, kind)
    if shape is not None:
        sizes = [_encoded_field(_DIMENSION, _size(size)) for size in shape]
        tensor += _encoded_field(_SHAPE, b"".join(sizes))
    return _encoded_field(VALUE_NAME, name.encode()) + _encoded_field(_TYPE, _encoded_field(_TENSOR_TYPE, tensor))


def _size(size: int | str) -> bytes:
    return encoded_number(_SIZE, size) if isinstance(size, int) else _encoded_field(_SIZE_NAME, size.encode())


def _encoded_field(number: int, value: bytes) -> bytes:
    return head(number, len(value)) + value


def head(number: int, size: int) -> bytes:
    """What comes before the `size` bytes of a text or a message."""
    return _encoded_varint(number << 3 | _BYTES) + _encoded_varint(size)


def encoded_number(number: int, value: int) -> bytes:
    """A field that is a number, 0 or more."""
    return _encoded_varint(number << 3 | _VARINT) + _encoded_varint(value)


def _encoded_varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))
