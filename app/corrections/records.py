"""What one kept photo is: a `Correction`, its id, and its form as JSON."""

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

CORRECTED, UNSURE = "corrected", "unsure"
KINDS = (CORRECTED, UNSURE)
SOURCES = ("page", "api", "command")

ID = re.compile(r"[0-9a-f]{24}")
"""16 digits for the microseconds since 1970, then 8 random ones: ids sort by time."""

SHA256 = re.compile(r"[0-9a-f]{64}")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 24 * 60 * 60 * 1_000_000
"""In microseconds."""


@dataclass(frozen=True)
class Correction:
    """A photo that is kept, what a network said about it, and what is right.

    - `id`: from `new_id`, so that ids sort by time
    - `kind`: `corrected`, or `unsure`: kept because the verdict was unsure, for somebody to say what is right
    - `sha256`: of the photo's bytes, its name in the store
    - `label`: the right class; None where nobody has said it
    - `network`, `version`, `verdict`, `probabilities`: who answered, and what; probabilities are 0..1 and sum to 1
    - `time`: when it was kept, in UTC
    - `source`: `page`, `api` or `command`
    """

    id: str
    kind: str
    sha256: str
    label: str | None
    network: str
    version: str
    verdict: str
    probabilities: dict[str, float]
    time: datetime
    source: str

    def kept_until(self, days: int) -> datetime | None:
        """When it is deleted, if it is kept for so many days; None for 0, which is for ever."""
        return self.time + timedelta(days=days) if days else None


def new_id(time: datetime) -> str:
    """An id for what is kept at that time, which no other has."""
    return first_id(time) + secrets.token_hex(4)


def first_id(time: datetime) -> str:
    """The beginning of all ids of that microsecond: earlier ids are smaller, the others are not.

    Times before 1970 count as 1970.
    """
    return f"{max(0, microseconds(time)):016x}"


def microseconds(time: datetime) -> int:
    """A time as microseconds since 1970 in UTC."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def from_microseconds(count: int) -> datetime:
    """The time so many microseconds after 1970 began, in UTC."""
    return _EPOCH + timedelta(microseconds=count)


def of_day(day: date) -> tuple[str, str]:
    """The ids of a day in UTC: from the first, up to but without the second."""
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return first_id(begin), f"{max(0, microseconds(begin) + _DAY):016x}"


def text_of(time: datetime) -> str:
    """A time as answers and exports have it, such as 2026-11-28T01:02:03Z; to the second."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def plain(correction: Correction) -> dict[str, Any]:
    """A correction as JSON has it."""
    return {
        "id": correction.id,
        "kind": correction.kind,
        "sha256": correction.sha256,
        "label": correction.label,
        "network": correction.network,
        "version": correction.version,
        "verdict": correction.verdict,
        "probabilities": correction.probabilities,
        "time": text_of(correction.time),
        "source": correction.source,
    }
