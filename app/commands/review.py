"""What is kept comes in: corrections, and unsure photos for review; it is listed, labelled, deleted or exported."""

import argparse
import json
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from app.commands import streams
from app.commands.correct import opened
from app.commands.results import shown
from app.corrections.records import CORRECTED, Correction, new_id, plain, text_of
from app.corrections.store import Store
from app.errors import StoreUnavailable
from app.settings import Settings


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Do what the arguments say, by default list, and return the exit status.

    Raises ValueError without a store, and for what is not in it.
    """
    with opened(settings) as store:
        if arguments.label:
            _label(store, arguments.label)
        elif arguments.delete:
            for identity in arguments.delete:
                store.delete(identity)
        elif arguments.delete_all:
            _delete_all(store, arguments)
        elif arguments.export:
            if arguments.export.exists():
                raise ValueError(f"{arguments.export} already exists; nothing is ever overwritten")
            count = store.export(arguments.export, arguments.kind, arguments.network, arguments.day)
            print(f"{arguments.export} holds {count} photos")
        else:
            _list(store, arguments)
    return 0


def _list(store: Store, arguments: argparse.Namespace) -> None:
    with suppress(StoreUnavailable):  # what cannot be deleted now can be listed
        store.expire(datetime.now(UTC))
    for correction in store.all(arguments.kind, arguments.network, arguments.day):
        if arguments.json:
            until = correction.kept_until(store.days)
            print(json.dumps(plain(correction) | {"kept_until": None if until is None else text_of(until)}))
        else:
            print(_line(correction))
    if sys.stdout.isatty() and not arguments.json:
        kept = store.kept()
        days = f"for {store.days} days" if store.days else "for ever"
        streams.say(f"kept {days}: {kept.corrected} corrected, {kept.unsure} unsure; {store.where}")


def _line(correction: Correction) -> str:
    """A correction for people: its id, when, what the network said and how sure it was, what is right."""
    said, probability = correction.verdict, max(correction.probabilities.values(), default=0.0)
    right = "?" if correction.label is None else shown(correction.label)
    what = f"{shown(correction.network)} {correction.version} said {shown(said)} ({probability:.2f}), right is {right}"
    return f"{correction.id} {text_of(correction.time)} {correction.kind:9} {what}"


def _label(store: Store, pairs: list[str]) -> None:
    """Say what is right of photos that are kept: pairs such as ID=cat. All of them are checked first."""
    labelled = []
    for pair in pairs:
        identity, separator, label = pair.partition("=")
        if not separator:
            raise ValueError(f"--label is {pair!r}; it has to be an id and a class, such as ID=cat")
        correction = store.get(identity)
        if label not in correction.probabilities:
            classes = ", ".join(correction.probabilities)
            raise ValueError(f"{label!r} is no class of network {correction.network}; its classes are {classes}")
        labelled.append((correction, label))
    for correction, label in labelled:
        now = datetime.now(UTC)
        added = store.add(
            replace(correction, id=new_id(now), kind=CORRECTED, label=label, time=now, source="command"), photo=None
        )
        print(f"{_line(added)}; undo: --delete {added.id}")


def _delete_all(store: Store, arguments: argparse.Namespace) -> None:
    for name in ("kind", "network", "day"):
        if getattr(arguments, name) is not None:  # whoever names some does not mean all, which nothing would bring back
            raise ValueError(f"--delete-all deletes everything, so it takes no --{name}; nothing was deleted")
    kept = store.kept()
    if not arguments.yes:
        what = f"{kept.corrected} corrected, {kept.unsure} unsure and {kept.photos} photos"
        raise ValueError(f"--delete-all deletes {what} for ever; add --yes to do so")
    print(f"deleted: {store.delete_all()} corrections and {kept.photos} photos")
