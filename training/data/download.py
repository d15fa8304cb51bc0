"""A published file's address, length and checksum come in; the file, whole and verified, goes out."""

import os
import re
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import httpx
import pooch

from training.errors import TrainingError
from training.progress import Progress

WAITS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds to wait before each retry, 31 in all; a download that made progress starts again with the first."""

TIMEOUT_SECONDS = 30.0
"""How long a connection may take to open, or to deliver its next bytes."""


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
    """The archive in `folder`, whole and with the published checksum; the download gets that name only then.

    pooch names, verifies and places the file; `_receive` brings it, because pooch's own downloaders begin again at the first
    byte whenever a connection ends. Raises TrainingError when the archive cannot be downloaded or has another checksum. A
    download with another checksum is removed.
    """
    whole, part = folder / archive.name, folder / f"{archive.name}.part"
    algorithm, published = archive.checksum.split(":")
    if whole.exists():
        computed = pooch.file_hash(whole, alg=algorithm)
        if computed != published:
            raise TrainingError(
                f"{whole} has {algorithm} {computed}, but {archive.url} was published with {published}; "
                "once it is removed, the same command downloads it"
            )
        return whole

    def downloader(url: str, output_file: str, pooch: object) -> None:
        _receive(archive, part)
        os.replace(part, output_file)

    pooch.get_logger().setLevel("WARNING")  # there is a progress bar
    try:
        pooch.retrieve(archive.url, archive.checksum, archive.name, folder, downloader=downloader)
    except ValueError as error:  # another checksum; both are in the message
        raise TrainingError(f"{error} The same command downloads it again.") from error
    return whole


def _receive(archive: Archive, part: Path) -> None:
    """Append the missing bytes of the archive to `part`, over as many connections as that takes.

    Raises TrainingError when the last retry of `WAITS` brought no further byte, or when retrying cannot help.
    """
    headers = {"Accept-Encoding": "identity", "User-Agent": "catscope"}
    with (
        part.open("ab") as file,
        Progress(archive.size_bytes, archive.name, "bytes", file.tell()) as shown,
        httpx.Client(follow_redirects=True, timeout=TIMEOUT_SECONDS, headers=headers) as client,
    ):
        attempts, furthest = 0, file.tell()
        while file.tell() < archive.size_bytes:
            problem = "the connection ended early"
            try:
                with closing(_remainder(client, archive, file)) as blocks:
                    for block in blocks:
                        file.write(block)
                        shown.reach(file.tell())
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
                    f"{archive.url} cannot be downloaded: {problem}; the same command continues after {file.tell()} bytes"
                )
            shown.say(f"{problem}; next attempt in {WAITS[attempts]:g} s")
            time.sleep(WAITS[attempts])
            attempts += 1


def _remainder(client: httpx.Client, archive: Archive, file: BinaryIO) -> Generator[bytes, None, None]:
    """The bytes of the archive that `file` lacks, as they arrive; `file` is emptied if the server cannot send them alone.

    The server is not asked whether the file has changed in between (If-Range): its length is compared here and its checksum
    at the end, and the servers behind one address may disagree about a file's ETag.
    """
    start = file.tell()
    with client.stream("GET", archive.url, headers={"Range": f"bytes={start}-"} if start else {}) as response:
        extent = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if response.status_code == 206 and extent and int(extent[1]) == start:
            length = extent[2]
        else:
            if response.status_code != 416:  # "Range Not Satisfiable": the part is not the beginning of that file
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
                "the publisher changed it, or a proxy answers in its place"
            )
        yield from response.iter_raw()  # iter_bytes would unpack a .gz that the server declares an encoding


def in_one_line(error: Exception) -> str:
    """An error's message on one line, or its type if it has none."""
    return " ".join(str(error).split()) or type(error).__name__
