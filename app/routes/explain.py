"""POST /explain/unit, /explain/stage, /feature-maps/{stage} and /guises: how the network comes to what it says."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from app import explanations, problems, schemas, upload
from app.errors import NotFound
from app.inference.compare import compare
from app.inference.explain import INPUT, check_stage, check_unit, explain_stage, explain_unit, stage_values
from app.inference.sheet import sheet as drawn
from app.inference.sheet import with_legend
from app.routes.predict import Chosen, ServiceNeeded

router = APIRouter(tags=["explanations"])

ERRORS = (401, 404, 413, 415, 422, 429, 503, 504)
StageName = Annotated[
    str,
    Query(
        description="A stage, or a layer inside of one; GET /models/{network} lists both",
        openapi_examples={"cat": {"value": "stem"}, "tutorial": {"value": "block1_conv"}, "any": {"value": "scores"}},
    ),
]
PICTURE = {"description": "All channels on one colour scale, with its legend", "content": {"image/png": {}}}


@router.post(
    "/explain/unit",
    summary="The arithmetic behind one number",
    response_model=explanations.UnitExplanation,
    responses=problems.responses(*ERRORS),
    openapi_extra=upload.FORM,
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
        int, Query(ge=1, le=1000, description="How many inputs of a fully connected unit are told one by one")
    ] = 12,
) -> Response:
    """Works one number of a feature map out again in float64, from the same inputs, weights and bias, one term at a time,
    and sets the result beside what the network itself computed.
    """
    check_unit(chosen.contract, stage, (row, column, channel))
    data = await upload.file(request)

    def work() -> Response:
        place = (row, column, channel)
        photo, found = explain_unit(data, chosen, stage, place, contributions, service.settings.max_pixels)
        return schemas.response(explanations.unit(photo, found, chosen))

    return await service.workers.run(work)


@router.post(
    "/explain/stage",
    summary="Everything that one stage saw",
    response_model=explanations.StageExplanation,
    responses=problems.responses(*ERRORS),
    openapi_extra=upload.FORM,
)
async def post_stage(
    service: ServiceNeeded,
    chosen: Chosen,
    request: Request,
    stage: Annotated[
        str,
        Query(
            description="A stage, a layer inside of one, or `image`: the picture that the network gets",
            openapi_examples={"input": {"value": INPUT}, "cat": {"value": "stem"}, "tutorial": {"value": "block1_conv"}},
        ),
    ],
    channel: Annotated[
        int | None,
        Query(
            description="A channel whose every value is wanted",
            openapi_examples={"none": {"value": None}, "first": {"value": 0}},
        ),
    ] = None,
    sheet: Annotated[bool, Query(description="The picture of all channels")] = True,
    values: Annotated[bool, Query(description="Every value of the channel that is wanted, not only its picture")] = True,
) -> Response:
    """Answers all channels of a stage in one picture on one colour scale, each one's mean and peak, and on request every
    value of one of them.
    """
    check_stage(chosen.contract, stage, channel)
    data = await upload.file(request)

    def work() -> Response:
        found = explain_stage(data, chosen, stage, channel, sheet, service.settings.max_pixels)
        return schemas.response(explanations.stage(stage, found, channel, chosen, with_values=values))

    return await service.workers.run(work)


@router.post(
    "/feature-maps/{stage}",
    summary="A stage as a picture",
    response_class=Response,
    responses=problems.responses(*ERRORS, success=PICTURE),
    openapi_extra=upload.FORM,
)
async def post_stage_picture(
    service: ServiceNeeded,
    chosen: Chosen,
    request: Request,
    stage: Annotated[
        str, Path(description="A stage, or a layer inside of one", openapi_examples={"cat": {"value": "stem"}})
    ],
) -> Response:
    """Draws every channel of a stage on one colour scale, zero visible, with a legend."""
    if chosen.contract.stage(stage) is None:
        known = ", ".join(known.name for known in chosen.contract.stages)
        raise NotFound(f"Network {chosen.contract.network} has no stage {stage[:80]!r}; its stages are {known}.")
    data = await upload.file(request)

    def work() -> bytes:
        return with_legend(drawn(stage_values(data, chosen, stage, service.settings.max_pixels)[1]))

    return Response(await service.workers.run(work), media_type="image/png")


@router.post(
    "/guises",
    summary="Does it still know the cat in disguise?",
    response_model=explanations.Guises,
    responses=problems.responses(*ERRORS),
    openapi_extra=upload.FORM,
)
async def post_guises(service: ServiceNeeded, request: Request) -> Response:
    """Asks every network about the photo as it is, black and white, mirrored, upside down, turned, shifted, nearer, farther,
    dark, blurred and half hidden.
    """
    service.network(None)  # answers 503 before the networks are there
    data = await upload.file(request)

    def work() -> Response:
        photo, found = compare(data, service.networks, service.settings.max_pixels)
        return schemas.response(explanations.guises(photo, found, service.networks))

    return await service.workers.run(work)
