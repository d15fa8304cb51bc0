"""training/data/download.py through training/fetch.py: resuming, failing servers, checksums."""

import hashlib
import os
import re
import socket
import sys
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
    part_of,
    photo,
    zipped,
)
from training import fetch
from training.data import download
from training.errors import TrainingError
from training.fetch import Archive, Source

# Resuming


def test_after_a_cut_connection_only_the_remainder_is_requested(publisher: Publisher, tmp_path: Path) -> None:
    publisher.script = [("cut", 1000)]
    fetch.fetch(dogs_vs_cats(publisher), tmp_path)
    assert publisher.ranges == [None, "bytes=1000-"]


def test_after_a_cut_connection_the_data_set_is_complete(publisher: Publisher, tmp_path: Path) -> None:
    publisher.script = [("cut", 1000)]
    fetch.fetch(dogs_vs_cats(publisher), tmp_path)
    assert laid_out(tmp_path) == PETS_LAID_OUT


def test_what_a_killed_process_left_is_not_requested_again(publisher: Publisher, tmp_path: Path) -> None:
    source = dogs_vs_cats(publisher)
    part_of(tmp_path, publisher.files["/pets.zip"][:700])
    fetch.fetch(source, tmp_path)
    assert publisher.ranges == ["bytes=700-"]


def test_a_complete_part_needs_no_request(publisher: Publisher, tmp_path: Path) -> None:
    source = dogs_vs_cats(publisher)
    part_of(tmp_path, publisher.files["/pets.zip"])
    fetch.fetch(source, tmp_path)
    assert (publisher.ranges, laid_out(tmp_path)) == ([], PETS_LAID_OUT)


