"""Photos and folders come in; the network's answer for each goes out. It does what the service does, without a server.

All cores classify photos, and rows are written in the order in which the photos are listed. Only a few photos are answered
ahead of their turn, and nothing but the paths of resumed rows is kept, so a hundred thousand photos take no more memory than
a thousand.
"""

import argparse
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tqdm import tqdm

from app.ahead import in_order
from app.capacity import cores
from app.commands import photos, results, streams
from app.commands.results import Row
from app.errors import RequestError
from app.inference.cage.photos import prepare as prepare_decoding
from app.inference.networks import versions
from app.inference.networks.contract import Contract
from app.inference.networks.engines.network import Network
from app.inference.networks.load import load_all
from app.inference.predict import PredictOptions, predict
from app.settings import Settings, bare

DECODING_S = 60.0
"""How long a photo of a rare format may take to be decoded."""

DONE, UNEXPECTED, FAILED = 0, 1, 2
"""Exit statuses, see parser.CLASSIFY_EPILOG."""


@dataclass
class Tally:
    """Counts of the rows written so far: all photos, those that could not be read, those with an unexpected verdict."""

    expect: str | None
    folders: frozenset[str] = frozenset()
    """With --expect-folders the classes: a photo is expected to be what the nearest folder named like one says."""
    photos: int = 0
    failed: int = 0
    unexpected: int = 0
    resumed: set[str] = field(default_factory=set)
    """Photos that an earlier run has written, by photos.key."""
    passed_over: Counter[str] = field(default_factory=Counter)
    """Photos and videos in the folders whose formats are not read, by format."""

    def count(self, path: str, verdict: str) -> None:
        """Count one photo; `verdict` is "" if it could not be read."""
        self.photos += 1
        self.failed += not verdict
        expected = self.expect
        if self.folders:
            expected = next((name for name in reversed(Path(path).parts[:-1]) if name in self.folders), "")
        self.unexpected += bool(verdict) and expected not in (None, verdict)

    @property
    def status(self) -> int:
        """The exit status."""
        if self.failed or self.passed_over or not self.photos:
            return FAILED
        return UNEXPECTED if self.unexpected else DONE


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Classify the photos and return the exit status.

    Raises NetworkError for an unusable network and ValueError for invalid arguments or an output that cannot be written,
    each with a message of one line, and BrokenPipeError when the reader has closed the pipe, as `| head` does.
    """
    network = network_of(arguments, settings)
    prepare_decoding(settings.cage, DECODING_S, bare())
    contract = network.contract
    verdicts = [*contract.classes, "unsure", *(["unfamiliar"] if contract.familiarity else [])]
    if arguments.expect not in (None, *verdicts):
        raise ValueError(f"--expect is {arguments.expect}; verdicts are {', '.join(verdicts[:-1])} and {verdicts[-1]}")
    if arguments.resume and not arguments.out:
        raise ValueError("--resume needs --out: output to a pipe or a terminal cannot be read back")
    tally = Tally(arguments.expect, frozenset(contract.classes if arguments.expect_folders else ()))
    try:
        finished = _answer(network, arguments, settings, tally)
    except BrokenPipeError:
        raise
    except OSError as error:
        target = f"{arguments.out} cannot be written" if arguments.out else "standard output cannot be written"
        hint = "; --resume continues it" if arguments.out else ""
        raise ValueError(f"{target}: {error.strerror or error}{hint}") from error
    if not finished:
        hint = "add --resume to continue" if arguments.out else "use --out FILE to make a run resumable"
        streams.say(f"stopped after {tally.photos} photos; {hint}")
        return streams.INTERRUPTED
    if not tally.photos:
        streams.say(f"no photos found in {', '.join(arguments.photos)}")
    elif tally.failed and (arguments.out or not sys.stdout.isatty()):
        streams.say(f"{tally.failed} of {tally.photos} photos could not be read")
    if tally.folders and tally.photos:
        read = tally.photos - tally.failed
        streams.say(f"{read - tally.unexpected} of {read} photos are what their folders say")
    photos.say_passed_over(tally.passed_over)
    return tally.status


def _answer(network: Network, arguments: argparse.Namespace, settings: Settings, tally: Tally) -> bool:
    """Write the rows of all photos that are left. Returns False if Ctrl-C stopped it."""
    with ExitStack() as stack:
        out, output_format = _output(arguments, network.contract, tally, stack)
        left = (path for path in photos.walk(arguments.photos, tally.passed_over) if photos.key(path) not in tally.resumed)
        threads = arguments.threads or settings.threads or cores()
        rows = stack.enter_context(closing(in_order(lambda path: _row(path, network, settings), left, threads)))
        return _write(rows, out, output_format, tally, arguments)


def network_of(arguments: argparse.Namespace, settings: Settings) -> Network:
    """The network that --network and --network-version name, or the settings. Raises NetworkError."""
    wanted = arguments.network or settings.network
    name: str = wanted or versions.default("", versions.names(settings.networks))
    networks = load_all(settings.networks, settings.engine, settings.pins, name, precision=settings.precision)
    for refused in networks.refused:
        streams.say(f"warning: {refused}")
    return networks.select(name, arguments.network_version)


def _output(
    arguments: argparse.Namespace, contract: Contract, tally: Tally, stack: ExitStack
) -> tuple[IO[str], results.Format]:
    """Where rows go and in which format. With --resume, the rows already in the file are added to `tally`."""
    name = arguments.form
    if not arguments.out:
        name = name or ("table" if sys.stdout.isatty() else "csv")
        output_format = results.Table() if name == "table" else results.file_format(name, contract)
        out = results.as_text(stack.enter_context(os.fdopen(os.dup(sys.stdout.fileno()), "wb")))
        out.write(output_format.header)
        return out, output_format
    name = name or results.format_of(arguments.out)
    if name == "table":
        raise ValueError("--table is for terminals; write CSV or JSON to a file")
    file_format = results.file_format(name, contract)
    exists = os.path.lexists(arguments.out)
    if exists and not os.path.isfile(arguments.out):  # reading a device back might never end
        raise ValueError(f"{arguments.out} is not a file; without --out, results go to standard output")
    if exists and not arguments.resume:
        raise ValueError(f"{arguments.out} already exists; --resume continues it, and nothing is ever overwritten")
    try:
        file = stack.enter_context(arguments.out.open("r+b" if exists else "x+b"))
    except OSError as error:
        raise ValueError(f"{arguments.out} cannot be written: {error.strerror}") from error
    try:
        for row in results.read_back(file, file_format, contract):
            tally.resumed.add(photos.key(row.path))
            tally.count(row.path, row.verdict)
    except results.ForeignFile as error:
        raise ValueError(f"{arguments.out} cannot be resumed: {error}") from error
    file.seek(0, os.SEEK_END)
    out = results.as_text(file)
    if file.tell() == 0:
        out.write(file_format.header)
    return out, file_format


def _write(
    rows: Iterable[Row], out: IO[str], output_format: results.Format, tally: Tally, arguments: argparse.Namespace
) -> bool:
    """Write every row, with a progress bar on a terminal. Returns False if Ctrl-C stopped it, after a complete row."""
    stopped = threading.Event()

    def stop(number: int, frame: object) -> None:
        stopped.set()
        signal.signal(number, signal.SIG_DFL)  # a second Ctrl-C stops at once, even while it waits for a pipe

    signal.signal(signal.SIGINT, stop)
    watched = sys.stderr.isatty() and not arguments.quiet
    total = photos.count(arguments.photos) if watched else None
    meter = tqdm(total=total, initial=len(tally.resumed), unit="photo", dynamic_ncols=True) if watched else nullcontext()
    shared = watched and not arguments.out and sys.stdout.isatty()  # each row has to clear the bar first
    with meter as bar:
        for row in rows:
            with tqdm.external_write_mode(sys.stdout) if shared else nullcontext():
                out.write(output_format.line(row))
            tally.count(row.path, row.answer.verdict if row.answer else "")
            if bar is not None:
                bar.update()
            if stopped.is_set():
                return False
    return True


def _row(path: str, network: Network, settings: Settings) -> Row:
    try:
        return Row(
            path, predict(photos.read(path, settings.max_bytes), network, PredictOptions("none"), settings.max_pixels)
        )
    except RequestError as error:
        return Row(path, None, str(error))
    except OSError as error:
        return Row(path, None, f"The file cannot be read: {error.strerror or error}.")
    except MemoryError:
        return Row(path, None, "There is not enough memory for it.")
