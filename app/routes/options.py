"""Options of a request, wherever a client puts them: in the query, or in the form beside the photo."""

from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import urlencode

from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from app.schemas import form
from app.schemas.names import check_names

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class OptionsRoute(APIRoute):
    """A route that refuses names it does not know, in the query and in the form, and takes options from either.

    The form is read when the endpoint asks for its photo, as everywhere: an unknown network is refused before that. Only a
    form that does hold options, or a request that lacks one, is answered in a second go, with those options in its query.
    """

    def get_route_handler(self) -> Handler:
        """FastAPI's handler between the check of the names and a second go."""
        answer = super().get_route_handler()
        known = _query_names(self.dependant)
        has_form = "multipart/form-data" in (self.openapi_extra or {}).get("requestBody", {}).get("content", {})

        async def handle(request: Request) -> Response:
            check_names(request.query_params.keys(), known, "query parameter")
            if not has_form:
                return await answer(request)
            reading = form.Reading(known)
            request.scope[form.READING] = reading
            try:
                return await answer(request)
            except form.OptionsInForm:
                pass
            except RequestValidationError as error:
                if not any(one["type"] == "missing" and one["loc"][0] == "query" for one in error.errors()):
                    raise
                if not await form.options(request):
                    raise
            reading.options_taken = True
            query = request.scope["query_string"]
            added = urlencode(reading.options).encode()
            scope = {**request.scope, "query_string": query + b"&" + added if query else added}
            return await answer(Request(scope, request.receive))

        return handle


def _query_names(dependant: Dependant) -> list[str]:
    """The names of the query parameters of an endpoint and of all that it depends on, once each."""
    names = [parameter.alias for parameter in dependant.query_params]
    names += [name for needed in dependant.dependencies for name in _query_names(needed)]
    return list(dict.fromkeys(names))
