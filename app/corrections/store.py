"""Corrections and their photos are kept, listed, exported and deleted here: photos by content, all else by SQL.

A photo is written before the row that needs it, and deleted after the last such row. A third table names the photos for
which that is under way, so that what a killed process leaves behind is found and deleted.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from app.corrections import export
from app.corrections.database import COUNTING, Database, Rows, database
from app.corrections.photos import Photos
from app.corrections.records import (
    CORRECTED,
    ID,
    KINDS,
    SHA256,
    SOURCES,
    UNSURE,
    Correction,
    first_id,
    from_microseconds,
    microseconds,
    of_day,
)
from app.corrections.removal import Removal
from app.errors import NotFound
from app.settings import Settings

MAX_LISTED = 1000
"""Corrections that are listed at once, at most."""

_COLUMNS = "id, kind, sha256, label, network, version, verdict, probabilities, source, time"


@dataclass(frozen=True)
class Kept:
    """How much is kept: corrections that count, by kind, and photos with their size in bytes."""

    corrected: int
    unsure: int
    photos: int
    bytes: int


class Store:
    """What is kept. May be used by several threads, and by several processes at once.

    Everything raises StoreUnavailable where the database, or the place of the photos, cannot be read or written. `days` is
    how long everything is kept, 0 for ever; `where` says in words where. All photos together have at most `max_bytes`, but
    for one that several processes keep at once; 0 is no limit.
    """

    def __init__(self, rows: Database, photos: Photos, days: int, where: str, max_bytes: int) -> None:
        self.days, self.where = days, where
        self._rows, self._photos = rows, photos
        self._removal = Removal(rows, photos, max_bytes)

    def add(self, correction: Correction, photo: bytes | None = None) -> Correction:
        """Keep a correction, and its photo, which may be left out if it is kept already. Returns what is kept.

        Of several corrections of a photo and network, the one that was added last counts; when it is deleted, the latest of
        the others.
        An unsure photo of which this network's answer is kept already is not kept again; what is kept of it is returned.
        Where there is no room for the photo, the oldest unsure ones are deleted until there is.

        Raises ValueError for a correction that is not one, NotFound for a photo that is left out and not kept, and
        StoreUnavailable where corrected photos leave no room for this one.
        """
        _check(correction)
        if correction.kind == UNSURE:
            with self._rows.reading() as rows:  # usually it is known, and nobody has to wait
                if known := _known(rows, correction):
                    return known
        if photo is not None:
            self._removal.make_room(correction.sha256, len(photo))
            with self._rows.writing() as rows:
                rows.run("INSERT INTO catscope_unsettled VALUES (?, ?)", correction.id, correction.sha256)
            self._photos.write(correction.sha256, photo, correction.id)
        with self._rows.writing() as rows:
            if photo is not None and not rows.all("SELECT 1 FROM catscope_unsettled WHERE id = ?", correction.id):
                # Another process took it for what a killed one has left: a clock is wrong, or this one was suspended.
                self._photos.write(correction.sha256, photo, correction.id)
            return _add(rows, correction, None if photo is None else len(photo))

    def list(
        self,
        kind: str | None = None,
        network: str | None = None,
        day: date | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> "list[Correction]":
        """The corrections that count, the latest first: of that kind, network and day (in UTC) if given, at most `limit` and
        MAX_LISTED of them, those that follow the one whose id is `after`.
        """
        if "\0" in (network or ""):
            return []  # no network is called so, and PostgreSQL does not take it
        conditions: dict[str, Any] = {}
        if kind is not None:
            conditions["kind = ?"] = kind
        if network is not None:
            conditions["network = ?"] = network
        if day is not None:
            conditions["id >= ?"], conditions["id < ?"] = of_day(day)
        if after is not None and after < conditions.get("id < ?", "g"):
            conditions["id < ?"] = after
        where = "".join(f" AND {condition}" for condition in conditions)
        query = f"SELECT {_COLUMNS} FROM {COUNTING}{where} ORDER BY id DESC LIMIT ?"
        with self._rows.reading() as rows:
            found = rows.all(query, *conditions.values(), max(0, min(limit, MAX_LISTED)))
        return [_correction(row) for row in found]

    def all(self, kind: str | None = None, network: str | None = None, day: date | None = None) -> Iterator[Correction]:
        """Every correction that counts, the latest first; read page by page."""
        after = None
        while page := self.list(kind, network, day, limit=MAX_LISTED, after=after):
            yield from page
            after = page[-1].id

    def get(self, id: str) -> Correction:
        """The correction of that id. Raises NotFound."""
        _check_id(id)
        with self._rows.reading() as rows:
            found = rows.all(f"SELECT {_COLUMNS} FROM catscope_corrections WHERE id = ?", id)
        if not found:
            raise NotFound(f"There is no correction {id}.")
        return _correction(found[0])

    def photo(self, sha256: str) -> bytes:
        """The bytes of a kept photo. Raises NotFound."""
        if not SHA256.fullmatch(sha256):
            raise NotFound(f"The photo {sha256[:80]!r} is not kept: a SHA-256 has 64 digits from 0 to f.")
        return self._photos.read(sha256)

    def kept(self) -> Kept:
        """How much is kept."""
        with self._rows.reading() as rows:
            counts = dict(rows.all(f"SELECT kind, COUNT(*) FROM {COUNTING} GROUP BY kind"))
            [(photos, size)] = rows.all("SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM catscope_photos")
        return Kept(counts.get(CORRECTED, 0), counts.get(UNSURE, 0), photos, int(size))

    def delete(self, id: str) -> None:
        """Delete a correction, and its photo if no other one needs it. Raises NotFound."""
        _check_id(id)
        if not self._removal.correction(id):
            raise NotFound(f"There is no correction {id}.")

    def delete_all(self) -> int:
        """Delete everything. Returns how many corrections there were, those that no longer counted included."""
        return self._removal.before("g", datetime.now(UTC))

    def expire(self, now: datetime) -> int:
        """Delete what has been kept for longer than `days`, and what killed processes have left.

        Returns how many corrections were deleted.
        """
        limit = now - timedelta(days=self.days) if self.days else datetime.fromtimestamp(0, UTC)
        return self._removal.before(first_id(limit), now)

    def export(self, path: Path, kind: str | None = None, network: str | None = None, day: date | None = None) -> int:
        """Write a zip file of what `all` lists, see app.corrections.export, and return how many photos it has.

        It appears whole or not at all. Raises OSError.
        """
        return export.write(path, lambda: self.all(kind, network, day), self.photo)

    def close(self) -> None:
        """Close the connections to the database."""
        self._rows.close()


def open_store(settings: Settings) -> Store:
    """The store that the settings name. Nothing is connected to before it is used.

    Raises ValueError, which names the setting, where none is named, or where one cannot be used.
    """
    if not settings.can_keep:
        raise ValueError("no store is configured: CATSCOPE_STORE names no folder")
    photos = settings.keep_photos or settings.store / "photos"
    rows = database(settings.store / "corrections.db", settings.keep_database)
    where = [
        f"photos in {_without_password(settings.keep_photos) or photos}",
        "the rest in PostgreSQL" if settings.keep_database else f"the rest in {settings.store / 'corrections.db'}",
    ]
    return Store(rows, Photos(photos), settings.keep_days, ", ".join(where), settings.keep_bytes)


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}".split("?")[0]


def _check(correction: Correction) -> None:
    """Raise ValueError for a correction that could not be listed, found or read back."""
    if not ID.fullmatch(correction.id) or not correction.id.startswith(first_id(correction.time)):
        raise ValueError(f"{correction.id!r} is no id of that time; records.new_id makes one")
    if not SHA256.fullmatch(correction.sha256):
        raise ValueError(f"{correction.sha256!r} is no SHA-256")
    if correction.kind not in KINDS or correction.source not in SOURCES:
        raise ValueError(f"kind {correction.kind!r} or source {correction.source!r} is not known")
    if (correction.label is None) != (correction.kind == UNSURE):
        raise ValueError(f"a photo of kind {correction.kind} has the label {correction.label!r}")


def _check_id(id: str) -> None:
    if not ID.fullmatch(id):
        raise NotFound(f"There is no correction {id[:80]!r}; an id has 24 digits from 0 to f.")


def _add(rows: Rows, correction: Correction, size: int | None) -> Correction:
    """The part of `Store.add` that takes effect at once."""
    rows.run("DELETE FROM catscope_unsettled WHERE id = ?", correction.id)
    if size is not None:
        rows.run("INSERT INTO catscope_photos VALUES (?, ?) ON CONFLICT DO NOTHING", correction.sha256, size)
    elif not rows.all("SELECT 1 FROM catscope_photos WHERE sha256 = ?", correction.sha256):
        raise NotFound(f"The photo {correction.sha256} is not kept; send it.")
    if correction.kind == UNSURE and (known := _known(rows, correction)):
        return known
    rows.run(
        "UPDATE catscope_corrections SET counts = 0 WHERE sha256 = ? AND network = ? AND counts = 1",
        *(correction.sha256, correction.network),
    )
    rows.run(
        f"INSERT INTO catscope_corrections ({_COLUMNS}, counts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)",
        *(correction.id, correction.kind, correction.sha256, correction.label, correction.network, correction.version),
        *(correction.verdict, json.dumps(correction.probabilities), correction.source),
        microseconds(correction.time),
    )
    return correction


def _known(rows: Rows, correction: Correction) -> Correction | None:
    """What is kept of that photo and network, if anything."""
    found = rows.all(
        f"SELECT {_COLUMNS} FROM {COUNTING} AND sha256 = ? AND network = ? LIMIT 1",
        *(correction.sha256, correction.network),
    )
    return _correction(found[0]) if found else None


def _correction(row: tuple[Any, ...]) -> Correction:
    id, kind, sha256, label, network, version, verdict, probabilities, source, time = row
    return Correction(
        *(id, kind, sha256, label, network, version, verdict),
        probabilities=json.loads(probabilities),
        time=from_microseconds(time),
        source=source,
    )
