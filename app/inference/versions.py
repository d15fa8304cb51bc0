"""The folder model/ comes in; the versions of every network in it go out, for each network the one that answers first.

A network lies in model/<network>/ or, in as many versions as there are, in model/<network>/<version>/. The newest good one
answers: a version that cannot be served is passed over while another one of its network can. A pin, `cat` to `1.0.0`, lets
an older one answer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from packaging.version import InvalidVersion, Version

from app.errors import NetworkError
from app.inference import contract
from app.inference.contract import Contract

T = TypeVar("T")


@dataclass(frozen=True)
class Found(Generic[T]):
    """What became of every version: `networks` maps a network's name to its good versions, the one that answers first, then
    the newest; `refused` holds the reasons why others are not among them.
    """

    networks: dict[str, dict[str, T]]
    refused: list[NetworkError]

    def one(self, name: str, version: str | None = None) -> T:
        """The network `name` in that version, or the one that answers. Raises NetworkError when it has no such version."""
        good = self.networks[name]
        version = version or next(iter(good))
        if version not in good:
            raise NetworkError(f"network {name} has no version {version}; it has {', '.join(good)}")
        return good[version]


def good(folder: Path, make: Callable[[Contract], T], pins: Mapping[str, str], only: str | None = None) -> Found[T]:
    """What `make` makes of every version of every network below `folder`, or of the network `only`.

    Raises NetworkError when there is no network, when none of a network's versions is good (`make` raises NetworkError for
    one that is not), and when a pin or `only` names what is not there.
    """
    places = _places(folder)
    there = f"there are {', '.join(places)} in {folder}"
    for name in pins:
        if name not in places:
            raise NetworkError(f"CATSCOPE_VERSIONS names {name}; {there}")
    if only and only not in places:
        raise NetworkError(f"there is no network {only}; {there}")
    found: dict[str, dict[str, T]] = {}
    refused: list[NetworkError] = []
    for name in places:
        if only in (None, name):
            found[name], bad = _versions(name, folder / name, places[name], make, pins.get(name))
            refused += bad
    return Found(found, refused)


def names(folder: Path) -> list[str]:
    """Every network below `folder`, good or not. Raises NetworkError when there is none."""
    return list(_places(folder))


def _places(folder: Path) -> dict[str, list[Path]]:
    """By network, in order of their names: the folders that hold a version of it."""
    places: dict[str, list[Path]] = {}
    for path in sorted((*folder.glob("*/contract.json"), *folder.glob("*/*/contract.json"))):
        name = path.relative_to(folder).parts[0]
        if not name.startswith("."):
            places.setdefault(name, []).append(path.parent)
    if not places:
        raise NetworkError(f"no network lies in {folder}: no folder there holds a contract.json")
    return dict(sorted(places.items()))


def _versions(
    name: str, network: Path, places: list[Path], make: Callable[[Contract], T], pin: str | None
) -> tuple[dict[str, T], list[NetworkError]]:
    """One network's good versions, the one that answers first, and the reasons why others are not."""
    promised: dict[str, Contract] = {}
    refused: list[NetworkError] = []
    for place in places:
        try:
            read = contract.load(place, name)
            if place != network and place.name != read.version:
                raise NetworkError(f"{place / 'contract.json'} is of version {read.version}, and lies in {place.name}")
            if read.version in promised:
                raise NetworkError(f"{place} and {promised[read.version].folder} are both version {read.version} of {name}")
            promised[read.version] = read
        except NetworkError as error:
            refused.append(error)
    made: dict[str, T] = {}
    for version in sorted(promised, key=age, reverse=True):
        try:
            made[version] = make(promised[version])
        except NetworkError as error:
            refused.append(error)
    if pin is not None and pin not in made:
        known = f"its good versions are {', '.join(made) or 'none'}"
        raise NetworkError("; ".join([f"CATSCOPE_VERSIONS names {name}={pin}, {known}", *map(str, refused)]))
    if not made:
        raise refused[0]
    return ({pin: made.pop(pin)} if pin else {}) | made, refused


def age(version: str) -> tuple[Version, str]:
    """A key that sorts versions from old to new: 1.9.0, 1.10.0rc1, 1.10.0. What is no version number counts as oldest."""
    try:
        return Version(version), version
    except InvalidVersion:
        return Version("0.dev0"), version


def check_default(wanted: str, names: list[str]) -> None:
    """Raise NetworkError when a network is wanted by default, and is not among `names`."""
    if wanted and wanted not in names:
        raise NetworkError(f"CATSCOPE_NETWORK is {wanted}; there are {', '.join(names)}")


def default(wanted: str, names: list[str]) -> str:
    """The network that answers when none is named: the wanted one, else `cat`, else `tutorial`, else the first."""
    return next(name for name in (wanted, "cat", "tutorial", *names) if name in names)