def test_the_progress_bar_of_a_resumed_download_counts_what_was_there(
    publisher: Publisher, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
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


def test_a_server_that_cannot_resume_there_is_read_from_the_start(publisher: Publisher, tmp_path: Path) -> None:
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


def test_a_second_run_counts_the_existing_photos(publisher: Publisher, tmp_path: Path) -> None:
    source = dogs_vs_cats(publisher)
    assert fetch.fetch(source, tmp_path) == fetch.fetch(source, tmp_path)


def test_an_interrupted_unpacking_is_resumed(publisher: Publisher, tmp_path: Path) -> None:
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


# Failing servers and disks


def test_a_failing_server_is_asked_again(publisher: Publisher, tmp_path: Path) -> None:
    publisher.script = [("status", 503), ("status", 500)]
    fetch.fetch(dogs_vs_cats(publisher), tmp_path)
    assert laid_out(tmp_path) == PETS_LAID_OUT


def test_a_server_that_keeps_failing_is_given_up(publisher: Publisher, tmp_path: Path) -> None:
    publisher.script = [("status", 503)] * (1 + len(download.WAITS))
    with pytest.raises(TrainingError, match="the server answered 503 Service Unavailable; the same command continues"):
        fetch.fetch(dogs_vs_cats(publisher), tmp_path)


def test_attempts_are_counted_from_zero_after_progress(publisher: Publisher, tmp_path: Path) -> None:
    trouble = [("status", 503)] * len(download.WAITS)
    publisher.script = [*trouble, ("cut", 500), *trouble[1:]]
    fetch.fetch(dogs_vs_cats(publisher), tmp_path)
    assert laid_out(tmp_path) == PETS_LAID_OUT


def test_a_server_that_always_restarts_and_breaks_off_is_given_up(publisher: Publisher, tmp_path: Path) -> None:
    publisher.obeys_range = False
    publisher.script = [("cut", 500)] * 9
    with pytest.raises(TrainingError, match="cannot be downloaded"):
        fetch.fetch(dogs_vs_cats(publisher), tmp_path)


def test_each_further_attempt_waits_as_specified(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(download, "WAITS", (1.0, 2.0))
    monkeypatch.setattr("training.data.download.time.sleep", waited.append)
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


def test_a_missing_file_is_requested_once(publisher: Publisher, tmp_path: Path) -> None:
    publisher.script = [("status", 404)]
    with pytest.raises(TrainingError, match="the server answered 404 Not Found"):
        fetch.fetch(dogs_vs_cats(publisher), tmp_path)
    assert len(publisher.ranges) == 1


def test_a_file_of_another_length_is_refused_before_it_is_downloaded(publisher: Publisher, tmp_path: Path) -> None:
    source = dogs_vs_cats(publisher)
    publisher.files["/pets.zip"] += b"more"
    with pytest.raises(TrainingError, match=f"was published with {source.photos.size_bytes}: the publisher changed it"):
        fetch.fetch(source, tmp_path)
    assert (tmp_path / ".downloads/pets.zip.part").stat().st_size == 0


def test_no_network_is_reported_in_one_line(publisher: Publisher, command: Callable[..., Path]) -> None:
    source = dogs_vs_cats(publisher)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/pets.zip"
    with pytest.raises(SystemExit) as end:
        command(replace(source, photos=replace(source.photos, url=url)))
    assert re.fullmatch(rf"error: {url} cannot be downloaded: .*refused.*", str(end.value.code))


def test_a_folder_that_cannot_be_written_is_reported_in_one_line(
    publisher: Publisher, command: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "photos").write_text("a file")
    with pytest.raises(SystemExit) as end:
        command(dogs_vs_cats(publisher))
    assert re.fullmatch(r"error: .*photos cannot be written to: .*photos is not a folder", str(end.value.code))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_is_reported_in_one_line(publisher: Publisher, command: Callable[..., Path], tmp_path: Path) -> None:
    part_of(tmp_path / "photos", b"").unlink()
    (tmp_path / "photos/.downloads/pets.zip.part").symlink_to("/dev/full")
    with pytest.raises(SystemExit) as end:
        command(dogs_vs_cats(publisher))
    assert re.fullmatch(r"error: .*photos: No space left on device; .*the same command resumes", str(end.value.code))


# Checksums


def changed(source: Source) -> Source:
    """The source as if another checksum had been published."""
    return replace(source, photos=replace(source.photos, checksum="sha256:" + "0" * 64))


def test_a_wrong_checksum_leaves_nothing_unpacked(publisher: Publisher, tmp_path: Path) -> None:
    with pytest.raises(TrainingError):
        fetch.fetch(changed(dogs_vs_cats(publisher)), tmp_path)
    assert laid_out(tmp_path) == []


def test_a_wrong_checksum_removes_the_download(publisher: Publisher, tmp_path: Path) -> None:
    with pytest.raises(TrainingError):
        fetch.fetch(changed(dogs_vs_cats(publisher)), tmp_path)
    assert list((tmp_path / ".downloads").iterdir()) == []


def test_a_wrong_checksum_is_reported_in_one_line_with_both_sums(publisher: Publisher, command: Callable[..., Path]) -> None:
    computed = hashlib.sha256(zipped(PETS)).hexdigest()
    with pytest.raises(SystemExit) as end:
        command(changed(dogs_vs_cats(publisher, zipped(PETS))))
    assert re.fullmatch(f"error: SHA256 .* expected sha256:{'0' * 64} but got {computed}\\. .*", str(end.value.code))


def test_after_a_corrupt_part_the_next_run_works(publisher: Publisher, tmp_path: Path) -> None:
    source = dogs_vs_cats(publisher)
    part_of(tmp_path, b"x" * 700)
    with pytest.raises(TrainingError):
        fetch.fetch(source, tmp_path)
    fetch.fetch(source, tmp_path)
    assert laid_out(tmp_path) == PETS_LAID_OUT


def test_an_archive_that_the_user_supplied_is_used(publisher: Publisher, tmp_path: Path) -> None:
    source = dogs_vs_cats(publisher)
    part_of(tmp_path, publisher.files["/pets.zip"]).rename(tmp_path / ".downloads/pets.zip")
    fetch.fetch(source, tmp_path)
    assert (publisher.ranges, laid_out(tmp_path)) == ([], PETS_LAID_OUT)


def test_an_archive_that_the_user_supplied_is_verified(publisher: Publisher, tmp_path: Path) -> None:
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
