"""What routes share: the running service, the query parameters, and answering one photo."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Annotated, Literal

from fastapi import Depends, Path, Query, Request
from starlette.background import BackgroundTask
from starlette.responses import Response

from app.inference.networks.engines import integers
from app.inference.networks.engines.network import Network
from app.inference.predict import Answer, PredictOptions, predict
from app.schemas import edits, form
from app.service import Service
from app.telemetry import metrics, tracing


async def service(request: Request) -> Service:
    """The running service that the application was assembled with. (Async: FastAPI sends other dependencies to a thread.)"""
    current: Service = request.app.state.service
    return current


ServiceNeeded = Annotated[Service, Depends(service)]
NetworkName = Annotated[
    str | None,
    Query(
        description="`cat` (the best), `tutorial` (the chapter's CNN) or `dense` (its ordinary network); see GET /models. "
        "Default: the best one that is served.",
        openapi_examples={
            "default": {"summary": "the default network", "value": None},
            "tutorial": {"summary": "the chapter's CNN", "value": "tutorial"},
            "dense": {"summary": "the chapter's ordinary network", "value": "dense"},
        },
    ),
]
NetworkPath = Annotated[str, Path(description="A network's name", openapi_examples={"tutorial": {"value": "tutorial"}})]
VersionName = Annotated[
    str | None,
    Query(
        description="A version of the network; GET /models lists them. Default: the network's default version.",
        openapi_examples={"default": {"summary": "the default version", "value": None}},
    ),
]


Epoch = Annotated[
    int | None,
    Query(
        description="The network as it was after this epoch of its training; 0 is the random start. "
        "GET /models/{network}/epochs lists them. Default: the network as it is served.",
        openapi_examples={"served": {"summary": "as it is served", "value": None}},
    ),
]


Precision = Annotated[
    Literal["auto", "float32", "int8"],
    Query(
        description="What answers where nothing inside the network is asked for: the network itself, in float32, or its "
        "twin in 8-bit integers, about twice as fast. `auto`: integers where they pay. Feature maps, heatmaps and "
        "explanations are always those of the float network, and the answer is then its own; `model.precision` says which "
        "one answered."
    ),
]


async def chosen(
    service: ServiceNeeded,
    network: NetworkName = None,
    version: VersionName = None,
    epoch: Epoch = None,
    precision: Precision = "auto",
) -> Network:
    """The network that a request's query names. Raises InvalidRequest for integers where it has none."""
    named = as_it_was(service.network(network, version), epoch)
    if precision == "int8":
        integers.check(named)
    return named


def as_it_was(network: Network, epoch: int | None) -> Network:
    """The network after that epoch, or as it is served. Raises InvalidRequest for one that was not kept."""
    return network if epoch is None else network.at_epoch(epoch)


Chosen = Annotated[Network, Depends(chosen)]
StageNames = Annotated[
    list[str],
    Query(
        description="Stage names, repeated; none: all stages. GET /models/{network} lists them.",
        openapi_examples={"all": {"summary": "all stages", "value": []}, "one": {"value": ["block1_relu"]}},
    ),
]
StageName = Annotated[
    str,
    Query(
        description="A stage, or a layer inside one; GET /models/{network} lists both",
        openapi_examples={"cat": {"value": "stem"}, "tutorial": {"value": "block1_conv"}, "any": {"value": "scores"}},
    ),
]
FeatureMaps = Annotated[
    Literal["thumbnails", "summary", "none"], Query(description="Pictures and numbers, numbers only, or neither")
]
Channels = Annotated[int, Query(ge=1, le=64, description="How many of the strongest channels of each stage are shown")]


EditsOption = Annotated[str | None, Query(alias=edits.NAME, description=edits.DESCRIPTION, openapi_examples=edits.EXAMPLES)]


ONE_AT_A_TIME = threading.Lock()
"""A changed network takes as much memory as one that is served; questions to one wait here for each other."""


@contextlib.contextmanager
def edited(network: Network, request: Request, option: str | None) -> Iterator[Network]:
    """The network with the edits that the request's query or, after its photo was asked for, its form names, as long as the
    question takes; itself without.

    Takes a worker's time. Raises InvalidRequest for what does not fit.
    """
    in_form = form.long_option(request, edits.NAME)
    text = option if in_form is None else in_form
    if text is None:
        yield network
        return
    wanted = edits.read(text)
    with ONE_AT_A_TIME:
        yield network.edited(wanted)


def source(request: Request) -> str:
    """Who asks: `page`, a page that the service itself served, by what browsers say; otherwise `api`."""
    headers = request.headers
    site, origin = headers.get("sec-fetch-site"), headers.get("origin", "")
    own = site == "same-origin" if site else origin.partition("://")[2] == headers.get("host", "unknown")
    return "page" if own else "api"


def reviewed(response: Response, answer: Answer, network: Network, photo: bytes, by: str, service: Service) -> Response:
    """The response, after which the photo is kept for review if its verdict was unsure and the settings want that, unless
    the network was edited or of another epoch. `by` is the request's `source`.
    """
    as_served = not network.changes.count and network.epoch is None
    if service.keeper.unsure and answer.verdict == "unsure" and as_served:

        async def keep() -> None:
            service.keeper.keep_unsure(answer, network, photo, by)

        response.background = BackgroundTask(keep)
    return response


def answered(data: bytes, network: Network, options: PredictOptions, service: Service) -> Answer:
    """Answer one photo, and count it."""
    answer = predict(data, network, options, service.settings.max_pixels)
    metrics.photo(answer, network.contract.network, changed=network.changes.count > 0 or network.epoch is not None)
    tracing.steps(answer.milliseconds)
    return answer
