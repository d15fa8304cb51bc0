"""Settings come in; the networks that they name go out, loaded, with the state of the store from before they were read."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from app.inference.networks.engines.network import Network
from app.inference.networks.load import load_all
from app.inference.networks.versions import Catalogue
from app.settings import Settings

State = list[tuple[str, int]]
"""The folders of networks and versions, and when each last changed, in nanoseconds."""


class Loading:
    """Every network is loaded and answers once, less those of `before`, by folder, that are still the same. A thread of its
    own does it: ONNX Runtime makes sessions outside of Python, so that other modules can be imported meanwhile.

    `state` is how the store looked before: what is added from there on is found by its next look.
    """

    def __init__(self, settings: Settings, before: Mapping[Path, Network] | None = None) -> None:
        self.state = state(settings.taught) if settings.has_store else []
        thread = ThreadPoolExecutor(1, "loading")
        self._catalogue = thread.submit(
            load_all, settings.networks, settings.engine, settings.pins, loaded=before, precision=settings.precision
        )
        thread.shutdown(wait=False)  # it ends when that has been done

    def catalogue(self) -> Catalogue[Network]:
        """The networks, once all are loaded. Raises NetworkError when one cannot be served, see `load_all`."""
        return self._catalogue.result()


def state(folder: Path) -> State:
    """Which networks and versions are in a folder; [] where it cannot be read."""
    try:
        found = [path for path in (*folder.glob("*"), *folder.glob("*/*")) if not path.name.startswith(".")]
        return sorted((str(path), path.stat().st_mtime_ns) for path in found if path.is_dir())
    except OSError:
        return []
