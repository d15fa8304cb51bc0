"""POST /predict and POST /feature-maps: a photo comes in, an answer or the raw arrays go out."""

import io
import json
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from app import metrics, problems, schemas, tracing, upload
from app.inference.network import Network
from app.inference.predict import Answer, Wanted, by_class, chosen_stages, predict, raw_stages
from app.routes import service
from app.service import Service

router = APIRouter(tags=["photos"])

ServiceNeeded = Annotated[Service, Depends(service)]
NetworkName = Annotated[
    str | None,
    Query(
        description="`cat` (the best), `tutorial` (the chapter's CNN) or `dense` (its ordinary network); see GET /models. "
        "Left out: the best one that is served.",
        openapi_examples={
            "default": {"summary": "the default network", "value": None},
            "tutorial": {"summary": "the chapter's CNN", "value": "tutorial"},
            "dense": {"summary": "the chapter's ordinary network", "value": "dense"},
        },
    ),
]
VersionName = Annotated[
    str | None,
    Query(
        description="A version of the network; GET /models lists them. Left out: the one that answers.",
        openapi_examples={"default": {"summary": "the one that answers", "value": None}},
    ),
]


async def chosen(service: ServiceNeeded, network: NetworkName = None, version: VersionName = None) -> Network:
    """The network that a request's query names."""
    return service.network(network, version)


Chosen = Annotated[Network, Depends(chosen)]
StageNames = Annotated[
    list[str],
    Query(
        description="Stage names, repeated; none: all stages. GET /models/{network} lists them.",
        openapi_examples={"all": {"summary": "all stages", "value": []}, "one": {"value": ["block1_relu"]}},
    ),
]
FeatureMaps = Annotated[
    Literal["thumbnails", "summary", "none"], Query(description="Pictures and numbers, numbers only, or neither")
]
Channels = Annotated[int, Query(ge=1, le=64, description="How many of the strongest channels of each stage are shown")]

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
    "image": {"width": 500, "height": 375, "format": "JPEG", "animated": False, "bytes": 48211, "sha256": "9f2b..."},
    "model": {"network": "tutorial", "version": "1.0.0", "sha256": "c01a...", "input_shape": [100, 100, 3]},
    "timings_ms": {"decode": 2.1, "inference": 7.9, "feature_maps": 3.0, "heatmap": 1.2},
}


ARRAYS = {
    "description": "One float32 array a stage, [height, width, channels] or [n]; `numpy.load` reads them",
    "content": {"application/x-npz": {"schema": {"type": "string", "format": "binary"}}},
    "headers": {
        "X-Probability-Cat": {
            "description": "The probability of a cat that the same pass gave",
            "schema": {"type": "number", "minimum": 0, "maximum": 1},
            "example": 0.9871,
        },
        "X-Probabilities": {
            "description": "The probabilities of all classes, as a JSON object",
            "schema": {"type": "string"},
            "example": '{"cat": 0.9871, "not_cat": 0.0129}',
        },
    },
}


@router.post(
    "/predict",
    summary="Is there a cat in this photo, and what did the network see?",
    response_model=schemas.Prediction,
    responses=problems.responses(
        401, 404, 413, 415, 422, 429, 503, 504, success={"content": {"application/json": {"example": EXAMPLE}}}
    ),
    openapi_extra=upload.FORM,
)
async def post_predict(
    service: ServiceNeeded,
    chosen: Chosen,
    request: Request,
    feature_maps: FeatureMaps = "thumbnails",
    stages: StageNames = [],  # noqa: B006  FastAPI copies it; a None default would show as null in Swagger UI
    channels: Channels = 4,
    heatmap: Annotated[bool, Query(description="Also say where in the photo the evidence for a cat lies")] = False,
) -> Response:
    """Answers the probability of a cat, a verdict, and what every stage of the network computed on the way.

    The verdict is `unsure` where the probability lies in the band that the network's contract names.
    """
    wanted = Wanted(feature_maps, tuple(stages), channels, heatmap)
    chosen_stages(chosen, wanted.stages)
    data = await upload.file(request)

    def work() -> Response:  # the answer's JSON is written on the thread too
        return schemas.response(schemas.prediction(answered(data, chosen, wanted, service), chosen))

    return await service.workers.run(work)


def answered(data: bytes, network: Network, wanted: Wanted, service: Service) -> Answer:
    """Answer one photo, and count it."""
    answer = predict(data, network, wanted, service.settings.max_pixels)
    metrics.photo(answer, network.contract.network)
    tracing.steps(answer.milliseconds)
    return answer


@router.post(
    "/feature-maps",
    summary="The raw arrays of every stage, as NumPy reads them",
    response_class=Response,
    responses=problems.responses(401, 404, 413, 415, 422, 429, 503, 504, success=ARRAYS),
    openapi_extra=upload.FORM,
)
async def post_feature_maps(
    service: ServiceNeeded,
    chosen: Chosen,
    request: Request,
    stages: StageNames = [],  # noqa: B006  see post_predict
) -> Response:
    """Answers exactly what the network computed, stage by stage, in the pass that gave the probability."""
    chosen_stages(chosen, tuple(stages))
    data = await upload.file(request)

    def work() -> Response:
        result = raw_stages(data, chosen, tuple(stages), service.settings.max_pixels)
        arrays: dict[str, Any] = {name: np.ascontiguousarray(values) for name, values in result.stages.items()}
        out = io.BytesIO()
        np.savez(out, **arrays)
        probabilities = by_class(chosen, result)
        headers = {"X-Probabilities": json.dumps(probabilities)}
        if "cat" in probabilities:
            headers["X-Probability-Cat"] = repr(probabilities["cat"])
        return Response(out.getvalue(), headers=headers, media_type="application/x-npz")

    return await service.workers.run(work)
