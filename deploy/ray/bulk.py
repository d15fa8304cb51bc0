"""Photos by the million come in, from folders and buckets; a folder of Parquet files with an answer for each goes out.

    python -m deploy.ray.bulk photos s3://bucket/photos --out results
    python -m deploy.ray.bulk s3://bucket/photos --out s3://bucket/results --address auto

The same command goes on where it was stopped. The first form starts a Ray on this machine's cores, for as long as it
takes; the second uses the cluster that this machine belongs to.

The driver lists photos, leaves out those that were answered, and hands Ray Data some at a time; tasks on any node answer a
batch of paths each; the driver writes what comes back. A batch whose node or process died is given to another.
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
from app.inference import contract, versions
from app.inference.network import load_all
from app.settings import Settings
from deploy.ray.classify import Shipment, classify, ended, prepare, ship
from deploy.ray.photos import listed
from deploy.ray.results import Results

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # Ray reports to its makers unless told not to
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # what newer versions do anyway, instead of a warning that they will
}
STORE_BYTES = 200_000_000
"""Ray's shared memory, where this command starts a Ray: a network, and batches of paths and rows."""
OWN = "local"
"""The address that starts a Ray, also where one runs already."""
RETRIES = 3
"""How often a batch is begun anew whose process or node died."""


class BulkError(CatscopeError):
    """The cluster answers no photo."""


@dataclass(frozen=True)
class Plan:
    """How photos are handed out and rows written."""

    chunk: int
    """Paths that are handed to Ray Data at once."""
    batch: int
    """Photos of a task."""
    part_rows: int
    part_s: float
    """A part is written when it has so many rows, or when so many seconds have passed since the last."""
    max_pixels: int


def main() -> None:
    """Answer all photos that have no answer yet, then say how many there are of which verdict."""
    given = _parser().parse_args()
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        settings = Settings.from_environment()
        run(
            given,
            chosen(given, settings),
            Plan(given.chunk, given.batch, given.part_rows, given.part_seconds, settings.max_pixels),
        )
    except (CatscopeError, ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on")


def chosen(given: argparse.Namespace, settings: Settings) -> contract.Contract:
    """The contract of the network that is to answer, which was tried here. Raises NetworkError when there is none such."""
    name = given.network or versions.default(settings.network, versions.names(settings.model_dir))
    return load_all(settings.model_dir, "onnx", settings.pins, name).one(name, given.network_version).contract


def run(given: argparse.Namespace, found: contract.Contract, plan: Plan) -> None:
    """The whole run, with a bar."""
    results = Results(given.out)
    with results.alone():
        done = results.done(found.network, found.version, found.files["model.onnx"])
        connect(given.address)
        shipment = ship(found)
        check(shipment)
        writer = Writer(results, plan)
        before = 0
        with tqdm(total=0, unit=" photos", smoothing=0.05, disable=given.quiet) as bar:
            for paths in _chunks(listed(given.photos), plan.chunk):
                left = done.missing(paths)
                before += len(paths) - len(left)
                bar.total += len(left)
                bar.refresh()
                for rows in answers(left, shipment, plan):
                    writer.add(rows)
                    bar.update(len(rows))
        writer.flush()
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in results.tally().items())
    print(f"{writer.written} photos answered, {before} had been before; {given.out} holds {verdicts or 'nothing'}")


def connect(address: str) -> None:
    """Join the cluster at that address, or start a Ray on this machine."""
    started = {} if address != OWN else {"object_store_memory": STORE_BYTES, "include_dashboard": False}
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **started)
    warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")  # requirements/ray.in says why it is used
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False  # there is one, of photos
    context.print_on_execution_start = False
    context.max_errored_blocks = -1  # `answers` looks after what is missing
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # not a line for each chunk; its import has set another


def check(shipment: Shipment) -> None:
    """Let one process of the cluster load the network. Raises BulkError when it cannot, or has no Catscope to do it with."""
    try:
        ray.get(ray.remote(prepare).options(num_cpus=1, max_retries=RETRIES).remote(shipment))
    except ray.exceptions.RayError as error:
        raise BulkError(f"A node cannot load the network: {str(error).strip().splitlines()[-1]}") from error


def answers(paths: list[str], shipment: Shipment, plan: Plan) -> Iterator[pa.Table]:
    """Rows for all paths, in the order in which they are ready; each path once.

    A batch that ended its process again and again is missing at first; its photos are then given out one by one, and the one
    that is to blame gets a row that says so. Raises BulkError when no batch at all is answered: that is not the photos.
    """
    missing = dict.fromkeys(paths)
    for size in (plan.batch, 1):
        if missing:
            for rows in _round(list(missing), shipment, plan.max_pixels, size):
                for path in rows["path"].to_pylist():
                    del missing[path]
                yield rows
        if len(missing) == len(paths) > size:
            raise BulkError("No batch of photos was answered; the reason is what Ray said above.")
    if missing:
        yield ended(list(missing), shipment)


def _round(paths: list[str], shipment: Shipment, max_pixels: int, size: int) -> Iterator[pa.Table]:
    """Rows for those paths that could be answered, `size` of them to a task."""
    given = {"shipment": shipment, "max_pixels": max_pixels}
    tables = [pa.table({"path": paths[begin : begin + size]}) for begin in range(0, len(paths), size)]
    photos = ray.data.from_arrow(tables)
    rows = photos.map_batches(
        classify, batch_size=None, batch_format="pyarrow", fn_kwargs=given, num_cpus=1, max_retries=RETRIES
    )
    yield from rows.iter_batches(batch_size=None, batch_format="pyarrow")


class Writer:
    """Gathers rows, and writes a part when there are enough of them or they have waited long enough."""

    def __init__(self, results: Results, plan: Plan) -> None:
        self._results, self._plan = results, plan
        self._rows: list[pa.Table] = []
        self._last = time.monotonic()
        self.written = 0

    def add(self, rows: pa.Table) -> None:
        """Take in some rows."""
        self._rows.append(rows)
        if sum(map(len, self._rows)) >= self._plan.part_rows or time.monotonic() - self._last >= self._plan.part_s:
            self.flush()

    def flush(self) -> None:
        """Write what there is."""
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
    parser.add_argument("--network", help="which network answers (default: as in the service)")
    parser.add_argument("--network-version", help="one of its versions (default: the one that is served)")
    parser.add_argument(
        "--address", default=OWN, help="of a Ray cluster; auto: the one that runs here; local: its own (default)"
    )
    parser.add_argument("--batch", type=int, default=32, help="photos of a task")
    parser.add_argument("--chunk", type=int, default=100_000, help="paths held at once")
    parser.add_argument("--part-rows", type=int, default=100_000, help="rows of a Parquet file, at most about")
    parser.add_argument("--part-seconds", type=float, default=30, help="how long rows wait to be written: what a kill loses")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


if __name__ == "__main__":
    main()
