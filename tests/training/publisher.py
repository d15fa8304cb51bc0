"""A publisher on 127.0.0.1, and small archives with the layouts of the real ones."""

import hashlib
import io
import tarfile
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from training import fetch
from training.fetch import Archive, Source


@dataclass
class Publisher:
    """Serves `files` by path and records the Range of each request.

    `script` says what becomes of the first requests: ("status", 503) answers just that, ("cut", 700) ends the connection
    after 700 bytes of the body. `shift` is how many bytes too late an answer to a Range begins.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    ranges: list[str | None] = field(default_factory=list)
    script: list[tuple[str, int]] = field(default_factory=list)
    obeys_range: bool = True
    refuses_range: bool = False
    shift: int = 0
    moved: dict[str, str] = field(default_factory=dict)
    compresses: bool = False
    declares_gzip: bool = False
    address: str = ""

    def archive(self, name: str, data: bytes, algorithm: str = "sha256") -> Archive:
        """Put a file on the server and return its description, as a source has it."""
        self.files[f"/{name}"] = data
        return Archive(f"{self.address}/{name}", len(data), f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}")


def photo(seed: int) -> bytes:
    """A small JPEG of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    """A ZIP archive, not compressed, so that a test can damage a file in it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    """A tar.gz archive."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return file.getvalue()


PETS = {"PetImages/Cat/0.jpg": photo(0), "PetImages/Cat/1.jpg": photo(1), "PetImages/Dog/0.jpg": photo(2)}


def dogs_vs_cats(publisher: Publisher, data: bytes | None = None, algorithm: str = "sha256") -> Source:
    """The real source, but on this server."""
    data = zipped(PETS | {"readme[1].txt": b"about"}) if data is None else data
    return replace(fetch.DOGS_VS_CATS, photos=publisher.archive("pets.zip", data, algorithm))


def oxford_pets(publisher: Publisher, images: dict[str, bytes], species: str) -> Source:
    """The real source, but on this server, with that list of species."""
    header = "#Image CLASS-ID SPECIES BREED ID\n#ID: 1:37 Class ids\n#SPECIES: 1:Cat 2:Dog\n"
    return replace(
        fetch.OXFORD_PETS,
        photos=publisher.archive("images.tar.gz", tarred(images)),
        species=publisher.archive("annotations.tar.gz", tarred({"annotations/list.txt": (header + species).encode()})),
    )


def laid_out(out: Path) -> list[str]:
    """The path of every file below `out`, except the downloads."""
    return sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file() and ".downloads" not in p.parts)


PETS_LAID_OUT = ["cat/dogs-vs-cats_0.jpg", "cat/dogs-vs-cats_1.jpg", "not_cat/dogs-vs-cats_0.jpg"]


def part_of(out: Path, data: bytes) -> Path:
    """What a killed process left of pets.zip."""
    part = out / ".downloads" / "pets.zip.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(data)
    return part
