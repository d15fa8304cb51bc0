"""GET /models and the paths below it: the networks, their structure, their measured accuracy."""

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from app import problems
from app.errors import InvalidRequest, NotFound
from app.inference.drawing import kernels
from app.inference.explain import receptive_field
from app.inference.networks.contract import Stage
from app.inference.networks.engines.network import Network
from app.routes.options import OptionsRoute
from app.routes.parameters import Epoch, NetworkPath, ServiceNeeded, VersionName, as_it_was
from app.schemas import networks
from app.service import Service

router = APIRouter(tags=["networks"], route_class=OptionsRoute)

StagePath = Annotated[
    str, Path(description="A convolution or a fully connected stage", openapi_examples={"first": {"value": "block1_conv"}})
]


PICTURE = {"description": "A column for each filter, a row for each input channel", "content": {"image/png": {}}}


@router.get(
    "/models",
    summary="The networks that are served",
    response_model=networks.Networks,
    responses=problems.responses(401, 422, 429, 503),
)
async def get_models(service: ServiceNeeded) -> dict[str, Any]:
    """Lists every network with its size, its input and its measured accuracy."""
    default = service.network(None).contract.network
    return {
        "default": default,
        "networks": [_network(service, network) for network in service.networks.values()],
        "kept": {"photos": service.settings.kept_photos, "days": service.settings.keep_days},
    }


@router.get(
    "/models/{network}",
    summary="Everything about one network",
    response_model=networks.NetworkDetail,
    responses=problems.responses(401, 404, 422, 429, 503),
)
async def get_model(service: ServiceNeeded, network: NetworkPath, version: VersionName = None) -> dict[str, Any]:
    """Returns its stages in order, its measurements and its training history."""
    chosen = service.network(network, version)
    records = _records(service, chosen)
    layers = {
        "stages": [receptive_field.describe(chosen.contract, stage) for stage in chosen.contract.stages],
        "inner": [receptive_field.describe(chosen.contract, layer) for layer in chosen.contract.inner],
    }
    known = {"measured": networks.measured(chosen, records["metrics"], records["history"])}
    return _network(service, chosen) | known | layers | records


@router.get(
    "/models/{network}/epochs",
    summary="How a network learned, epoch by epoch",
    response_model=networks.Epochs,
    responses=problems.responses(401, 404, 422, 429, 503),
)
async def get_epochs(service: ServiceNeeded, network: NetworkPath, version: VersionName = None) -> dict[str, Any]:
    """Lists the epochs of its training after which the network was kept, from the random start on, and how good it was then.
    Other requests take the network as it was with `epoch`.
    """
    chosen = service.network(network, version)
    if not chosen.contract.epochs:
        kept = [name for name, other in service.networks.items() if other.contract.epochs]
        raise NotFound(f"Network {network} was kept after no epoch of its training; kept was {', '.join(kept) or 'none'}.")
    return networks.epochs(chosen)


def _network(service: Service, network: Network) -> dict[str, Any]:
    versions = list(service.versions[network.contract.network])
    metrics = _records(service, network)["metrics"]
    return networks.network_answer(network, versions, metrics, service.is_taught(network))


def _records(service: Service, network: Network) -> dict[str, dict[str, Any] | None]:
    return service.records[network.contract.folder]


@router.get(
    "/models/{network}/kernels/{stage}",
    summary="A stage's weights as a picture",
    response_class=Response,
    responses=problems.responses(401, 404, 422, 429, 503, 504, success=PICTURE),
)
async def get_kernels(
    service: ServiceNeeded,
    network: NetworkPath,
    stage: StagePath,
    channel: Annotated[
        int | None,
        Query(
            description="Draw this channel's filter alone, on a scale of its own, a square for each input channel. "
            "Left out: all filters on one scale. Of a fully connected stage: its unit, which has to be named.",
            openapi_examples={"all": {"summary": "all filters", "value": None}, "one": {"value": 0}},
        ),
    ] = None,
    version: VersionName = None,
    epoch: Epoch = None,
) -> Response:
    """Draws the trained weights of a convolution, or of one unit of a fully connected stage, on one colour scale: blue below
    zero, white at zero, brown above. A unit that reads a flattened picture is drawn as pictures of that shape.
    """
    chosen = as_it_was(service.network(network, version), epoch)
    layers = (*chosen.contract.stages, *chosen.contract.inner)
    drawable = [layer.name for layer in layers if "convolution" in layer.kind or layer.kind == "dense"]
    known = chosen.contract.stage(stage)
    if known is None or stage not in drawable:
        what = f"is a {known.kind} stage and has no kernels to draw" if known else "is no stage"
        raise NotFound(f"{stage[:80]!r} {what} of network {network}; drawn are: {', '.join(drawable) or 'none'}.")
    last = known.shape[-1] - 1
    if channel is not None and not 0 <= channel <= last:
        raise InvalidRequest(f"Stage {stage} has no channel {channel}; its channels are 0 to {last}.")
    if channel is None and known.kind == "dense":
        units = f"its units, channel 0 to {last}"
        raise InvalidRequest(f"Stage {stage} is fully connected: it is drawn unit by unit. Name one of {units}.")

    def work() -> bytes:
        kernel = _as_filters(chosen, known)
        return kernels.draw_kernel(kernel) if channel is None else kernels.draw_filter(kernel, channel)

    return Response(await service.workers.run(work), media_type="image/png")


def _as_filters(network: Network, stage: Stage) -> np.ndarray:
    """A stage's weights, (height, width, inputs, outputs). To a fully connected unit, the picture that was flattened before
    it is what the patch is to a filter; other inputs are pictures of one pixel.
    """
    kernel = network.kernel(stage.name)
    if kernel.ndim == 4:
        return kernel
    shape = receptive_field.flattened(network.contract, stage) or (1, 1, len(kernel))
    return kernel.reshape(*shape, -1)
