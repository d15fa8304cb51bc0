"""What is exported is a zip file that unpacks into its own folder, whatever classes are called."""

import io
import json
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.corrections import export
from app.corrections.records import Correction, new_id
from tests.app.corrections.kept import NOON, correction
from tests.conftest import encoded, sha256

HOSTILE = ["../../etc/passwd", "/root", "C:\\Windows", "..", ".", "", " ", "a/b", "con", "NUL.txt", "unsure", "x" * 500]
HOSTILE += ["new\nline", "bell\x07", "trailing.", "emoji 🐈", "<script>", "a:b", "*?", "\ud800", "right\u202eleft"]


def exported(kept: list[tuple[Correction, bytes]]) -> zipfile.ZipFile:
    photos = {one.sha256: photo for one, photo in kept}
    pieces = export.pieces(lambda: iter([one for one, _ in kept]), photos.__getitem__)
    file = zipfile.ZipFile(io.BytesIO(b"".join(pieces)))
    assert file.testzip() is None
    return file


def lines(file: zipfile.ZipFile) -> list[dict]:
    return [json.loads(line) for line in file.read("corrections.jsonl").splitlines()]


def test_photos_lie_in_the_folder_of_their_label_and_unsure_ones_apart(cat_photo, cat_image):
    jpeg = encoded(cat_image, "JPEG")
    kept = [(correction(cat_photo, "cat"), cat_photo), (correction(jpeg, None), jpeg)]
    file = exported(kept)
    names = [f"cat/{sha256(cat_photo)}.png", f"unsure/{sha256(jpeg)}.jpg"]
    assert sorted(file.namelist()) == sorted([*names, "corrections.jsonl"])
    assert [file.read(name) for name in names] == [cat_photo, jpeg]
    assert [line["file"] for line in lines(file)] == names
    assert [line["label"] for line in lines(file)] == ["cat", None]


@pytest.mark.parametrize("label", HOSTILE)
def test_a_hostile_label_does_not_leave_the_folder(label, tmp_path):
    file = exported([(correction(b"x", label), b"x")])
    [name, _] = file.namelist()
    folder, slash, photo = name.partition("/")
    assert slash
    assert photo == sha256(b"x")
    assert folder not in ("", ".", "..")
    assert not set(folder) & set('\\/:*?"<>|\0\n\r\x07\u202e')
    assert len(folder) < 80
    file.extractall(tmp_path)
    assert (tmp_path / folder / photo).read_bytes() == b"x"
    assert lines(file)[0]["label"] == label


def test_no_two_labels_share_a_folder_on_any_system():
    labels = ["cat", "Cat", "CAT", "cat ", "a/b", "a:b", "a_b", "café", "cafe\u0301", "unsure", "Unsure", "con", ""]
    file = exported([(correction(label.encode(), label), label.encode()) for label in labels])
    folders = {name.partition("/")[0].casefold() for name in file.namelist() if "/" in name}
    assert len(folders) == len(labels)


@pytest.mark.parametrize("label", ["cat", "not_cat", "St. Bernard", "a cat", "salt & pepper", "Zoë's", "猫", "v1.2"])
def test_a_plain_label_is_the_folder(label):
    assert export.Folders().of(label) == label


def test_a_photo_that_several_corrections_share_is_in_it_once():
    kept = [(correction(b"x", network=name), b"x") for name in ("cat", "tutorial")]
    assert len(exported(kept).namelist()) == 2


def test_a_time_before_zip_files_is_no_reason_to_fail():
    old = datetime(1975, 1, 1, tzinfo=UTC)
    file = exported([(replace(correction(b"x"), time=old, id=new_id(old)), b"x")])
    assert file.infolist()[0].date_time[0] == 1980


def test_it_is_written_whole_or_not_at_all(store, tmp_path, monkeypatch):
    for n in range(3):
        store.add(correction(b"%d" % n, time=NOON + timedelta(seconds=n)), b"%d" % n)
    assert store.export(tmp_path / "all.zip") == 3
    assert store.export(tmp_path / "none.zip", kind="unsure") == 0
    with zipfile.ZipFile(tmp_path / "all.zip") as file:
        assert len(file.namelist()) == 4

    def fail(sha: str) -> bytes:
        raise OSError("gone")

    monkeypatch.setattr(store, "photo", fail)
    with pytest.raises(OSError, match="gone"):
        store.export(tmp_path / "half.zip")
    assert sorted(path.name for path in tmp_path.glob("*.zip")) == ["all.zip", "none.zip"]
    assert not list(tmp_path.glob(".export*"))


def test_a_photo_that_was_deleted_meanwhile_is_left_out(store):
    kept = store.add(correction(), b"photo")
    other = store.add(correction(b"other", time=NOON + timedelta(seconds=1)), b"other")
    store._photos.delete(kept.sha256)
    file = zipfile.ZipFile(io.BytesIO(b"".join(export.pieces(store.all, store.photo))))
    assert file.namelist() == [f"cat/{other.sha256}", "corrections.jsonl"]
    assert [line["file"] for line in lines(file)] == [f"cat/{other.sha256}", None]
