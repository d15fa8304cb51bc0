"""training/fetch.py against a publisher on 127.0.0.1, with small archives of the layouts that the real ones have."""

import gzip
import hashlib
import io
import os
import re
import shlex
import socket
import stat
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training import download, fetch
from training.errors import TrainingError, run
from training.fetch import Archive, Source


@dataclass
class Publisher:
    """Serves `files` by path and notes the Range of each request.

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
        """Put a file on the server and say what a source would say about it."""
        self.files[f"/{name}"] = data
        return Archive(f"{self.address}/{name}", len(data), f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}")


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    """A running server; attempts follow one another at once."""
    monkeypatch.setattr(download, "WAITS", (0.0, 0.0))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    known = Publisher()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers["Range"]
            known.ranges.append(wanted)
            if self.path in known.moved:
                self.send_response(301)
                self.send_header("Location", known.moved[self.path])
                self.end_headers()
                return
            whole = known.files[self.path]
            event, number = known.script.pop(0) if known.script else ("nothing", 0)
            self.sent = number if event == "cut" else None
            if event == "status":
                self.reply(number, b"")
            elif wanted and known.refuses_range:
                self.reply(416, b"")
            elif wanted and known.obeys_range:
                start = int(wanted.removeprefix("bytes=").removesuffix("-")) + known.shift
                self.reply(206, whole[start:], f"bytes {start}-{len(whole) - 1}/{len(whole)}")
            else:
                self.reply(200, whole)

        def reply(self, status: int, body: bytes, extent: str = "") -> None:
            compresses = known.compresses and "gzip" in self.headers["Accept-Encoding"]
            body = gzip.compress(body) if compresses else body
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if compresses or known.declares_gzip:
                self.send_header("Content-Encoding", "gzip")
            if extent:
                self.send_header("Content-Range", extent)
            self.end_headers()
            self.wfile.write(body[: self.sent])

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        known.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield known
        server.shutdown()
        thread.join()


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
    """Every file below `out` but the downloads, as people would write its path."""
    return sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file() and ".downloads" not in p.parts)


PETS_LAID_OUT = ["cat/dogs-vs-cats_0.jpg", "cat/dogs-vs-cats_1.jpg", "not_cat/dogs-vs-cats_0.jpg"]


def part_of(out: Path, data: bytes) -> Path:
    """What a killed process left of pets.zip."""
    part = out / ".downloads" / "pets.zip.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(data)
    return part


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Path]:
    """`python -m training.fetch` for a source under its own name; returns the folder it was told."""

    def call(source: Source, *options: str, folder: str = "photos") -> Path:
        out = tmp_path / folder
        monkeypatch.setitem(fetch.SOURCES, source.name, source)
        monkeypatch.setattr("sys.argv", ["fetch", source.name, "--out", str(out), *options])
        run(fetch.main)
        return out

    return call


# What is laid out


def test_dogs_vs_cats_is_sorted_by_the_archives_folders(publisher: Publisher, tmp_path: Path) -> None:
    fetch.fetch(dogs_vs_cats(publisher), tmp_path)
    assert laid_out(tmp_path) == PETS_LAID_OUT


def test_oxford_pets_is_sorted_by_its_list_of_species(publisher: Publisher, tmp_path: Path) -> None:
    images = {"images/Abyssinian_1.jpg": photo(0), "images/beagle_1.jpg": photo(1), "images/sphynx_1.jpg": photo(2)}
    fetch.fetch(oxford_pets(publisher, images, "Abyssinian_1 1 1 1\nbeagle_1 5 2 4\nsphynx_1 34 1 12\n"), tmp_path)
    assert laid_out(tmp_path) == [
        "cat/oxford-pets_Abyssinian_1.jpg",
        "cat/oxford-pets_sphynx_1.jpg",
        "not_cat/oxford-pets_beagle_1.jpg",
    ]


def test_a_photo_keeps_its_bytes(publisher: Publisher, tmp_path: Path) -> None:
    fetch.fetch(dogs_vs_cats(publisher), tmp_path)
    assert (tmp_path / "cat/dogs-vs-cats_1.jpg").read_bytes() == photo(1)


def test_a_photo_of_the_users_own_is_not_overwritten(publisher: Publisher, tmp_path: Path) -> None:
    own = tmp_path / "cat" / "0.jpg"
    own.parent.mkdir()
    own.write_bytes(b"mine")
    fetch.fetch(dogs_vs_cats(publisher), tmp_path)
    assert own.read_bytes() == b"mine"


def test_the_photos_of_each_class_are_counted(publisher: Publisher, tmp_path: Path) -> None:
    assert fetch.fetch(dogs_vs_cats(publisher), tmp_path).counts == {"cat": 2, "not_cat": 1}


def test_a_list_of_species_that_is_missing_is_said(publisher: Publisher, tmp_path: Path) -> None:
    source = oxford_pets(publisher, {"images/beagle_1.jpg": photo(1)}, "")
    source = replace(source, species=publisher.archive("annotations.tar.gz", tarred({"annotations/README": b""})))
    with pytest.raises(TrainingError, match=r"holds no annotations/list\.txt"):
        fetch.fetch(source, tmp_path)


# Going on


def test_after_a_cut_connection_only_the_remainder_is_requested(publisher: Publisher, tmp_path: Path) -> None:
    publisher.script = [("cut", 1000)]
    fetch.fetch(dogs_vs_cats(publisher), tmp_path)
    assert publisher.ranges == [None, "bytes=1000-"]


def test_after_a_cut_connection_the_data_set_is_whole(publisher: Publisher, tmp_path: Path) -> None:
    publisher.script = [("cut", 1000)]
    fetch.fetch(dogs_vs_cats(publisher), tmp_path)
    assert laid_out(tmp_path) == PETS_LAID_OUT


def test_what_a_killed_process_left_is_not_requested_again(publisher: Publisher, tmp_path: Path) -> None:
    source = dogs_vs_cats(publisher)
    part_of(tmp_path, publisher.files["/pets.zip"][:700])
    fetch.fetch(source, tmp_path)
    assert publisher.ranges == ["bytes=700-"]


def test_a_part_that_is_whole_needs_no_request(publisher: Publisher, tmp_path: Path) -> None:
    source = dogs_vs_cats(publisher)
    part_of(tmp_path, publisher.files["/pets.zip"])
    fetch.fetch(source, tmp_path)
    assert (publisher.ranges, laid_out(tmp_path)) == ([], PETS_LAID_OUT)


def test_the_bar_of_a_resumed_download_counts_what_is_there(
    publisher: Publisher, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = dogs_vs_cats(publisher)
    size = source.photos.size_bytes
    part_of(tmp_path, publisher.files["/pets.zip"][: size // 2 + 1])
    fetch.fetch(source, tmp_path)
    assert re.match(rf"\rpets\.zip: +50%.*\| {size / 2000:.2f}k/{size / 1000:.2f}k", capsys.readouterr().err)


def test_a_server_that_ignores_range_is_read_from_the_start(publisher: Publisher, tmp_path: Path) -> None:
    source = dogs_vs_cats(publisher)
    part_of(tmp_path, publisher.files["/pets.zip"][:700])
    publisher.obeys_range = False
    fetch.fetch(source, tmp_path)
    assert (publisher.ranges, laid_out(tmp_path)) == (["bytes=700-"], PETS_LAID_OUT)


def test_a_server_that_cannot_go_on_there_is_read_from_the_start(publisher: Publisher, tmp_path: Path) -> None:
    source = dogs_vs_cats(publisher)
    part_of(tmp_path, publisher.files["/pets.zip"][:700])
    publisher.refuses_range = True
    fetch.fetch(source, tmp_path)
    assert (publisher.ranges, laid_out(tmp_path)) == (["bytes=700-", None], PETS_LAID_OUT)


def test_an_answer_that_begins_elsewhere_is_not_appended(publisher: Publisher, tmp_path: Path) -> None:
    source = dogs_vs_cats(publisher)
    part_of(tmp_path, publisher.files["/pets.zip"][:700])
    publisher.shift = 1
    fetch.fetch(source, tmp_path)
    assert laid_out(tmp_path) == PETS_LAID_OUT


def test_a_second_run_requests_nothing(publisher: Publisher, tmp_path: Path) -> None:
    source = dogs_vs_cats(publisher)
    fetch.fetch(source, tmp_path)
    publisher.ranges.clear()
    fetch.fetch(source, tmp_path)
    assert publisher.ranges == []


def test_a_second_run_writes_no_photo_again(publisher: Publisher, tmp_path: Path) -> None:
    source = dogs_vs_cats(publisher)
    fetch.fetch(source, tmp_path)
    os.utime(tmp_path / PETS_LAID_OUT[0], (0, 0))
    fetch.fetch(source, tmp_path)
    assert (tmp_path / PETS_LAID_OUT[0]).stat().st_mtime == 0


def test_a_second_run_counts_the_photos_that_are_there(publisher: Publisher, tmp_path: Path) -> None:
    source = dogs_vs_cats(publisher)
    assert fetch.fetch(source, tmp_path) == fetch.fetch(source, tmp_path)


def test_an_interrupted_unpacking_goes_on(publisher: Publisher, tmp_path: Path) -> None:
    source = dogs_vs_cats(publisher)
    fetch.fetch(source, tmp_path)
    (tmp_path / "cat/dogs-vs-cats_1.jpg").unlink()
    (tmp_path / "cat/.dogs-vs-cats_1.jpg.part").write_bytes(b"half")
    fetch.fetch(source, tmp_path)
    assert laid_out(tmp_path) == PETS_LAID_OUT


def test_a_photo_of_another_length_is_written_again(publisher: Publisher, tmp_path: Path) -> None:
    source = dogs_vs_cats(publisher)
    fetch.fetch(source, tmp_path)
    (tmp_path / "cat/dogs-vs-cats_1.jpg").write_bytes(b"half")
    fetch.fetch(source, tmp_path)
    assert (tmp_path / "cat/dogs-vs-cats_1.jpg").read_bytes() == photo(1)


# Trouble on the way


def test_a_server_in_trouble_is_asked_again(publisher: Publisher, tmp_path: Path) -> None:
    publisher.script = [("status", 503), ("status", 500)]
    fetch.fetch(dogs_vs_cats(publisher), tmp_path)
    assert laid_out(tmp_path) == PETS_LAID_OUT


def test_a_server_that_stays_in_trouble_is_given_up(publisher: Publisher, tmp_path: Path) -> None:
    publisher.script = [("status", 503)] * (1 + len(download.WAITS))
    with pytest.raises(TrainingError, match="the server answered 503 Service Unavailable; the same command goes on"):
        fetch.fetch(dogs_vs_cats(publisher), tmp_path)


def test_attempts_are_counted_anew_after_progress(publisher: Publisher, tmp_path: Path) -> None:
    trouble = [("status", 503)] * len(download.WAITS)
    publisher.script = [*trouble, ("cut", 500), *trouble[1:]]
    fetch.fetch(dogs_vs_cats(publisher), tmp_path)
    assert laid_out(tmp_path) == PETS_LAID_OUT


def test_a_server_that_always_begins_anew_and_breaks_off_is_given_up(publisher: Publisher, tmp_path: Path) -> None:
    publisher.obeys_range = False
    publisher.script = [("cut", 500)] * 9
    with pytest.raises(TrainingError, match="cannot be downloaded"):
        fetch.fetch(dogs_vs_cats(publisher), tmp_path)


def test_each_further_attempt_waits_as_written_down(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(download, "WAITS", (1.0, 2.0))
    monkeypatch.setattr("training.download.time.sleep", waited.append)
    publisher.script = [("status", 503)] * 2
    fetch.fetch(dogs_vs_cats(publisher), tmp_path)
    assert waited == [1.0, 2.0]


def test_a_further_attempt_is_announced(publisher: Publisher, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publisher.script = [("status", 503)]
    fetch.fetch(dogs_vs_cats(publisher), tmp_path)
    assert "the server answered 503 Service Unavailable; next attempt in 0 s\n" in capsys.readouterr().err


def test_a_file_that_moved_is_followed(publisher: Publisher, tmp_path: Path) -> None:
    source = dogs_vs_cats(publisher)
    publisher.moved["/old/pets.zip"] = "/pets.zip"
    fetch.fetch(replace(source, photos=replace(source.photos, url=f"{publisher.address}/old/pets.zip")), tmp_path)
    assert laid_out(tmp_path) == PETS_LAID_OUT


def test_a_compressed_transfer_is_not_asked_for(publisher: Publisher, tmp_path: Path) -> None:
    publisher.compresses = True
    fetch.fetch(dogs_vs_cats(publisher), tmp_path)
    assert laid_out(tmp_path) == PETS_LAID_OUT


def test_a_gz_that_the_server_declares_an_encoding_stays_as_it_is(publisher: Publisher, tmp_path: Path) -> None:
    publisher.declares_gzip = True
    fetch.fetch(oxford_pets(publisher, {"images/beagle_1.jpg": photo(1)}, "beagle_1 5 2 4\n"), tmp_path)
    assert laid_out(tmp_path) == ["not_cat/oxford-pets_beagle_1.jpg"]


def test_a_file_that_is_not_there_is_asked_for_once(publisher: Publisher, tmp_path: Path) -> None:
    publisher.script = [("status", 404)]
    with pytest.raises(TrainingError, match="the server answered 404 Not Found"):
        fetch.fetch(dogs_vs_cats(publisher), tmp_path)
    assert len(publisher.ranges) == 1


def test_a_file_of_another_length_is_refused_before_it_comes(publisher: Publisher, tmp_path: Path) -> None:
    source = dogs_vs_cats(publisher)
    publisher.files["/pets.zip"] += b"more"
    with pytest.raises(TrainingError, match=f"was published with {source.photos.size_bytes}: the publisher changed it"):
        fetch.fetch(source, tmp_path)
    assert (tmp_path / ".downloads/pets.zip.part").stat().st_size == 0


def test_no_network_is_one_line(publisher: Publisher, command: Callable[..., Path]) -> None:
    source = dogs_vs_cats(publisher)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/pets.zip"
    with pytest.raises(SystemExit) as end:
        command(replace(source, photos=replace(source.photos, url=url)))
    assert re.fullmatch(rf"error: {url} cannot be downloaded: .*refused.*", str(end.value.code))


def test_a_folder_that_cannot_be_written_is_one_line(
    publisher: Publisher, command: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "photos").write_text("a file")
    with pytest.raises(SystemExit) as end:
        command(dogs_vs_cats(publisher))
    assert re.fullmatch(r"error: .*photos.*: (Not a directory|File exists); .*the same command goes on", str(end.value.code))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_is_one_line(publisher: Publisher, command: Callable[..., Path], tmp_path: Path) -> None:
    part_of(tmp_path / "photos", b"").unlink()
    (tmp_path / "photos/.downloads/pets.zip.part").symlink_to("/dev/full")
    with pytest.raises(SystemExit) as end:
        command(dogs_vs_cats(publisher))
    assert re.fullmatch(r"error: .*photos: No space left on device; .*the same command goes on", str(end.value.code))


# Checksums


def changed(source: Source) -> Source:
    """The source, had another checksum been published."""
    return replace(source, photos=replace(source.photos, checksum="sha256:" + "0" * 64))


def test_a_wrong_checksum_leaves_nothing_unpacked(publisher: Publisher, tmp_path: Path) -> None:
    with pytest.raises(TrainingError):
        fetch.fetch(changed(dogs_vs_cats(publisher)), tmp_path)
    assert laid_out(tmp_path) == []


def test_a_wrong_checksum_removes_the_download(publisher: Publisher, tmp_path: Path) -> None:
    with pytest.raises(TrainingError):
        fetch.fetch(changed(dogs_vs_cats(publisher)), tmp_path)
    assert list((tmp_path / ".downloads").iterdir()) == []


def test_a_wrong_checksum_is_one_line_with_both_sums(publisher: Publisher, command: Callable[..., Path]) -> None:
    computed = hashlib.sha256(zipped(PETS)).hexdigest()
    with pytest.raises(SystemExit) as end:
        command(changed(dogs_vs_cats(publisher, zipped(PETS))))
    assert re.fullmatch(f"error: .* sha256 {computed}, .* {'0' * 64}; .*", str(end.value.code))


def test_after_a_spoilt_part_the_next_run_works(publisher: Publisher, tmp_path: Path) -> None:
    source = dogs_vs_cats(publisher)
    part_of(tmp_path, b"x" * 700)
    with pytest.raises(TrainingError):
        fetch.fetch(source, tmp_path)
    fetch.fetch(source, tmp_path)
    assert laid_out(tmp_path) == PETS_LAID_OUT


def test_an_archive_that_was_brought_is_used(publisher: Publisher, tmp_path: Path) -> None:
    source = dogs_vs_cats(publisher)
    part_of(tmp_path, publisher.files["/pets.zip"]).rename(tmp_path / ".downloads/pets.zip")
    fetch.fetch(source, tmp_path)
    assert (publisher.ranges, laid_out(tmp_path)) == ([], PETS_LAID_OUT)


def test_an_archive_that_was_brought_is_verified(publisher: Publisher, tmp_path: Path) -> None:
    source = dogs_vs_cats(publisher)
    part_of(tmp_path, zipped({"PetImages/Cat/9.jpg": photo(9)})).rename(tmp_path / ".downloads/pets.zip")
    with pytest.raises(TrainingError, match="once it is removed"):
        fetch.fetch(source, tmp_path)
    assert laid_out(tmp_path) == []


def test_an_md5_sum_is_verified_too(publisher: Publisher, tmp_path: Path) -> None:
    fetch.fetch(dogs_vs_cats(publisher, algorithm="md5"), tmp_path)
    assert laid_out(tmp_path) == PETS_LAID_OUT


@pytest.mark.parametrize(
    "archive", [a for s in fetch.SOURCES.values() for a in (s.photos, s.species) if a], ids=lambda a: a.name
)
def test_every_published_checksum_is_as_long_as_its_algorithm_makes_it(archive: Archive) -> None:
    algorithm, digits = archive.checksum.split(":")
    assert re.fullmatch(f"[0-9a-f]{{{2 * hashlib.new(algorithm).digest_size}}}", digits)


# Hostile and broken archives


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize(
    "path", ["PetImages/Cat/../../../../out.jpg", "/PetImages/Cat/out.jpg", "PetImages/Cat/..\\out.jpg"]
)
def test_a_path_that_leads_out_is_refused(pack: Callable[[dict[str, bytes]], bytes], path: str, tmp_path: Path) -> None:
    archive = tmp_path / ("pets.zip" if pack is zipped else "pets.tar.gz")
    archive.write_bytes(pack({path: photo(3)}))
    out = tmp_path / "a" / "b" / "photos"
    out.mkdir(parents=True)
    fetched = fetch.unpack(fetch.DOGS_VS_CATS, archive, {}, out)
    assert (fetched.unused, list(tmp_path.rglob("*.jpg"))) == ({"on an unsafe path": 1}, [])


def test_a_link_in_a_zip_is_refused(publisher: Publisher, tmp_path: Path) -> None:
    link = zipfile.ZipInfo("PetImages/Cat/7.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(link, "/etc/hostname")
    assert fetch.fetch(dogs_vs_cats(publisher, file.getvalue()), tmp_path).unused == {"links or devices": 1}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_in_a_tar_is_not_followed(kind: bytes, tmp_path: Path) -> None:
    archive = tmp_path / "pets.tar"
    with tarfile.open(archive, "w") as file:
        entry = tarfile.TarInfo("elsewhere/1.jpg")
        entry.size = len(photo(1))
        file.addfile(entry, io.BytesIO(photo(1)))
        link = tarfile.TarInfo("PetImages/Cat/7.jpg")
        link.type, link.linkname = kind, "elsewhere/1.jpg" if kind == tarfile.LNKTYPE else "../../elsewhere/1.jpg"
        file.addfile(link)
    fetched = fetch.unpack(fetch.DOGS_VS_CATS, archive, {}, tmp_path)
    assert (fetched.unused, laid_out(tmp_path)) == ({"links or devices": 1}, ["pets.tar"])


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("PetImages/Cat/666.jpg", b"", "empty"),
        ("PetImages/Cat/Thumbs.db", b"thumbs", "not photos"),
        ("PetImages/Cat/._0.jpg", b"AppleDouble", "not photos"),
        ("PetImages/Cat/5.jpg", b"this is no photo", "broken"),
    ],
)
def test_a_file_that_is_no_photo_is_counted(
    publisher: Publisher, tmp_path: Path, name: str, data: bytes, reason: str
) -> None:
    assert fetch.fetch(dogs_vs_cats(publisher, zipped(PETS | {name: data})), tmp_path).unused == {reason: 1}


@pytest.mark.parametrize("name", ["666.jpg", "Thumbs.db", "5.jpg"])
def test_a_file_that_is_no_photo_is_not_written(publisher: Publisher, tmp_path: Path, name: str) -> None:
    data = b"" if name == "666.jpg" else b"this is no photo"
    fetch.fetch(dogs_vs_cats(publisher, zipped(PETS | {f"PetImages/Cat/{name}": data})), tmp_path)
    assert laid_out(tmp_path) == PETS_LAID_OUT


def test_a_photo_that_is_damaged_in_the_archive_is_counted(publisher: Publisher, tmp_path: Path) -> None:
    data = zipped(PETS).replace(photo(1), photo(1)[:-9] + b"damaged!!")
    assert fetch.fetch(dogs_vs_cats(publisher, data), tmp_path).unused == {"broken": 1}


def test_a_photo_without_a_species_is_counted(publisher: Publisher, tmp_path: Path) -> None:
    source = oxford_pets(publisher, {"images/beagle_1.jpg": photo(1), "images/beagle_2.jpg": photo(2)}, "beagle_1 5 2 4\n")
    assert fetch.fetch(source, tmp_path).unused == {"not in the list of species": 1}


def test_a_file_outside_of_the_photos_folders_is_passed_over(publisher: Publisher, tmp_path: Path) -> None:
    assert fetch.fetch(dogs_vs_cats(publisher, zipped(PETS | {"extra/8.jpg": photo(8)})), tmp_path).unused == {}


def test_an_archive_that_is_none_is_one_line(publisher: Publisher, command: Callable[..., Path]) -> None:
    with pytest.raises(SystemExit) as end:
        command(dogs_vs_cats(publisher, b"no archive at all"))
    assert re.fullmatch(r"error: an archive in .*\.downloads cannot be unpacked: .+", str(end.value.code))


# The command


def test_an_unknown_name_gets_the_names_that_are_known(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["fetch", "dogs-vs-mice", "--out", "photos"])
    with pytest.raises(SystemExit, match="2"):
        fetch.main()
    assert re.search(r"invalid choice: '?dogs-vs-mice'? \(choose from .*dogs-vs-cats.*oxford-pets", capsys.readouterr().err)


@pytest.mark.parametrize("terms", ["MSR-LA", "non-commercial", "CC BY-SA 4.0"])
def test_help_names_the_terms(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], terms: str) -> None:
    monkeypatch.setattr("sys.argv", ["fetch", "--help"])
    with pytest.raises(SystemExit, match="0"):
        fetch.main()
    assert terms in capsys.readouterr().out


def test_the_end_says_how_many_photos_lie_where(
    publisher: Publisher, command: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out = command(dogs_vs_cats(publisher))
    said = f"2 cat photos of dogs-vs-cats lie in {out}/cat; 1 not_cat photos of dogs-vs-cats lie in {out}/not_cat\n"
    assert said in capsys.readouterr().out


def test_the_end_says_what_was_not_used(
    publisher: Publisher, command: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    command(dogs_vs_cats(publisher, zipped(PETS | {"PetImages/Dog/Thumbs.db": b"thumbs", "PetImages/Dog/11702.jpg": b""})))
    assert "not used: 1 empty, 1 not photos\n" in capsys.readouterr().out


def test_the_end_gives_the_next_command(
    publisher: Publisher, command: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out = command(dogs_vs_cats(publisher), folder="my photos")
    next_command = f"next: python -m training.train --network tutorial --data {shlex.quote(str(out))} --out model/mine\n"
    assert next_command in capsys.readouterr().out


def test_the_end_says_that_the_archive_is_kept(
    publisher: Publisher, command: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out = command(dogs_vs_cats(publisher))
    assert f"{out}/.downloads keeps" in capsys.readouterr().out


def test_the_end_does_not_say_so_when_the_archive_is_removed(
    publisher: Publisher, command: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    command(dogs_vs_cats(publisher), "--remove-archive")
    assert ".downloads" not in capsys.readouterr().out


def test_the_end_names_the_terms(
    publisher: Publisher, command: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    command(dogs_vs_cats(publisher))
    assert f"terms: {fetch.DOGS_VS_CATS.terms}\n" in capsys.readouterr().out


def test_the_archive_is_kept_unless_its_removal_is_asked_for(publisher: Publisher, command: Callable[..., Path]) -> None:
    assert (command(dogs_vs_cats(publisher)) / ".downloads/pets.zip").exists()


def test_the_archive_is_removed_when_that_is_asked_for(publisher: Publisher, command: Callable[..., Path]) -> None:
    assert not (command(dogs_vs_cats(publisher), "--remove-archive") / ".downloads").exists()
