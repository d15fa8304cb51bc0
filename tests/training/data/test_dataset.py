"""Splits made from folders of photos: complete, broken, and with duplicates."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.inference.decode import FORMATS
from tests.conftest import encoded
from tests.training.conftest import COUNTS, UNEVEN
from training.data import dataset
from training.data.dataset import load
from training.data.splits import split_of
from training.errors import TrainingError

SIDE = 16


def of_split(folder: Path, split: str, label: str) -> Path:
    """Any photo of that class which falls into that split."""
    return next(path for path in sorted((folder / label).iterdir()) if split_of(digest(path)) == split)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def split_by_hash(folder: Path) -> dict[str, str]:
    """The split of each photo that `load` used, by the hash of its bytes."""
    splits, _, _ = load(folder, SIDE)
    return {digest(path): name for name, split in splits.items() for path in split.paths}


def used(folder: Path) -> int:
    return load(folder, SIDE)[1].used


# Which files are photos


def test_every_photo_of_an_intact_folder_is_used(photos):
    _, tally, _ = load(photos, SIDE)
    assert (tally.used, tally.skipped) == (2 * sum(COUNTS.values()) + UNEVEN, [])


def test_labels_follow_the_order_of_the_classes(photos):
    splits, _, _ = load(photos, SIDE)
    for split in splits.values():
        assert [("cat", "not_cat")[label] for label in split.labels] == [path.parent.name for path in split.paths]


def test_training_photos_are_stored_larger_than_the_others(photos):
    splits, _, _ = load(photos, 100)
    assert {name: split.pixels.shape[1:] for name, split in splits.items()} == {
        "train": (112, 112, 3),
        "validation": (100, 100, 3),
        "calibration": (100, 100, 3),
    }


def test_pixels_are_bytes(photos):
    splits, _, _ = load(photos, SIDE)
    assert {split.pixels.dtype for split in splits.values()} == {np.dtype(np.uint8)}


def test_photos_in_nested_folders_are_read(photos_copy):
    before = used(photos_copy)
    deep = photos_copy / "cat" / "2024" / "summer"
    deep.mkdir(parents=True)
    Image.new("RGB", (20, 20), "red").save(deep / "red.png")
    assert used(photos_copy) == before + 1


@pytest.mark.parametrize("name", ["IMG_0001.JPG", "photo", "photo.txt", "Grüße 猫.jpg", "two\nlines.jpg"])
def test_a_photo_is_known_by_its_bytes_whatever_its_name(photos_copy, cat_image, name):
    before = used(photos_copy)
    (photos_copy / "cat" / name).write_bytes(encoded(cat_image.resize((40, 40)), "JPEG"))
    assert used(photos_copy) == before + 1


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_that_the_service_reads_is_read(photos_copy, cat_image, kind):
    before = used(photos_copy)
    (photos_copy / "cat" / f"new.{kind.lower()}").write_bytes(encoded(cat_image.resize((40, 40)), kind))
    assert used(photos_copy) == before + 1


def test_hidden_files_are_left_out_silently(photos_copy, capsys):
    (photos_copy / "cat" / ".DS_Store").write_bytes(b"not a photo")
    _, tally, _ = load(photos_copy, SIDE)
    assert tally.skipped == []
    assert "DS_Store" not in capsys.readouterr().err


def test_files_in_hidden_folders_are_left_out(photos_copy):
    before = used(photos_copy)
    hidden = photos_copy / "cat" / ".ipynb_checkpoints"
    hidden.mkdir()
    Image.new("RGB", (20, 20), "red").save(hidden / "red.png")
    assert used(photos_copy) == before


def test_photos_keep_the_order_of_their_paths(photos):
    splits, _, _ = load(photos, SIDE)
    for split in splits.values():
        assert split.paths == sorted(split.paths, key=lambda path: (path.parent.name, path.name))


# Broken files


@pytest.fixture
def with_a_broken_file(photos_copy, cat_photo) -> Path:
    (photos_copy / "cat" / "half.png").write_bytes(cat_photo[: len(cat_photo) // 2])
    return photos_copy


def test_a_broken_file_is_named_on_stderr(with_a_broken_file, capsys):
    load(with_a_broken_file, SIDE)
    skipped = [line for line in capsys.readouterr().err.splitlines() if "skipped" in line]
    assert len(skipped) == 1
    assert str(with_a_broken_file / "cat" / "half.png") in skipped[0]
    assert "broken" in skipped[0]


def test_a_broken_file_is_counted_with_its_reason(with_a_broken_file):
    _, tally, _ = load(with_a_broken_file, SIDE)
    ((path, reason),) = tally.skipped
    assert path.name == "half.png"
    assert "PNG" in reason


def test_a_broken_file_changes_nothing_for_the_others(with_a_broken_file, photos):
    assert load(with_a_broken_file, SIDE)[2] == load(photos, SIDE)[2]


@pytest.mark.parametrize("data", [b"", b"hello", b"\xff\xd8\xff\xe0 nothing follows", b"<svg></svg>"])
def test_no_content_of_a_file_stops_the_reading(photos_copy, data):
    before = used(photos_copy)
    (photos_copy / "not_cat" / "odd.jpg").write_bytes(data)
    _, tally, _ = load(photos_copy, SIDE)
    assert (tally.used, len(tally.skipped)) == (before, 1)


# Folders that are not a data set


def one_line(error: pytest.ExceptionInfo[TrainingError], name: str) -> bool:
    return name in str(error.value) and "\n" not in str(error.value)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(TrainingError) as error:
        load(tmp_path / "nowhere", SIDE)
    assert one_line(error, str(tmp_path / "nowhere"))


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "photos").write_text("no folder")
    with pytest.raises(TrainingError) as error:
        load(tmp_path / "photos", SIDE)
    assert one_line(error, "photos is not a folder")


@pytest.mark.parametrize("label", ["cat", "not_cat"])
def test_a_missing_class_is_named(photos_copy, label):
    shutil.rmtree(photos_copy / label)
    with pytest.raises(TrainingError) as error:
        load(photos_copy, SIDE)
    assert one_line(error, f"no folder {label};")


@pytest.mark.parametrize("label", ["cat", "not_cat"])
def test_an_empty_class_is_named(photos_copy, label):
    shutil.rmtree(photos_copy / label)
    (photos_copy / label).mkdir()
    with pytest.raises(TrainingError) as error:
        load(photos_copy, SIDE)
    assert one_line(error, f"{photos_copy / label} contains no photo")


def test_a_class_with_only_hidden_files_is_empty(photos_copy):
    shutil.rmtree(photos_copy / "cat")
    (photos_copy / "cat").mkdir()
    (photos_copy / "cat" / ".DS_Store").write_bytes(b"x")
    with pytest.raises(TrainingError, match="cat contains no photo"):
        load(photos_copy, SIDE)


@pytest.mark.parametrize(("kept", "split"), [(0, "train"), (1, "train"), (2, "train")])
def test_a_class_of_too_few_usable_photos_is_named(photos_copy, kept, split):
    files = sorted((photos_copy / "cat").iterdir())
    for path in files[kept:]:
        path.unlink()
    (photos_copy / "cat" / "broken.jpg").write_bytes(b"no photo")
    with pytest.raises(TrainingError) as error:
        load(photos_copy, SIDE)
    assert one_line(error, f"the {split} split got no usable photo of class cat")


# Splits


def test_the_split_is_chosen_by_the_first_digits_of_the_hash():
    at = [f"{int(share * 16**8):08x}" + 56 * "0" for share in (0, 0.0499, 0.0501, 0.0999, 0.1001, 0.9999)]
    assert [split_of(digest) for digest in at] == ["validation"] * 2 + ["calibration"] * 2 + ["train"] * 2


def test_a_twentieth_of_many_photos_falls_into_each_held_out_split():
    names = [split_of(hashlib.sha256(str(number).encode()).hexdigest()) for number in range(20_000)]
    for name in ("validation", "calibration"):
        assert abs(names.count(name) / len(names) - 0.05) < 0.005, "five standard deviations are 0.0077"


def test_the_splits_share_no_photo(photos):
    splits, _, _ = load(photos, SIDE)
    digests = [digest(path) for split in splits.values() for path in split.paths]
    assert len(digests) == len(set(digests))


@pytest.mark.parametrize("split", COUNTS)
def test_a_photo_under_many_names_is_used_once(photos_copy, split):
    before = split_by_hash(photos_copy)
    photo = of_split(photos_copy, split, "cat")
    (photos_copy / "cat" / "again").mkdir()
    for number in range(20):
        shutil.copy(photo, photos_copy / "cat" / "again" / f"{number}.jpg")
    splits, tally, _ = load(photos_copy, SIDE)
    assert len(tally.skipped) == 20
    assert sum(len(split_photos.paths) for split_photos in splits.values()) == len(before)


@pytest.mark.parametrize("split", COUNTS)
def test_copies_of_a_photo_stay_on_its_side_of_the_split(photos_copy, split):
    photo = of_split(photos_copy, split, "cat")
    for number in range(20):
        shutil.copy(photo, photos_copy / "cat" / f"copy-{number}.jpg")
    photo.unlink()
    assert split_by_hash(photos_copy)[digest(photos_copy / "cat" / "copy-0.jpg")] == split


def test_renaming_every_photo_moves_none_to_another_split(photos_copy):
    before = split_by_hash(photos_copy)
    for number, path in enumerate(sorted(photos_copy.rglob("*.jpg"), key=digest)):
        path.rename(path.with_name(f"renamed-{number:04d}.jpeg"))
    assert split_by_hash(photos_copy) == before


def test_moving_every_photo_into_subfolders_moves_none_to_another_split(photos_copy):
    before = split_by_hash(photos_copy)
    for number, path in enumerate(sorted(photos_copy.rglob("*.jpg"))):
        folder = path.parent / f"part-{number % 3}"
        folder.mkdir(exist_ok=True)
        path.rename(folder / path.name)
    assert split_by_hash(photos_copy) == before


def test_an_additional_photo_moves_no_other_to_another_split(photos_copy):
    before = split_by_hash(photos_copy)
    Image.new("RGB", (20, 20), "red").save(photos_copy / "cat" / "0000.png")
    after = split_by_hash(photos_copy)
    assert before.items() < after.items()


def test_a_photo_in_both_classes_is_used_in_neither(photos_copy):
    photo = of_split(photos_copy, "train", "cat")
    shutil.copy(photo, photos_copy / "not_cat" / "twin.jpg")
    assert digest(photo) not in split_by_hash(photos_copy)


def test_a_photo_in_both_classes_is_reported_on_stderr(photos_copy, capsys):
    shutil.copy(of_split(photos_copy, "train", "cat"), photos_copy / "not_cat" / "twin.jpg")
    load(photos_copy, SIDE)
    assert "twin.jpg: the same photo is in two classes" in capsys.readouterr().err


def test_a_photo_that_occurs_twice_in_each_class_is_used_in_neither(photos_copy):
    photo = of_split(photos_copy, "validation", "cat")
    shutil.copy(photo, photos_copy / "cat" / "twin.jpg")
    for name in ("a.jpg", "b.jpg"):
        shutil.copy(photo, photos_copy / "not_cat" / name)
    assert digest(photo) not in split_by_hash(photos_copy)


def test_every_file_is_either_used_or_counted_as_skipped(photos_copy):
    shutil.copy(of_split(photos_copy, "train", "cat"), photos_copy / "not_cat" / "twin.jpg")
    _, tally, _ = load(photos_copy, SIDE)
    assert tally.used + len(tally.skipped) == len(dataset.photos(photos_copy))


# The fingerprint


def test_moving_the_whole_folder_keeps_the_fingerprint(photos, photos_copy):
    assert load(photos_copy, SIDE)[2] == load(photos, SIDE)[2]


def test_the_same_folder_read_twice_gives_the_same_pixels_and_fingerprint(photos):
    (first, _, one), (second, _, two) = load(photos, SIDE), load(photos, SIDE)
    assert one == two
    for name in COUNTS:
        assert np.array_equal(first[name].pixels, second[name].pixels)


@pytest.mark.parametrize("split", COUNTS)
def test_a_missing_photo_changes_the_fingerprint(photos, photos_copy, split):
    of_split(photos_copy, split, "not_cat").unlink()
    assert load(photos_copy, SIDE)[2] != load(photos, SIDE)[2]


def test_a_photo_of_the_other_class_changes_the_fingerprint(photos, photos_copy):
    photo = of_split(photos_copy, "train", "not_cat")
    photo.rename(photos_copy / "cat" / "moved.jpg")
    assert load(photos_copy, SIDE)[2] != load(photos, SIDE)[2]
