"""A request comes in; the bytes of the file that its form carries go out.

Starlette's own form reader writes files above a megabyte to disk and reads them back. A photo is read once, whole and from
memory, so its body is gathered in one buffer and the form is parsed in place.
"""

from collections.abc import Collection
from typing import Any

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import Request
from starlette.types import Receive

from app.errors import InvalidRequest
from app.schemas.names import check_names

KIND = b"multipart/form-data"
PART = "file"
MAX_PARTS = 100

BINARY = {"type": "string", "format": "binary", "contentMediaType": "application/octet-stream"}


def form(part: str, description: str, many: bool = False) -> dict[str, Any]:
    """The OpenAPI description (`openapi_extra`) of a form with a file in `part`."""
    file_schema = {"type": "array", "items": BINARY, "minItems": 1} if many else dict(BINARY)
    schema: dict[str, Any] = {
        "type": "object",
        "required": [part],
        "properties": {part: file_schema | {"description": description}},
        "additionalProperties": False,
    }
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


FORM = form(PART, "The photo: JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC")
"""For endpoints that call `file`."""


READING = "catscope.form"
"""The key in a request's scope of the `Reading` of its form."""

MAX_OPTION_BYTES = 64 * 1024
"""Longest value of an option in a form."""

LONG_OPTIONS = {"edits": 2 * 1024 * 1024}
"""Options that may be longer, in bytes: `edits` may hold a hundred thousand weights with all their digits. They do not go
through the query; endpoints ask for them with `long_option`.
"""


class OptionsInForm(Exception):
    """The form holds options that belong to the query."""


class Reading:
    """The form of one request, and the options in it. Its body is in memory until the photos are taken out.

    `known` are the options that the route takes, None where other parts do not matter, and `part` is the name of its photos;
    `options` are the names and values of those that the form holds, `long_options` those of them that may be long. `begun`
    says that the body was asked for, even if it turned out to be no form: it cannot be asked for again.
    """

    def __init__(self, known: Collection[str] | None, part: str = PART) -> None:
        self.known = known or ()
        self.part = part
        self.options_taken = known is None
        self.begun = False
        self.body: bytes | bytearray = b""
        self.parts: list[tuple[bytes, slice]] | None = None
        self.options: list[tuple[str, str]] = []
        self.long_options: dict[str, bytes] = {}

    def read_options(self) -> None:
        """Find the options among the parts beside the photos. Raises InvalidRequest for other names."""
        names = [name.decode("utf-8", "replace") for name, _ in self.parts or []]
        check_names([name for name in names if name != self.part], [self.part, *self.known], "part or option")
        for name, (_, span) in zip(names, self.parts or [], strict=True):
            if name in self.known:
                value = bytes(memoryview(self.body)[span])
                most = LONG_OPTIONS.get(name, MAX_OPTION_BYTES)
                if len(value) > most:
                    raise InvalidRequest(f"The option {name} has {len(value)} bytes; at most {most} are accepted.")
                if name in LONG_OPTIONS:
                    self.long_options[name] = value
                    continue
                try:
                    self.options.append((name, value.decode()))
                except UnicodeDecodeError as error:
                    raise InvalidRequest(f"The option {name} is not text in UTF-8.") from error


async def options(request: Request) -> list[tuple[str, str]]:
    """The options in a request's form, names and values, before its photo is asked for; none where there is no form."""
    reading: Reading = request.scope[READING]
    kind, boundary = _content_type(request)
    if kind == KIND:
        await _read(request, reading, boundary)
        reading.read_options()
    return reading.options


async def take_options(request: Request) -> None:
    """Let the options in a request's form count before its photo is asked for: one of them may stand for the photo."""
    reading: Reading = request.scope[READING]
    if not reading.options_taken and await options(request):
        raise OptionsInForm


def _content_type(request: Request) -> tuple[bytes, bytes]:
    """The media type, empty if there is none, and the boundary of a form."""
    kind, options = parse_options_header(request.headers.get("content-type"))
    return kind, options.get(b"boundary", b"")


async def _read(request: Request, reading: Reading, boundary: bytes) -> list[tuple[bytes, slice]]:
    if reading.parts is None:
        reading.begun = True
        reading.body = await whole(request.receive)
        reading.parts = _parts(reading.body, boundary)
    return reading.parts


async def file(request: Request) -> bytes:
    """The bytes of the part `file` of the request's multipart/form-data body; the last one if there are several.

    Raises InvalidRequest when the body has another type, ends early, is not a form, or lacks the part.
    """
    return (await _named(request, PART))[-1]


async def files(request: Request, part: str, maximum: int) -> list[bytes]:
    """The bytes of every part of that name, in order. Raises as `file` does, and when there are more than `maximum`."""
    contents = await _named(request, part)
    if len(contents) > maximum:
        raise InvalidRequest(f"The form has {len(contents)} parts {part}; at most {maximum} are accepted.")
    return contents


async def _named(request: Request, part: str) -> list[bytes]:
    kind, boundary = _content_type(request)
    if kind != KIND:
        received = f"The body is {kind.decode('latin-1')[:80]}" if kind else "There is no body with a content type"
        raise InvalidRequest(f"The part {part} is missing. {received}; a photo is sent as multipart/form-data.")
    reading: Reading = request.scope.get(READING) or Reading(None)
    parts = await _read(request, reading, boundary)
    spans = [span for name, span in parts if name == part.encode()]
    if not spans:
        raise InvalidRequest(f"The part {part} is missing. {_received(parts)}")
    if len(spans) < len(parts) and not reading.options_taken:
        reading.read_options()
        if reading.options:
            raise OptionsInForm
    body, reading.body = reading.body, b""  # while the photos wait for a thread, they are in memory once
    return [bytes(memoryview(body)[span]) for span in spans]


def long_option(request: Request, name: str) -> bytes | None:
    """The value of one of LONG_OPTIONS in the form, after its photo was asked for; None where the form has none."""
    reading: Reading = request.scope[READING]
    return reading.long_options.get(name)


def _received(parts: list[tuple[bytes, slice]]) -> str:
    """A sentence about the parts that a form does have."""
    names = [repr(name[:40].decode("utf-8", "replace")) for name, _ in parts[:5]]
    if not names:
        return "The form has no parts."
    more = f" and {len(parts) - len(names)} more" if len(parts) > len(names) else ""
    return f"The form has {'the part' if len(parts) == 1 else 'the parts'} {', '.join(names)}{more}."


async def whole(receive: Receive) -> bytes | bytearray:
    """The body in one piece; `app.middleware.admission` limits its length.

    Raises InvalidRequest when the client disconnects before its end.
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
    """The parts of a form's body, in order: each part's name and the span of its content in the body.

    Raises InvalidRequest when the body is not a form, a part does not end, or there are more than MAX_PARTS.
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
    return reader.parts


class _Reader:
    """Receives the parser's callbacks and collects each part's name and span."""

    def __init__(self) -> None:
        self.parts: list[tuple[bytes, slice]] = []
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
        if self._count > MAX_PARTS:
            raise FormParserError(f"the form has more than {MAX_PARTS} parts")
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
        """Called once for each part that is not empty: the parser gets the body whole."""
        self._begin, self._end = start, end

    def _part_end(self) -> None:
        self.parts.append((self._name, slice(self._begin, self._end)))

    def _on_end(self) -> None:
        self.ended = True
