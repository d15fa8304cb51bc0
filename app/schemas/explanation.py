"""The shapes of explanations, of a stage, a unit, the effects of channels or a step of learning, with the descriptions that
Swagger UI shows.
"""

import base64
from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from app.inference.decode import Photo
from app.inference.drawing.channels import GAP, Sheet
from app.inference.drawing.png import encode_image
from app.inference.explain.audit import Audit, Contribution
from app.inference.explain.effects import Effects
from app.inference.explain.explain import ExplainedStage
from app.inference.explain.receptive_field import Box
from app.inference.explain.step import Moved, Step
from app.inference.networks.engines.network import Network
from app.schemas.shared import EditsAnswer, ImageAnswer, ModelAnswer, data_uri, edits_answer, image_answer, model_answer

Cells = list[list[list[float]]]


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
    image: ImageAnswer
    model: ModelAnswer


class ChannelSummary(BaseModel):
    """One channel's numbers."""

    mean: float
    peak: float = Field(description="Its largest value")


class SheetAnswer(BaseModel):
    """One picture of all channels: channel i lies in row i // columns, column i % columns."""

    picture: str = Field(description="A PNG data URI")
    columns: int
    cell: tuple[int, int] = Field(description="[height, width] of a channel in pixels")
    gap: int = Field(description="Pixels after each channel, to the right and below")


class ScaleAnswer(BaseModel):
    """The colour scale of a stage: from zero to `top`, or to both sides of zero."""

    bottom: float
    top: float


class PlaneAnswer(BaseModel):
    """One channel, value for value."""

    index: int
    picture: str = Field(description="A PNG data URI, one pixel per value")
    values: str | None = Field(description="float32, little-endian, row by row, in base64")


class StageExplanation(EditsAnswer):
    """What one stage computed for the photo."""

    stage: str = Field(examples=["block1_relu"])
    shape: list[int] = Field(description="[height, width, channels], or [n] for a dense stage")
    scale: ScaleAnswer
    sheet: SheetAnswer | None
    channels: list[ChannelSummary] = Field(description="In order")
    picture: str | None = Field(description="A PNG data URI of the network's input, if it was requested")
    plane: PlaneAnswer | None = Field(description="The requested channel")
    image: ImageAnswer
    model: ModelAnswer


class EffectAnswer(BaseModel):
    """What muting one channel does."""

    channel: int = Field(examples=[3])
    mean: float = Field(description="Its mean magnitude for this photo", examples=[0.8])
    probabilities: dict[str, float] = Field(description="Without it", examples=[{"cat": 0.6102, "not_cat": 0.3898}])
    change: float = Field(description="The change of the probability of `label`", examples=[-0.3769])


class EffectsAnswer(EditsAnswer):
    """What muting each channel of a stage does to the answer."""

    stage: str = Field(examples=["block1_relu"])
    label: str = Field(description="The likelier class, with all channels", examples=["cat"])
    probabilities: dict[str, float] = Field(examples=[{"cat": 0.9871, "not_cat": 0.0129}])
    channels: int = Field(description="How many the stage has; of more than were muted, the strongest were", examples=[16])
    effects: list[EffectAnswer] = Field(description="One for each channel that was muted, the largest change first")
    image: ImageAnswer
    model: ModelAnswer


class BeforeAndAfter(BaseModel):
    """One number before and after the step."""

    before: float = Field(examples=[0.42])
    after: float = Field(examples=[0.31])


class ProbabilitiesBeforeAndAfter(BaseModel):
    """The network's answer before and after the step."""

    before: dict[str, float] = Field(examples=[{"cat": 0.657, "not_cat": 0.343}])
    after: dict[str, float] = Field(examples=[{"cat": 0.7334, "not_cat": 0.2666}])


