"""POST /predict and POST /feature-maps: a photo comes in, an answer or the raw arrays go out."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from app import problems
from app.inference.predict import PredictOptions, by_class, chosen_stages, raw_stages
from app.routes.options import OptionsRoute
from app.routes.parameters import Channels, Chosen, FeatureMaps, ServiceNeeded, StageNames, answered
from app.schemas import arrays, form, prediction, shared

router = APIRouter(tags=["photos"], route_class=OptionsRoute)


@router.post(
    "/predict",
    summary="Is there a cat in this photo, and what did the network see?",
    response_model=prediction.Prediction,
    responses=problems.responses(
        401, 404, 413, 415, 422, 429, 503, 504, success={"content": {"application/json": {"example": prediction.EXAMPLE}}}
    ),
    openapi_extra=form.FORM,
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
    options = PredictOptions(feature_maps, tuple(stages), channels, heatmap)
    chosen_stages(chosen, options.stages)
    data = await form.file(request)

    def work() -> Response:  # the answer's JSON is written on the thread too
        return shared.response(prediction.prediction(answered(data, chosen, options, service), chosen))

    return await service.workers.run(work)


@router.post(
    "/feature-maps",
    summary="The raw arrays of every stage, as NumPy reads them",
    response_class=Response,
    responses=problems.responses(401, 404, 413, 415, 422, 429, 503, 504, success=arrays.DESCRIPTION),
    openapi_extra=form.FORM,
)
async def post_feature_maps(
    service: ServiceNeeded,
    chosen: Chosen,
    request: Request,
    stages: StageNames = [],  # noqa: B006  see post_predict
) -> Response:
    """Answers exactly what the network computed, stage by stage, in the pass that gave the probability."""
    chosen_stages(chosen, tuple(stages))
    data = await form.file(request)

    def work() -> Response:
        result = raw_stages(data, chosen, tuple(stages), service.settings.max_pixels)
        return arrays.response(result.stages, by_class(chosen, result))

    return await service.workers.run(work)
