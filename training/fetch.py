"""The name of a public cat data set comes in, a folder with cat/ and not_cat/ photos goes out.

    python -m training.fetch oxford-pets --out photos

Ctrl-C, a kill or a lost connection costs nothing that was there: the same command goes on with the bytes and the photos
that it finds. An archive that was brought to DIR/.downloads by other means is verified and used like a downloaded one.
"""

import argparse
import hashlib
import io
import os
import re
import shlex
import stat
import sys
import tarfile
import textwrap
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import httpx
from PIL import Image
from tqdm import tqdm

from app.inference.decode import FORMATS
from training.config import CLASSES
from training.errors import TrainingError, run

WAITS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds before each further attempt; counted anew whenever a download got further than before. 31 seconds in all."""

TIMEOUT_SECONDS = 30.0
"""How long a connection may take to come about, or to bring its next bytes."""

BLOCK_BYTES = 1 << 20

SPECIES_LIST = "annotations/list.txt"
"""In Oxford's annotations; a photo a line: name without .jpg, class id 1..37, species, breed id. Comments begin with #."""

SPECIES = {"1": "cat", "2": "not_cat"}

SUFFIXES = (".jpg", ".jpeg", ".png")


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


@dataclass(frozen=True)
class Source:
    """A public data set and where the photos lie in its archive.

    `folders` gives the class of the photos in each folder of `photos`, None where the archive `species` lists them.
    """

    name: str
    title: str
    terms: str
    photos: Archive
    folders: Mapping[str, str | None]
    species: Archive | None = None


# Length and SHA-256 were read from huggingface/datasets, datasets/cats_vs_dogs/dataset_infos.json; gomlx/gomlx,
# examples/dogsvscats/dogsvscats.go, has the same SHA-256. tensorflow/datasets, url_checksums/cats_vs_dogs.txt, as far as
# it was seen, has only those of the older kagglecatsanddogs_3367a.zip, which is gone.
DOGS_VS_CATS = Source(
    name="dogs-vs-cats",
    title="Kaggle Cats and Dogs Dataset by Microsoft, about 25,000 photos",
    terms="Licence: 'MSR-LA - 3467.docx' in the archive. Kaggle's rules for the same photos: non-commercial research only, "
    "no publishing again without permission of Microsoft Research. "
    "https://www.microsoft.com/en-us/download/details.aspx?id=54765",
    photos=Archive(
        "https://download.microsoft.com/download/3/E/1/3E1C3F21-ECDB-4869-8368-6DEBA77B919F/kagglecatsanddogs_5340.zip",
        824_887_076,
        "sha256:b7974bd00a84a99921f36ee4403f089853777b5ae8d151c76a86e64900334af9",
    ),
    folders={"PetImages/Cat": "cat", "PetImages/Dog": "not_cat"},
)

# Lengths and SHA-256 were read from tensorflow/datasets, datasets/oxford_iiit_pet/checksums.tsv. The MD5 sums in
# pytorch/vision, torchvision/datasets/oxford_iiit_pet.py, are 5c4f3ee8e5d25df40f4fd59a7f44e54c for the images and
# 95a8c909bbe2e81eed6a22bccdf3f68f for the annotations. The server redirects these addresses to thor.robots.ox.ac.uk.
OXFORD_PETS = Source(
    name="oxford-pets",
    title="Oxford-IIIT Pet Dataset, about 7,300 photos of 37 breeds",
    terms="CC BY-SA 4.0, the copyright of each photo stays with its owner; a README in the archive says research only. "
    "https://www.robots.ox.ac.uk/~vgg/data/pets/",
    photos=Archive(
        "https://www.robots.ox.ac.uk/~vgg/data/pets/data/images.tar.gz",
        791_918_971,
        "sha256:67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
    ),
    folders={"images": None},
    species=Archive(
        "https://www.robots.ox.ac.uk/~vgg/data/pets/data/annotations.tar.gz",
        19_173_078,
        "sha256:52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
    ),
)

SOURCES = {source.name: source for source in (DOGS_VS_CATS, OXFORD_PETS)}


@dataclass(frozen=True)
class Fetched:
    """How many photos of each class lie in its folder, and how many files of the archive were not used, by reason."""

    counts: Mapping[str, int]
    unused: Mapping[str, int]


