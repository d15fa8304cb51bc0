"""The bytes of int8.onnx come in; its convolutions in integers go out: what each reads, multiplies by, adds and writes."""

from dataclasses import dataclass

import numpy as np

from app.inference.networks.onnx import onnx_file
from app.inference.networks.onnx.onnx_file import NODE
from app.inference.networks.onnx.rewriting import NODE_INPUT, NODE_OUTPUT, OPERATOR, graph_of, text, texts

_KERNEL = "/kernel"


@dataclass(frozen=True)
class Quantized:
    """A tensor of bytes in the graph. A byte q stands for the number (q - `zero`) x `scale`."""

    name: str
    scale: np.float32
    zero: int


@dataclass(frozen=True)
class IntegerLayer:
    """A convolution in integers, with the cut-off behind it, if there is one.

    `kernel` is (filters, inputs, height, width) int8; an integer of filter f stands for `kernel_scales[f]` times as much.
    `bias` is (filters,) int32, in units of what the products count: `reads.scale` x `kernel_scales[f]`.
    """

    reads: Quantized
    kernel: np.ndarray
    kernel_scales: np.ndarray
    bias: np.ndarray
    writes: Quantized


def integer_layers(model: bytes) -> dict[str, IntegerLayer]:
    """The convolutions in integers by the name of their stage or inner layer; the arrays are views into `model`.

    Raises NetworkError when the bytes are not an ONNX model.
    """
    arrays = onnx_file.read(model)
    nodes = [
        (text(value, OPERATOR), texts(value, NODE_INPUT), text(value, NODE_OUTPUT))
        for field, value in graph_of(model)
        if field == NODE
    ]
    restored = {output: inputs for operator, inputs, output in nodes if operator == "DequantizeLinear"}
    rounded = {inputs[0]: [output, *inputs[1:]] for operator, inputs, output in nodes if operator == "QuantizeLinear"}

    def quantized(name: str, scale: str, zero: str) -> Quantized:
        return Quantized(name, np.float32(arrays[scale]), int(arrays[zero]))

    return {
        inputs[1].removesuffix(_KERNEL): IntegerLayer(
            reads=quantized(*restored[inputs[0]]),
            kernel=arrays[restored[inputs[1]][0]],
            kernel_scales=arrays[restored[inputs[1]][1]],
            bias=arrays[restored[inputs[2]][0]],
            writes=quantized(*rounded[output]),
        )
        for operator, inputs, output in nodes
        if operator == "Conv" and output in rounded and restored.keys() >= set(inputs)
    }
