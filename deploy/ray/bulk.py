"""Millions of photos come in, from folders and buckets; a folder of Parquet files with an answer for each goes out.

    python -m deploy.ray.bulk photos s3://bucket/photos --out results
    python -m deploy.ray.bulk s3://bucket/photos --out s3://bucket/results --address auto

If it was stopped, the same command continues. The first form starts Ray on this machine's cores for the duration of the run;
the second uses the cluster that this machine belongs to.

The driver lists photos, skips those already answered, and passes the others to Ray Data in chunks; tasks on any node answer
a batch of paths each; the driver writes the rows. A batch whose node or process died is run again elsewhere.
"""

import argparse
import itertools
import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import ray
from tqdm import tqdm

from app.errors import CatscopeError
from app.inference.networks import signatures, versions
from app.inference.networks.contract import Contract
from app.inference.networks.load import load_all
from app.settings import Settings
from deploy.ray.classify import Shipment, classify, ended, prepare, ship
from deploy.ray.photos import listed
from deploy.ray.results import Results

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # Ray sends usage statistics unless this disables it
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # the default of newer versions; avoids their deprecation warning
}
STORE_BYTES = 200_000_000
"""Ray's object store if this command starts Ray: it holds the network, and batches of paths and rows."""
OWN = "local"
"""The address that starts a new Ray instance, even if one is running already."""
RETRIES = 3
"""How often a batch is retried if its process or node dies."""
NO_FILE = os.devnull
"""A path whose row says that it is not a file."""


class BulkError(CatscopeError):
    """The cluster cannot answer photos."""


@dataclass(frozen=True)
class Plan:
    """How photos are distributed and rows are written."""

    chunk: int
    """Paths passed to Ray Data at once."""
    batch: int
    """Photos per task."""
    part_rows: int
    part_s: float
    """A part is written once it has `part_rows` rows, or `part_s` seconds after the previous one."""
    max_pixels: int
    precision: str
    """What may answer, as the setting CATSCOPE_PRECISION has it."""


def main() -> None:
    """Answer all photos that have no answer yet, then print the count of each verdict."""
    arguments = _parser().parse_args()
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        settings = Settings.from_environment()
        run(
            arguments,
            selected(arguments, settings),
            Plan(
                arguments.chunk,
                arguments.batch,
                arguments.part_rows,
                arguments.part_seconds,
                settings.max_pixels,
                settings.precision,
            ),
        )
    except (CatscopeError, ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; run the same command to continue")


def selected(arguments: argparse.Namespace, settings: Settings) -> Contract:
    """The contract of the selected network, after loading it here, and its signature where the settings ask for one. Raises
    NetworkError if there is no such network, or somebody else has signed it.
    """
    if settings.require_signed == "true":
        signatures.check(settings.model_dir, settings.signed_by, settings.signed_issuer)
    name = arguments.network or versions.default(settings.network, versions.names(settings.networks))
    return load_all(settings.networks, "onnx", settings.pins, name).select(name, arguments.network_version).contract


def run(arguments: argparse.Namespace, contract: Contract, plan: Plan) -> None:
    """The whole run, with a progress bar."""
    results = Results(arguments.out)
    with results.locked():
        done = results.done(contract.network, contract.version, contract.files["model.onnx"])
        connect(arguments.address)
        shipment = ship(contract, plan.precision)
        check(shipment)
        writer = Writer(results, plan)
        before = 0
        with tqdm(total=0, unit=" photos", smoothing=0.05, disable=arguments.quiet) as bar:
            for paths in _chunks(listed(arguments.photos), plan.chunk):
                remaining = done.missing(paths)
                before += len(paths) - len(remaining)
                bar.total += len(remaining)
                bar.refresh()
                for rows in answers(remaining, shipment, plan):
                    writer.add(rows)
                    bar.update(len(rows))
        writer.flush()
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in results.tally().items())
    print(f"{writer.written} photos answered, {before} answered before; {arguments.out} contains {verdicts or 'nothing'}")


def connect(address: str) -> None:
    """Join the cluster at that address, or start Ray on this machine."""
    started = {} if address != OWN else {"object_store_memory": STORE_BYTES, "include_dashboard": False}
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **started)
    warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")  # requirements/ray.in says why we use it
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False  # `run` shows its own, which counts photos
    context.print_on_execution_start = False
    context.max_errored_blocks = -1  # `answers` handles missing rows
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # no line for each chunk; importing ray.data has set another level


