"""The shapes of explanations, of a stage, a unit and a photo's guises, with the descriptions that Swagger UI shows."""

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from app.inference.audit import Audit, Contribution
from app.inference.compare import Guised
from app.inference.decode import Photo
from app.inference.explain import StageExplained
from app.inference.geometry import Box
from app.inference.network import Network
from app.inference.palette import encode
from app.inference.predict import likelier
from app.inference.sheet import GAP, Sheet
from app.schemas import ImageAnswer, ModelAnswer, data_uri, image_answer, model_answer

Cells = list[list[list[float]]]


class BoxAnswer(BaseModel):
    """A rectangle of cells: rows `top` to `bottom`, columns `left` to `right`, the last of each not included."""

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


class UnitExplanation(BaseModel):
    """The arithmetic behind one number. Which of the members that may be null are there depends on `kind`."""

    stage: str = Field(examples=["block1_conv"])
    kind: str = Field(examples=["convolution"])
    inputs: list[str] = Field(description="The stages it computes from, or `image`", examples=[["image"]])
    row: int
    column: int
    channel: int
    window: BoxAnswer = Field(description="What it sees of the first of `inputs`; beyond the picture's edges is padding")
    receptive_field: BoxAnswer = Field(description="What it sees of the network's input picture")
    patch: Cells | None = Field(None, description="The inputs, [height][width][channel]; 0 for padding")
    kernel: Cells | None = Field(None, description="The weights, of the same shape")
    products: Cells | None = Field(None, description="patch x kernel, of the same shape")
    channel_sums: list[float] | None = Field(None, description="The products' sum for each input channel")
    products_sum: float | None = Field(None, description="The sum of all products")
    bias: float | None = None
    sum: float | None = Field(None, description="products_sum + bias, or the sum of an average")
    activation: str | None = Field(None, description="What is done to the sum: `relu`, `relu6`, `softmax`, or nothing")
    operation: str | None = Field(None, description="What a pooling does: `max`, `average` or `log_mean_exp`")
    maximum: float | None = Field(None, description="The largest value of a pooling's window")
    maximum_at: list[int] | None = Field(None, description="Its [row, column] in the stage before")
    count: int | None = Field(None, description="How many values an average is of")
    exponentials: Cells | list[float] | None = Field(
        None, description="e to the power of each value less the largest of them, of a log-mean-exp or a softmax"
    )
    mean: float | None = Field(None, description="The mean of the exponentials of a log-mean-exp")
    total: float | None = Field(None, description="The sum of a softmax's exponentials")
    terms: list[float] | None = Field(None, description="What is added, or the scores that a softmax compares")
    scale: float | None = Field(None, description="What a rescaling multiplies with")
    offset: float | None = Field(None, description="What a rescaling adds")
    source: list[int] | None = Field(
        None, description="The [row, column, channel] that a flattened or concatenated number comes from"
    )
    chosen: int | None = Field(None, description="The place among `inputs` of the one that a concatenated number comes from")
    contributions: list[ContributionAnswer] | None = Field(
        None, description="A fully connected unit's inputs, those that add or subtract most first"
    )
    others: int | None = Field(None, description="How many further inputs there are")
    others_sum: float | None = Field(None, description="What they add together")
    largest_term: float | None = Field(None, description="The largest magnitude that was added")
    value: float = Field(description="The result, worked out in float64")
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
    picture: str = Field(description="A PNG data URI, a pixel a value")
    values: str | None = Field(description="float32, little-endian, row by row, in base64")


class StageExplanation(BaseModel):
    """What one stage computed for the photo."""

    stage: str = Field(examples=["block1_relu"])
    shape: list[int] = Field(description="[height, width, channels], or [n] for a dense stage")
    scale: ScaleAnswer
    sheet: SheetAnswer | None
    channels: list[ChannelSummary] = Field(description="In order")
    picture: str | None = Field(description="A PNG data URI of the network's input, if that is what was asked for")
    plane: PlaneAnswer | None = Field(description="The channel that was asked for")
    image: ImageAnswer
    model: ModelAnswer


class GuiseNetworkAnswer(BaseModel):
    """What one network says to one guise."""

    label: str
    verdict: str
    probabilities: dict[str, float]
    same: bool = Field(description="Whether the label is the one that it gives to the original")


