"""Options of a request, wherever a client puts them: in the query, or in the form beside the photo."""

from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import urlencode

from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from app.errors import InvalidRequest, NotFound
from app.schemas import form
from app.schemas.names import check_names

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class OptionsRoute(APIRoute):
    """A route that refuses names it does not know, in the query and in the form, and takes options from either.

    The form is read when the endpoint asks for its photo, as everywhere: an unknown network in the query is refused before
    that. A request that is refused earlier for what depends on options, such as a stage that the network lacks, has its form
    read, as the network may be named there. Only a form that does hold options is answered in a second go, with those in its
    query.
    """

    def get_route_handler(self) -> Handler:
        """FastAPI's handler between the check of the names and a second go."""
        answer = super().get_route_handler()
        known = _query_names(self.dependant)
        part = _photo_part(self.openapi_extra or {})

        async def handle(request: Request) -> Response:
            check_names(request.query_params.keys(), known, "query parameter")
            if part is None:
                return await answer(request)
            reading = form.Reading(known, part)
            request.scope[form.READING] = reading
            try:
                return await answer(request)
            except form.OptionsInForm:
                pass
            except (RequestValidationError, InvalidRequest, NotFound) as error:
                if not _may_change(error, reading) or not await form.options(request):
                    raise
            reading.options_taken = True
            query = request.scope["query_string"]
            added = urlencode(reading.options).encode()
            scope = {**request.scope, "query_string": query + b"&" + added if query else added}
            return await answer(Request(scope, request.receive))

        return handle


def _photo_part(extra: dict[str, Any]) -> str | None:
    """The name of the part for photos, in the form that an OpenAPI description asks for. None without a form, and for one
    with a part for each class: POST /teach reads that itself, to disk.
    """
    content = extra.get("requestBody", {}).get("content", {})
    parts = content.get("multipart/form-data", {}).get("schema", {}).get("properties", {})
    return next(iter(parts), None)


def _may_change(error: RequestValidationError | InvalidRequest | NotFound, reading: form.Reading) -> bool:
    """Whether the request might not be refused with the options of its form, which nobody has looked at yet."""
    if isinstance(error, RequestValidationError):
        return any(one["type"] == "missing" and one["loc"][0] == "query" for one in error.errors())
    return not (reading.begun or error.settled)


def _query_names(dependant: Dependant) -> list[str]:
    """The names of the query parameters of an endpoint and of all that it depends on, once each."""
    names = [parameter.alias for parameter in dependant.query_params]
    names += [name for needed in dependant.dependencies for name in _query_names(needed)]
    return list(dict.fromkeys(names))
