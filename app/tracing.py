"""Requests come in; OpenTelemetry spans go out, where its standard environment variables ask for them.

The packages are not among those that the service needs: requirements/tracing.txt. They read the variables themselves:
OTEL_EXPORTER_OTLP_ENDPOINT and _HEADERS, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_PROPAGATORS,
OTEL_BSP_*. OTEL_TRACES_EXPORTER is `otlp` (the default, over HTTP) or `console`. The names of spans and attributes are those
of OpenTelemetry's semantic conventions for HTTP.
"""

import time
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import CatscopeError
from app.settings import traces_exporter

_tracer: Any = None


class NotInstalled(CatscopeError):
    """The environment asks for traces, and OpenTelemetry's packages are not there."""


def install(app: FastAPI) -> None:
    """Trace every request from now on.

    Raises NotInstalled when the packages are missing or the exporter is another than `otlp` and `console`.
    """
    global _tracer
    exporter = traces_exporter()
    if exporter not in ("otlp", "console"):
        raise NotInstalled(f"OTEL_TRACES_EXPORTER is {exporter!r}; it must be otlp, console or none")
    try:
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter

        exporting: SpanExporter
        if exporter == "console":
            exporting = ConsoleSpanExporter()
        else:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            exporting = OTLPSpanExporter()
    except ImportError as error:
        raise NotInstalled(f"traces are asked for, but {error}; pip install -r requirements/tracing.txt") from error
    resource = Resource.create({"service.version": app.version})
    if str(resource.attributes["service.name"]).startswith("unknown_service"):  # neither variable names it
        resource = resource.merge(Resource({"service.name": "catscope"}))
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(exporting))
    _tracer = trace.get_tracer("catscope", app.version, tracer_provider=provider)
    app.state.tracing = provider
    app.add_middleware(Traced)


class Traced:
    """ASGI middleware: one span a request, child of the one that the client's headers name."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on within a span."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        from opentelemetry import propagate, trace

        sent = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        method = scope["method"]
        attributes = {"http.request.method": method, "url.path": scope["path"], "url.scheme": scope["scheme"]}
        with _tracer.start_as_current_span(
            method, propagate.extract(sent), kind=trace.SpanKind.SERVER, attributes=attributes
        ) as span:

            async def answer(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.set_status(trace.StatusCode.ERROR)
                await send(message)

            await self._app(scope, receive, answer)
            if route := getattr(scope.get("route"), "path", ""):
                span.update_name(f"{method} {route}")
                span.set_attribute("http.route", route)


def steps(milliseconds: Mapping[str, float]) -> None:
    """The steps that have just been done one after the other, each as a span below the current one."""
    if _tracer is None:
        return
    begin = time.time_ns() - round(sum(milliseconds.values()) * 1e6)
    for name, duration in milliseconds.items():
        span = _tracer.start_span(name, start_time=begin)
        begin += round(duration * 1e6)
        span.end(begin)


def trace_id() -> str:
    """The current trace's id, 32 hexadecimal digits, or nothing without one."""
    if _tracer is None:
        return ""
    from opentelemetry import trace

    found = trace.get_current_span().get_span_context()
    return f"{found.trace_id:032x}" if found.is_valid else ""
