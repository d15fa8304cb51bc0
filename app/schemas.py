"""The shapes of answers, with the descriptions and examples that Swagger UI shows."""

import base64
from typing import Any

from pydantic import BaseModel, Field
from pydantic_core import to_json
from starlette.responses import Response

from app.inference.decode import Photo
from app.inference.feature_maps import FeatureMap
from app.inference.network import Network
from app.inference.predict import Answer


class Problem(BaseModel):
    """An error as RFC 9457 describes it."""

    type: str = Field(description="What kind of problem it is, a name that never changes")
    title: str = Field(description="The kind of problem in words")
    status: int = Field(description="The HTTP status code")
    detail: str = Field(description="What was received and what is accepted")
    error: str | None = Field(None, description="Below /v2, the same once more, where that protocol's clients look")


class ChannelAnswer(BaseModel):
    """One channel of a feature map."""

    index: int = Field(description="The channel's number, from 0", examples=[2])
    mean: float = Field(description="Its mean value", examples=[0.9])
    peak: float = Field(description="Its largest value", examples=[3.1])
    thumbnail: str | None = Field(
        None, description="A PNG data URI; all of a stage share one colour scale, zero has its colour"
    )


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


class ImageAnswer(BaseModel):
    """The photo that was answered."""

    width: int = Field(description="In pixels, upright", examples=[500])
    height: int = Field(description="In pixels, upright", examples=[375])
    format: str = Field(examples=["JPEG"])
    animated: bool = Field(
        description="Whether there are more frames than the first, which alone was looked at", examples=[False]
    )
    bytes: int = Field(examples=[48211])
    sha256: str = Field(description="Of the bytes that came in")


class ModelAnswer(BaseModel):
    """The network that answered."""

    network: str = Field(examples=["tutorial"])
    version: str = Field(examples=["1.0.0"])
    sha256: str = Field(description="Of the file that was run: model.onnx, or model.keras under CATSCOPE_ENGINE=keras")
    input_shape: list[int] = Field(description="[height, width, channels]", examples=[[100, 100, 3]])


class Prediction(BaseModel):
    """The answer to one photo."""

    label: str = Field(description="The likelier class, `cat` or `not_cat` unless the network has others", examples=["cat"])
    verdict: str = Field(
        description="The label, or `unsure` where the probability lies in the network's band", examples=["cat", "unsure"]
    )
    probabilities: dict[str, float] = Field(description="They sum to 1", examples=[{"cat": 0.9871, "not_cat": 0.0129}])
    feature_maps: list[FeatureMapAnswer]
    heatmap: str | None = Field(description="A PNG data URI of the photo's aspect ratio: where the evidence for a cat lies")
    heatmap_peak: float | None = Field(
        description="How much the heatmap's brightest place speaks for a cat, in units of the scores; 0: no place does"
    )
    heatmap_class: str | None = Field(
        description="The class whose evidence the heatmap shows: `cat`, or the likeliest of a network with other classes"
    )
    image: ImageAnswer
    model: ModelAnswer
    timings_ms: dict[str, float] = Field(examples=[{"decode": 2.1, "inference": 7.9, "feature_maps": 3.0}])


class Failed(BaseModel):
    """A photo of a batch that could not be answered."""

    error: Problem


class Batch(BaseModel):
    """The answers to several photos, in the order in which they were sent."""

    results: list[Prediction | Failed]


class LabelScore(BaseModel):
    """One label and how likely it is."""

    label: str = Field(examples=["cat"])
    score: float = Field(ge=0, le=1, examples=[0.98])


class WindowAnswer(BaseModel):
    """What the units of a stage see: unit (r, c) sees `size` cells from `offset` + (r, c) x `step`, each [rows, columns].

    What lies beyond the picture is padding.
    """

    size: tuple[int, int] = Field(examples=[[3, 3]])
    step: tuple[int, int] = Field(examples=[[2, 2]])
    offset: tuple[int, int] = Field(examples=[[-1, -1]])


