"""POST /predict and POST /feature-maps: a photo comes in, an answer or the raw arrays go out."""

from collections.abc import AsyncIterator
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse
from pydantic_core import to_json

from app import problems
from app.errors import RequestError
from app.inference.explain.compare import compare
from app.inference.predict import (
    Answer,
    PredictOptions,
    check_class,
    chosen_stages,
    input_file,
    raw_stages,
    read,
)
from app.routes.options import OptionsRoute
from app.routes.parameters import (
    Channels,
    Chosen,
    EditsOption,
    FeatureMaps,
    Precision,
    ServiceNeeded,
    StageNames,
    answered,
    edited,
    reviewed,
    source,
)
from app.schemas import arrays, form, guises, prediction, shared

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
    heatmap_class: Annotated[
        str | None,
        Query(
            description="The class whose evidence the heatmap shows; asks for the heatmap, too. Default: `cat`, or the "
            "likeliest of a network with other classes",
            openapi_examples={"default": {"summary": "chosen by the answer", "value": None}, "cat": {"value": "cat"}},
        ),
    ] = None,
    with_input: Annotated[
        bool, Query(alias="input", description="Also return what the network saw, as a small file that stands for the photo")
    ] = False,
    precision: Precision = "auto",
    edits: EditsOption = None,
) -> Response:
    """Answers the probability of a cat, a verdict, and what every stage of the network computed on the way.

    The verdict is `unsure` where the probability lies in the band that the network's contract names.
    """
    with_heatmap = heatmap or heatmap_class is not None
    options = PredictOptions(feature_maps, tuple(stages), channels, with_heatmap, with_input, heatmap_class, precision)
    check_class(chosen, heatmap_class)
    chosen_stages(chosen, options.stages)
    data, by = await form.file(request), source(request)

    def work() -> Response:  # the answer's JSON is written on the thread too
        with edited(chosen, request, edits) as network:
            answer = answered(data, network, options, service)
            response = shared.response(prediction.prediction(answer, network))
            if by == "page":  # what it asks here is about a photo that /walk got, often about a network's input of it
                return response
            return reviewed(response, answer, network, data, by, service)

    return await service.workers.run(work)


@router.post(
    "/walk",
    summary="All that needs the photo itself, for one upload",
    response_class=Response,
    responses=problems.responses(401, 404, 413, 415, 422, 429, 503, 504, success=guises.WALK),
    openapi_extra=form.FORM,
)
async def post_walk(service: ServiceNeeded, chosen: Chosen, request: Request) -> Response:
    """Answers three lines of JSON, each as soon as it is known: what /predict answers with `heatmap` and `input` and without
    feature maps; then every network's input; then what /guises answers. For its input a network gives every other answer
    that it would give for the photo, and an input is small.
    """
    data = await form.file(request)
    options = PredictOptions("none", heatmap=True, input=True)
    networks, limit = service.networks, service.settings.max_pixels  # the same for all lines, although others may be loaded
    tensors: dict[str, np.ndarray] = {}

    def first() -> tuple[Answer, bytes]:
        answer = answered(data, chosen, options, service)
        return answer, to_json(prediction.prediction(answer, chosen))

    def inputs() -> bytes:
        tensors.update((name, read(data, network, limit)[1]) for name, network in networks.items())
        return to_json(guises.inputs({name: input_file(tensor) for name, tensor in tensors.items()}))

    def disguised() -> bytes:
        photo, results = compare(data, networks, limit, tensors)
        return to_json({"guises": guises.guises(photo, results, networks)})

    answer, line = await service.workers.run(first)  # a photo that is refused is refused with a status

    async def lines() -> AsyncIterator[bytes]:
        yield line + b"\n"
        for work in (inputs, disguised):
            try:
                yield await service.workers.run(work) + b"\n"
            except RequestError as error:
                yield to_json({"error": problems.problem(error)}) + b"\n"

    response = StreamingResponse(lines(), media_type=guises.LINES)
    return reviewed(response, answer, chosen, data, source(request), service)


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
    edits: EditsOption = None,
) -> Response:
    """Answers exactly what the network computed, stage by stage, in the pass that gave the probability."""
    chosen_stages(chosen, tuple(stages))
    data = await form.file(request)

    def work() -> Response:
        with edited(chosen, request, edits) as network:
            result = raw_stages(data, network, tuple(stages), service.settings.max_pixels)
            return arrays.response(result.stages, network.contract.by_class(result.probabilities), network.changes.count)

    return await service.workers.run(work)
