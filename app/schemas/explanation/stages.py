"""The shapes of what a stage computed, and of what muting its channels does."""

import base64
from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from app.inference.drawing.channels import GAP, Sheet
from app.inference.drawing.png import encode_image
from app.inference.explain.effects import Effects
from app.inference.explain.explain import ExplainedStage
from app.inference.networks.engines.network import Network
from app.schemas.shared import EditsAnswer, ImageAnswer, ModelAnswer, data_uri, edits_answer, image_answer, model_answer


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


def _float32(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode()


def _sheet(drawn: Sheet) -> dict[str, Any]:
    return {"picture": data_uri(encode_image(drawn.image)), "columns": drawn.columns, "cell": drawn.cell, "gap": GAP}
