"""GET /health/live and /health/ready: whether the process is alive, and whether it can answer photos."""

from typing import Annotated

from fastapi import APIRouter, Depends

from app import problems
from app.routes.parameters import service
from app.service import Service

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live", summary="Is the process alive?")
async def live() -> dict[str, str]:
    """Answers as long as the event loop runs; restart the process when it does not."""
    return {"status": "live"}


@router.get("/ready", summary="Can it answer photos?", responses=problems.responses(503))
async def ready(service: Annotated[Service, Depends(service)]) -> dict[str, str]:
    """Answers 200 once every network is loaded and has run once, and 503 before."""
    service.check_ready()
    return {"status": "ready"}
