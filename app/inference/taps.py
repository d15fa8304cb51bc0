"""A model.onnx comes in; the same model with more of its layers as outputs goes out.

An output in the middle of a block keeps ONNX Runtime from computing the block's layers together and costs a fifth of the
time, asked for or not. So the layers inside of stages are no outputs of the file, and become outputs when someone asks.

Two messages of a protocol buffer, one after the other, are read as one with the fields of both (protobuf.dev, "Encoding",
last one wins, embedded messages merged), so a graph is given outputs by appending them.
"""

_GRAPH, _OUTPUT, _NAME, _TYPE, _TENSOR_TYPE, _ELEMENT_TYPE = 7, 12, 1, 2, 1, 1
_FLOAT = 1


def with_outputs(model: bytes, names: list[str]) -> bytes:
    """The ONNX model with the float32 tensors `names` among its outputs, none of which it has as an output already."""
    outputs = b"".join(_field(_OUTPUT, _field(_NAME, name.encode()) + _field(_TYPE, _float_tensor())) for name in names)
    return model + _field(_GRAPH, outputs)


def _float_tensor() -> bytes:
    """A type without a shape, which the runtime finds out itself."""
    return _field(_TENSOR_TYPE, _varint(_ELEMENT_TYPE << 3) + _varint(_FLOAT))


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))
