"""The corrections in the store come in; a new version of the network goes out if it is better, else why it is not."""

import argparse
import sys

from tqdm import tqdm

from app.capacity import cores
from app.commands import photos, streams
from app.commands.inspect import table
from app.commands.parser import program_name
from app.corrections.records import CORRECTED
from app.corrections.store import open_store
from app.errors import RequestError
from app.inference.networks import versions
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.networks.load import load_all
from app.learn.learn import Limits, Outcome, learn
from app.settings import Settings
from app.teach import twin

NOT_BETTER = 3
"""The exit status where the new version is not served."""

SHOWN = 10
"""Corrections that cannot be used and are listed."""


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Learn, print what came of it, and return the exit status.

    Raises ValueError where no store is configured, for too few corrections, or while another process learns, and
    NetworkError for a network that cannot learn.
    """
    if not settings.has_store:
        raise ValueError("CATSCOPE_STORE names no folder, so there is nothing to learn from and nowhere to write")
    roots = settings.networks
    name = arguments.network or versions.default(settings.network, versions.names(roots))
    usable = load_all(roots, "onnx", settings.pins, name).networks[name]
    networks = {number: network for number, network in usable.items() if isinstance(network, OnnxNetwork)}
    try:
        store = open_store(settings)
        corrections = list(store.all(CORRECTED, name))
        threads = arguments.threads or settings.threads or cores()
        quiet = arguments.quiet or not sys.stderr.isatty()
        with tqdm(total=len(corrections), unit="photo", dynamic_ncols=True, disable=quiet) as bar:
            outcome = learn(
                networks,
                corrections,
                store.photo,
                settings.taught,
                Limits(settings.max_pixels, threads),
                arguments.dry_run,
                lambda done: bar.update(done - bar.n),
            )
    except RequestError as error:
        raise ValueError(str(error)) from error
    _report(outcome)
    return NOT_BETTER if outcome.why else 0


def _report(outcome: Outcome) -> None:
    """How the new version compares with the one that is served, and whether it takes its place."""
    rows: list[tuple[str, ...]] = [("photos", "count", outcome.served, outcome.version, "won", "lost")]
    rows += [
        (one.name, *map(str, (one.photos, one.before, one.after, one.gained, one.lost)))
        for one in (*outcome.candidate.held_out, outcome.candidate.corrections)
    ]
    earlier = f", {outcome.earlier} of them earlier" if outcome.earlier else ""
    print(f"{outcome.network} learned from {outcome.learned} corrections{earlier}. Right answers:\n\n{table(rows)}\n")
    if again := outcome.candidate.metrics.get("cross_validation"):
        print(f"{twin.said(again['int8'])}\n")
    photos.say_not_used(outcome.skipped, SHOWN)
    for sentence in outcome.why:
        streams.say(sentence)
    if outcome.why:
        streams.say(f"{outcome.network} {outcome.served} stays; nothing was written")
    elif outcome.folder is None:
        print(f"{outcome.version} would take the place of {outcome.served}; this was a dry run, and nothing was written")
    else:
        print(
            f"{outcome.folder} takes the place of {outcome.served} when the service loads it, on SIGHUP at the latest; "
            f"{program_name()} rollback {outcome.network} undoes it"
        )