class StageAnswer(BaseModel):
    """One stage of a network."""

    name: str
    kind: str
    shape: list[int]
    inputs: list[str] = Field(description="The stages it computes from, or `image`")
    parameters: int = Field(description="How many numbers were trained in it")
    kernel: list[int] | None = Field(None, description="[height, width] of the filter or window")
    stride: list[int] | None = None
    padding: str | None = None
    activation: str | None = Field(None, description="What a convolution does to its sums; `relu6`: kept between 0 and 6")
    operation: str | None = Field(
        None,
        description="What a pooling makes of its window: `max`, `average`, `log_mean_exp`; which function an activation is",
    )
    slope: float | None = Field(None, description="What a leaky ReLU multiplies with below zero")
    zeros: list[int] | None = Field(None, description="[rows, columns] of zeros that a padding puts before the picture")
    window: WindowAnswer = Field(description="What its units see of the first of its inputs")
    receptive_field: WindowAnswer = Field(description="What its units see of the network's input picture")


class NetworkAnswer(BaseModel):
    """One network in the list."""

    network: str
    version: str
    sha256: str
    versions: list[str] = Field(description="All that are served, the one that answers first", examples=[["1.0.0"]])
    classes: list[str]
    input_shape: list[int]
    parameters: int
    unsure: list[float] = Field(
        description="[low, high]: probabilities of cat (of the likeliest class, of more than two) answered `unsure`"
    )
    accuracy: dict[str, float] = Field(description="Measured accuracy by set of photos, from metrics.json")


class Networks(BaseModel):
    """What is served."""

    default: str = Field(description="The network that answers when a request names none")
    networks: list[NetworkAnswer]


class NetworkDetail(NetworkAnswer):
    """Everything about one network."""

    stages: list[StageAnswer]
    inner: list[StageAnswer] = Field(
        description="The layers inside of stages that consist of several; /predict shows one that is named in `stages`"
    )
    metrics: dict[str, Any] | None = Field(description="metrics.json as training.evaluate wrote it, null if it did not")
    history: dict[str, Any] | None = Field(description="history.json as training.train wrote it, null if it did not")


def response(answer: dict[str, Any] | list[Any]) -> Response:
    """An answer as JSON, written by pydantic's serializer: the json module's bytes, in less time."""
    return Response(to_json(answer), media_type="application/json")


def prediction(answer: Answer, network: Network) -> dict[str, Any]:
    """An answer in the shape of `Prediction`; plain values, because checking our own numbers again costs time."""
    return {
        "label": answer.label,
        "verdict": answer.verdict,
        "probabilities": answer.probabilities,
        "feature_maps": [_feature_map(feature_map) for feature_map in answer.feature_maps],
        "heatmap": data_uri(answer.heatmap),
        "heatmap_peak": answer.heatmap_peak,
        "heatmap_class": answer.heatmap_class,
        "image": image_answer(answer.photo),
        "model": model_answer(network),
        "timings_ms": answer.milliseconds,
    }


def image_answer(photo: Photo) -> dict[str, Any]:
    """A photo in the shape of `ImageAnswer`."""
    return {
        "width": photo.width,
        "height": photo.height,
        "format": photo.format,
        "animated": photo.animated,
        "bytes": photo.size,
        "sha256": photo.sha256,
    }


def model_answer(network: Network) -> dict[str, Any]:
    """A network in the shape of `ModelAnswer`."""
    return {
        "network": network.contract.network,
        "version": network.contract.version,
        "sha256": network.sha256,
        "input_shape": network.contract.input_shape,
    }


def _feature_map(found: FeatureMap) -> dict[str, Any]:
    return {
        "stage": found.stage,
        "kind": found.kind,
        "shape": found.shape,
        "min": found.min,
        "max": found.max,
        "mean": found.mean,
        "active": found.active,
        "channels": [
            {"index": c.index, "mean": c.mean, "peak": c.peak}
            | ({"thumbnail": data_uri(c.thumbnail)} if c.thumbnail else {})
            for c in found.channels
        ],
    }


def data_uri(picture: bytes | None, kind: str = "png") -> str | None:
    """An encoded picture as a data URI, and None as None."""
    return None if picture is None else f"data:image/{kind};base64," + base64.b64encode(picture).decode()


def network_answer(network: Network, versions: list[str], metrics: dict[str, Any] | None) -> dict[str, Any]:
    """A network in the shape of `NetworkAnswer`; `versions` are all of its name."""
    contract = network.contract
    sets = (metrics or {}).get("sets", {})
    return model_answer(network) | {
        "versions": versions,
        "classes": contract.classes,
        "parameters": contract.parameters,
        "unsure": contract.unsure,
        "accuracy": {name: figures["accuracy"]["value"] for name, figures in sets.items()},
    }
