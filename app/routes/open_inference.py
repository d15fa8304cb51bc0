"""/v2: the Open Inference Protocol, for the clients of Triton and KServe. Tensors come in, stages of a network go out."""

from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response

from app import __version__, problems
from app.inference.networks.engines import integers
from app.inference.networks.engines.network import Network
from app.inference.predict import read, run_photos
from app.routes.options import OptionsRoute
from app.routes.parameters import NetworkPath, Precision, ServiceNeeded
from app.schemas import form, tensors
from app.schemas.shared import PRECISION
from app.service import Service

router = APIRouter(prefix="/v2", tags=["open inference protocol"], route_class=OptionsRoute)

VERSION: dict[str, Any] = {
    "parameters": [
        {
            "name": "version",
            "in": "path",
            "required": True,
            "description": "Its version, as listed by GET /models",
            "schema": {"type": "string"},
        }
    ]
}
"""For paths that name a version: the same function serves paths without one, so it is not a parameter of it."""


@router.get("", summary="What this server is", responses=problems.responses(401, 422, 429))
async def server() -> dict[str, Any]:
    """Returns the server's name, its version and the protocol extensions that it supports."""
    return {"name": "catscope", "version": __version__, "extensions": tensors.EXTENSIONS}


@router.get("/health/live", summary="Is the server alive?", responses=problems.responses(422))
async def live() -> dict[str, bool]:
    """As /health/live."""
    return {"live": True}


@router.get("/health/ready", summary="Can the server answer?", responses=problems.responses(422, 503))
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
    """Its input and every stage that it can return, in the protocol's terms; -1 stands for the number of photos. `photo`,
    which may take the place of `image`, is not listed: clients fill in every input that is.
    """
    contract = _network(service, network, request).contract
    stages = [*contract.stages, *contract.inner]
    return {
        "name": contract.network,
        "versions": list(service.versions[network]),
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": tensors.INPUT, "datatype": "FP32", "shape": [-1, *contract.input_shape]}],
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


INFER = problems.responses(401, 404, 413, 415, 422, 429, 503, 504)


@router.post(
    "/models/{network}/infer", summary="Pass tensors through a network", responses=INFER, openapi_extra=tensors.REQUEST_BODY
)
@router.post(
    "/models/{network}/versions/{version}/infer",
    summary="The same, of one version",
    responses=INFER,
    openapi_extra=tensors.REQUEST_BODY | VERSION,
)
async def infer(service: ServiceNeeded, request: Request, network: NetworkPath, precision: Precision = "auto") -> Response:
    """Takes `image`, FP32 [n, height, width, 3], RGB from 0 to 255 at the network's own size, or `photo`, BYTES [n], each a
    photo's file (in base64 where it stands in the JSON), and returns the outputs
    requested by name, or all: `probabilities` (cat, not_cat) and every stage. Values are in the JSON or, with the binary
    tensor data extension, after it. Where `probabilities` alone are requested, integers may answer; the header
    `X-Catscope-Precision` says so.
    """
    chosen = _network(service, network, request)
    if precision == "int8":
        integers.check(chosen)
    body = await form.whole(request.receive)
    header_length = request.headers.get(tensors.HEADER_LENGTH)

    def work() -> Response:
        requested = tensors.read(bytes(body), header_length, chosen.contract.input_shape)
        photos = requested.photos
        if isinstance(photos, list):
            photos = np.concatenate([read(photo, chosen, service.settings.max_pixels)[1] for photo in photos])
        outputs, used = run_photos(chosen, photos, tuple(requested.outputs), precision)
        answer, json_length = tensors.write(network, chosen.contract.version, requested, outputs)
        if json_length is None:
            return Response(answer, headers={PRECISION: used}, media_type="application/json")
        headers = {tensors.HEADER_LENGTH: str(json_length), PRECISION: used}
        return Response(answer, headers=headers, media_type="application/octet-stream")

    return await service.workers.run(work)
