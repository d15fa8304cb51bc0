"""The store of a running service: its threads, what it keeps unasked, and what it deletes when its time is over."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TypeVar

from app.capacity import Workers
from app.corrections.records import CORRECTED, UNSURE, Correction, new_id
from app.corrections.store import Store, open_store
from app.errors import NotFound, RequestError
from app.inference.networks.engines.network import Network
from app.inference.predict import Answer
from app.settings import Settings

log = logging.getLogger("catscope")

T = TypeVar("T")

THREADS = 2
"""That wait for the database and for the place of the photos; those that answer photos never do."""

EXPIRE_S = 60 * 60
"""How often what has been kept long enough is deleted."""

MAX_PENDING_BYTES = 64 * 1024 * 1024
"""Unsure photos that wait to be kept; further ones are not kept."""

COMPLAIN_S = 60
"""How often it is logged that photos are not kept."""


class Keeper:
    """What a service keeps. `store` is None where the settings keep nothing, or name no place for it."""

    def __init__(self, settings: Settings) -> None:
        """Raises ValueError, which names the setting, for a place that cannot be used."""
        self._settings = settings
        self.store = open_store(settings) if settings.can_keep and (settings.keep != "nothing" or _kept(settings)) else None
        self.unsure = settings.keep == "unsure" and self.store is not None
        self._workers = Workers(THREADS, settings.max_waiting, settings.deadline_s, measured=False)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="catscope-unsure")
        self._lock = threading.Lock()
        self._pending_bytes = self._missed = 0
        self._complained = -float(COMPLAIN_S)

    def needed(self) -> Store:
        """The store. Raises NotFound, which names the setting, where nothing is kept."""
        if not self._settings.can_keep:
            raise NotFound("Nothing is kept here: CATSCOPE_STORE names no folder.", settled=True)
        if self._settings.keep == "nothing" or self.store is None:
            raise NotFound("Nothing is kept here: CATSCOPE_KEEP is nothing, not corrections or unsure.", settled=True)
        return self.store

    async def run(self, work: Callable[[], T]) -> T:
        """Do what waits for the store, on a thread. Raises Overloaded and DeadlineExceeded as `Workers.run` does."""
        return await self._workers.run(work)

    def keep_unsure(self, answer: Answer, network: Network, photo: bytes, source: str) -> None:
        """Keep the photo of an unsure answer, soon, for review. Returns at once, and whatever fails is only logged."""
        with self._lock:
            if self._pending_bytes + len(photo) > MAX_PENDING_BYTES:
                self._complain("too many are waiting")
                return
            self._pending_bytes += len(photo)
        self._pool.submit(self._keep, answer, network, photo, source)

    def _keep(self, answer: Answer, network: Network, photo: bytes, source: str) -> None:
        assert self.store is not None
        try:
            self.store.add(record(answer, network, source), photo)
        except RequestError as error:
            with self._lock:
                self._complain(str(error))
        except Exception:  # nobody waits for the outcome, so nobody else would see it
            log.exception("an unsure photo was not kept")
        finally:
            with self._lock:
                self._pending_bytes -= len(photo)

    def _complain(self, why: str) -> None:
        """Log that a photo was not kept, unless that was logged a moment ago."""
        self._missed += 1
        if time.monotonic() - self._complained >= COMPLAIN_S:
            log.warning("unsure photos that were not kept: %d; the last one because: %s", self._missed, why)
            self._complained, self._missed = time.monotonic(), 0

    async def expire_hourly(self) -> None:
        """Delete what has been kept long enough, now and every hour, until this is cancelled."""
        while self.store is not None:
            try:
                deleted = await asyncio.to_thread(self.store.expire, datetime.now(UTC))
                if deleted:
                    log.info("deleted after %d days: %d corrections", self.store.days, deleted)
            except RequestError as error:
                log.warning("what was kept long enough could not be deleted: %s", error)
            except Exception:  # nobody awaits it before the service ends
                log.exception("what was kept long enough could not be deleted")
            await asyncio.sleep(EXPIRE_S)

    def close(self) -> None:
        """Keep what is waiting, then close the store."""
        self._pool.shutdown(wait=True)
        self._workers.close()
        if self.store is not None:
            self.store.close()


def record(answer: Answer, network: Network, source: str, label: str | None = None) -> Correction:
    """What is kept of an answer: that it was wrong and should have been `label`, or, without one, that it was unsure."""
    now = datetime.now(UTC)
    return Correction(
        id=new_id(now),
        kind=UNSURE if label is None else CORRECTED,
        sha256=answer.photo.sha256,
        label=label,
        network=network.contract.network,
        version=network.contract.version,
        verdict=answer.verdict,
        probabilities=answer.probabilities,
        time=now,
        source=source,
    )


def _kept(settings: Settings) -> bool:
    """Whether something may have been kept before CATSCOPE_KEEP became nothing: that is still deleted in time."""
    return bool(settings.keep_database) or (settings.store / "corrections.db").exists()
