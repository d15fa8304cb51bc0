"""Settings come in, the ASGI application goes out. Only assembly: everything else is in the modules called from here."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.openapi.utils import get_openapi

from app import __version__, problems
from app.errors import NetworkError
from app.middleware.admission import OPEN_PATHS, Admission
from app.middleware.head import Head
from app.middleware.request_log import RequestLog
from app.routes import batch, classify, docs, explain, health, metrics, models, open_inference, page, predict
from app.routes.own import corrections, teach
from app.schemas import shared
from app.service import Service
from app.settings import Settings, tracing_is_wanted
from app.telemetry import tracing
from app.telemetry.request_id import ID

log = logging.getLogger("catscope")

DESCRIPTION = """Says whether there is a cat in a photo, and shows how it knows.

Send a photo to `POST /predict`: the answer holds the probability of a cat and what every stage of the network saw."""


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the application. Without `settings`, they are read from the environment."""
    service = Service(settings or Settings.from_environment())

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(_load(service))
        await asyncio.to_thread(service.open_store)
        watching = asyncio.create_task(service.watch_store())
        expiring = asyncio.create_task(service.keeper.expire_hourly())
        yield
        loading.cancel()
        watching.cancel()
        expiring.cancel()
        if service.jobs:
            await asyncio.to_thread(service.jobs.close)
        service.workers.close()
        await asyncio.to_thread(service.keeper.close)
        if hasattr(app.state, "tracing"):
            await asyncio.to_thread(app.state.tracing.shutdown)  # sends the spans that are still queued

    app = FastAPI(
        title="Catscope", version=__version__, description=DESCRIPTION, lifespan=lifespan, docs_url=None, redoc_url=None
    )
    app.state.service = service
    app.add_middleware(Head)
    app.add_middleware(Admission, settings=service.settings, keys=service.keys, check_room=service.check_room)
    if service.settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(service.settings.cors_origins),
            allow_methods=["DELETE", "GET", "POST"],
            allow_headers=["*"],
            expose_headers=[
                ID,
                shared.PRECISION,
                "Location",
                "Retry-After",
                "X-Edits",
                "X-Probabilities",
                "X-Probability-Cat",
            ],
        )
    app.add_middleware(RequestLog)
    if tracing_is_wanted():
        tracing.install(app)
    problems.register(app)
    for family in (
        *(predict, batch, classify, explain, models, teach, corrections),
        *(open_inference, health, metrics, docs, page),
    ):
        app.include_router(family.router)
    docs.mount_assets(app)
    page.mount_assets(app)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]  # FastAPI's documented way to extend the document
    return app


async def _load(service: Service) -> None:
    """Load the networks in a thread while the loop answers health checks; stop the process if loading fails."""
    if service.ready:
        return
    try:
        await asyncio.to_thread(service.load)
        log.info("ready: %s", ", ".join(service.networks))
    except NetworkError as error:
        log.critical("%s", error)
        _give_up(service, str(error))
    except Exception as error:  # nobody awaits the task, so nobody else would see the exception
        failure = f"the networks cannot be loaded: {type(error).__name__} {error}"
        log.exception("%s", failure)
        _give_up(service, failure)


def _give_up(service: Service, failure: str) -> None:
    service.failure = failure
    service.stop()


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, in which every error is a Problem, even where FastAPI would document its own schema."""
    if not app.openapi_schema:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        parts = document["components"]["schemas"]
        parts["Problem"] = shared.Problem.model_json_schema()
        for name in ("HTTPValidationError", "ValidationError"):
            parts.pop(name, None)
        if app.state.service.keys:  # makes Swagger UI ask for one
            for path, operations in document["paths"].items():
                for operation in operations.values() if path.startswith(OPEN_PATHS) else ():
                    operation["security"] = []
            document["components"]["securitySchemes"] = {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            }
            document["security"] = [{"key": []}, {"bearer": []}]
        app.openapi_schema = document
    return app.openapi_schema
