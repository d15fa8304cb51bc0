"""What the routes share: the settings, the loaded networks and the workers."""

import contextlib
import ctypes
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.errors import NetworkError, NotFound, Overloaded
from app.inference import decode
from app.inference.network import Network, load_all
from app.settings import Settings
from app.workers import Workers


class Service:
    """The running service. It is not ready until `load` has returned.

    `failure` says why the networks could not be loaded, and `stop` then ends the server; whoever runs the server may put
    a gentler way than a signal there.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.workers = Workers(settings.threads, settings.max_waiting, settings.deadline_s)
        self.networks: dict[str, Network] = {}
        self.records: dict[str, dict[str, dict[str, Any] | None]] = {}
        self.failure = ""
        self.stop: Callable[[], None] = lambda: os.kill(os.getpid(), signal.SIGTERM)

    @property
    def ready(self) -> bool:
        """Whether every network is loaded and has answered once."""
        return bool(self.networks)

    def load(self) -> None:
        """Load all networks and let each answer once. Raises NetworkError when one cannot be served."""
        networks = load_all(self.settings.model_dir, self.settings.engine)
        check_default(self.settings, list(networks))
        for name, network in networks.items():
            folder = network.contract.folder
            self.records[name] = {record: _record(folder / f"{record}.json") for record in ("metrics", "history")}
        decode.prepare()
        _give_back_memory()
        self.networks = networks

    @property
    def default(self) -> str:
        """The name of the network that answers when a request names none."""
        names = (self.settings.network, "cat", "tutorial", *self.networks)
        return next(name for name in names if name in self.networks)

    def network(self, name: str | None) -> Network:
        """The network of that name, or the default one for None.

        Raises NotFound for a name that is not served, and Overloaded before the service is ready.
        """
        if not self.ready:
            raise Overloaded("The networks are still being loaded.")
        name = self.default if name is None else name
        if name not in self.networks:
            raise NotFound(f"There is no network {name[:80]!r}; there are {', '.join(self.networks)}.")
        return self.networks[name]


def check_default(settings: Settings, names: list[str]) -> None:
    """Raise NetworkError when the network that the settings name is not among `names`."""
    if settings.network and settings.network not in names:
        raise NetworkError(f"CATSCOPE_NETWORK is {settings.network}; there are {', '.join(names)}")


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
