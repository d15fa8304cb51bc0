"""POST /predict/batch: many photos in one request."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic_core import to_json

from app import problems
from app.errors import RequestError
from app.inference.predict import PredictOptions, chosen_stages
from app.routes.options import OptionsRoute
from app.routes.parameters import Channels, Chosen, FeatureMaps, Precision, ServiceNeeded, StageNames, answered
from app.schemas import form, prediction

router = APIRouter(tags=["photos"], route_class=OptionsRoute)


MAX_PHOTOS = 32
"""Photos in one batch."""


@router.post(
    "/predict/batch",
    summary="Many photos at once",
    response_model=prediction.Batch,
    responses=problems.responses(401, 404, 413, 415, 422, 429, 503),
    openapi_extra=form.form("files", "The photos, each a part of this name", many=True),
)
async def post_batch(
    service: ServiceNeeded,
    chosen: Chosen,
    request: Request,
    feature_maps: FeatureMaps = "none",
    stages: StageNames = [],  # noqa: B006  see post_predict
    channels: Channels = 4,
    heatmap: Annotated[bool, Query(description="Also say where in each photo the evidence for a cat lies")] = False,
    precision: Precision = "auto",
) -> Response:
    """Answers up to 32 photos in the order in which they were sent, each as /predict would, or with its problem: one
    bad photo never fails its neighbours. A batch occupies as many queue slots as the service has threads.
    """
    options = PredictOptions(feature_maps, tuple(stages), channels, heatmap, precision=precision)
    chosen_stages(chosen, options.stages)
    photos = await form.files(request, "files", MAX_PHOTOS)
    at_once = asyncio.Semaphore(service.workers.threads)

    def work(data: bytes) -> bytes:
        return to_json(prediction.prediction(answered(data, chosen, options, service), chosen))

    async def one(data: bytes) -> bytes:
        async with at_once:
            try:
                return await service.workers.run(lambda: work(data))
            except RequestError as error:
                return to_json({"error": problems.problem(error)})

    results = await asyncio.gather(*(one(data) for data in photos))
    return Response(b'{"results":[' + b",".join(results) + b"]}", media_type="application/json")
