"""Requests come in; OpenTelemetry spans go out, where its standard environment variables ask for them.

The packages are optional: requirements/tracing.txt. They read the variables themselves: OTEL_EXPORTER_OTLP_ENDPOINT and
_HEADERS, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_PROPAGATORS, OTEL_BSP_*.
OTEL_TRACES_EXPORTER is `otlp` (the default, over HTTP) or `console`. OpenTelemetry's instrumentation of FastAPI creates each
request's span, named and described by the semantic conventions for HTTP; this module adds the spans of the steps and
provides the trace IDs for the logs.
"""

import time
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from app.errors import CatscopeError
from app.settings import choose_stable_conventions, traces_exporter

_tracer: Any = None


class NotInstalled(CatscopeError):
    """The environment asks for traces, but OpenTelemetry's packages are missing or the exporter is unknown."""


def install(app: FastAPI) -> None:
    """Trace every request from now on.

    Raises NotInstalled when the packages are missing or the exporter is neither `otlp` nor `console`.
    """
    global _tracer
    choose_stable_conventions()
    exporter = traces_exporter()
    if exporter not in ("otlp", "console"):
        raise NotInstalled(f"OTEL_TRACES_EXPORTER is {exporter!r}; it must be otlp, console or none")
    try:
        from opentelemetry import trace
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
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
        raise NotInstalled(f"tracing is configured, but {error}; pip install -r requirements/tracing.txt") from error
    resource = Resource.create({"service.version": app.version})
    if str(resource.attributes["service.name"]).startswith("unknown_service"):  # no variable sets it
        resource = resource.merge(Resource({"service.name": "catscope"}))
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(exporting))
    _tracer = trace.get_tracer("catscope", app.version, tracer_provider=provider)
    app.state.tracing = provider
    # Without exclude_spans, each ASGI message would get a span too.
    FastAPIInstrumentor.instrument_app(app, tracer_provider=provider, exclude_spans=["receive", "send"])


def steps(milliseconds: Mapping[str, float]) -> None:
    """Record the steps that just ran in sequence, each as a child of the current span."""
    if _tracer is None:
        return
    begin = time.time_ns() - round(sum(milliseconds.values()) * 1e6)
    for name, duration in milliseconds.items():
        span = _tracer.start_span(name, start_time=begin)
        begin += round(duration * 1e6)
        span.end(begin)


def trace_id() -> str:
    """The current trace's ID, 32 hexadecimal digits, or "" if there is none."""
    if _tracer is None:
        return ""
    from opentelemetry import trace

    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else ""
