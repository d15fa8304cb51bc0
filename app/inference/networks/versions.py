"""The folder model/ comes in; the usable versions of every network go out, with each network's default version first.

A network is in model/<network>/ or, if there are several versions, in model/<network>/<version>/. Other folders may add
networks, and versions of those in the first: what people have taught. The newest usable version
is the default: one that cannot be served is skipped as long as another can. A pin, such as `cat` to `1.0.0`, makes an older
version the default.
"""

from collections.abc import Callable, Mapping, Sequence
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


def catalogue(
    roots: Sequence[Path], make: Callable[[Contract], T], pins: Mapping[str, str], only: str | None = None
) -> Catalogue[T]:
    """Apply `make` to the contract of every version of every network below the folders `roots`, or of the network `only`.

    Raises NetworkError when there is no network in the first folder, when a network there has no usable version (`make`
    raises NetworkError for an unusable one), and when a pin or `only` names an unknown network or version. A network of
    another folder that has no usable version is refused, no more: what people teach cannot stop the service.
    """
    folders = _folders(roots)
    available = f"there are {', '.join(folders)} in {' and '.join(map(str, roots))}"
    for name in pins:
        if name not in folders:
            raise NetworkError(f"CATSCOPE_VERSIONS names {name}; {available}")
    if only and only not in folders:
        raise NetworkError(f"there is no network {only}; {available}")
    networks: dict[str, dict[str, T]] = {}
    refused: list[NetworkError] = []
    for name in folders:
        if only in (None, name):
            usable, errors = _versions(name, roots, folders[name], make, pins.get(name))
            refused += errors
            if usable:
                networks[name] = usable
            elif name == only or any(folder.is_relative_to(roots[0]) for folder in folders[name]):
                raise errors[0]
    return Catalogue(networks, refused)


def names(roots: Sequence[Path]) -> list[str]:
    """Every network below the folders `roots`, usable or not. Raises NetworkError when there is none in the first."""
    return list(_folders(roots))


def _folders(roots: Sequence[Path]) -> dict[str, list[Path]]:
    """The folders that hold a version, by network; networks in alphabetical order, those of the first folder first."""
    folders: dict[str, list[Path]] = {}
    for root in roots:
        found: dict[str, list[Path]] = {}
        for path in sorted((*root.glob("*/contract.json"), *root.glob("*/*/contract.json"))):
            name = path.relative_to(root).parts[0]
            if not name.startswith("."):
                found.setdefault(name, []).append(path.parent)
        if not found and not folders:
            raise NetworkError(f"no network in {root}: no folder there contains a contract.json")
        for name, paths in sorted(found.items()):
            folders.setdefault(name, []).extend(paths)
    return folders


def _versions(
    name: str, roots: Sequence[Path], folders: list[Path], make: Callable[[Contract], T], pin: str | None
) -> tuple[dict[str, T], list[NetworkError]]:
    """One network's usable versions, the default first, and the reason for each unusable one."""
    contracts: dict[str, Contract] = {}
    refused: list[NetworkError] = []
    for folder in folders:
        try:
            loaded = contract.load(folder, name)
            if folder.parent not in roots and folder.name != loaded.version:
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
