"""Photos and folders come in, what the network says of each goes out: what the service does, without the service.

The photos are answered on every core and told in the order in which they were found. A few are ahead of their turn, and
nothing is kept of those that were told, so that a hundred thousand take no more memory than a thousand.
"""

import argparse
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tqdm import tqdm

from app.commands import photos, results
from app.commands.results import Row
from app.errors import RequestError, TooLarge
from app.inference import versions
from app.inference.contract import Contract
from app.inference.network import Network, load_all
from app.inference.predict import Wanted, predict
from app.settings import Settings
from app.workers import cores

AHEAD = 4
"""Photos for each thread that may be answered before it is their turn to be told."""

ANSWERED, OTHERWISE, TROUBLE, STOPPED, NO_READER = 0, 1, 2, 130, 141
"""Exit status, see parser.CLASSIFY_EPILOG. The last two are what shells make of Ctrl-C and of a pipe that nobody reads."""


@dataclass
class Tally:
    """What was told so far: how many photos, how many of them could not be read, how many are not as expected."""

    expect: str | None
    photos: int = 0
    unread: int = 0
    otherwise: int = 0
    told: set[str] = field(default_factory=set)

    def count(self, verdict: str) -> None:
        """One photo more; `verdict` is "" for one that could not be read."""
        self.photos += 1
        self.unread += not verdict
        self.otherwise += bool(verdict) and self.expect not in (None, verdict)

    @property
    def status(self) -> int:
        """The exit status."""
        if self.unread or not self.photos:
            return TROUBLE
        return OTHERWISE if self.otherwise else ANSWERED


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Classify, and return the exit status. Raises NetworkError and ValueError, with one line, for what cannot be done."""
    network = _network(arguments, settings)
    contract = network.contract
    if arguments.expect not in (None, "unsure", *contract.classes):
        raise ValueError(f"--expect is {arguments.expect}; verdicts are {', '.join(contract.classes)} and unsure")
    if arguments.resume and not arguments.out:
        raise ValueError("--resume needs --out: what stands in a pipe or on a terminal cannot be read again")
    tally = Tally(arguments.expect)
    with ExitStack() as stack:
        out, form = _output(arguments, contract, tally, stack)
        left = (path for path in photos.walk(arguments.photos) if path not in tally.told)
        threads = arguments.threads or settings.threads or cores()
        rows = answers(left, lambda path: _row(path, network, settings), threads)
        try:
            whole = _tell(rows, out, form, tally, arguments)
        except BrokenPipeError:  # `| head` has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())  # what is left to write goes nowhere
            return NO_READER
        if not whole:
            again = "the same command with --resume goes on" if arguments.out else "--out FILE would keep what was told"
            print(f"stopped after {tally.photos} photos; {again}", file=sys.stderr)
            return STOPPED
    if not tally.photos:
        print(f"no photo was found in {', '.join(arguments.photos)}", file=sys.stderr)
    elif tally.unread and (arguments.out or not sys.stdout.isatty()):
        print(f"{tally.unread} of {tally.photos} photos could not be read", file=sys.stderr)
    return tally.status


def _network(arguments: argparse.Namespace, settings: Settings) -> Network:
    wanted = arguments.network or settings.network
    name: str = wanted or versions.default("", versions.names(settings.model_dir))
    found = load_all(settings.model_dir, settings.engine, settings.pins, name)
    for refused in found.refused:
        print(f"warning: {refused}", file=sys.stderr)
    return found.one(name, arguments.network_version)


def _output(
    arguments: argparse.Namespace, contract: Contract, tally: Tally, stack: ExitStack
) -> tuple[IO[str], results.Form]:
    """Where rows go, and in what form; what an earlier run wrote there is counted."""
    name = arguments.form
    if not arguments.out:
        name = name or ("table" if sys.stdout.isatty() else "csv")
        form = results.Table() if name == "table" else results.kept(name, contract)
        out = results.as_text(stack.enter_context(os.fdopen(os.dup(sys.stdout.fileno()), "wb")))
        out.write(form.head)
        return out, form
    name = name or results.form_of(arguments.out)
    if name == "table":
        raise ValueError("--table is for terminals; a file gets CSV or JSON")
    kept = results.kept(name, contract)
    if arguments.out.exists() and not arguments.resume:
        raise ValueError(f"{arguments.out} is there already; --resume goes on with it, and nothing is ever written over")
    try:
        file = stack.enter_context(arguments.out.open("r+b" if arguments.out.exists() else "x+b"))
    except OSError as error:
        raise ValueError(f"{arguments.out} cannot be written: {error.strerror}") from error
    try:
        for row in results.read_back(file, kept, contract):
            tally.told.add(row.path)
            tally.count(row.verdict)
    except results.NotOurs as error:
        raise ValueError(f"{arguments.out} cannot be gone on with: {error}") from error
    file.seek(0, os.SEEK_END)
    out = results.as_text(file)
    if file.tell() == 0:
        out.write(kept.head)
    return out, kept


def _tell(rows: Iterable[Row], out: IO[str], form: results.Form, tally: Tally, arguments: argparse.Namespace) -> bool:
    """Write every row, with a progress bar where a person watches. False when Ctrl-C ended it, after a whole row."""
    stopped = threading.Event()

    def stop(number: int, frame: object) -> None:
        stopped.set()
        signal.signal(number, signal.default_int_handler)  # a second one does not wait

    signal.signal(signal.SIGINT, stop)
    watched = sys.stderr.isatty() and not arguments.quiet
    total = photos.count(arguments.photos) if watched else None
    meter = tqdm(total=total, initial=len(tally.told), unit="photo", dynamic_ncols=True) if watched else nullcontext()
    shared = watched and not arguments.out and sys.stdout.isatty()  # the bar has to make way for each row
    with meter as bar:
        for row in rows:
            with tqdm.external_write_mode(sys.stdout) if shared else nullcontext():
                out.write(form.line(row))
            tally.count(row.answer.verdict if row.answer else "")
            if bar is not None:
                bar.update()
            if stopped.is_set():
                return False
    return True


def answers(paths: Iterable[str], answer: Callable[[str], Row], threads: int) -> Iterator[Row]:
    """`answer` of every path, in order, worked out on that many threads."""
    waiting: deque[Future[Row]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="catscope")
    try:
        for path in paths:
            waiting.append(pool.submit(answer, path))
            if len(waiting) > threads * AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _row(path: str, network: Network, settings: Settings) -> Row:
    try:
        return Row(path, predict(_read(path, settings.max_bytes), network, Wanted("none"), settings.max_pixels))
    except RequestError as error:
        return Row(path, None, str(error))
    except OSError as error:
        return Row(path, None, f"The file cannot be read: {error.strerror or error}.")


def _read(path: str, max_bytes: int) -> bytes:
    with sys.stdin.buffer if path == photos.STDIN else Path(path).open("rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise TooLarge(f"The file has more than the {max_bytes} bytes that are accepted (CATSCOPE_MAX_BYTES).")
    return data
