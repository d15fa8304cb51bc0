"""The name of a network comes in; its newest version in the store is set aside, so that the one before it answers again."""

import os
from pathlib import Path

from app.errors import NetworkError
from app.inference.networks import contract
from app.inference.networks.versions import sort_key
from app.learn.alone import alone

ASIDE = ".rolled-back"
"""The folder beside the store's networks that holds what was rolled back; names with a dot are not served."""


def learned(networks: Path, network: str) -> dict[str, Path]:
    """The folders of a network's versions that were learned, oldest first: those below its own folder in the store."""
    found = {
        path.parent.name: path.parent
        for path in (networks / network).glob("*/contract.json")
        if not path.parent.name.startswith(".")
    }
    return dict(sorted(found.items(), key=lambda pair: sort_key(pair[0])))


def set_aside(networks: Path, network: str) -> list[str]:
    """The versions that were rolled back; their numbers are never given to another version."""
    return [path.name for path in (networks / ASIDE / network).glob("*") if path.is_dir()]


def roll_back(networks: Path, network: str, versions: list[str]) -> tuple[str, str, Path]:
    """Set the newest version aside. The version that is gone, the one that answers now, and the folder where the first lies.

    Args:
        networks: the folder of the store's networks.
        network: a network's name.
        versions: all its versions, those outside the store too.

    Raises NetworkError when nothing was learned, or nothing older would be left to answer.
    """
    with alone(networks):
        ours = learned(networks, network)
        if not ours:
            raise NetworkError(f"no version of {network} was learned in {networks}; there is nothing to roll back")
        newest, folder = list(ours.items())[-1]
        left = [version for version in versions if version != newest]
        if not left:
            raise NetworkError(f"{newest} is the only version of {network}; delete the network instead")
        contract.load(folder, network)
        aside = networks / ASIDE / network / newest
        aside.parent.mkdir(parents=True, exist_ok=True)
        os.rename(folder, aside)
        return newest, max(left, key=sort_key), aside
