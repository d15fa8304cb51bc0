"""training/fetch.py: what is laid out, hostile archives, and the summary at the end."""

import io
import re
import shlex
import stat
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.publisher import (
    PETS,
    PETS_LAID_OUT,
    Publisher,
    dogs_vs_cats,
    laid_out,
    oxford_pets,
    photo,
    tarred,
    zipped,
)
from training import fetch
from training.errors import TrainingError

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
    users_photo = tmp_path / "cat" / "0.jpg"
    users_photo.parent.mkdir()
    users_photo.write_bytes(b"mine")
    fetch.fetch(dogs_vs_cats(publisher), tmp_path)
    assert users_photo.read_bytes() == b"mine"


def test_the_photos_of_each_class_are_counted(publisher: Publisher, tmp_path: Path) -> None:
    assert fetch.fetch(dogs_vs_cats(publisher), tmp_path).counts == {"cat": 2, "not_cat": 1}


def test_a_missing_list_of_species_is_reported(publisher: Publisher, tmp_path: Path) -> None:
    source = oxford_pets(publisher, {"images/beagle_1.jpg": photo(1)}, "")
    source = replace(source, species=publisher.archive("annotations.tar.gz", tarred({"annotations/README": b""})))
    with pytest.raises(TrainingError, match=r"contains no annotations/list\.txt"):
        fetch.fetch(source, tmp_path)


# Hostile and broken archives


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize(
    "path", ["PetImages/Cat/../../../../out.jpg", "/PetImages/Cat/out.jpg", "PetImages/Cat/..\\out.jpg"]
)
def test_a_path_that_leads_out_of_the_folder_is_refused(
    pack: Callable[[dict[str, bytes]], bytes], path: str, tmp_path: Path
) -> None:
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
def test_a_file_that_is_not_a_photo_is_counted(
    publisher: Publisher, tmp_path: Path, name: str, data: bytes, reason: str
) -> None:
    assert fetch.fetch(dogs_vs_cats(publisher, zipped(PETS | {name: data})), tmp_path).unused == {reason: 1}


@pytest.mark.parametrize("name", ["666.jpg", "Thumbs.db", "5.jpg"])
def test_a_file_that_is_not_a_photo_is_not_written(publisher: Publisher, tmp_path: Path, name: str) -> None:
    data = b"" if name == "666.jpg" else b"this is no photo"
    fetch.fetch(dogs_vs_cats(publisher, zipped(PETS | {f"PetImages/Cat/{name}": data})), tmp_path)
    assert laid_out(tmp_path) == PETS_LAID_OUT


def test_a_photo_that_is_damaged_in_the_archive_is_counted(publisher: Publisher, tmp_path: Path) -> None:
    data = zipped(PETS).replace(photo(1), photo(1)[:-9] + b"damaged!!")
    assert fetch.fetch(dogs_vs_cats(publisher, data), tmp_path).unused == {"broken": 1}


def test_a_photo_without_a_species_is_counted(publisher: Publisher, tmp_path: Path) -> None:
    source = oxford_pets(publisher, {"images/beagle_1.jpg": photo(1), "images/beagle_2.jpg": photo(2)}, "beagle_1 5 2 4\n")
    assert fetch.fetch(source, tmp_path).unused == {"not in the list of species": 1}


def test_a_file_outside_the_photos_folders_is_passed_over(publisher: Publisher, tmp_path: Path) -> None:
    assert fetch.fetch(dogs_vs_cats(publisher, zipped(PETS | {"extra/8.jpg": photo(8)})), tmp_path).unused == {}


def test_a_file_that_is_not_an_archive_is_reported_in_one_line(publisher: Publisher, command: Callable[..., Path]) -> None:
    with pytest.raises(SystemExit) as end:
        command(dogs_vs_cats(publisher, b"no archive at all"))
    assert re.fullmatch(r"error: an archive in .*\.downloads cannot be unpacked: .+", str(end.value.code))


# The command


def test_an_unknown_name_is_answered_with_the_known_names(
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


def test_the_summary_says_how_many_photos_are_where(
    publisher: Publisher, command: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out = command(dogs_vs_cats(publisher))
    summary = f"2 cat photos of dogs-vs-cats are in {out}/cat; 1 not_cat photos of dogs-vs-cats are in {out}/not_cat\n"
    assert summary in capsys.readouterr().out


def test_the_summary_says_what_was_not_used(
    publisher: Publisher, command: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    command(dogs_vs_cats(publisher, zipped(PETS | {"PetImages/Dog/Thumbs.db": b"thumbs", "PetImages/Dog/11702.jpg": b""})))
    assert "not used: 1 empty, 1 not photos\n" in capsys.readouterr().out


def test_the_summary_gives_the_next_command(
    publisher: Publisher, command: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out = command(dogs_vs_cats(publisher), folder="my photos")
    next_command = f"next: python -m training.train --network tutorial --data {shlex.quote(str(out))} --out model/mine\n"
    assert next_command in capsys.readouterr().out


def test_the_summary_says_that_the_archive_is_kept(
    publisher: Publisher, command: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out = command(dogs_vs_cats(publisher))
    assert f"{out}/.downloads; --remove-archive" in capsys.readouterr().out


def test_the_summary_does_not_mention_a_removed_archive(
    publisher: Publisher, command: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    command(dogs_vs_cats(publisher), "--remove-archive")
    assert ".downloads" not in capsys.readouterr().out


def test_the_summary_names_the_terms(
    publisher: Publisher, command: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    command(dogs_vs_cats(publisher))
    assert f"terms: {fetch.DOGS_VS_CATS.terms}\n" in capsys.readouterr().out


def test_the_archive_is_kept_unless_its_removal_is_asked_for(publisher: Publisher, command: Callable[..., Path]) -> None:
    assert (command(dogs_vs_cats(publisher)) / ".downloads/pets.zip").exists()


def test_the_archive_is_removed_when_that_is_asked_for(publisher: Publisher, command: Callable[..., Path]) -> None:
    assert not (command(dogs_vs_cats(publisher), "--remove-archive") / ".downloads").exists()
