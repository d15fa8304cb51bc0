"""A published file's address, length and checksum come in; the file, whole and verified, goes out."""

import hashlib
import os
import re
import sys
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import httpx
from tqdm import tqdm

from training.errors import TrainingError

WAITS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds before each further attempt; counted anew whenever a download got further than before. 31 seconds in all."""

TIMEOUT_SECONDS = 30.0
"""How long a connection may take to come about, or to bring its next bytes."""

BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Archive:
    """A file on its publisher's server: its address, its length, and its checksum as `sha256:` or `md5:` and hex digits."""

    url: str
    size_bytes: int
    checksum: str

    @property
    def name(self) -> str:
        """The file's name, as in the address."""
        return self.url.rsplit("/", 1)[-1]


def download(archive: Archive, folder: Path) -> Path:
    """The archive in `folder`, whole and with the published checksum; what was downloaded gets that name only then.

    Raises TrainingError when it cannot be had or has another checksum. A download with another checksum is removed.
    """
    whole = folder / archive.name
    part = folder / f"{archive.name}.part"
    algorithm, published = archive.checksum.split(":")
    brought = whole.exists()
    if not brought:
        _receive(archive, part)
    computed = _checksum(whole if brought else part, algorithm)
    sums = f"{algorithm} {computed}, but {archive.url} was published with {published}"
    if computed != published and brought:
        raise TrainingError(f"{whole} has {sums}; once it is removed, the same command downloads it")
    if computed != published:
        part.unlink()
        raise TrainingError(f"what was downloaded has {sums}; it is removed, the same command downloads it again")
    if not brought:
        os.replace(part, whole)
    return whole


def _receive(archive: Archive, part: Path) -> None:
    """Append to `part` what is missing of the archive, however many connections that takes.

    Raises TrainingError when the last of `WAITS` has passed without a further byte, or when trying again cannot help.
    """
    headers = {"Accept-Encoding": "identity", "User-Agent": "catscope"}
    with (
        part.open("ab") as file,
        bar(archive.size_bytes, archive.name, file.tell()) as shown,
        httpx.Client(follow_redirects=True, timeout=TIMEOUT_SECONDS, headers=headers) as client,
    ):
        attempts, furthest = 0, file.tell()
        while file.tell() < archive.size_bytes:
            problem = "the connection ended early"
            try:
                with closing(_remainder(client, archive, file)) as blocks:
                    for block in blocks:
                        file.write(block)
                        shown.update(file.tell() - shown.n)
            except httpx.HTTPStatusError as error:
                problem = f"the server answered {error.response.status_code} {error.response.reason_phrase}"
                if error.response.status_code < 500 and error.response.status_code != 429:
                    raise TrainingError(f"{archive.url} cannot be downloaded: {problem}") from error
            except httpx.HTTPError as error:
                problem = in_one_line(error)
            if file.tell() >= archive.size_bytes:
                return
            if file.tell() > furthest:
                attempts, furthest = 0, file.tell()
            if attempts == len(WAITS):
                raise TrainingError(
                    f"{archive.url} cannot be downloaded: {problem}; the same command goes on after {file.tell()} bytes"
                )
            shown.write(f"{problem}; next attempt in {WAITS[attempts]:g} s", file=sys.stderr)
            time.sleep(WAITS[attempts])
            attempts += 1


def _remainder(client: httpx.Client, archive: Archive, file: BinaryIO) -> Generator[bytes, None, None]:
    """What the archive has behind the end of `file`, as it arrives; `file` is emptied where that cannot be had alone.

    That the file has not changed since its first part came is not asked of the server (If-Range): its length is compared
    here and its checksum at the end, and the servers behind one address may disagree about a file's ETag.
    """
    start = file.tell()
    with client.stream("GET", archive.url, headers={"Range": f"bytes={start}-"} if start else {}) as response:
        extent = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if response.status_code == 206 and extent and int(extent[1]) == start:
            length = extent[2]
        else:
            if response.status_code != 416:  # "Range Not Satisfiable": what is there is not the beginning of that file
                response.raise_for_status()
            if start:
                file.seek(0)
                file.truncate()
            if response.status_code != 200:
                return
            length = response.headers.get("Content-Length", "*")
        if length not in ("*", str(archive.size_bytes)):
            raise TrainingError(
                f"{archive.url} has {length} bytes, but was published with {archive.size_bytes}: "
                "the publisher changed it, or something on the way answers in its place"
            )
        yield from response.iter_raw()  # iter_bytes would unpack a .gz that the server declares an encoding


def _checksum(path: Path, algorithm: str) -> str:
    """The file's checksum in hex digits, with a progress bar."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file, bar(path.stat().st_size, f"verifying {path.name.removesuffix('.part')}") as shown:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
            shown.update(len(block))
    return digest.hexdigest()


def bar(total_bytes: int, title: str, done_bytes: int = 0) -> Any:
    """A progress bar in bytes, with the time that is left; what was done before counts, but not towards the speed."""
    return tqdm(total=total_bytes, initial=done_bytes, desc=title, unit="B", unit_scale=True, dynamic_ncols=True)


def in_one_line(error: Exception) -> str:
    """An error's own words on one line, or its kind where it has none."""
    return " ".join(str(error).split()) or type(error).__name__
