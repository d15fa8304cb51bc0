"""What the routes share: the settings, the loaded networks and the workers."""

import asyncio
import contextlib
import ctypes
import json
import logging
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app import metrics
from app.bodies import Held
from app.errors import NetworkError, NotFound, Overloaded
from app.inference import decode, versions
from app.inference.network import Network, load_all
from app.keys import Keys
from app.settings import Settings
from app.workers import Workers, cores

log = logging.getLogger("catscope")


class Service:
    """The running service. It is not ready until `load` has returned.

    `failure` says why the networks could not be loaded, and `stop` then ends the server; whoever runs the server may put
    a gentler way than a signal there.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        threads = settings.threads or math.ceil(cores() / settings.processes)
        self.workers = Workers(threads, settings.max_waiting, settings.deadline_s)
        self.held = Held(settings.max_held_bytes)
        self.networks: dict[str, Network] = {}
        self.versions: dict[str, dict[str, Network]] = {}
        self.records: Records = {}
        self.keys = Keys(settings)
        self.failure = ""
        self._reloading = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self.stop: Callable[[], None] = lambda: os.kill(os.getpid(), signal.SIGTERM)

    @property
    def ready(self) -> bool:
        """Whether every network is loaded and has answered once."""
        return bool(self.networks)

    def check_ready(self) -> None:
        """Raise Overloaded before the service is ready."""
        if not self.ready:
            raise Overloaded("The networks are still being loaded.")

    def check_room(self) -> None:
        """Raise Overloaded when there is no place, or no memory, for one more photo."""
        self.held.check_room()
        self.workers.check_room()

    def load(self) -> None:
        """Load all networks and let each answer once. Raises NetworkError when one cannot be served."""
        loaded, records = self._loaded()
        decode.prepare()
        _give_back_memory()
        self._serve(loaded, records)

    def _loaded(self) -> "tuple[Loaded, Records]":
        found = load_all(self.settings.model_dir, self.settings.engine, self.settings.pins)
        for name in self.networks:  # a reload
            if name not in found.networks and (self.settings.model_dir / name).is_dir():
                raise NetworkError(f"{self.settings.model_dir / name} has no contract.json any more")
        versions.check_default(self.settings.network, list(found.networks))
        records = {}
        for network in _every(found.networks):
            folder = network.contract.folder
            records[folder] = {record: _record(folder / f"{record}.json") for record in ("metrics", "history")}
        for refused in found.refused:
            log.error("this version is not served: %s", refused)
        return found.networks, records

    def _serve(self, loaded: "Loaded", records: "Records") -> None:
        """From now on these; requests under way end with those that they began with."""
        self.networks = {name: next(iter(found.values())) for name, found in loaded.items()}
        self.versions, self.records = loaded, records
        metrics.models(_every(loaded))

    async def reload(self) -> bool:
        """Load all networks again, beside those that serve, and then serve these. When one of them cannot be served, the log
        says why and nothing changes. Returns whether the networks are new.
        """
        async with self._reloading:
            try:
                loaded, records = await asyncio.to_thread(self._loaded)
            except NetworkError as error:
                log.error("the networks of before are served on: %s", error)
                metrics.reloaded("refused")
                return False
            self._serve(loaded, records)
            metrics.reloaded("done")
            log.info("reloaded: %s", ", ".join(f"{name} {', '.join(found)}" for name, found in loaded.items()))
            del loaded
            await asyncio.to_thread(_give_back_memory)
            return True

    def reload_soon(self) -> None:
        """Begin a reload on the running loop; what a signal calls."""
        task = asyncio.get_running_loop().create_task(self._reload_quietly())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reload_quietly(self) -> None:
        try:
            await self.reload()
        except Exception:  # nobody waits for the task: without this, its end would go unheard
            log.exception("the networks of before are served on")

    @property
    def default(self) -> str:
        """The name of the network that answers when a request names none."""
        return versions.default(self.settings.network, list(self.networks))

    def network(self, name: str | None, version: str | None = None) -> Network:
        """The network of that name, or the default one for None, in that version, or for None in the one that answers.

        Raises NotFound for a name or version that is not served, and Overloaded before the service is ready.
        """
        self.check_ready()
        name = self.default if name is None else name
        if name not in self.networks:
            raise NotFound(f"There is no network {name[:80]!r}; there are {', '.join(self.networks)}.")
        if version is None:
            return self.networks[name]
        if version not in self.versions[name]:
            known = ", ".join(self.versions[name])
            raise NotFound(f"Network {name} is not served in version {version[:40]!r}, but in {known}.")
        return self.versions[name][version]


Loaded = dict[str, dict[str, Network]]
"""By network, by version; the one that answers first."""

Records = dict[Path, dict[str, dict[str, Any] | None]]
"""By a network's folder: its `metrics` and `history`, the JSON that training wrote, or None."""


def _every(loaded: Loaded) -> list[Network]:
    return [network for found in loaded.values() for network in found.values()]


def _give_back_memory() -> None:
    """Return to the system what loading needed for a moment; the C library would keep it. (glibc's alone can do that.)"""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _record(path: Path) -> dict[str, Any] | None:
    """A JSON file that training wrote beside a network, or None where it did not."""
    try:
        record: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise NetworkError(f"{path} is not JSON: {error}") from error
    return record
