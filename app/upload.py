"""A request comes in; the bytes of the file that its form carries go out.

Starlette's own form reader writes what is larger than a megabyte to a file on disk and reads it back. A photo is looked at
once, as a whole and from memory, so its body is gathered in one buffer and the form is read where it lies.
"""

from typing import Any

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import Request
from starlette.types import Receive

from app.errors import InvalidRequest

PART = "file"
MOST_PARTS = 100

BINARY = {"type": "string", "format": "binary", "contentMediaType": "application/octet-stream"}


def form(part: str, says: str, many: bool = False) -> dict[str, Any]:
    """What an endpoint that reads `part` of a form says of its body in the OpenAPI document (`openapi_extra`)."""
    described = {"type": "array", "items": BINARY, "minItems": 1} if many else dict(BINARY)
    schema = {"type": "object", "required": [part], "properties": {part: described | {"description": says}}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


FORM = form(PART, "The photo: JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF")
"""The same of an endpoint that calls `file`."""


async def file(request: Request) -> bytes:
    """The bytes of the part `file` of the request's multipart/form-data body; of the last one, where several have that name.

    Raises InvalidRequest when the body is another kind, ends early, is no form, or has no such part.
    """
    return (await _named(request, PART))[-1]


async def files(request: Request, part: str, most: int) -> list[bytes]:
    """The bytes of every part of that name, in order. Raises as `file` does, and when there are more than `most`."""
    found = await _named(request, part)
    if len(found) > most:
        raise InvalidRequest(f"The form has {len(found)} parts {part}; at most {most} are accepted.")
    return found


async def _named(request: Request, part: str) -> list[bytes]:
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data":
        came = f"The body is {kind.decode('latin-1')[:80]}" if kind else "There is no body with a content type"
        raise InvalidRequest(f"The part {part} is missing. {came}; a photo is sent as multipart/form-data.")
    body = await whole(request.receive)
    found = [place for name, place in _parts(body, options.get(b"boundary", b"")) if name == part.encode()]
    if not found:
        raise InvalidRequest(f"The part {part} is missing.")
    return [bytes(memoryview(body)[place]) for place in found]


async def whole(receive: Receive) -> bytes | bytearray:
    """The body in one piece; `app.limits` sees to it that it is not too long.

    Raises InvalidRequest when the client leaves before its end.
    """
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        only: bytes = message.get("body", b"")
        return only
    gathered = bytearray()
    while message["type"] == "http.request":
        gathered += message.get("body", b"")
        if not message.get("more_body"):
            return gathered
        message = await receive()
    raise InvalidRequest(f"The request body cannot be read: it ended after {len(gathered)} bytes.")


def _parts(body: bytes | bytearray, boundary: bytes) -> list[tuple[bytes, slice]]:
    """The parts of a form's body, in order: the name of each, and where in the body its content lies.

    Raises InvalidRequest when it is no form, a part does not end, or there are more than MOST_PARTS.
    """
    reader = _Reader()
    try:
        if not boundary:
            raise FormParserError("the content type names no boundary")
        parser = MultipartParser(boundary, reader.callbacks())  # type: ignore[arg-type]  # its callbacks are a TypedDict
        parser.write(body)  # type: ignore[arg-type]  # a bytearray does as well: it is searched and sliced
        parser.finalize()
    except FormParserError as error:
        raise InvalidRequest(f"The request body cannot be read: {error}.") from error
    if not reader.ended:
        raise InvalidRequest("The request body cannot be read: the form ends in the middle of a part.")
    return reader.found


class _Reader:
    """What the parser tells while it goes through one whole body: header by header, and where each content lies."""

    def __init__(self) -> None:
        self.found: list[tuple[bytes, slice]] = []
        self.ended = False
        self._count = 0
        self._field = self._value = self._name = b""
        self._begin = self._end = 0

    def callbacks(self) -> dict[str, Any]:
        return {
            "on_part_begin": self._part_begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
            "on_end": self._on_end,
        }

    def _part_begin(self) -> None:
        self._count += 1
        if self._count > MOST_PARTS:
            raise FormParserError(f"the form has more than {MOST_PARTS} parts")
        self._field = self._value = self._name = b""
        self._begin = self._end = 0

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field = data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value = data[start:end]

    def _header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._name = parse_options_header(self._value.decode("latin-1"))[1].get(b"name", b"")
        self._field = self._value = b""

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        """Told once or more for a part, of pieces that follow each other."""
        if not self._end:
            self._begin = start
        self._end = end

    def _part_end(self) -> None:
        self.found.append((self._name, slice(self._begin, self._end)))

    def _on_end(self) -> None:
        self.ended = True
