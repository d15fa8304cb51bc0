"""POST /classify: the labels with their scores, as Hugging Face's clients read them."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from app import problems
from app.inference.predict import PredictOptions
from app.routes.options import OptionsRoute
from app.routes.parameters import Chosen, Precision, ServiceNeeded, answered
from app.schemas import classification, form, shared

router = APIRouter(tags=["photos"], route_class=OptionsRoute)


@router.post(
    "/classify",
    summary="The labels with their scores, as Hugging Face's clients read them",
    response_model=list[classification.LabelScore],
    responses=problems.responses(401, 404, 413, 415, 422, 429, 503, 504),
    openapi_extra=classification.REQUEST_BODY,
)
async def post_classify(service: ServiceNeeded, chosen: Chosen, request: Request, precision: Precision = "auto") -> Response:
    """Takes the photo's bytes as the body, or JSON with it in base64 as `inputs`, and answers the likelier label first.

    `huggingface_hub.InferenceClient(model=".../classify").image_classification(photo)` works. The header
    `X-Catscope-Precision` says what answered, float32 or int8.
    """
    body = await form.whole(request.receive)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()

    def work() -> Response:
        data, top_k = classification.read_json(body) if kind == "application/json" else (bytes(body), None)
        answer = answered(data, chosen, PredictOptions("none", precision=precision), service)
        scores = sorted(answer.probabilities.items(), key=lambda item: -item[1])[:top_k]
        response = shared.response([{"label": label, "score": score} for label, score in scores])
        response.headers[shared.PRECISION] = answer.precision
        return response

    return await service.workers.run(work)
