"""Downloads a public cat data set and unpacks it into a folder with cat/ and not_cat/.

    python -m training.fetch oxford-pets --out photos

After Ctrl-C, a kill or a lost connection, the same command resumes with the bytes and photos that are already there. An
archive that was put into DIR/.downloads by other means is verified and used like a downloaded one.
"""

import argparse
import io
import os
import re
import shlex
import stat
import tarfile
import textwrap
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from PIL import Image

from app.inference.decode import FORMATS
from training import outputs
from training.config import CLASSES
from training.data.download import Archive, download, in_one_line
from training.errors import Parser, TrainingError, run
from training.progress import Progress

SPECIES_LIST = "annotations/list.txt"
"""In Oxford's annotations; a photo a line: name without .jpg, class id 1..37, species, breed id. Comments begin with #."""

SPECIES = {"1": "cat", "2": "not_cat"}

SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class Source:
    """A public data set and where its archive holds the photos.

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
    """How many photos of each class were unpacked, and how many files of the archive were not used, by reason."""

    counts: Mapping[str, int]
    unused: Mapping[str, int]


def main() -> None:
    """Read the command line, fetch, and report what was written."""
    parser = Parser(
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
        help="remove the downloaded archive once it is unpacked; by default it stays in DIR/.downloads for the next time",
    )
    arguments = parser.parse_args()
    source, out = SOURCES[arguments.name], arguments.out
    outputs.check_folder(out)
    fetched = fetch(source, out, arguments.remove_archive)
    print("; ".join(f"{count} {name} photos of {source.name} are in {out / name}" for name, count in fetched.counts.items()))
    if fetched.unused:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(fetched.unused.items()))
        print(f"files in the archive that were not used: {reasons}")
    if not arguments.remove_archive:
        print(f"the downloaded {_megabytes(source)} MB stay in {out / '.downloads'}; --remove-archive removes them")
    print(f"terms: {source.terms}")
    print(f"next: python -m training.train --network tutorial --data {shlex.quote(str(out))} --out model/mine")


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
        raise TrainingError(f"{where}: {error.strerror or error}; once that is fixed, the same command resumes") from error
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise TrainingError(f"an archive in {downloads} cannot be unpacked: {in_one_line(error)}") from error
    return fetched


def unpack(source: Source, photos: Path, species: Mapping[str, str], out: Path) -> Fetched:
    """Write the photos of the archive `photos` as `out`/class/source_name.jpg; `species` is what `_species` read.

    Each photo appears whole or not at all, and one that already has its full length is not written again. File names begin
    with the data set's name, so that a user's own photo, or one of another data set, is never overwritten.
    """
    counts = dict.fromkeys(CLASSES, 0)
    unused: Counter[str] = Counter()
    for name in CLASSES:
        (out / name).mkdir(exist_ok=True)
    with Progress(photos.stat().st_size, f"unpacking {photos.name}", "bytes") as shown:
        for member in _members(photos):
            shown.reach(member.position)
            try:
                label = _label(member, source.folders, species)
                if label:
                    _write(member, out / label / f"{source.name}_{PurePosixPath(member.path).name}")
                    counts[label] += 1
            except _UnusableError as reason:
                unused[str(reason)] += 1
        shown.reach(shown.total)
    return Fetched(counts, unused)


@dataclass(frozen=True)
class _Member:
    """A file in an archive; `position` is roughly how many of the archive's bytes precede it."""

    path: str
    size_bytes: int
    regular: bool
    position: int
    read: Callable[[], bytes]


class _UnusableError(Exception):
    """A file among the photos is not one; `str(error)` completes "3 files were"."""


def _label(member: _Member, folders: Mapping[str, str | None], species: Mapping[str, str]) -> str | None:
    """The class of a photo, judged by its path and size; None for a file outside the photos' folders."""
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
    """Write a photo atomically, unless it is already there; refuse what does not begin like a photo."""
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
    """Every file in the archive, in archive order; folders are left out, links are not followed."""
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
        raise TrainingError(f"{archive} contains no {SPECIES_LIST}, which lists the photos that show cats")
    lines = [line.split() for line in data.decode().splitlines()]
    return {fields[0]: SPECIES[fields[2]] for fields in lines if len(fields) == 4 and fields[2] in SPECIES}


def _about(source: Source) -> str:
    about = f"{source.name}: {source.title}, {_megabytes(source)} MB. {source.terms}"
    return textwrap.fill(about, 100, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _megabytes(source: Source) -> int:
    return round(sum(archive.size_bytes for archive in (source.photos, source.species) if archive) / 1e6)


if __name__ == "__main__":
    run(main)
