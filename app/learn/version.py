"""The files of a new version come in; its folder in the store goes out, whole or not at all."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from app.errors import NetworkError
from app.teach.folder import put


def after(versions: list[str]) -> str:
    """The number of the next version: a minor version above the newest of all that there ever were."""
    numbers = []
    for version in versions:
        try:
            numbers.append(Version(version))
        except InvalidVersion:
            continue
    newest = max(numbers, default=Version("1.0.0"))
    return f"{newest.major}.{newest.minor + 1}.0"


def write(
    folder: Path, contract: Mapping[str, Any], files: Mapping[str, bytes], records: Mapping[str, Any], served: Path
) -> None:
    """Write a version's folder, NETWORK/VERSION in the store, as `put` does. NETWORK may hold another version itself, see
    app.inference.networks.versions.

    Raises NetworkError where it cannot be written, or where the folder of the version that was `served` is gone: whoever
    deleted the network does not want it back.
    """
    clear(folder.parent.parent)
    if not served.exists():
        raise NetworkError(f"{folder.parent.name} was deleted meanwhile, so its version {folder.name} is not written")
    put(folder, contract, files, records, folder.parent.parent, PREFIX)


PREFIX = ".learning-"


def clear(networks: Path) -> None:
    """Delete what a process that was killed left behind; only one writes at a time, see `alone`."""
    for left in networks.glob(f"{PREFIX}*"):
        shutil.rmtree(left, ignore_errors=True)
