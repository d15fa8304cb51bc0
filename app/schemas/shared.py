"""What several answers contain: the photo, the network, its edits, problems, pictures as data URIs; and JSON responses."""

import base64
from typing import Any, Literal

from pydantic import BaseModel, Field
from pydantic_core import to_json
from starlette.responses import Response

from app.inference.decode import Photo
from app.inference.networks.engines.network import Network

PRECISION = "X-Catscope-Precision"
"""The header of answers that have no place for it: what the answer was computed with, float32 or int8."""


class ImageAnswer(BaseModel):
    """The photo that was answered."""

    width: int = Field(description="In pixels, upright", examples=[500])
    height: int = Field(description="In pixels, upright", examples=[375])
    format: str = Field(examples=["JPEG"])
    animated: bool = Field(description="Whether the file has further frames; only the first was used", examples=[False])
    bytes: int = Field(examples=[48211])
    sha256: str = Field(description="Of the uploaded file")


class ModelAnswer(BaseModel):
    """The network that answered."""

    network: str = Field(examples=["tutorial"])
    version: str = Field(examples=["1.0.0"])
    sha256: str = Field(
        description="Of the file that was run: model.onnx, int8.onnx, or model.keras under CATSCOPE_ENGINE=keras"
    )
    precision: Literal["float32", "int8"] = Field(
        description="What it computed with; int8 only where nothing inside the network was asked for", examples=["float32"]
    )
    input_shape: list[int] = Field(description="[height, width, channels]", examples=[[100, 100, 3]])
    edited: bool = Field(False, description="Whether it was changed by `edits` and this is not its own answer")
    epoch: int | None = Field(
        None, description="The epoch of its training that was asked for; missing for the network as it is served"
    )


class EditsAnswer(BaseModel):
    """A part of answers for which the network may be edited."""

    edits: int = Field(0, description="How many `edits` the network had for this answer; missing where it had none")


class Problem(BaseModel):
    """An error as RFC 9457 describes it."""

    type: str = Field(description="What kind of problem it is, a name that never changes")
    title: str = Field(description="The kind of problem in words")
    status: int = Field(description="The HTTP status code")
    detail: str = Field(description="What was received and what is accepted")
    error: str | None = Field(None, description="Below /v2, the same once more, where that protocol's clients look")


def response(answer: dict[str, Any] | list[Any]) -> Response:
    """An answer as JSON. Pydantic's serializer writes the same bytes as the json module, faster."""
    return Response(to_json(answer), media_type="application/json")


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


def model_answer(network: Network, precision: str = "float32", sha256: str = "") -> dict[str, Any]:
    """A network in the shape of `ModelAnswer`; `sha256` is that of the file that was run, if it was not its own."""
    return {
        "network": network.contract.network,
        "version": network.contract.version,
        "sha256": sha256 or network.sha256,
        "precision": precision,
        "input_shape": network.contract.input_shape,
        **({"edited": True} if network.changes.count else {}),
        **({} if network.epoch is None else {"epoch": network.epoch}),
    }


def edits_answer(network: Network) -> dict[str, int]:
    """The edits of a network in the shape of `EditsAnswer`, nothing for a network as it is."""
    return {"edits": network.changes.count} if network.changes.count else {}


def data_uri(picture: bytes | None, kind: str = "png") -> str | None:
    """An encoded picture as a data URI, and None as None."""
    return None if picture is None else f"data:image/{kind};base64," + base64.b64encode(picture).decode()
