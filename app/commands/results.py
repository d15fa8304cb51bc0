"""The answers to photos come in, one after the other; a table, CSV or lines of JSON go out. Also reads what it wrote before.

CSV and JSON hold the same: the path, the verdict, the likelier label, each class' probability, what the photo is, which
network in which version answered, and the error where there is no answer.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, Protocol

from app.inference.contract import Contract
from app.inference.predict import Answer


@dataclass(frozen=True)
class Row:
    """What became of the photo at `path`: its `answer`, or None and the `error`, a sentence."""

    path: str
    answer: Answer | None
    error: str = ""


class Form(Protocol):
    """A way to write rows. `head` comes before the first of them, "" for none."""

    head: str

    def line(self, row: Row) -> str:
        """A row as text, its line's end included."""


class Table:
    """For people: the verdict, the probability of the likelier label, the path."""

    head = ""

    def line(self, row: Row) -> str:
        """See Form.line."""
        if row.answer is None:
            return f"{'error':9}        {_shown(row.path)}: {row.error}\n"
        return f"{row.answer.verdict:9} {row.answer.probabilities[row.answer.label]:6.4f} {_shown(row.path)}\n"


def _shown(path: str) -> str:
    """A path without what would end the line or steer the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in path)


class Csv:
    """RFC 4180, but for the lines' ends, which are those of Unix; a column for each class' probability."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self.columns = [
            *("path", "verdict", "label"),
            *(f"probability_{name}" for name in contract.classes),
            *("width", "height", "format", "sha256", "network", "version", "error"),
        ]
        self.head = _csv_line(self.columns)

    def line(self, row: Row) -> str:
        """See Form.line."""
        answer, version = row.answer, [self._contract.network, self._contract.version]
        if answer is None:
            return _csv_line([row.path, *[""] * (len(self.columns) - 4), *version, row.error])
        photo = answer.photo
        said = [answer.verdict, answer.label, *answer.probabilities.values()]
        return _csv_line([row.path, *said, photo.width, photo.height, photo.format, photo.sha256, *version, ""])

    def read(self, lines: Iterable[str]) -> "Iterator[Before | None]":
        """What it wrote before, row by row, of the lines after the head; None for one that is not whole."""
        for cells in csv.reader(lines, strict=True):
            plain = dict(zip(self.columns, cells, strict=False))
            whole = len(cells) == len(self.columns)
            yield Before(plain["path"], plain["verdict"], plain["network"], plain["version"]) if whole else None


class Json:
    """An object a line; its members are those of POST /predict."""

    head = ""

    def __init__(self, contract: Contract) -> None:
        self._model = {"network": contract.network, "version": contract.version}

    def line(self, row: Row) -> str:
        """See Form.line."""
        plain: dict[str, Any] = {"path": row.path}
        if answer := row.answer:
            photo = answer.photo
            plain |= {"verdict": answer.verdict, "label": answer.label, "probabilities": answer.probabilities}
            plain["image"] = {"width": photo.width, "height": photo.height, "format": photo.format, "sha256": photo.sha256}
        return json.dumps(plain | {"model": self._model, "error": row.error or None}) + "\n"

    def read(self, lines: Iterable[str]) -> "Iterator[Before | None]":
        """What it wrote before, line by line; None for one that is not whole."""
        for line in lines:
            try:
                plain = json.loads(line)
                yield Before(plain["path"], plain.get("verdict", ""), plain["model"]["network"], plain["model"]["version"])
            except (ValueError, KeyError, TypeError):
                yield None


@dataclass(frozen=True)
class Before:
    """A row of an earlier run; `verdict` is "" for a photo that could not be read."""

    path: str
    verdict: str
    network: str
    version: str


LONGEST_ROW = 64 * 1024
"""Bytes: more than any path and error have together."""


class NotOurs(ValueError):
    """A file that cannot be gone on with; its text says why."""


def read_back(file: BinaryIO, form: Csv | Json, contract: Contract) -> Iterator[Before]:
    """The rows of an earlier run. What a stopped process wrote of a last row is cut off, so that more can follow.

    Raises NotOurs for a file of another form, or of another network or version.
    """
    counted = _Counted(file)
    lines = iter(counted)
    if form.head:
        head = next(lines, "")
        if head != form.head and (head.endswith("\n") or not form.head.startswith(head)):
            raise NotOurs("it does not begin as results do that this command writes for this network")
        if head != form.head:  # stopped within the first line
            file.truncate(0)
            return
    whole = counted.bytes
    rows = form.read(lines)
    with suppress(csv.Error):  # a quotation that does not end: the last row
        for row in rows:
            if row is None or not counted.ended:
                break
            if (row.network, row.version) != (contract.network, contract.version):
                raise NotOurs(
                    f"it is of {row.network} {row.version}, and {contract.network} {contract.version} would answer now"
                )
            whole = counted.bytes
            yield row
    if next(lines, "") or counted.bytes - whole > LONGEST_ROW:
        raise NotOurs(f"what follows its first {whole} bytes is not what this command writes")
    file.truncate(whole)


class _Counted:
    """The lines of a file in UTF-8; `bytes` have been read so far, and the last of them `ended` a line."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.bytes = 0
        self.ended = True

    def __iter__(self) -> Iterator[str]:
        for line in self._file:
            self.bytes += len(line)
            self.ended = line.endswith(b"\n")
            yield line.decode("utf-8", "surrogateescape")


def kept(name: str, contract: Contract) -> Csv | Json:
    """The form of that name, `csv` or `json`, for what that network answers."""
    return Csv(contract) if name == "csv" else Json(contract)


def form_of(path: Path) -> str:
    """The form that a file's name asks for."""
    return "json" if path.suffix.lower() in (".json", ".jsonl", ".ndjson") else "csv"


def _csv_line(cells: list[Any]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue()


def as_text(binary: BinaryIO) -> IO[str]:
    """The file to write to: UTF-8, names that are none kept byte for byte, each row out as soon as it is whole."""
    return io.TextIOWrapper(binary, "utf-8", "surrogateescape", newline="", line_buffering=True)
