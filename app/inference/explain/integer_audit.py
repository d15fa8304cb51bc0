"""One byte that the twin in integers computed comes in; the arithmetic behind it, in whole numbers, goes out.

Sums of integers do not depend on their order, and the twin's weights are such that none of its sums overflows. So this is no
approximation: the byte worked out here and the byte that the runtime wrote are the same, on every CPU.

The scheme is that of Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", 2018.
"""

from dataclasses import dataclass

import numpy as np

from app.inference.explain import receptive_field
from app.inference.explain.audit import Position
from app.inference.networks.contract import Contract, Stage
from app.inference.networks.engines.network import Twin
from app.inference.networks.onnx.integer_layers import IntegerLayer


@dataclass(frozen=True)
class IntegerAudit:
    """The arithmetic of one unit of a convolution in integers.

    `patch` holds the bytes that the unit reads and `kernel` its weights, (height, width, inputs) int64; beyond the picture's
    edges the patch holds `input_zero`. `products` are (patch - input_zero) x kernel, `accumulator` is their sum,
    `products_sum`, plus `bias`. One of the accumulator stands for input_scale x kernel_scale.

    `byte` is the accumulator times `factor`, input_scale x kernel_scale / scale in float32, rounded to the nearest whole
    number (halves to the even one), plus `zero`, and cut off at 0 and 255; it stands for `value`, (byte - zero) x scale.
    `computed` is the byte that the runtime wrote.
    """

    patch: np.ndarray
    input_scale: float
    input_zero: int
    kernel: np.ndarray
    kernel_scale: float
    products: np.ndarray
    products_sum: int
    bias: int
    accumulator: int
    factor: float
    scale: float
    zero: int
    byte: int
    computed: int
    value: float


def integer_audit(
    twin: Twin, contract: Contract, stage: Stage, pixels: np.ndarray, position: Position
) -> IntegerAudit | None:
    """Work out one unit of a stage or inner layer of the twin for a photo, (1, height, width, 3) uint8.

    Returns None where the twin computes that stage in float.
    """
    looked_at = twin.looked_at(pixels, stage.name)
    if looked_at is None:
        return None
    layer, read, written = looked_at
    row, column, channel = position
    patch = _patch(layer, read, contract, stage, position)
    kernel = layer.kernel[channel].transpose(1, 2, 0).astype(np.int64)
    products = (patch - layer.reads.zero) * kernel
    bias = int(layer.bias[channel])
    accumulator = int(products.sum()) + bias
    factor = layer.reads.scale * layer.kernel_scales[channel] / layer.writes.scale  # each step in float32, as the runtime's
    byte = int(np.clip(np.rint(np.float32(accumulator) * factor) + layer.writes.zero, 0, 255))
    return IntegerAudit(
        patch=patch,
        input_scale=float(layer.reads.scale),
        input_zero=layer.reads.zero,
        kernel=kernel,
        kernel_scale=float(layer.kernel_scales[channel]),
        products=products,
        products_sum=accumulator - bias,
        bias=bias,
        accumulator=accumulator,
        factor=float(factor),
        scale=float(layer.writes.scale),
        zero=layer.writes.zero,
        byte=byte,
        computed=int(written[row, column, channel]),
        value=(byte - layer.writes.zero) * float(layer.writes.scale),
    )


def _patch(layer: IntegerLayer, read: np.ndarray, contract: Contract, stage: Stage, position: Position) -> np.ndarray:
    """The bytes in the unit's window, (height, width, inputs); a depthwise unit reads one channel."""
    row, column, channel = position
    box = receptive_field.seen(contract, stage, row, column)
    inputs, filters_each = layer.kernel.shape[1], len(layer.kernel) // read.shape[2]
    first = channel // filters_each if stage.kind == "depthwise_convolution" else 0
    inside = box.clipped(*read.shape[:2])
    patch = np.full((box.bottom - box.top, box.right - box.left, inputs), layer.reads.zero, np.int64)
    rows = slice(inside.top - box.top, inside.bottom - box.top)
    columns = slice(inside.left - box.left, inside.right - box.left)
    patch[rows, columns] = read[inside.top : inside.bottom, inside.left : inside.right, first : first + inputs]
    return patch
