"""Rows come in; a folder of Parquet files goes out, which knows what it holds when the next run asks.

Each part appears whole or not at all: on a disk it is written under another name and then renamed, an object store shows
what was uploaded to its end. So the parts themselves are the record of what was done; there is no other that could differ.
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
from deploy.ray.classify import AGAIN, COLUMNS

_IDENTITY = ["network", "version", "network_sha256"]
_PART = re.compile(r"part-(\d{8,})\.parquet")


class ResultsError(CatscopeError):
    """The folder of results cannot be gone on with."""


class Done:
    """Which photos were answered: 16 bytes of BLAKE2b for each path, sorted, so that a hundred million take 1.6 GB."""

    def __init__(self, paths: list[pa.ChunkedArray]) -> None:
        parts = [_digests(part.to_pylist()) for part in paths]
        self._digests = np.unique(np.concatenate(parts)) if parts else np.empty(0, "S16")

    def __len__(self) -> int:
        return len(self._digests)

    def missing(self, paths: list[str]) -> list[str]:
        """Those of the paths that were not answered."""
        if not len(self._digests) or not paths:
            return paths
        wanted = _digests(paths)
        places = np.minimum(np.searchsorted(self._digests, wanted), len(self._digests) - 1)
        return [path for path, known in zip(paths, self._digests[places] == wanted, strict=True) if not known]


def _digests(paths: list[str]) -> np.ndarray:
    return np.array([hashlib.blake2b(path.encode(), digest_size=16).digest() for path in paths], "S16")


def _named(network: str, version: str, sha256: str) -> str:
    return f"{network} {version} ({sha256[:12]})"


class Results:
    """The parts in a folder, of this machine or of a store that fsspec has a driver for. One run at a time writes there."""

    def __init__(self, folder: str) -> None:
        self._store, self._folder = fsspec.core.url_to_fs(folder, use_listings_cache=False)
        self._local = "://" not in folder
        self._store.makedirs(self._folder, exist_ok=True)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Raise ResultsError when another run on this machine writes there. (A store has no lock that could be asked.)"""
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
        """The paths of all parts, in the order in which they were written."""
        try:
            paths = self._store.ls(self._folder, detail=False)
        except FileNotFoundError:  # a bucket knows no folder in which nothing lies
            return []
        return sorted(path for path in paths if _PART.fullmatch(Path(path).name))

    def done(self, network: str, version: str, sha256: str) -> Done:
        """Which photos were answered by this network. Rows of AGAIN are taken out.

        Raises ResultsError when a part is of another network, or is none of ours.
        """
        answered = []
        for path in self.parts():
            try:
                with self._store.open(path) as file:
                    part = pq.read_table(file, columns=["path", "error", *_IDENTITY])
            except (pa.ArrowInvalid, KeyError) as error:
                raise ResultsError(f"{path} is no part of such results: {str(error).splitlines()[0]}") from error
            for other in part.group_by(_IDENTITY).aggregate([]).to_pylist():
                if other != dict(zip(_IDENTITY, (network, version, sha256), strict=True)):
                    raise ResultsError(
                        f"{self._folder} holds answers of {_named(*other.values())}, and these would be of "
                        f"{_named(network, version, sha256)}; write to another folder."
                    )
            final = np.array([not (error or "").startswith(AGAIN) for error in part["error"].to_pylist()], bool)
            if not final.all():
                self._keep(path, final)
            answered.append(part["path"].filter(final))
        return Done(answered)

    def _keep(self, path: str, rows: np.ndarray) -> None:
        """Write a part once more, with these of its rows."""
        with self._store.open(path) as file:
            whole = pq.read_table(file)
        self._write(path, whole.filter(rows))

    def write(self, rows: pa.Table) -> None:
        """Add a part, after all others."""
        last = max((int(_PART.fullmatch(Path(path).name)[1]) for path in self.parts()), default=0)  # type: ignore[index]
        self._write(f"{self._folder}/part-{last + 1:08d}.parquet", rows)

    def _write(self, path: str, rows: pa.Table) -> None:
        buffer = io.BytesIO()
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
        """How many photos have which verdict, and how many an error."""
        counts: dict[str, int] = {}
        for path in self.parts():
            with self._store.open(path) as file:
                verdicts: Any = pc.value_counts(pc.fill_null(pq.read_table(file, columns=["verdict"])["verdict"], "error"))
            for one in verdicts.to_pylist():
                counts[one["values"]] = counts.get(one["values"], 0) + one["counts"]
        return dict(sorted(counts.items()))
