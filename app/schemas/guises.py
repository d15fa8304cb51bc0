"""The shapes of a photo's guises and what each network answers to them, alone and as the end of a walk."""

import io
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field

from app.inference.decode import Photo
from app.inference.explain.compare import GuiseResult
from app.inference.networks.engines.network import Network
from app.inference.predict import likeliest
from app.schemas.shared import ImageAnswer, data_uri, image_answer


class GuiseNetworkAnswer(BaseModel):
    """One network's answer to one guise."""

    label: str
    verdict: str
    probabilities: dict[str, float]
    same: bool = Field(description="Whether the label equals that of the original")


class GuiseAnswer(BaseModel):
    """The photo in one guise."""

    guise: str = Field(examples=["black_and_white"])
    thumbnail: str = Field(description="A JPEG data URI of the guise")
    networks: dict[str, GuiseNetworkAnswer]


class Guises(BaseModel):
    """A photo in twelve guises, and each network's answers."""

    guises: list[GuiseAnswer]
    kept: dict[str, int] = Field(
        description="For how many guises, including the original, each network gives the original's label"
    )
    image: ImageAnswer


LINES = "application/x-ndjson"

WALK: dict[str, Any] = {
    "description": "Line 1: a prediction with `heatmap` and `input`. Line 2: `inputs`, by network a WebP data URI of "
    "what it saw. Line 3: `guises`, an answer of /guises. Instead of line 2 or 3 `error`, the problem that prevented it",
    "content": {LINES: {"schema": {"type": "string"}}},
}
"""The answer of POST /walk, for the OpenAPI document."""


def inputs(files: Mapping[str, bytes]) -> dict[str, Any]:
    """The second line of a walk: what every network saw, as data URIs."""
    return {"inputs": {name: data_uri(file, "webp") for name, file in files.items()}}


def guises(photo: Photo, results: list[GuiseResult], networks: Mapping[str, Network]) -> dict[str, Any]:
    """A comparison in the shape of `Guises`; the first guise is the original."""
    original = {name: likeliest(probabilities) for name, probabilities in results[0].probabilities.items()}
    answers = []
    kept = dict.fromkeys(original, 0)
    for result in results:
        labels = {name: likeliest(probabilities) for name, probabilities in result.probabilities.items()}
        for name, label in labels.items():
            kept[name] += label == original[name]
        answer = {
            name: {
                "label": labels[name],
                "verdict": networks[name].contract.verdict(probabilities, result.distances[name]),
                "probabilities": probabilities,
                "same": labels[name] == original[name],
            }
            for name, probabilities in result.probabilities.items()
        }
        answers.append({"guise": result.name, "thumbnail": _jpeg(result), "networks": answer})
    return {"guises": answers, "kept": kept, "image": image_answer(photo)}


def _jpeg(result: GuiseResult) -> str | None:
    out = io.BytesIO()
    result.thumbnail.save(out, "JPEG", quality=80)
    return data_uri(out.getvalue(), "jpeg")
