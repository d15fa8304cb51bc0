"""POST /explain/effects: what muting each channel of a stage does to the answer."""

import asyncio
import threading
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from app import problems
from app.inference.explain.effects import MAX_CHANNELS, Stopped, check_stage, effects
from app.inference.explain.explain import check_unit
from app.middleware.request_log import GONE
from app.routes.options import OptionsRoute
from app.routes.parameters import Chosen, EditsOption, ServiceNeeded, StageName, edited
from app.schemas import effects as schema
from app.schemas import form, shared

router = APIRouter(tags=["explanations"], route_class=OptionsRoute)


@router.post(
    "/explain/effects",
    summary="What would change without each of a stage's channels?",
    response_model=schema.EffectsAnswer,
    responses=problems.responses(401, 404, 413, 415, 422, 429, 503, 504),
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
    check_stage(named)
    data = await form.file(request)
    stop = threading.Event()

    def work() -> Response:
        network = edited(chosen, request, edits)
        found = effects(data, network, named, limit, service.settings.max_pixels, stop.is_set)
        return shared.response(schema.effects(stage, found, network))

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
