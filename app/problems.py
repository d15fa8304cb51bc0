"""An error comes in; an RFC 9457 problem goes out. Every answer that is not a success is made here."""

import http
import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette._utils import get_route_path
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from app.errors import (
    InvalidRequest,
    MethodNotAllowed,
    NetworkError,
    NotFound,
    Overloaded,
    RequestError,
    UnsupportedCoding,
)

log = logging.getLogger("catscope")

MEDIA_TYPE = "application/problem+json"


def problem(error: RequestError) -> dict[str, Any]:
    """The members of the problem: `type` (a URN that never changes), `title`, `status` and `detail`."""
    name = "".join(f"-{c.lower()}" if c.isupper() else c for c in type(error).__name__).strip("-")
    return {"type": f"urn:catscope:problem:{name}", "title": error.title, "status": error.status, "detail": str(error)}


def response(error: RequestError, path: str = "") -> Response:
    """The problem as a response, with Retry-After, X-Catscope-Ready, Accept-Encoding and WWW-Authenticate where they belong.

    For a `path` of the Open Inference Protocol it repeats `detail` as `error`, where that protocol's clients look.
    """
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, Overloaded) and not error.ready:
        headers["X-Catscope-Ready"] = "false"
    if isinstance(error, UnsupportedCoding):
        headers["Accept-Encoding"] = "identity"
    if error.status == http.HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="catscope"'
    members = problem(error) | ({"error": str(error)} if path == "/v2" or path.startswith("/v2/") else {})
    return JSONResponse(members, error.status, headers, MEDIA_TYPE)


def raw(error: RequestError, headers: list[tuple[bytes, bytes]]) -> bytes:
    """The problem as the bytes of an HTTP/1.1 response with those headers, after which the connection is closed."""
    answer = response(error)
    lines = [*headers, *answer.raw_headers, (b"connection", b"close")]
    status = f"HTTP/1.1 {error.status} {http.HTTPStatus(error.status).phrase}\r\n".encode()
    return status + b"".join(b"%s: %s\r\n" % line for line in lines) + b"\r\n" + bytes(answer.body)


def _path(request: Request) -> str:
    """The request's path below the one that a proxy serves the application at."""
    return get_route_path(request.scope)


METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")
"""That a path may answer; HEAD wherever GET."""


def _methods(request: Request) -> str:
    """The methods that a path answers. Several routes may have it, and Starlette's error names those of the first alone."""
    answered = [
        method
        for method in METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes)
    ]
    return ", ".join(answered).replace("GET", "GET, HEAD")


def register(app: FastAPI) -> None:
    """Answer Catscope's own errors, FastAPI's and Starlette's as problems."""

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestError)
        return response(error, _path(request))

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return response(InvalidRequest(" ".join(_sentence(e) for e in error.errors())), _path(request))

    async def framework(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == http.HTTPStatus.NOT_FOUND:
            return response(NotFound(f"There is nothing at {request.url.path}; /docs lists what there is."), _path(request))
        if error.status_code == http.HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = _methods(request) if (error.headers or {}).get("Allow") else ""
            answer = response(
                MethodNotAllowed(f"{request.url.path} does not answer {request.method}, but {allowed}."), _path(request)
            )
            answer.headers["Allow"] = allowed
            return answer
        return response(InvalidRequest(f"The request body cannot be read: {error.detail}"), _path(request))

    async def changed(request: Request, error: Exception) -> Response:
        log.error("%s", error)
        return response(Overloaded("The network's file is being replaced; retry shortly."))

    app.add_exception_handler(NetworkError, changed)
    app.add_exception_handler(RequestError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, framework)


def _sentence(error: dict[str, Any]) -> str:
    """One of pydantic's errors as a sentence: where it is, what was received and what is accepted."""
    where, *path = map(str, error["loc"])
    name = ".".join(path) or where
    if error["type"] == "missing":
        return f"The {'part' if where == 'body' else where + ' parameter'} {name} is missing."
    received = error.get("input")
    shown = f" Received was {str(received)[:80]!r}." if isinstance(received, str | int | float) else ""
    return f"The {where} parameter {name} does not fit: {error['msg']}.{shown}"


DOCUMENTED = {
    401: "API keys are configured and none of them was sent",
    403: "Asked by a page of another site, which CATSCOPE_CORS_ORIGINS does not name",
    404: "No such network, or no such stage in the path",
    413: "More bytes, or more pixels, than the settings allow",
    415: "Not an image format that is read, or a compressed request body",
    422: "The image is broken, a part is missing, or a parameter is out of range",
    429: "Too many requests; Retry-After says when to retry",
    503: "Not ready, or too many requests waiting; Retry-After says when to retry",
    504: "Waited longer than the deadline setting",
}
"""What each status means, for the OpenAPI document."""


def responses(*statuses: int, success: dict[str, Any] | None = None) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI entries of those statuses, each with its problem and an example, and of 200 where it says more."""
    entries: dict[int | str, dict[str, Any]] = {200: success} if success else {}
    return entries | {
        status: {
            "description": DOCUMENTED[status],
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "example": {
                        "type": "urn:catscope:problem:example",
                        "title": http.HTTPStatus(status).phrase,
                        "status": status,
                        "detail": DOCUMENTED[status] + ".",
                    },
                }
            },
        }
        for status in statuses
    }
