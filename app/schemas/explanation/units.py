"""The shape of the arithmetic behind one number."""

from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from app.inference.decode import Photo
from app.inference.explain.audit import Audit, Contribution
from app.inference.explain.integer_audit import IntegerAudit
from app.inference.explain.receptive_field import Box
from app.inference.networks.engines.network import Network
from app.schemas.shared import EditsAnswer, ImageAnswer, ModelAnswer, edits_answer, image_answer, model_answer

Cells = list[list[list[float]]]
IntegerCells = list[list[list[int]]]


class BoxAnswer(BaseModel):
    """A rectangle of cells: rows `top` to `bottom`, columns `left` to `right`, ends excluded."""

    top: int
    left: int
    bottom: int
    right: int


class ContributionAnswer(BaseModel):
    """What one input adds to a fully connected unit."""

    index: int = Field(description="The input's number, from 0")
    row: int | None = Field(description="Where it lies in the picture that was flattened, if one was")
    column: int | None
    channel: int | None
    value: float
    weight: float
    product: float


class IntegerArithmetic(BaseModel):
    """The arithmetic behind the number of the network's twin in 8-bit integers. It is exact: `byte` is `computed`."""

    sha256: str = Field(description="Of the twin's file, int8.onnx")
    patch: IntegerCells = Field(description="The bytes it reads, [height][width][channel]; `input_zero` for padding")
    input_scale: float = Field(description="A byte q of the patch stands for (q - input_zero) x input_scale")
    input_zero: int
    kernel: IntegerCells = Field(description="The weights, of the same shape; each stands for kernel_scale times as much")
    kernel_scale: float
    products: IntegerCells = Field(description="(patch - input_zero) x kernel, of the same shape")
    products_sum: int = Field(description="The sum of all products")
    bias: int
    accumulator: int = Field(description="products_sum + bias; stands for input_scale x kernel_scale times as much")
    factor: float = Field(description="input_scale x kernel_scale / scale, in float32")
    scale: float = Field(description="A byte q of the result stands for (q - zero) x scale")
    zero: int
    byte: int = Field(description="accumulator x factor, rounded, plus zero, cut off at 0 and 255")
    computed: int = Field(description="The byte that the twin itself computed")
    value: float = Field(description="(byte - zero) x scale: what the twin has where the network has the `value` above")


class UnitExplanation(EditsAnswer):
    """The arithmetic behind one number. Which optional members are present depends on `kind`."""

    stage: str = Field(examples=["block1_conv"])
    kind: str = Field(examples=["convolution"])
    inputs: list[str] = Field(description="The stages it computes from, or `image`", examples=[["image"]])
    row: int
    column: int
    channel: int
    window: BoxAnswer = Field(description="What it sees of the first of `inputs`; beyond the picture's edges is padding")
    receptive_field: BoxAnswer = Field(description="What it sees of the network's input picture")
    patch: Cells | None = Field(None, description="The inputs, [height][width][channel]; 0 for padding")
    kernel: Cells | None = Field(None, description="The weights, of the same shape; of a resizing each cell's share")
    products: Cells | None = Field(None, description="patch x kernel, of the same shape")
    channel_sums: list[float] | None = Field(None, description="The products' sum for each input channel")
    products_sum: float | None = Field(None, description="The sum of all products")
    bias: float | None = None
    sum: float | None = Field(None, description="products_sum + bias, or the sum of an average")
    activation: str | None = Field(None, description="Applied to the sum: `relu`, `relu6`, `softmax`, or null")
    operation: str | None = Field(
        None, description="Of a pooling `max`, `average` or `log_mean_exp`; of a resizing `bilinear` or `nearest`"
    )
    maximum: float | None = Field(None, description="The largest value of a pooling's window")
    maximum_at: list[int] | None = Field(None, description="Its [row, column] in the input stage")
    count: int | None = Field(None, description="Number of values in an average")
    exponentials: Cells | list[float] | None = Field(
        None, description="Of a log-mean-exp or softmax: e to the power of each value minus the largest"
    )
    mean: float | None = Field(None, description="Of the exponentials of a log-mean-exp, or of a normalization's patch")
    variance: float | None = Field(None, description="Of a normalization's patch")
    epsilon: float | None = Field(None, description="What a normalization adds to the variance")
    slope: float | None = Field(None, description="A PReLU's factor below zero")
    total: float | None = Field(None, description="The sum of a softmax's exponentials")
    terms: list[float] | None = Field(None, description="What is added, or the scores that a softmax compares")
    scale: float | None = Field(None, description="A rescaling's or normalization's factor")
    offset: float | None = Field(None, description="What a rescaling or normalization adds")
    source: list[int] | None = Field(
        None, description="The [row, column, channel] that a flattened or concatenated number comes from"
    )
    chosen: int | None = Field(None, description="The index among `inputs` of the one that a concatenated number comes from")
    contributions: list[ContributionAnswer] | None = Field(
        None, description="A fully connected unit's inputs, largest contribution first"
    )
    others: int | None = Field(None, description="How many further inputs there are")
    others_sum: float | None = Field(None, description="What they add together")
    largest_term: float | None = Field(None, description="The largest magnitude that was added")
    muted: bool = Field(
        False, description="Whether an edit mutes its channel; the value is then 0, whatever the steps come to"
    )
    value: float = Field(description="The result, recomputed in float64")
    computed: float = Field(description="What the network itself computed, in float32")
    difference: float = Field(description="|value - computed|")
    relative_difference: float = Field(description="As a fraction of |value|, or of `largest_term` if that is more")
    integers: IntegerArithmetic | None = Field(
        None, description="With `precision=int8`, the twin's arithmetic; missing where it computes this stage in float"
    )
    image: ImageAnswer
    model: ModelAnswer


def unit(photo: Photo, audit: Audit, network: Network, integers: IntegerAudit | None = None) -> dict[str, Any]:
    """An audit in the shape of `UnitExplanation`, without the members that its kind lacks."""
    row, column, channel = audit.position
    stage = audit.stage
    activation = {"relu": "relu", "probabilities": "softmax"}.get(stage.kind, stage.activation)
    return {
        "stage": stage.name,
        "kind": stage.kind,
        "inputs": stage.inputs,
        "row": row,
        "column": column,
        "channel": channel,
        "window": _box(audit.window),
        "receptive_field": _box(audit.receptive_field),
        **{name: _plain(value) for name, value in audit.steps.items()},
        "activation": activation,
        "operation": stage.operation,
        "value": audit.value,
        "computed": audit.computed,
        "difference": audit.difference,
        "relative_difference": audit.relative_difference,
        **_integers(integers, network),
        "image": image_answer(photo),
        "model": model_answer(network),
        **edits_answer(network),
    }


def _integers(audit: IntegerAudit | None, network: Network) -> dict[str, Any]:
    if audit is None or network.integers is None:
        return {}
    arithmetic = {name: _plain(value) for name, value in vars(audit).items()}
    return {"integers": {"sha256": network.integers.sha256} | arithmetic}


def _box(box: Box) -> dict[str, int]:
    return {"top": box.top, "left": box.left, "bottom": box.bottom, "right": box.right}


def _plain(value: Any) -> Any:
    """Arrays as nested lists, contributions as objects, everything else unchanged."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple) and value and isinstance(value[0], Contribution):
        return [_contribution(contribution) for contribution in value]
    return value


def _contribution(contribution: Contribution) -> dict[str, Any]:
    row, column, channel = contribution.position or (None, None, None)
    numbers = {"value": contribution.value, "weight": contribution.weight, "product": contribution.product}
    return {"index": contribution.index, "row": row, "column": column, "channel": channel} | numbers
