"""A request comes in; the files in its form go out, in a folder. A form of many photos never lies in memory."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from app.errors import InvalidRequest, TooLarge
from app.schemas.form import KIND

PIECE_BYTES = 1024 * 1024
"""So much is gathered before it is written: each writing takes a turn on a thread."""

MAX_VALUE_BYTES = 1024
"""Longest value of a part without a file's name that is not a photo."""


@dataclass(frozen=True)
class Spooled:
    """A file of a form: the part's `name`, the `filename` that the client gave, "" for none, and where it lies."""

    name: str
    filename: str
    path: Path


@dataclass
class Spool:
    """What has arrived of a form. Its files are in `folder`, with numbers for names, each of at most `max_bytes`.

    `fields` are the names of parts that hold a value where they name no file; `check` sees the name of each file's part
    before the file arrives, and raises RequestError for what is not wanted.
    """

    folder: Path
    fields: tuple[str, ...]
    max_bytes: int
    check: Callable[[str], None]

    def __post_init__(self) -> None:
        self.files: list[Spooled] = []
        self.values: dict[str, str] = {}
        self._ended = self._is_field = False
        self._content: BinaryIO | None = None
        self._part_begin()

    async def receive(self, request: Request) -> None:
        """Write the request's files as they arrive.

        Raises InvalidRequest when the body is not a form or ends early, TooLarge for a file of too many bytes, what `check`
        raises, and OSError when the folder cannot be written.
        """
        kind, options = parse_options_header(request.headers.get("content-type"))
        if kind != KIND or not options.get(b"boundary"):
            received = f"is {kind.decode('latin-1')[:80]}" if kind else "has no content type"
            raise InvalidRequest(f"The body {received}; photos are sent as multipart/form-data.")
        parser = MultipartParser(options[b"boundary"], self._callbacks())  # type: ignore[arg-type]  # its callbacks are a TypedDict
        piece = bytearray()
        try:
            more = True
            while more:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise InvalidRequest("The request body cannot be read: it ended early.")
                piece += message.get("body", b"")
                more = message.get("more_body", False)
                if len(piece) >= PIECE_BYTES or not more:
                    await asyncio.to_thread(parser.write, bytes(piece))
                    piece.clear()
            parser.finalize()
        except FormParserError as error:
            raise InvalidRequest(f"The request body cannot be read: {error}.") from error
        finally:
            if self._content:
                self._content.close()
        if not self._ended:
            raise InvalidRequest("The request body cannot be read: the form ends in the middle of a part.")

    def _callbacks(self) -> dict[str, Any]:
        return {
            "on_part_begin": self._part_begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
            "on_end": self._on_end,
        }

    def _part_begin(self) -> None:
        self._header = self._value = b""
        self._name = self._filename = ""
        self._bytes, self._text = 0, b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            options = parse_options_header(self._value.decode("latin-1"))[1]
            try:
                self._name = _unescaped(options.get(b"name", b"").decode())
            except UnicodeDecodeError as error:
                raise InvalidRequest("The name of a part is not text in UTF-8.") from error
            self._filename = _unescaped(options.get(b"filename", b"").decode("utf-8", "replace"))
        self._header = self._value = b""

    def _headers_finished(self) -> None:
        self._is_field = self._name in self.fields and not self._filename
        if not self._is_field:
            self.check(self._name)
            self._content = (self.folder / str(len(self.files))).open("wb")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self._bytes += end - start
        if self._is_field:
            if self._bytes > MAX_VALUE_BYTES:
                raise InvalidRequest(f"The option {self._name} has more than {MAX_VALUE_BYTES} bytes.")
            self._text += data[start:end]
            return
        if self._bytes > self.max_bytes:
            raise TooLarge(f"The photo {self._shown()} has more than {self.max_bytes} bytes, the most that one may have.")
        assert self._content
        self._content.write(memoryview(data)[start:end])

    def _part_end(self) -> None:
        if self._is_field:
            try:
                self.values[self._name] = self._text.decode()
            except UnicodeDecodeError as error:
                raise InvalidRequest(f"The option {self._name} is not text in UTF-8.") from error
            return
        assert self._content
        self._content.close()
        if self._bytes or self._filename:  # browsers send an empty part for a field without a file
            self.files.append(Spooled(self._name, self._filename, self.folder / str(len(self.files))))

    def _shown(self) -> str:
        return (self._filename or f"number {len(self.files) + 1}")[:80]

    def _on_end(self) -> None:
        self._ended = True


def _unescaped(name: str) -> str:
    """A name as it was before a browser wrote %22 for quotes, which the HTML standard asks for."""
    return name.replace("%22", '"')