def main() -> None:
    """Read the command line, fetch, and say what lies where."""
    parser = argparse.ArgumentParser(
        prog="python -m training.fetch",
        description=__doc__.split("\n")[0],
        epilog="\n\n".join(_about(source) for source in SOURCES.values()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = sorted(SOURCES)
    parser.add_argument("name", metavar="NAME", choices=names, help=f"the data set: {' or '.join(names)}")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder in which to put cat/ and not_cat/")
    parser.add_argument(
        "--remove-archive",
        action="store_true",
        help="remove what was downloaded once it is unpacked; otherwise DIR/.downloads keeps it, for the next time",
    )
    arguments = parser.parse_args()
    source, out = SOURCES[arguments.name], arguments.out
    fetched = fetch(source, out, arguments.remove_archive)
    print("; ".join(f"{count} {name} photos of {source.name} lie in {out / name}" for name, count in fetched.counts.items()))
    if fetched.unused:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(fetched.unused.items()))
        print(f"files in the archive that were not used: {reasons}")
    if not arguments.remove_archive:
        print(f"{out / '.downloads'} keeps the {_megabytes(source)} MB that were downloaded; --remove-archive removes them")
    print(f"terms: {source.terms}")
    print(f"next: python -m training.train --network tutorial --data {shlex.quote(str(out))} --out model/tutorial")


def fetch(source: Source, out: Path, remove_archive: bool = False) -> Fetched:
    """Download what is missing of the data set, verify all of it, then unpack what is missing of the photos.

    Raises TrainingError when the download, the verification, or writing below `out` fails.
    """
    downloads = out / ".downloads"
    try:
        downloads.mkdir(parents=True, exist_ok=True)
        lists = download(source.species, downloads) if source.species else None
        photos = download(source.photos, downloads)
        fetched = unpack(source, photos, _species(lists) if lists else {}, out)
        if remove_archive:
            for archive in filter(None, (lists, photos)):
                archive.unlink()
            with suppress(OSError):  # another data set's archive may lie there
                downloads.rmdir()
    except OSError as error:
        where = error.filename or out
        raise TrainingError(f"{where}: {error.strerror or error}; once that is mended, the same command goes on") from error
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise TrainingError(f"an archive in {downloads} cannot be unpacked: {_line(error)}") from error
    return fetched


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


def unpack(source: Source, photos: Path, species: Mapping[str, str], out: Path) -> Fetched:
    """Write the photos of the archive `photos` as `out`/class/source_name.jpg; `species` is what `_species` read.

    Each photo appears whole or not at all, and one that is there with its full length is not written again. The names
    begin with the data set's, so that no photo of a user's own, or of another data set, is ever overwritten.
    """
    counts = dict.fromkeys(CLASSES, 0)
    unused: Counter[str] = Counter()
    for name in CLASSES:
        (out / name).mkdir(exist_ok=True)
    with _bar(photos.stat().st_size, f"unpacking {photos.name}") as bar:
        for member in _members(photos):
            bar.update(member.position - bar.n)
            try:
                label = _label(member, source.folders, species)
                if label:
                    _write(member, out / label / f"{source.name}_{PurePosixPath(member.path).name}")
                    counts[label] += 1
            except _UnusableError as reason:
                unused[str(reason)] += 1
        bar.update(bar.total - bar.n)
    return Fetched(counts, unused)


@dataclass(frozen=True)
class _Member:
    """A file in an archive; `position` is about how many of the archive's bytes lie before it."""

    path: str
    size_bytes: int
    regular: bool
    position: int
    read: Callable[[], bytes]


class _UnusableError(Exception):
    """A file among the photos is none; `str(error)` completes "3 files were"."""


def _label(member: _Member, folders: Mapping[str, str | None], species: Mapping[str, str]) -> str | None:
    """The class of a photo, as far as its name and length tell; None for a file outside of the photos' folders."""
    path = PurePosixPath(member.path)
    if path.is_absolute() or ".." in path.parts or re.search(r"[\\:]", member.path):
        raise _UnusableError("on an unsafe path")
    if str(path.parent) not in folders:
        return None
    if not member.regular:
        raise _UnusableError("links or devices")
    if path.name.startswith(".") or path.suffix.lower() not in SUFFIXES:
        raise _UnusableError("not photos")
    if not member.size_bytes:
        raise _UnusableError("empty")
    label = folders[str(path.parent)] or species.get(path.stem)
    if label is None:
        raise _UnusableError("not in the list of species")
    return label


def _write(member: _Member, target: Path) -> None:
    """Write a photo in one step; leave it where it is already, and refuse what does not begin like a photo."""
    if target.is_file() and target.stat().st_size == member.size_bytes:
        return
    try:
        data = member.read()
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise _UnusableError("broken") from error
    try:
        Image.open(io.BytesIO(data), formats=FORMATS).close()
    except Exception as error:  # Pillow's parsers let many kinds escape when they meet odd bytes
        raise _UnusableError("broken") from error
    hidden = target.with_name(f".{target.name}.part")
    hidden.write_bytes(data)
    os.replace(hidden, target)


def _members(archive: Path) -> Iterator[_Member]:
    """Every file in the archive, in the order in which they lie there; folders are left out, links are not followed."""
    with archive.open("rb") as file:
        if archive.suffix == ".zip":
            with zipfile.ZipFile(file) as zipped:
                for info in zipped.infolist():
                    regular = not stat.S_ISLNK(info.external_attr >> 16)
                    if not info.is_dir():
                        read = partial(zipped.read, info)
                        yield _Member(info.filename, info.file_size, regular, info.header_offset, read)
        else:
            with tarfile.open(fileobj=file) as tarred:
                for entry in tarred:
                    if not entry.isdir():
                        yield _Member(entry.name, entry.size, entry.isreg(), file.tell(), partial(_read, tarred, entry))


def _read(tarred: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    file = tarred.extractfile(entry)
    return file.read() if file else b""


def _species(archive: Path) -> dict[str, str]:
    """The class of each photo in Oxford's list, by its name without .jpg."""
    data = next((member.read() for member in _members(archive) if member.path == SPECIES_LIST), None)
    if data is None:
        raise TrainingError(f"{archive} holds no {SPECIES_LIST}, which says which photos show cats")
    lines = [line.split() for line in data.decode().splitlines()]
    return {fields[0]: SPECIES[fields[2]] for fields in lines if len(fields) == 4 and fields[2] in SPECIES}


def _receive(archive: Archive, part: Path) -> None:
    """Append to `part` what is missing of the archive, however many connections that takes.

    Raises TrainingError when the last of `WAITS` has passed without a further byte, or when trying again cannot help.
    """
    headers = {"Accept-Encoding": "identity", "User-Agent": "catscope"}
    with (
        part.open("ab") as file,
        _bar(archive.size_bytes, archive.name, file.tell()) as bar,
        httpx.Client(follow_redirects=True, timeout=TIMEOUT_SECONDS, headers=headers) as client,
    ):
        attempts, furthest = 0, file.tell()
        while file.tell() < archive.size_bytes:
            problem = "the connection ended early"
            try:
                with closing(_remainder(client, archive, file)) as blocks:
                    for block in blocks:
                        file.write(block)
                        bar.update(file.tell() - bar.n)
            except httpx.HTTPStatusError as error:
                problem = f"the server answered {error.response.status_code} {error.response.reason_phrase}"
                if error.response.status_code < 500 and error.response.status_code != 429:
                    raise TrainingError(f"{archive.url} cannot be downloaded: {problem}") from error
            except httpx.HTTPError as error:
                problem = _line(error)
            if file.tell() >= archive.size_bytes:
                return
            if file.tell() > furthest:
                attempts, furthest = 0, file.tell()
            if attempts == len(WAITS):
                raise TrainingError(
                    f"{archive.url} cannot be downloaded: {problem}; the same command goes on after {file.tell()} bytes"
                )
            bar.write(f"{problem}; next attempt in {WAITS[attempts]:g} s", file=sys.stderr)
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
    with path.open("rb") as file, _bar(path.stat().st_size, f"verifying {path.name.removesuffix('.part')}") as bar:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
            bar.update(len(block))
    return digest.hexdigest()


def _bar(total_bytes: int, title: str, done_bytes: int = 0) -> Any:
    """A progress bar in bytes, with the time that is left; what was done before counts, but not towards the speed."""
    return tqdm(total=total_bytes, initial=done_bytes, desc=title, unit="B", unit_scale=True, dynamic_ncols=True)


def _about(source: Source) -> str:
    about = f"{source.name}: {source.title}, {_megabytes(source)} MB. {source.terms}"
    return textwrap.fill(about, 100, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _megabytes(source: Source) -> int:
    return round(sum(archive.size_bytes for archive in (source.photos, source.species) if archive) / 1e6)


def _line(error: Exception) -> str:
    """An error's own words on one line, or its kind where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    run(main)
