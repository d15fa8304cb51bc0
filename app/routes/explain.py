"""POST /explain/..., /feature-maps/{stage} and /guises: how the network arrives at its answer."""

import asyncio
import threading
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from app import problems
from app.errors import NotFound
from app.inference.drawing.channels import sheet as drawn
from app.inference.drawing.channels import with_legend
from app.inference.explain.compare import compare
from app.inference.explain.effects import MAX_CHANNELS, Stopped, effects
from app.inference.explain.effects import check_stage as check_effects
from app.inference.explain.explain import INPUT, check_stage, check_unit, explain_stage, explain_unit, stage_values
from app.inference.explain.step import check as check_step
from app.inference.explain.step import take_step
from app.middleware.request_log import GONE
from app.routes.options import OptionsRoute
from app.routes.parameters import ONE_AT_A_TIME, Chosen, EditsOption, Precision, ServiceNeeded, StageName, edited
from app.schemas import arrays, form, guises, shared
from app.schemas.explanation import stages, steps, units

router = APIRouter(tags=["explanations"], route_class=OptionsRoute)

ERRORS = (401, 404, 413, 415, 422, 429, 503, 504)
PICTURE = {"description": "All channels on one colour scale, with its legend", "content": {"image/png": {}}}


@router.post(
    "/explain/unit",
    summary="The arithmetic behind one number",
    response_model=units.UnitExplanation,
    responses=problems.responses(*ERRORS),
    openapi_extra=form.FORM,
)
async def post_unit(
    service: ServiceNeeded,
    chosen: Chosen,
    request: Request,
    stage: StageName,
    channel: Annotated[int, Query(ge=0, description="Its channel; in a stage without a picture, the number of the unit")],
    row: Annotated[int, Query(ge=0, description="Its row; 0 in a stage without a picture")] = 0,
    column: Annotated[int, Query(ge=0, description="Its column; 0 in a stage without a picture")] = 0,
    contributions: Annotated[
        int, Query(ge=1, le=1000, description="How many inputs of a fully connected unit to list")
    ] = 12,
    edits: EditsOption = None,
    precision: Precision = "auto",
) -> Response:
    """Recomputes one number of a feature map in float64, from the same inputs, weights and bias, one term at a time, and
    shows it beside the number that the network computed.

    With `precision=int8`, `integers` has the same of the network's twin in integers: worked out in whole numbers, it is
    exactly what the twin computed.
    """
    check_unit(chosen.contract, stage, (row, column, channel))
    data = await form.file(request)

    def work() -> Response:
        position = (row, column, channel)
        with edited(chosen, request, edits) as network:
            photo, audit, integers = explain_unit(
                data, network, stage, position, contributions, service.settings.max_pixels, precision == "int8"
            )
            return shared.response(units.unit(photo, audit, network, integers))

    return await service.workers.run(work)


@router.post(
    "/explain/stage",
    summary="Everything that one stage computed",
    response_model=stages.StageExplanation,
    responses=problems.responses(*ERRORS),
    openapi_extra=form.FORM,
)
async def post_stage(
    service: ServiceNeeded,
    chosen: Chosen,
    request: Request,
    stage: Annotated[
        str,
        Query(
            description="A stage, a layer inside one, or `image`: the picture that the network gets",
            openapi_examples={"input": {"value": INPUT}, "cat": {"value": "stem"}, "tutorial": {"value": "block1_conv"}},
        ),
    ],
    channel: Annotated[
        int | None,
        Query(
            description="A channel to return in full",
            openapi_examples={"none": {"value": None}, "first": {"value": 0}},
        ),
    ] = None,
    sheet: Annotated[bool, Query(description="Include the picture of all channels")] = True,
    values: Annotated[bool, Query(description="Include every value of that channel, not only its picture")] = True,
    edits: EditsOption = None,
) -> Response:
    """Returns all channels of a stage in one picture on one colour scale, each channel's mean and peak, and on request every
    value of one channel.
    """
    check_stage(chosen.contract, stage, channel)
    data = await form.file(request)

    def work() -> Response:
        with edited(chosen, request, edits) as network:
            explained = explain_stage(data, network, stage, channel, sheet, service.settings.max_pixels)
            return shared.response(stages.stage(stage, explained, channel, network, with_values=values))

    return await service.workers.run(work)


