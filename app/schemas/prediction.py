"""The shape of a prediction and of a batch of them, with the descriptions and the example that Swagger UI shows."""

from typing import Any

from pydantic import BaseModel, Field

from app.inference.feature_maps import FeatureMap
from app.inference.networks.engines.network import Network
from app.inference.predict import Answer
from app.schemas.shared import (
    EditsAnswer,
    ImageAnswer,
    ModelAnswer,
    Problem,
    data_uri,
    edits_answer,
    image_answer,
    model_answer,
)


class ChannelAnswer(BaseModel):
    """One channel of a feature map."""

    index: int = Field(description="The channel's number, from 0", examples=[2])
    mean: float = Field(description="Its mean value", examples=[0.9])
    peak: float = Field(description="Its largest value", examples=[3.1])
    thumbnail: str | None = Field(None, description="A PNG data URI; all thumbnails of a stage share one colour scale")


class FeatureMapAnswer(BaseModel):
    """What one stage computed."""

    stage: str = Field(examples=["block1_relu"])
    kind: str = Field(examples=["relu"])
    shape: list[int] = Field(description="[height, width, channels], or [n] for a dense stage", examples=[[50, 50, 16]])
    min: float = Field(examples=[0.0])
    max: float = Field(examples=[3.1])
    mean: float = Field(examples=[0.4])
    active: float = Field(description="Fraction of values above 0", ge=0, le=1, examples=[0.62])
    channels: list[ChannelAnswer] = Field(description="The strongest channels by mean magnitude, the strongest first")


class FamiliarityAnswer(BaseModel):
    """How much a photo looks like those that were taught."""

    distance: float = Field(
        description="From the nearest class: 0 for what looks as its photos do on average, about 1 for what has nothing in "
        "common with any",
        examples=[0.21],
    )
    limit: float = Field(description="Beyond this distance the verdict is `unfamiliar`", examples=[0.27])


class Prediction(EditsAnswer):
    """The answer to one photo."""

    label: str = Field(description="The likelier class, `cat` or `not_cat` unless the network has others", examples=["cat"])
    verdict: str = Field(
        description="The label, or `unsure` where the probability lies in the network's band, or, of a network that was "
        "taught, `unfamiliar` where the photo is unlike all that it was taught",
        examples=["cat", "unsure"],
    )
    probabilities: dict[str, float] = Field(description="They sum to 1", examples=[{"cat": 0.9871, "not_cat": 0.0129}])
    familiarity: FamiliarityAnswer | None = Field(None, description="Missing unless the network was taught")
    feature_maps: list[FeatureMapAnswer]
    heatmap: str | None = Field(description="A PNG data URI of the photo's aspect ratio: where the evidence for a cat lies")
    heatmap_peak: float | None = Field(
        description="Evidence at the heatmap's brightest position, in units of the scores; 0 if there is none"
    )
    heatmap_class: str | None = Field(
        description="The class whose evidence the heatmap shows: `cat`, or the likeliest of a network with other classes"
    )
    input: str | None = Field(
        description="If requested: the network's input as a WebP data URI. Sent instead of the photo, it gets the same "
        "answer"
    )
    image: ImageAnswer
    model: ModelAnswer
    timings_ms: dict[str, float] = Field(examples=[{"decode": 2.1, "inference": 7.9, "feature_maps": 3.0}])


EXAMPLE = {
    "label": "cat",
    "verdict": "cat",
    "probabilities": {"cat": 0.9871, "not_cat": 0.0129},
    "feature_maps": [
        {
            "stage": "block1_relu",
            "kind": "relu",
            "shape": [50, 50, 16],
            "min": 0.0,
            "max": 3.1,
            "mean": 0.4,
            "active": 0.62,
            "channels": [{"index": 2, "mean": 0.9, "peak": 3.1, "thumbnail": "data:image/png;base64,iVBORw0KGgo..."}],
        }
    ],
    "heatmap": "data:image/png;base64,iVBORw0KGgo...",
    "heatmap_peak": 4.2,
    "heatmap_class": "cat",
    "input": "data:image/webp;base64,UklGRgAA...",
    "image": {"width": 500, "height": 375, "format": "JPEG", "animated": False, "bytes": 48211, "sha256": "9f2b..."},
    "model": {
        "network": "tutorial",
        "version": "1.0.0",
        "sha256": "c01a...",
        "precision": "float32",
        "input_shape": [100, 100, 3],
    },
    "timings_ms": {"decode": 2.1, "inference": 7.9, "feature_maps": 3.0, "heatmap": 1.2},
}
"""Shown by Swagger UI as the answer of POST /predict."""


class Failed(BaseModel):
    """A photo of a batch that could not be answered."""

    error: Problem


class Batch(BaseModel):
    """The answers to several photos, in the order in which they were sent."""

    results: list[Prediction | Failed]


def prediction(answer: Answer, network: Network) -> dict[str, Any]:
    """An answer in the shape of `Prediction`; plain values, because validating them again would cost time."""
    return {
        "label": answer.label,
        "verdict": answer.verdict,
        "probabilities": answer.probabilities,
        **_familiarity(answer, network),
        "feature_maps": [_feature_map(feature_map) for feature_map in answer.feature_maps],
        "heatmap": data_uri(answer.heatmap),
        "heatmap_peak": answer.heatmap_peak,
        "heatmap_class": answer.heatmap_class,
        "input": data_uri(answer.input, "webp"),
        "image": image_answer(answer.photo),
        "model": model_answer(network, answer.precision, answer.model_sha256),
        **edits_answer(network),
        "timings_ms": answer.milliseconds,
    }


def _familiarity(answer: Answer, network: Network) -> dict[str, Any]:
    known = network.contract.familiarity
    return {"familiarity": {"distance": answer.distance, "limit": known.limit}} if known else {}


def _feature_map(feature_map: FeatureMap) -> dict[str, Any]:
    return {
        "stage": feature_map.stage,
        "kind": feature_map.kind,
        "shape": feature_map.shape,
        "min": feature_map.min,
        "max": feature_map.max,
        "mean": feature_map.mean,
        "active": feature_map.active,
        "channels": [
            {"index": c.index, "mean": c.mean, "peak": c.peak}
            | ({"thumbnail": data_uri(c.thumbnail)} if c.thumbnail else {})
            for c in feature_map.channels
        ],
    }
