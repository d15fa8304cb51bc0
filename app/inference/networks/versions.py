"""The folder model/ comes in; the usable versions of every network go out, with each network's default version first.

A network is in model/<network>/ or, if there are several versions, in model/<network>/<version>/. The newest usable version
is the default: one that cannot be served is skipped as long as another can. A pin, such as `cat` to `1.0.0`, makes an older
version the default.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from packaging.version import InvalidVersion, Version

from app.errors import NetworkError
from app.inference.networks import contract
from app.inference.networks.contract import Contract

T = TypeVar("T")


@dataclass(frozen=True)
class Catalogue(Generic[T]):
    """All usable versions: `networks` maps a network's name to its versions, the default first, then newest to oldest;
    `refused` holds the reason for each version that is not usable.
    """

    networks: dict[str, dict[str, T]]
    refused: list[NetworkError]

    def select(self, name: str, version: str | None = None) -> T:
        """The network `name` in that version, by default its default. Raises NetworkError for an unknown version."""
        usable = self.networks[name]
        version = version or next(iter(usable))
        if version not in usable:
            raise NetworkError(f"network {name} has no version {version}; it has {', '.join(usable)}")
        return usable[version]


def catalogue(folder: Path, make: Callable[[Contract], T], pins: Mapping[str, str], only: str | None = None) -> Catalogue[T]:
    """Apply `make` to the contract of every version of every network below `folder`, or of the network `only`.

    Raises NetworkError when there is no network, when a network has no usable version (`make` raises NetworkError for an
    unusable one), and when a pin or `only` names an unknown network or version.
    """
    folders = _folders(folder)
    available = f"there are {', '.join(folders)} in {folder}"
    for name in pins:
        if name not in folders:
            raise NetworkError(f"CATSCOPE_VERSIONS names {name}; {available}")
    if only and only not in folders:
        raise NetworkError(f"there is no network {only}; {available}")
    networks: dict[str, dict[str, T]] = {}
    refused: list[NetworkError] = []
    for name in folders:
        if only in (None, name):
            networks[name], errors = _versions(name, folder / name, folders[name], make, pins.get(name))
            refused += errors
    return Catalogue(networks, refused)


def names(folder: Path) -> list[str]:
    """Every network below `folder`, usable or not. Raises NetworkError when there is none."""
    return list(_folders(folder))


def _folders(folder: Path) -> dict[str, list[Path]]:
    """The folders that hold a version, by network; networks in alphabetical order."""
    folders: dict[str, list[Path]] = {}
    for path in sorted((*folder.glob("*/contract.json"), *folder.glob("*/*/contract.json"))):
        name = path.relative_to(folder).parts[0]
        if not name.startswith("."):
            folders.setdefault(name, []).append(path.parent)
    if not folders:
        raise NetworkError(f"no network in {folder}: no folder there contains a contract.json")
    return dict(sorted(folders.items()))


def _versions(
    name: str, network: Path, folders: list[Path], make: Callable[[Contract], T], pin: str | None
) -> tuple[dict[str, T], list[NetworkError]]:
    """One network's usable versions, the default first, and the reason for each unusable one."""
    contracts: dict[str, Contract] = {}
    refused: list[NetworkError] = []
    for folder in folders:
        try:
            loaded = contract.load(folder, name)
            if folder != network and folder.name != loaded.version:
                raise NetworkError(f"{folder / 'contract.json'} declares version {loaded.version}, not {folder.name}")
            if loaded.version in contracts:
                other = contracts[loaded.version].folder
                raise NetworkError(f"{folder} and {other} are both version {loaded.version} of {name}")
            contracts[loaded.version] = loaded
        except NetworkError as error:
            refused.append(error)
    usable: dict[str, T] = {}
    for version in sorted(contracts, key=sort_key, reverse=True):
        try:
            usable[version] = make(contracts[version])
        except NetworkError as error:
            refused.append(error)
    if pin is not None and pin not in usable:
        known = f"its usable versions are {', '.join(usable) or 'none'}"
        raise NetworkError("; ".join([f"CATSCOPE_VERSIONS names {name}={pin}, {known}", *map(str, refused)]))
    if not usable:
        raise refused[0]
    return ({pin: usable.pop(pin)} if pin else {}) | usable, refused


def sort_key(version: str) -> tuple[Version, str]:
    """A key that sorts versions from old to new: 1.9.0, 1.10.0rc1, 1.10.0. Names that are not version numbers are oldest."""
    try:
        return Version(version), version
    except InvalidVersion:
        return Version("0.dev0"), version


def check_default(configured: str, names: list[str]) -> None:
    """Raise NetworkError when a default network is configured and is not among `names`."""
    if configured and configured not in names:
        raise NetworkError(f"CATSCOPE_NETWORK is {configured}; there are {', '.join(names)}")


def default(configured: str, names: list[str]) -> str:
    """The network that answers when none is named: the configured one, else `cat`, else `tutorial`, else the first."""
    return next(name for name in (configured, "cat", "tutorial", *names) if name in names)
