"""/v2: the Open Inference Protocol, for the clients of Triton and KServe. Tensors come in, stages of a network go out."""

import math
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import Response

from app import __version__, open_inference, problems, upload
from app.errors import InvalidRequest
from app.inference.contract import Stage
from app.inference.network import Network
from app.inference.predict import chosen_stages
from app.routes import service
from app.service import Service

router = APIRouter(prefix="/v2", tags=["open inference protocol"])

ServiceNeeded = Annotated[Service, Depends(service)]
NetworkPath = Annotated[str, Path(description="A network's name", openapi_examples={"tutorial": {"value": "tutorial"}})]
VERSION: dict[str, Any] = {
    "parameters": [
        {
            "name": "version",
            "in": "path",
            "required": True,
            "description": "Its version, as GET /models tells it",
            "schema": {"type": "string"},
        }
    ]
}
"""Of the paths that name one: the same function answers those that do not, so it is not among its parameters."""


@router.get("", summary="What this server is", responses=problems.responses(401, 429))
async def server() -> dict[str, Any]:
    """Names the server, its version and the extensions of the protocol that it knows."""
    return {"name": "catscope", "version": __version__, "extensions": open_inference.EXTENSIONS}


@router.get("/health/live", summary="Is the server alive?")
async def live() -> dict[str, bool]:
    """As /health/live."""
    return {"live": True}


@router.get("/health/ready", summary="Can the server answer?", responses=problems.responses(503))
async def ready(service: ServiceNeeded) -> dict[str, bool]:
    """As /health/ready."""
    service.check_ready()
    return {"ready": True}


def _network(service: Service, name: str, request: Request) -> Network:
    """The network of that name, in the version that the path names, if it does. Raises NotFound for another."""
    return service.network(name, request.path_params.get("version"))


METADATA = problems.responses(401, 404, 422, 429, 503)


@router.get("/models/{network}", summary="A network's inputs and outputs", responses=METADATA)
@router.get(
    "/models/{network}/versions/{version}", summary="The same, of one version", responses=METADATA, openapi_extra=VERSION
)
async def metadata(service: ServiceNeeded, request: Request, network: NetworkPath) -> dict[str, Any]:
    """The photo that it takes, and every stage that it can answer, in the protocol's words; -1 is the number of photos."""
    contract = _network(service, network, request).contract
    stages = [*contract.stages, *contract.inner]
    return {
        "name": contract.network,
        "versions": list(service.versions[network]),
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": open_inference.INPUT, "datatype": "FP32", "shape": [-1, *contract.input_shape]}],
        "outputs": [{"name": stage.name, "datatype": "FP32", "shape": [-1, *stage.shape]} for stage in stages],
    }


@router.get("/models/{network}/ready", summary="Can this network answer?", responses=METADATA)
@router.get(
    "/models/{network}/versions/{version}/ready",
    summary="The same, of one version",
    responses=METADATA,
    openapi_extra=VERSION,
)
async def model_ready(service: ServiceNeeded, request: Request, network: NetworkPath) -> dict[str, Any]:
    """Answers 200 when it can."""
    contract = _network(service, network, request).contract
    return {"name": contract.network, "ready": True}


MOST_VALUES = 16_000_000
"""Numbers in one answer: all 22 stages of `cat` for seven photos, or `probabilities` for as many as may be sent."""

BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["inputs"],
                    "properties": {
                        "id": {"type": ["string", "null"]},
                        "inputs": {"type": "array", "minItems": 1, "maxItems": 1, "items": {"type": "object"}},
                        "outputs": {"type": ["array", "null"], "items": {"type": "object"}},
                        "parameters": {"type": ["object", "null"]},
                    },
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
INFER = problems.responses(401, 404, 413, 422, 429, 503, 504)


@router.post("/models/{network}/infer", summary="Pass tensors through a network", responses=INFER, openapi_extra=BODY)
@router.post(
    "/models/{network}/versions/{version}/infer",
    summary="The same, of one version",
    responses=INFER,
    openapi_extra=BODY | VERSION,
)
async def infer(service: ServiceNeeded, request: Request, network: NetworkPath) -> Response:
    """Takes `image`, FP32 [n, height, width, 3], RGB from 0 to 255 at the network's own size, and answers the outputs that
    are asked for by name, or all: `probabilities` (cat, not_cat) and every stage. Numbers stand in the JSON or, with
    the binary tensor data extension, behind it.
    """
    chosen = _network(service, network, request)
    body = await upload.whole(request.receive)
    header_length = request.headers.get(open_inference.HEADER_LENGTH)

    def work() -> Response:
        asked = open_inference.read(bytes(body), header_length, chosen.contract.input_shape)
        outputs = passed(chosen, asked)
        answer, json_length = open_inference.write(network, chosen.contract.version, asked, outputs)
        if json_length is None:
            return Response(answer, media_type="application/json")
        headers = {open_inference.HEADER_LENGTH: str(json_length)}
        return Response(answer, headers=headers, media_type="application/octet-stream")

    return await service.workers.run(work)


def passed(network: Network, asked: open_inference.Asked) -> dict[str, np.ndarray]:
    """The outputs that were asked for, the photos first. Raises InvalidRequest for one that the network does not have."""
    names = chosen_stages(network, tuple(asked.outputs))
    values = len(asked.photos) * sum(math.prod(_stage(network, name).shape) for name in names)
    if values > MOST_VALUES:
        raise InvalidRequest(
            f"The outputs asked for have {values} numbers; at most {MOST_VALUES} are answered at once. "
            "Name the outputs that are needed, or send fewer photos."
        )
    if asked.outputs:
        names = list(asked.outputs)  # in the order in which they were asked for
    each = [network.run(photo[None], names).stages for photo in asked.photos]
    return {name: np.stack([stages[name] for stages in each]) for name in names}


def _stage(network: Network, name: str) -> Stage:
    found = network.contract.stage(name)
    assert found is not None  # chosen_stages checked it
    return found
