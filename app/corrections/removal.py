"""Corrections that are no longer to be kept are deleted, and then the photos that no other one needs.

Each photo is deleted in a transaction of its own, so that nobody waits long where a place of photos is slow, and one that
cannot be deleted holds up no other. What is left of it is found again, and tried again, by its row in a table.
"""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from app.corrections.database import BUSY_S, COUNTING, Database, Rows
from app.corrections.photos import Photos
from app.corrections.records import CORRECTED, UNSURE, first_id
from app.errors import StoreUnavailable

BATCH = 200
"""Corrections that are deleted in one transaction, so that others need not wait long for it."""

SETTLED = timedelta(minutes=10)
"""After so long, a correction that was to be added is there, or its process was killed."""

Found = list[tuple[Any, ...]]
"""Of corrections, the id, the photo's SHA-256 and the network."""


class Failure(NamedTuple):
    """Why a photo could not be deleted, and when, by the monotonic clock."""

    time: float
    error: StoreUnavailable


class Removal:
    """Deletes what is kept. Everything raises StoreUnavailable, for photos once all that can be deleted is deleted. For
    `max_bytes`, see app.corrections.store.Store.
    """

    def __init__(self, rows: Database, photos: Photos, max_bytes: int) -> None:
        self._rows, self._photos, self._max_bytes = rows, photos, max_bytes

    def correction(self, id: str) -> bool:
        """Delete a correction; whether there was one."""
        with self._rows.writing() as rows:
            found = rows.all("SELECT id, sha256, network FROM catscope_corrections WHERE id = ?", id)
            _delete(rows, found)
        _raise(self._settle(found, []))
        return bool(found)

    def before(self, end: str, now: datetime) -> int:
        """Delete the corrections whose ids are smaller than `end`, and what nobody has finished adding or deleting. Returns
        how many corrections there were.
        """
        deleted, failures = 0, list[Failure]()
        for found in self._batches("SELECT id, sha256, network FROM catscope_corrections", end):
            with self._rows.writing() as rows:
                _delete(rows, found)
            deleted += len(found)
            self._settle(found, failures)
        for found in self._batches("SELECT id, sha256, '' FROM catscope_unsettled", first_id(now - SETTLED)):
            self._settle(found, failures)
        _raise(failures)
        return deleted

    def make_room(self, sha256: str, size: int) -> None:
        """Delete unsure photos, the oldest first, until that one, of so many bytes, has room or is kept already."""
        while self._max_bytes:
            with self._rows.reading() as rows:
                if rows.all("SELECT 1 FROM catscope_photos WHERE sha256 = ?", sha256):
                    return
                [(kept,)] = rows.all("SELECT COALESCE(SUM(bytes), 0) FROM catscope_photos")
                if kept + size <= self._max_bytes:
                    return
                oldest = rows.all(
                    "SELECT id, one.sha256, network, bytes FROM catscope_corrections AS one "
                    "JOIN catscope_photos ON catscope_photos.sha256 = one.sha256 WHERE kind = ? "
                    "AND NOT EXISTS (SELECT 1 FROM catscope_corrections WHERE sha256 = one.sha256 AND kind = ?) "
                    "ORDER BY id LIMIT ?",
                    *(UNSURE, CORRECTED, BATCH),
                )
            if not oldest or size > self._max_bytes:
                raise StoreUnavailable(
                    f"The store is full: it keeps {int(kept):,} bytes of photos, and with {size:,} more it would exceed "
                    f"CATSCOPE_KEEP_BYTES, {self._max_bytes:,}."
                )
            freed: dict[str, int] = {}
            leaving = []
            for id, photo, network, nbytes in oldest:
                leaving.append((id, photo, network))
                freed[photo] = nbytes  # once, of however many networks it has answers
                if kept + size - sum(freed.values()) <= self._max_bytes:
                    break
            with self._rows.writing() as rows:
                _delete(rows, leaving)
            _raise(self._settle(leaving, []))

    def _batches(self, query: str, end: str) -> Iterator[Found]:
        """The rows with ids before `end`, the oldest first, some at a time."""
        after = ""
        while True:
            with self._rows.reading() as rows:
                found = rows.all(f"{query} WHERE id > ? AND id < ? ORDER BY id LIMIT ?", after, end, BATCH)
            if not found:
                return
            yield found
            after = found[-1][0]

    def _settle(self, found: Found, failures: list[Failure]) -> list[Failure]:
        """Delete what is left of these corrections, which are not there: photos, unless another correction needs them or one
        that is being added, and files that were never finished. What cannot be deleted is added to the `failures`, which are
        returned. Once there is one, others are tried for BUSY_S more: where none can be reached, each takes its time.
        """
        for id, sha256, _ in found:
            if failures and time.monotonic() > failures[0].time + BUSY_S:
                break
            with self._rows.writing() as rows:
                needed = rows.all(
                    "SELECT 1 FROM catscope_corrections WHERE sha256 = ? "
                    "UNION ALL SELECT 1 FROM catscope_unsettled WHERE sha256 = ? AND id <> ? LIMIT 1",
                    *(sha256, sha256, id),
                )
                try:
                    if not needed:
                        self._photos.delete(sha256)
                except StoreUnavailable as error:
                    failures.append(Failure(time.monotonic(), error))
                    continue
                self._photos.discard(sha256, id)
                rows.run("DELETE FROM catscope_unsettled WHERE id = ?", id)
                if not needed:
                    rows.run("DELETE FROM catscope_photos WHERE sha256 = ?", sha256)
        return failures


def _raise(failures: list[Failure]) -> None:
    if failures:
        raise failures[0].error


def _delete(rows: Rows, found: Found) -> None:
    """Delete these corrections; their photos are not settled then."""
    for id, sha256, network in found:
        rows.run("DELETE FROM catscope_corrections WHERE id = ?", id)
        rows.run("INSERT INTO catscope_unsettled VALUES (?, ?) ON CONFLICT DO NOTHING", id, sha256)
        _let_latest_count(rows, sha256, network)


def _let_latest_count(rows: Rows, sha256: str, network: str) -> None:
    """Of the corrections of a photo and network, let the latest count, unless another one does."""
    of_photo = "sha256 = ? AND network = ?"
    rows.run(
        f"UPDATE catscope_corrections SET counts = 1 WHERE id = (SELECT MAX(id) FROM catscope_corrections WHERE {of_photo}) "
        f"AND NOT EXISTS (SELECT 1 FROM {COUNTING} AND {of_photo})",
        *(sha256, network, sha256, network),
    )
