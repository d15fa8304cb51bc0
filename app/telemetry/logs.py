"""Log records come in; lines of text or JSON objects go out. Every line logged during a request has its ID."""

import json
import logging
from datetime import UTC, datetime
from typing import Any

from app.telemetry.request_id import request_id
from app.telemetry.tracing import trace_id


class Text(logging.Formatter):
    """`INFO 2026-11-23 06:00:00,123 [3f0c...] message`"""

    def __init__(self) -> None:
        super().__init__("%(levelname)-8s %(asctime)s %(request)s%(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        identity = request_id.get()
        record.request = f"[{identity}] " if identity else ""
        return super().format(record)


class Json(logging.Formatter):
    """One object per line: time (ISO 8601, UTC), level, logger, message, request_id and, with tracing, trace_id.

    Requests add method, path, status, milliseconds, received and sent (bytes of the bodies) and client; exceptions add
    exception, the traceback.
    """

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if identity := request_id.get():
            line["request_id"] = identity
        if traced := trace_id():
            line["trace_id"] = traced
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def config(level: str, form: str) -> dict[str, Any]:
    """The configuration for `logging.config.dictConfig`: log at `level` to standard error, as `text` or `json`."""
    ours = {"handlers": ["standard error"], "level": level.upper(), "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": f"{__name__}.{form.capitalize()}"}},
        "handlers": {"standard error": {"class": "logging.StreamHandler", "formatter": "line"}},
        "loggers": {
            "catscope": ours,
            "uvicorn": ours,
            # Their warnings about broken forms and photos duplicate the error that the client gets.
            "python_multipart": {"level": "CRITICAL"},
            "PIL": {"level": "CRITICAL"},
        },
        "root": {"handlers": ["standard error"], "level": "WARNING"},
    }