@router.post(
    "/explain/effects",
    summary="What would change without each of a stage's channels?",
    response_model=stages.EffectsAnswer,
    responses=problems.responses(*ERRORS),
    openapi_extra=form.FORM,
)
async def post_effects(
    service: ServiceNeeded,
    chosen: Chosen,
    request: Request,
    stage: StageName,
    limit: Annotated[
        int, Query(ge=1, le=MAX_CHANNELS, description="How many channels are muted at most, the strongest ones")
    ] = MAX_CHANNELS,
    edits: EditsOption = None,
) -> Response:
    """Mutes one channel of a stage after the other and lets the rest of the network answer each time.

    That is the work of up to 64 photos. In a stage with more channels than this allows, the strongest are muted.
    """
    named = check_unit(chosen.contract, stage, (0, 0, 0))
    check_effects(named)
    data = await form.file(request)
    stop = threading.Event()

    def work() -> Response:
        with edited(chosen, request, edits) as network:
            found = effects(data, network, named, limit, service.settings.max_pixels, stop.is_set)
            return shared.response(stages.effects(stage, found, network))

    async def stop_when_the_client_leaves() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        stop.set()

    watching = asyncio.create_task(stop_when_the_client_leaves())
    try:
        return await service.workers.run(work)
    except Stopped:
        return Response(status_code=GONE)
    finally:
        watching.cancel()
        stop.set()  # at the deadline, the work is still running


@router.post(
    "/explain/step",
    summary="What would the network learn from this photo in one step?",
    response_model=steps.StepAnswer,
    responses=problems.responses(*ERRORS),
    openapi_extra=form.FORM,
)
async def post_step(
    service: ServiceNeeded,
    chosen: Chosen,
    request: Request,
    stage: Annotated[
        str,
        Query(
            description="A stage with weights; GET /models/{network} lists them",
            openapi_examples={"tutorial": {"value": "block1_conv"}, "any": {"value": "scores"}},
        ),
    ],
    channel: Annotated[int, Query(ge=0, description="The filter or fully connected unit that is shown")],
    truth: Annotated[
        str, Query(description="The class that is right for this photo", openapi_examples={"cat": {"value": "cat"}})
    ],
    learning_rate: Annotated[
        float | None,
        Query(
            gt=0,
            le=1000,
            allow_inf_nan=False,
            description="How far to go, as training counts it, with colours from 0 to 1. Default: the largest of 1, 0.1 and "
            "so on to 0.000001 after which the loss falls by at least half of what the gradient predicts.",
            openapi_examples={"default": {"summary": "as far as the loss falls", "value": None}, "small": {"value": 0.001}},
        ),
    ] = None,
) -> Response:
    """Works back from the loss to how much each weight adds to it, in float64, and moves all weights of the network a little
    against that. Shows the weights of one filter before and after, and what the network then answers. Nothing is stored.

    For networks of convolutions, max pooling, ReLU, flatten and dense, `tutorial` and `dense` among them.
    """
    named = check_step(chosen.contract, stage, channel, truth)
    data = await form.file(request)

    def work() -> Response:
        with ONE_AT_A_TIME:
            taken = take_step(data, chosen, named, channel, truth, learning_rate, service.settings.max_pixels)
        return shared.response(steps.step(stage, channel, truth, taken, chosen))

    return await service.workers.run(work)


@router.post(
    "/feature-maps/{stage}",
    summary="A stage as a picture",
    response_class=Response,
    responses=problems.responses(*ERRORS, success=PICTURE),
    openapi_extra=form.FORM,
)
async def post_stage_picture(
    service: ServiceNeeded,
    chosen: Chosen,
    request: Request,
    stage: Annotated[str, Path(description="A stage, or a layer inside one", openapi_examples={"cat": {"value": "stem"}})],
    edits: EditsOption = None,
) -> Response:
    """Draws every channel of a stage on one colour scale that includes zero, with a legend."""
    if chosen.contract.stage(stage) is None:
        known = ", ".join(known.name for known in chosen.contract.stages)
        raise NotFound(f"Network {chosen.contract.network} has no stage {stage[:80]!r}; its stages are {known}.")
    data = await form.file(request)

    def work() -> Response:
        with edited(chosen, request, edits) as network:
            picture = with_legend(drawn(stage_values(data, network, stage, service.settings.max_pixels)[1]))
            return Response(picture, headers=arrays.edits_header(network.changes.count), media_type="image/png")

    return await service.workers.run(work)


@router.post(
    "/guises",
    summary="Does each network still recognize the cat in disguise?",
    response_model=guises.Guises,
    responses=problems.responses(*ERRORS),
    openapi_extra=form.FORM,
)
async def post_guises(service: ServiceNeeded, request: Request, precision: Precision = "auto") -> Response:
    """Runs every network, in float whatever the `precision`, on the photo as it is, in black and white, mirrored, upside
    down, rotated, shifted, zoomed in and out, darkened, blurred and partly hidden.
    """
    service.network(None)  # answers 503 before the networks are loaded
    data = await form.file(request)

    def work() -> Response:
        photo, results = compare(data, service.networks, service.settings.max_pixels)
        return shared.response(guises.guises(photo, results, service.networks))

    return await service.workers.run(work)
