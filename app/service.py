"""What the routes share: the settings, the loaded networks and the workers."""

import asyncio
import json
import logging
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.capacity import UploadBudget, Workers, cores
from app.corrections.keeper import Keeper
from app.errors import NetworkError, NotFound, Overloaded, StoreUnavailable
from app.inference.cage import photos
from app.inference.networks import signatures, versions
from app.inference.networks.engines.network import Network
from app.inference.networks.runtime import release_memory
from app.loading import Loading, State, state
from app.middleware.api_keys import ApiKeys
from app.settings import Settings, bare, one_thread
from app.teach.jobs import Jobs
from app.telemetry import metrics

log = logging.getLogger("catscope")


WATCH_S = 1.0
"""Between two looks at the networks in the store."""


DECODING_SHARE = 0.8
"""Of the time that a request has, how much a photo may take to be decoded in a cage."""


class Service:
    """The running service. It is not ready until `load` has returned.

    `failure` is why the networks could not be loaded; `stop` then ends the server, by default with a signal. The server may
    replace it with a gentler way. `begun`, if the server sets it, is where the first load has begun already.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        threads = settings.threads or math.ceil(cores() / settings.processes)
        self.workers = Workers(threads, settings.max_waiting, settings.deadline_s)
        self.keeper = Keeper(settings)
        self.uploads = UploadBudget(settings.max_held_bytes)
        self.networks: dict[str, Network] = {}
        self.versions: dict[str, dict[str, Network]] = {}
        self.records: Records = {}
        self.begun: Loading | None = None
        self._loaded_from: State = []
        self.keys = ApiKeys(settings)
        self.jobs: Jobs | None = None
        self.no_store = "Nothing can be taught or corrected here: the setting CATSCOPE_STORE names no folder for it."
        self.failure = ""
        self._reloading = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self.stop: Callable[[], None] = lambda: os.kill(os.getpid(), signal.SIGTERM)

    def open_store(self) -> None:
        """Make the store's folders, if there is to be a store. Where that fails nothing can be taught; all else goes on."""
        if not self.settings.has_store:
            return
        jobs = Jobs(self.settings.store, one_thread())
        try:
            jobs.prepare()
        except (OSError, StoreUnavailable) as error:
            self.no_store = f"Nothing can be taught or corrected here: CATSCOPE_STORE is {self.settings.store}, and {error}"
            log.error("%s", self.no_store)
        else:
            self.jobs = jobs

    async def watch_store(self) -> None:
        """Reload whenever networks in the store have changed, whichever process or replica changed them. Does not return."""
        if self.jobs is None:
            return
        while True:
            await asyncio.sleep(WATCH_S)
            found = await asyncio.to_thread(state, self.settings.taught)
            if found != self._loaded_from and self.ready:
                await self._reload_quietly()

    def is_taught(self, network: Network) -> bool:
        """Whether a network was taught here, and did not come with Catscope."""
        name = network.contract.network
        return (
            self.jobs is not None and (self.jobs.networks / name).exists() and not (self.settings.model_dir / name).exists()
        )

    @property
    def ready(self) -> bool:
        """Whether every network is loaded and has answered once."""
        return bool(self.networks)

    def check_ready(self) -> None:
        """Raise Overloaded before the service is ready."""
        if not self.ready:
            raise Overloaded("The networks are still being loaded.", ready=False)

    def check_room(self) -> None:
        """Raise Overloaded when the queue or the upload memory has no room for another photo."""
        self.uploads.check_room()
        self.workers.check_room()

    def load(self) -> None:
        """Load all networks and let each answer once. Raises NetworkError when one cannot be served."""
        loaded, records = self._loaded()
        photos.prepare(self.settings.cage, DECODING_SHARE * self.settings.deadline_s, bare(), metrics.decoder_lost)
        release_memory()
        self._serve(loaded, records)

    def _loaded(self) -> "tuple[Loaded, Records]":
        before = {network.contract.folder: network for network in _every(self.versions)}
        settings = self.settings
        if settings.require_signed == "true":  # once more, since this may be a reload
            signatures.check(settings.model_dir, settings.signed_by, settings.signed_issuer)
        begun, self.begun = self.begun or Loading(settings, before), None
        self._loaded_from = begun.state
        catalogue = begun.catalogue()
        for name in self.networks:  # a reload
            if name not in catalogue.networks and (settings.model_dir / name).is_dir():
                raise NetworkError(f"{settings.model_dir / name} has lost its contract.json")
        versions.check_default(settings.network, list(catalogue.networks))
        records = {}
        for network in _every(catalogue.networks):
            folder = network.contract.folder
            records[folder] = {record: _record(folder / f"{record}.json") for record in ("metrics", "history")}
        for refused in catalogue.refused:
            log.error("this version is not served: %s", refused)
        return catalogue.networks, records

    def _serve(self, loaded: "Loaded", records: "Records") -> None:
        """Serve these from now on; requests under way finish with the networks they began with."""
        self.networks = {name: next(iter(by_version.values())) for name, by_version in loaded.items()}
        self.versions, self.records = loaded, records
        metrics.models(_every(loaded))

    async def reload(self) -> bool:
        """Load all networks again while the previous ones serve, then switch. When one cannot be served, log why and change
        nothing. Returns whether the networks were replaced.
        """
        async with self._reloading:
            try:
                loaded, records = await asyncio.to_thread(self._loaded)
            except NetworkError as error:
                log.error("keeping the previous networks: %s", error)
                metrics.reloaded("refused")
                return False
            self._serve(loaded, records)
            metrics.reloaded("done")
            log.info("reloaded: %s", ", ".join(f"{name} {', '.join(by_version)}" for name, by_version in loaded.items()))
            del loaded
            await asyncio.to_thread(release_memory)
            return True

    def reload_soon(self) -> None:
        """Start a reload on the running loop; called by the signal handler."""
        task = asyncio.get_running_loop().create_task(self._reload_quietly())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reload_quietly(self) -> None:
        try:
            await self.reload()
        except Exception:  # nobody awaits the task, so nobody else would see the exception
            log.exception("keeping the previous networks")

    @property
    def default(self) -> str:
        """The name of the network that answers when a request names none."""
        return versions.default(self.settings.network, list(self.networks))

    def network(self, name: str | None, version: str | None = None) -> Network:
        """The network of that name, or the default one for None, in that version, or its served version for None.

        Raises NotFound for a name or version that is not served, and Overloaded before the service is ready.
        """
        self.check_ready()
        name = self.default if name is None else name
        if name not in self.networks:
            raise NotFound(f"There is no network {name[:80]!r}; there are {', '.join(self.networks)}.", settled=True)
        if version is None:
            return self.networks[name]
        if version not in self.versions[name]:
            known = ", ".join(self.versions[name])
            raise NotFound(f"Network {name} is not served in version {version[:40]!r}, but in {known}.")
        return self.versions[name][version]


Loaded = dict[str, dict[str, Network]]
"""By network name, then by version; the default version first."""

Records = dict[Path, dict[str, dict[str, Any] | None]]
"""By a network's folder: its `metrics` and `history`, the JSON that training wrote, or None."""


def _every(loaded: Loaded) -> list[Network]:
    return [network for by_version in loaded.values() for network in by_version.values()]


def _record(path: Path) -> dict[str, Any] | None:
    """A JSON file that training wrote beside a network, or None where there is none. Raises NetworkError for any other that
    cannot be read.
    """
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NetworkError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise NetworkError(f"{path} is not JSON: {error}") from error
    return record