def check(shipment: Shipment) -> None:
    """Load the network in one process of the cluster. Raises BulkError if that fails, for example without Catscope there."""
    try:
        ray.get(ray.remote(prepare).options(num_cpus=1, max_retries=RETRIES).remote(shipment))
    except ray.exceptions.RayError as error:
        raise BulkError(f"A node cannot load the network: {str(error).strip().splitlines()[-1]}") from error


def answers(paths: list[str], shipment: Shipment, plan: Plan) -> Iterator[pa.Table]:
    """Yield rows for all paths, each path once, in the order in which they are ready.

    A batch that crashed its process on every try is missing after the first round; a second round runs its photos one by
    one, and those that crash it again get a row that says so. All paths may be such photos, where an earlier run answered
    the others. Raises BulkError if the cluster answers nothing at all: then they are not the cause.
    """
    missing = dict.fromkeys(paths)
    for size in (plan.batch, 1):
        if not missing:
            return
        for rows in _round(list(missing), shipment, plan.max_pixels, size):
            for path in rows["path"].to_pylist():
                del missing[path]
            yield rows
        if len(missing) == len(paths) and not _works(shipment, plan):
            raise BulkError("No batch of photos was answered; see Ray's messages above.")
    if missing:
        yield ended(list(missing), shipment)


def _works(shipment: Shipment, plan: Plan) -> bool:
    """Whether the cluster answers a path that is no file, which cannot crash a process: its row says that it is none."""
    return sum(map(len, _round([NO_FILE], shipment, plan.max_pixels, 1))) > 0


def _round(paths: list[str], shipment: Shipment, max_pixels: int, size: int) -> Iterator[pa.Table]:
    """Yield rows for those paths that could be answered, with `size` paths per task."""
    keywords = {"shipment": shipment, "max_pixels": max_pixels}
    tables = [pa.table({"path": paths[begin : begin + size]}) for begin in range(0, len(paths), size)]
    photos = ray.data.from_arrow(tables)
    rows = photos.map_batches(
        classify, batch_size=None, batch_format="pyarrow", fn_kwargs=keywords, num_cpus=1, max_retries=RETRIES
    )
    yield from rows.iter_batches(batch_size=None, batch_format="pyarrow")


class Writer:
    """Collects rows and writes a part once there are enough rows or they have waited long enough."""

    def __init__(self, results: Results, plan: Plan) -> None:
        self._results, self._plan = results, plan
        self._rows: list[pa.Table] = []
        self._last = time.monotonic()
        self.written = 0

    def add(self, rows: pa.Table) -> None:
        """Add rows, and write a part if it is due."""
        self._rows.append(rows)
        if sum(map(len, self._rows)) >= self._plan.part_rows or time.monotonic() - self._last >= self._plan.part_s:
            self.flush()

    def flush(self) -> None:
        """Write the collected rows."""
        if self._rows:
            part = pa.concat_tables(self._rows)
            self._results.write(part)
            self.written += len(part)
            self._rows = []
        self._last = time.monotonic()


def _chunks(paths: Iterator[str], size: int) -> Iterator[list[str]]:
    while chunk := list(itertools.islice(paths, size)):
        yield chunk


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.ray.bulk", description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    parser.add_argument("photos", nargs="+", help="folders and photos: paths, s3://..., gs://...")
    parser.add_argument("--out", required=True, help="folder for the Parquet files, a path or s3://..., gs://...")
    parser.add_argument("--network", help="network to use (default: as in the service)")
    parser.add_argument("--network-version", help="one of its versions (default: the one the service uses)")
    parser.add_argument("--address", default=OWN, help="Ray cluster; auto: the one running here; local: start one (default)")
    parser.add_argument("--batch", type=int, default=32, help="photos per task")
    parser.add_argument("--chunk", type=int, default=100_000, help="paths in memory at once")
    parser.add_argument("--part-rows", type=int, default=100_000, help="maximum rows per Parquet file, roughly")
    parser.add_argument(
        "--part-seconds", type=float, default=30, help="how long rows may wait to be written; a kill loses them"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


if __name__ == "__main__":
    main()
