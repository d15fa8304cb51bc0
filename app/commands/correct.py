"""Photos and what they show come in; they are kept as corrections, with what the network says about them."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from app.commands import photos, streams
from app.commands.classify import network_of
from app.commands.results import shown
from app.corrections.keeper import record
from app.corrections.store import Store, open_store
from app.errors import RequestError, StoreUnavailable
from app.inference.predict import PredictOptions, predict
from app.settings import Settings


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Keep the corrections and return the exit status: 2 if one of the photos could not be kept.

    Raises ValueError without a store, or for a label that is no class of the network, and NetworkError for an unusable one.
    """
    with opened(settings) as store:
        network = network_of(arguments, settings)
        name, classes = network.contract.network, network.contract.classes
        if arguments.label not in classes:
            raise ValueError(f"{arguments.label!r} is no class of network {name}; its classes are {', '.join(classes)}")
        status = 0
        for path in arguments.photos:
            try:
                data = photos.read(path, settings.max_bytes)
                answer = predict(data, network, PredictOptions("none", precision="float32"), settings.max_pixels)
                kept = store.add(record(answer, network, "command", arguments.label), data)
            except StoreUnavailable:
                raise
            except RequestError as error:
                streams.say(f"not kept: {shown(path)}: {error}")
                status = 2
            except OSError as error:
                streams.say(f"not kept: {shown(path)}: {error.strerror or error}")
                status = 2
            else:
                print(f"{kept.id} {shown(path)}: {name} said {kept.verdict}, right is {kept.label}")
    return status


@contextmanager
def opened(settings: Settings) -> Iterator[Store]:
    """The store that the settings name. Raises ValueError where there is none, and for what it refuses."""
    store = open_store(settings)
    try:
        yield store
    except RequestError as error:
        cause = f" ({error.__cause__})" if error.__cause__ else ""  # here the operator reads it
        raise ValueError(f"{error}{cause}") from error
    finally:
        store.close()
