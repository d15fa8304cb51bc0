"""The answers for photos come in, one at a time; a table, CSV or JSON Lines go out. Also reads back earlier results.

CSV and JSON contain the same data: the path, the verdict, the likeliest label, each class's probability, the photo's size,
format and SHA-256, the network, its version and what it computed with, and the error if there is no answer.
"""

import base64
import csv
import io
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, Protocol

from app.inference.networks.contract import Contract
from app.inference.predict import Answer


@dataclass(frozen=True)
class Row:
    """The result for the photo at `path`: its `answer`, or None and the `error`, a sentence."""

    path: str
    answer: Answer | None
    error: str = ""


class Format(Protocol):
    """An output format. `header` is written before the first row; it may be empty."""

    header: str

    def line(self, row: Row) -> str:
        """A row as text, including the newline."""


class Table:
    """For people: the verdict, the probability of the likeliest label, the path."""

    header = ""

    def line(self, row: Row) -> str:
        """See Format.line."""
        if row.answer is None:
            return f"{'error':10}        {shown(row.path)}: {row.error}\n"
        return f"{row.answer.verdict:10} {row.answer.probabilities[row.answer.label]:6.4f} {shown(row.path)}\n"


def shown(path: str) -> str:
    """A path, or another name that somebody else chose, with newlines and control characters escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in path)


class Csv:
    """RFC 4180, but with Unix line ends; one column per class for its probability."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self.columns = [
            *("path", "verdict", "label"),
            *(f"probability_{name}" for name in contract.classes),
            *("width", "height", "format", "sha256", "network", "version", "precision", "error"),
        ]
        self.header = _csv_line(self.columns)

    def line(self, row: Row) -> str:
        """See Format.line."""
        answer, version = row.answer, [self._contract.network, self._contract.version]
        if answer is None:
            return _csv_line([row.path, *[""] * (len(self.columns) - 5), *version, "", row.error])
        photo = answer.photo
        verdict = [answer.verdict, answer.label, *answer.probabilities.values()]
        return _csv_line(
            [row.path, *verdict, photo.width, photo.height, photo.format, photo.sha256, *version, answer.precision, ""]
        )

    def read(self, lines: Iterable[str]) -> "Iterator[EarlierRow | None]":
        """Parse the lines after the header; None for an incomplete row."""
        for cells in csv.reader(lines, strict=True):
            plain = dict(zip(self.columns, cells, strict=False))
            complete = len(cells) == len(self.columns)
            yield EarlierRow(plain["path"], plain["verdict"], plain["network"], plain["version"]) if complete else None


class Json:
    """One object per line, with the member names of POST /predict.

    A path that is not UTF-8 has U+FFFD for what is not, and its bytes in the member `path_base64`.
    """

    header = ""

    def __init__(self, contract: Contract) -> None:
        self._model = {"network": contract.network, "version": contract.version}

    def line(self, row: Row) -> str:
        """See Format.line."""
        plain: dict[str, Any] = _json_path(row.path)
        model = dict(self._model)
        if answer := row.answer:
            photo = answer.photo
            plain |= {"verdict": answer.verdict, "label": answer.label, "probabilities": answer.probabilities}
            plain["image"] = {"width": photo.width, "height": photo.height, "format": photo.format, "sha256": photo.sha256}
            model["precision"] = answer.precision
        return json.dumps(plain | {"model": model, "error": row.error or None}) + "\n"

    def read(self, lines: Iterable[str]) -> "Iterator[EarlierRow | None]":
        """Parse the lines; None for an incomplete row."""
        for line in lines:
            try:
                plain = json.loads(line)
                model = plain["model"]
                path = os.fsdecode(base64.b64decode(plain["path_base64"])) if "path_base64" in plain else plain["path"]
                yield EarlierRow(path, plain.get("verdict", ""), model["network"], model["version"])
            except (ValueError, KeyError, TypeError):
                yield None


@dataclass(frozen=True)
class EarlierRow:
    """A row that an earlier run has written; `verdict` is "" for a photo that could not be read."""

    path: str
    verdict: str
    network: str
    version: str


MAX_ROW_BYTES = 64 * 1024
"""More than the longest path and error together."""


class ForeignFile(ValueError):
    """The file does not hold results that this run can continue; the message says why."""


def read_back(file: BinaryIO, file_format: Csv | Json, contract: Contract) -> Iterator[EarlierRow]:
    """Yield the rows of an earlier run, then truncate an incomplete last row, which an interrupted process may leave.

    Raises ForeignFile for a file in another format, or with the results of another network or version.
    """
    counted = _CountedLines(file)
    lines = iter(counted)
    if file_format.header:
        header = next(lines, "")
        if header != file_format.header and (header.endswith("\n") or not file_format.header.startswith(header)):
            raise ForeignFile("it does not begin with the header that this command writes for this network")
        if header != file_format.header:  # stopped within the first line
            file.truncate(0)
            return
    complete = counted.bytes
    rows = file_format.read(lines)
    with suppress(csv.Error):  # an unterminated quotation, in the last row
        for row in rows:
            if row is None or not counted.ended:
                break
            if (row.network, row.version) != (contract.network, contract.version):
                raise ForeignFile(
                    f"its results are from {row.network} {row.version}, not from {contract.network} {contract.version}"
                )
            complete = counted.bytes
            yield row
    if next(lines, "") or counted.bytes - complete > MAX_ROW_BYTES:
        raise ForeignFile(f"after its first {complete} bytes, it is not in the format that this command writes")
    file.truncate(complete)


class _CountedLines:
    """The lines of a UTF-8 file. `bytes` is the number read so far; `ended` is whether the last line has its newline."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.bytes = 0
        self.ended = True

    def __iter__(self) -> Iterator[str]:
        for line in self._file:
            self.bytes += len(line)
            self.ended = line.endswith(b"\n")
            yield line.decode("utf-8", "surrogateescape")


def file_format(name: str, contract: Contract) -> Csv | Json:
    """The format `csv` or `json`, for that network's answers."""
    return Csv(contract) if name == "csv" else Json(contract)


def format_of(path: Path) -> str:
    """The format that a file's suffix stands for."""
    return "json" if path.suffix.lower() in (".json", ".jsonl", ".ndjson") else "csv"


def _json_path(path: str) -> dict[str, Any]:
    data = os.fsencode(path)
    text = data.decode("utf-8", "replace")
    return {"path": text} if text == path else {"path": text, "path_base64": base64.b64encode(data).decode()}


def _csv_line(cells: list[Any]) -> str:
    out = io.StringIO()
    # Python 3.11 leaves carriage returns unquoted, and then does not read them back.
    returns = any("\r" in str(cell) for cell in cells)
    csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL if returns else csv.QUOTE_MINIMAL).writerow(cells)
    return out.getvalue()


def as_text(binary: BinaryIO) -> IO[str]:
    """A text stream over the file: line-buffered UTF-8 that preserves the bytes of file names that are not valid UTF-8."""
    return io.TextIOWrapper(binary, "utf-8", "surrogateescape", newline="", line_buffering=True)