class KernelStep(BaseModel):
    """One filter's weights, [height][width][input], or those of a fully connected unit, [input]."""

    before: Cells | list[float]
    gradient: Cells | list[float] = Field(description="How much the loss rises for each that a weight rises")
    after: Cells | list[float] = Field(description="before - learning_rate x gradient; the network gets it as float32")


class BiasStep(BaseModel):
    """One filter's bias."""

    before: float
    gradient: float
    after: float = Field(description="before - step x gradient; the network gets it as float32")


class StepAnswer(BaseModel):
    """One step of gradient descent on the photo, for all weights of the network, shown for one filter."""

    stage: str = Field(examples=["block1_conv"])
    channel: int = Field(examples=[0])
    truth: str = Field(description="The class that was said to be right", examples=["cat"])
    loss: BeforeAndAfter = Field(description="-ln of that class's probability")
    probabilities: ProbabilitiesBeforeAndAfter
    step: float = Field(description="The learning rate as training counts it, with colours from 0 to 1", examples=[0.01])
    learning_rate: float = Field(
        description="What the kernel's gradient is multiplied by: `step`, or `step` / 255² in a stage that reads the image, "
        "whose colours go from 0 to 255",
        examples=[1.5378700499807767e-07],
    )
    kernel: KernelStep
    bias: BiasStep | None = Field(description="null in a stage without biases")
    image: ImageAnswer
    model: ModelAnswer


def unit(photo: Photo, audit: Audit, network: Network) -> dict[str, Any]:
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
        "image": image_answer(photo),
        "model": model_answer(network),
        **edits_answer(network),
    }


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


def stage(
    name: str,
    explained: ExplainedStage,
    channel: int | None,
    network: Network,
    with_values: bool = True,
) -> dict[str, Any]:
    """A stage in the shape of `StageExplanation`, with or without its chosen channel's values."""
    plane = None
    if explained.values is not None:
        numbers = _float32(explained.values) if with_values else None
        plane = {"index": channel, "picture": data_uri(explained.plane), "values": numbers}
    return {
        "stage": name,
        "shape": explained.shape,
        "scale": {"bottom": explained.bottom, "top": explained.top},
        "sheet": _sheet(explained.sheet) if explained.sheet else None,
        "channels": [
            {"mean": mean, "peak": peak}
            for mean, peak in zip(explained.means.tolist(), explained.peaks.tolist(), strict=True)
        ],
        "picture": data_uri(explained.picture),
        "plane": plane,
        "image": image_answer(explained.photo),
        "model": model_answer(network),
        **edits_answer(network),
    }


def effects(stage: str, found: Effects, network: Network) -> dict[str, Any]:
    """The effects in the shape of `EffectsAnswer`."""
    return {
        "stage": stage,
        "label": found.label,
        "probabilities": found.probabilities,
        "channels": found.channels,
        "effects": [vars(effect) for effect in found.effects],
        "image": image_answer(found.photo),
        "model": model_answer(network),
        **edits_answer(network),
    }


def step(stage: str, channel: int, truth: str, taken: Step, network: Network) -> dict[str, Any]:
    """A step in the shape of `StepAnswer`."""
    before, after = taken.before, taken.after
    return {
        "stage": stage,
        "channel": channel,
        "truth": truth,
        "loss": {"before": before.loss, "after": after.loss},
        "probabilities": {"before": before.probabilities, "after": after.probabilities},
        "step": taken.size,
        "learning_rate": taken.learning_rate,
        "kernel": _moved(taken.kernel),
        "bias": _moved(taken.bias) if taken.bias else None,
        "image": image_answer(taken.photo),
        "model": model_answer(network),
    }


def _moved(weights: Moved) -> dict[str, Any]:
    return {name: values.tolist() for name, values in vars(weights).items()}


def _float32(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode()


def _sheet(drawn: Sheet) -> dict[str, Any]:
    return {"picture": data_uri(encode_image(drawn.image)), "columns": drawn.columns, "cell": drawn.cell, "gap": GAP}