class GuiseAnswer(BaseModel):
    """The photo in one guise."""

    guise: str = Field(examples=["black_and_white"])
    thumbnail: str = Field(description="A JPEG data URI of the guise")
    networks: dict[str, GuiseNetworkAnswer]


class Guises(BaseModel):
    """A photo in twelve guises, and what each network says to them."""

    guises: list[GuiseAnswer]
    kept: dict[str, int] = Field(
        description="To how many guises, the original among them, each network gives the same label"
    )
    image: ImageAnswer


def unit(photo: Photo, found: Audit, network: Network) -> dict[str, Any]:
    """An audit in the shape of `UnitExplanation`, without the members that its kind has not."""
    row, column, channel = found.place
    stage = found.stage
    activation = {"relu": "relu", "probabilities": "softmax"}.get(stage.kind, stage.activation)
    return {
        "stage": stage.name,
        "kind": stage.kind,
        "inputs": stage.inputs,
        "row": row,
        "column": column,
        "channel": channel,
        "window": _box(found.window),
        "receptive_field": _box(found.receptive_field),
        **{name: _plain(value) for name, value in found.steps.items()},
        "activation": activation,
        "operation": stage.operation,
        "value": found.value,
        "computed": found.computed,
        "difference": found.difference,
        "relative_difference": found.relative_difference,
        "image": image_answer(photo),
        "model": model_answer(network),
    }


def _box(box: Box) -> dict[str, int]:
    return {"top": box.top, "left": box.left, "bottom": box.bottom, "right": box.right}


def _plain(value: Any) -> Any:
    """Arrays as nested lists, contributions with their place spelled out, everything else as it is."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple) and value and isinstance(value[0], Contribution):
        return [_contribution(contribution) for contribution in value]
    return value


def _contribution(found: Contribution) -> dict[str, Any]:
    row, column, channel = found.place or (None, None, None)
    numbers = {"value": found.value, "weight": found.weight, "product": found.product}
    return {"index": found.index, "row": row, "column": column, "channel": channel} | numbers


def stage(
    name: str,
    found: StageExplained,
    channel: int | None,
    network: Network,
    with_values: bool = True,
) -> dict[str, Any]:
    """A stage in the shape of `StageExplanation`, with or without its chosen channel's values."""
    plane = None
    if found.values is not None:
        numbers = _float32(found.values) if with_values else None
        plane = {"index": channel, "picture": data_uri(found.plane), "values": numbers}
    return {
        "stage": name,
        "shape": found.shape,
        "scale": {"bottom": found.bottom, "top": found.top},
        "sheet": _sheet(found.sheet) if found.sheet else None,
        "channels": [
            {"mean": mean, "peak": peak} for mean, peak in zip(found.means.tolist(), found.peaks.tolist(), strict=True)
        ],
        "picture": data_uri(found.picture),
        "plane": plane,
        "image": image_answer(found.photo),
        "model": model_answer(network),
    }


def _float32(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode()


def _sheet(drawn: Sheet) -> dict[str, Any]:
    return {"picture": data_uri(encode(drawn.image)), "columns": drawn.columns, "cell": drawn.cell, "gap": GAP}


def guises(photo: Photo, found: list[Guised], networks: Mapping[str, Network]) -> dict[str, Any]:
    """A comparison in the shape of `Guises`; the first guise is the original."""
    original = {name: likelier(probabilities) for name, probabilities in found[0].probabilities.items()}
    answers = []
    kept = dict.fromkeys(original, 0)
    for guised in found:
        labels = {name: likelier(probabilities) for name, probabilities in guised.probabilities.items()}
        for name, label in labels.items():
            kept[name] += label == original[name]
        said = {
            name: {
                "label": labels[name],
                "verdict": networks[name].contract.verdict(probabilities),
                "probabilities": probabilities,
                "same": labels[name] == original[name],
            }
            for name, probabilities in guised.probabilities.items()
        }
        answers.append({"guise": guised.name, "thumbnail": _jpeg(guised), "networks": said})
    return {"guises": answers, "kept": kept, "image": image_answer(photo)}


def _jpeg(guised: Guised) -> str | None:
    out = io.BytesIO()
    guised.thumbnail.save(out, "JPEG", quality=80)
    return data_uri(out.getvalue(), "jpeg")
