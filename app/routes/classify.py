"""POST /classify and POST /predict/batch: the doors that clients of other services, and people with many photos, know."""

import asyncio
import base64
import binascii
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic_core import from_json, to_json

from app import problems, schemas, upload
from app.errors import InvalidRequest, RequestError
from app.inference.predict import Wanted, chosen_stages
from app.routes import service
from app.routes.predict import Channels, Chosen, FeatureMaps, StageNames, answered
from app.service import Service

router = APIRouter(tags=["photos"])

ServiceNeeded = Annotated[Service, Depends(service)]

MOST_PHOTOS = 32
"""In one batch."""

RAW: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/octet-stream": {"schema": upload.BINARY},
            "image/jpeg": {"schema": upload.BINARY},
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["inputs"],
                    "properties": {
                        "inputs": {"type": "string", "format": "byte", "description": "The photo in base64"},
                        "parameters": {
                            "type": ["object", "null"],
                            "properties": {"top_k": {"type": ["integer", "null"], "minimum": 1}},
                        },
                    },
                }
            },
        },
    }
}


@router.post(
    "/classify",
    summary="The labels with their scores, as Hugging Face's clients read them",
    response_model=list[schemas.LabelScore],
    responses=problems.responses(401, 404, 413, 415, 422, 429, 503, 504),
    openapi_extra=RAW,
)
async def post_classify(service: ServiceNeeded, chosen: Chosen, request: Request) -> Response:
    """Takes the photo's bytes as the body, or JSON with it in base64 as `inputs`, and answers the likelier label first.

    `huggingface_hub.InferenceClient(model=".../classify").image_classification(photo)` works.
    """
    body = await upload.whole(request.receive)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()

    def work() -> Response:
        data, most = _inputs(body) if kind == "application/json" else (bytes(body), None)
        answer = answered(data, chosen, Wanted("none"), service)
        scores = sorted(answer.probabilities.items(), key=lambda item: -item[1])[:most]
        return schemas.response([{"label": label, "score": score} for label, score in scores])

    return await service.workers.run(work)


def _inputs(body: bytes | bytearray) -> tuple[bytes, int | None]:
    """The photo, and how many labels are wanted, of a body in JSON. Raises InvalidRequest when it is not that."""
    try:
        plain = from_json(bytes(body))
    except ValueError as error:
        raise InvalidRequest(f"The body is not JSON: {str(error)[:100]}.") from error
    text = plain.get("inputs") if isinstance(plain, dict) else None
    if not isinstance(text, str):
        raise InvalidRequest("The body must be an object whose `inputs` is a photo in base64.")
    try:
        data = base64.b64decode(text.rpartition(",")[2] if text.startswith("data:") else text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest("`inputs` is not base64.") from error
    parameters = plain.get("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        raise InvalidRequest("`parameters` must be an object.")
    most = (parameters or {}).get("top_k")
    if most is not None and (type(most) is not int or most < 1):
        raise InvalidRequest(f"The parameter top_k is {str(most)[:40]}; accepted are whole numbers from 1.")
    return data, most


@router.post(
    "/predict/batch",
    summary="Many photos at once",
    response_model=schemas.Batch,
    responses=problems.responses(401, 404, 413, 415, 422, 429, 503),
    openapi_extra=upload.form("files", "The photos, each a part of this name", many=True),
)
async def post_batch(
    service: ServiceNeeded,
    chosen: Chosen,
    request: Request,
    feature_maps: FeatureMaps = "none",
    stages: StageNames = [],  # noqa: B006  see post_predict
    channels: Channels = 4,
    heatmap: Annotated[bool, Query(description="Also say where in each photo the evidence for a cat lies")] = False,
) -> Response:
    """Answers up to 32 photos in the order in which they were sent, each as /predict would, or with the problem that it
    met: one bad photo never fails its neighbours. A batch waits in the queue like as many clients as there are threads.
    """
    wanted = Wanted(feature_maps, tuple(stages), channels, heatmap)
    chosen_stages(chosen, wanted.stages)
    photos = await upload.files(request, "files", MOST_PHOTOS)
    at_once = asyncio.Semaphore(service.workers.threads)

    def work(data: bytes) -> bytes:
        return to_json(schemas.prediction(answered(data, chosen, wanted, service), chosen))

    async def one(data: bytes) -> bytes:
        async with at_once:
            try:
                return await service.workers.run(lambda: work(data))
            except RequestError as error:
                return to_json({"error": problems.problem(error)})

    results = await asyncio.gather(*(one(data) for data in photos))
    return Response(b'{"results":[' + b",".join(results) + b"]}", media_type="application/json")
