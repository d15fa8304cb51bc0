"""A network's name comes in; its newest learned version is set aside, and what answers now is printed."""

import argparse

from app.inference.networks import versions
from app.learn.rollback import roll_back
from app.settings import Settings


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Roll back one version and return the exit status. Raises ValueError where no store is configured, or while another
    process learns, and NetworkError where there is nothing to roll back.
    """
    if not settings.has_store:
        raise ValueError("CATSCOPE_STORE names no folder, so nothing was learned")
    known = versions.catalogue(settings.networks, lambda contract: contract, {}, arguments.network)
    version, left, aside = roll_back(settings.taught, arguments.network, list(known.networks[arguments.network]))
    print(f"{arguments.network} {version} is set aside in {aside}; {left} answers after the next reload of the service")
    return 0
