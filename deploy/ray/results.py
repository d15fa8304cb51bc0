"""Rows come in; a folder of Parquet files goes out, from which the next run reads which photos are done.

Each part appears complete or not at all: on a disk it is written under another name and then renamed, and an object store
shows only completed uploads. So the parts themselves are the record of what is done; no second record can disagree.
"""

import contextlib
import hashlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from app.errors import CatscopeError
from deploy.ray.classify import COLUMNS, RETRYABLE

_IDENTITY = ["network", "version", "network_sha256"]
_PART = re.compile(r"part-(\d{8,})\.parquet")


class ResultsError(CatscopeError):
    """The folder of results cannot be continued."""


class Done:
    """The photos already answered: 16 bytes of BLAKE2b per path, sorted, so a hundred million take 1.6 GB."""

    def __init__(self, paths: list[pa.ChunkedArray]) -> None:
        parts = [_digests(part.to_pylist()) for part in paths]
        self._digests = np.unique(np.concatenate(parts)) if parts else np.empty(0, "S16")

    def __len__(self) -> int:
        return len(self._digests)

    def missing(self, paths: list[str]) -> list[str]:
        """The paths not answered yet."""
        if not len(self._digests) or not paths:
            return paths
        wanted = _digests(paths)
        nearest = np.minimum(np.searchsorted(self._digests, wanted), len(self._digests) - 1)
        return [path for path, known in zip(paths, self._digests[nearest] == wanted, strict=True) if not known]


def _digests(paths: list[str]) -> np.ndarray:
    return np.array([hashlib.blake2b(path.encode(), digest_size=16).digest() for path in paths], "S16")


def _label(network: str, version: str, sha256: str) -> str:
    return f"{network} {version} ({sha256[:12]})"


class Results:
    """The parts in a folder, local or in a store that fsspec has a driver for. Only one run at a time may write to it."""

    def __init__(self, folder: str) -> None:
        self._store, self._folder = fsspec.core.url_to_fs(folder, use_listings_cache=False)
        self._local = "://" not in folder
        self._store.makedirs(self._folder, exist_ok=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder's lock. Raises ResultsError if another run on this machine holds it. (A store has no lock.)"""
        if not self._local:
            yield
            return
        import fcntl

        with (Path(self._folder) / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ResultsError(f"Another run is writing to {self._folder}.") from None
            yield

    def parts(self) -> list[str]:
        """The paths of all parts, oldest first."""
        try:
            paths = self._store.ls(self._folder, detail=False)
        except FileNotFoundError:  # in a bucket, an empty folder does not exist
            return []
        return sorted(path for path in paths if _PART.fullmatch(Path(path).name))

    def done(self, network: str, version: str, sha256: str) -> Done:
        """The photos that this network has answered. Rows with RETRYABLE errors are removed from the parts.

        Raises ResultsError if a part is from another network or was not written by this command.
        """
        answered = []
        for path in self.parts():
            try:
                with self._store.open(path) as file:
                    part = pq.read_table(file, columns=["path", "error", *_IDENTITY])
            except (pa.ArrowInvalid, KeyError) as error:
                raise ResultsError(
                    f"{path} does not contain results of this command: {str(error).splitlines()[0]}"
                ) from error
            for other in part.group_by(_IDENTITY).aggregate([]).to_pylist():
                if other != dict(zip(_IDENTITY, (network, version, sha256), strict=True)):
                    raise ResultsError(
                        f"{self._folder} contains answers of {_label(*other.values())}, not of "
                        f"{_label(network, version, sha256)}; write to another folder."
                    )
            final = np.array([not (error or "").startswith(RETRYABLE) for error in part["error"].to_pylist()], bool)
            if not final.all():
                self._filter(path, final)
            answered.append(part["path"].filter(final))
        return Done(answered)

    def _filter(self, path: str, rows: np.ndarray) -> None:
        """Rewrite a part with only those rows for which `rows`, (n,) bool, is true."""
        with self._store.open(path) as file:
            part = pq.read_table(file)
        self._write(path, part.filter(rows))

    def write(self, rows: pa.Table) -> None:
        """Add a part after all others."""
        last = max((int(_PART.fullmatch(Path(path).name)[1]) for path in self.parts()), default=0)  # type: ignore[index]
        self._write(f"{self._folder}/part-{last + 1:08d}.parquet", rows)

    def _write(self, path: str, rows: pa.Table) -> None:
        buffer = io.BytesIO()
        for field in COLUMNS:
            if field.name not in rows.column_names:  # a part that an earlier version has written
                rows = rows.append_column(field, pa.nulls(len(rows), field.type))
        rows = rows.select(COLUMNS.names)
        pq.write_table(rows.cast(COLUMNS), buffer, compression="zstd")
        if not self._local:
            self._store.pipe_file(path, buffer.getvalue())
            return
        partial = Path(path).with_name(f".{Path(path).name}.partial")
        with partial.open("wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)

    def tally(self) -> dict[str, int]:
        """The number of photos with each verdict, and with an error."""
        counts: dict[str, int] = {}
        for path in self.parts():
            with self._store.open(path) as file:
                verdicts: Any = pc.value_counts(pc.fill_null(pq.read_table(file, columns=["verdict"])["verdict"], "error"))
            for entry in verdicts.to_pylist():
                counts[entry["values"]] = counts.get(entry["values"], 0) + entry["counts"]
        return dict(sorted(counts.items()))
