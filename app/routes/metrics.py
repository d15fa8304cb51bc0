"""GET /metrics: what Prometheus collects."""

from fastapi import APIRouter
from fastapi.responses import Response

from app.settings import metrics_are_shared
from app.telemetry import metrics

router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    summary="Numbers for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def get_metrics() -> Response:
    """Requests, times, queues, refusals, verdicts and the networks that are served, in Prometheus' text format."""
    return Response(metrics.exposition(metrics_are_shared()), media_type=metrics.CONTENT_TYPE)
