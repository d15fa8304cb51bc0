"""Folders of photos, whole, broken and doubled, in; splits out."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.inference.decode import FORMATS
from tests.conftest import encoded
from tests.training.conftest import COUNTS, UNEVEN
from training import dataset
from training.dataset import load, split_of
from training.errors import TrainingError

SIDE = 16


def of_split(folder: Path, split: str, label: str) -> Path:
    """Any photo of that class which falls into that split."""
    return next(path for path in sorted((folder / label).iterdir()) if split_of(digest(path)) == split)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def places(folder: Path) -> dict[str, str]:
    """The split of each photo that `load` used, by the hash of its bytes."""
    splits, _, _ = load(folder, SIDE)
    return {digest(path): name for name, split in splits.items() for path in split.paths}


def used(folder: Path) -> int:
    return load(folder, SIDE)[1].used


# Which files are photos


def test_every_photo_of_a_whole_folder_is_used(photos):
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


def test_photos_in_nested_folders_are_read(own_photos):
    before = used(own_photos)
    deep = own_photos / "cat" / "2024" / "summer"
    deep.mkdir(parents=True)
    Image.new("RGB", (20, 20), "red").save(deep / "red.png")
    assert used(own_photos) == before + 1


@pytest.mark.parametrize("name", ["IMG_0001.JPG", "photo", "photo.txt", "Grüße 猫.jpg", "two\nlines.jpg"])
def test_a_photo_is_known_by_its_bytes_whatever_its_name(own_photos, cat_image, name):
    before = used(own_photos)
    (own_photos / "cat" / name).write_bytes(encoded(cat_image.resize((40, 40)), "JPEG"))
    assert used(own_photos) == before + 1


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_that_the_service_reads_is_read(own_photos, cat_image, kind):
    before = used(own_photos)
    (own_photos / "cat" / f"new.{kind.lower()}").write_bytes(encoded(cat_image.resize((40, 40)), kind))
    assert used(own_photos) == before + 1


def test_hidden_files_are_left_out_without_a_word(own_photos, capsys):
    (own_photos / "cat" / ".DS_Store").write_bytes(b"not a photo")
    _, tally, _ = load(own_photos, SIDE)
    assert tally.skipped == []
    assert "DS_Store" not in capsys.readouterr().err


def test_files_in_hidden_folders_are_left_out(own_photos):
    before = used(own_photos)
    hidden = own_photos / "cat" / ".ipynb_checkpoints"
    hidden.mkdir()
    Image.new("RGB", (20, 20), "red").save(hidden / "red.png")
    assert used(own_photos) == before


def test_photos_keep_the_order_of_their_paths(photos):
    splits, _, _ = load(photos, SIDE)
    for split in splits.values():
        assert split.paths == sorted(split.paths, key=lambda path: (path.parent.name, path.name))


# Broken files


@pytest.fixture
def with_a_broken_file(own_photos, cat_photo) -> Path:
    (own_photos / "cat" / "half.png").write_bytes(cat_photo[: len(cat_photo) // 2])
    return own_photos


def test_a_broken_file_is_named_on_stderr(with_a_broken_file, capsys):
    load(with_a_broken_file, SIDE)
    said = [line for line in capsys.readouterr().err.splitlines() if "skipped" in line]
    assert len(said) == 1
    assert str(with_a_broken_file / "cat" / "half.png") in said[0]
    assert "broken" in said[0]


def test_a_broken_file_is_counted_with_its_reason(with_a_broken_file):
    _, tally, _ = load(with_a_broken_file, SIDE)
    ((path, reason),) = tally.skipped
    assert path.name == "half.png"
    assert "PNG" in reason


def test_a_broken_file_changes_nothing_for_the_others(with_a_broken_file, photos):
    assert load(with_a_broken_file, SIDE)[2] == load(photos, SIDE)[2]


@pytest.mark.parametrize("data", [b"", b"hello", b"\xff\xd8\xff\xe0 nothing follows", b"<svg></svg>"])
def test_whatever_a_file_holds_it_stops_nothing(own_photos, data):
    before = used(own_photos)
    (own_photos / "not_cat" / "odd.jpg").write_bytes(data)
    _, tally, _ = load(own_photos, SIDE)
    assert (tally.used, len(tally.skipped)) == (before, 1)


# Folders that are no data set


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
def test_a_missing_class_is_named(own_photos, label):
    shutil.rmtree(own_photos / label)
    with pytest.raises(TrainingError) as error:
        load(own_photos, SIDE)
    assert one_line(error, f"no folder {label};")


@pytest.mark.parametrize("label", ["cat", "not_cat"])
def test_an_empty_class_is_named(own_photos, label):
    shutil.rmtree(own_photos / label)
    (own_photos / label).mkdir()
    with pytest.raises(TrainingError) as error:
        load(own_photos, SIDE)
    assert one_line(error, f"{own_photos / label} holds no photo")


def test_a_class_of_nothing_but_hidden_files_is_empty(own_photos):
    shutil.rmtree(own_photos / "cat")
    (own_photos / "cat").mkdir()
    (own_photos / "cat" / ".DS_Store").write_bytes(b"x")
    with pytest.raises(TrainingError, match="cat holds no photo"):
        load(own_photos, SIDE)


@pytest.mark.parametrize("split", COUNTS)
def test_a_split_without_one_of_the_classes_is_named(own_photos, split):
    for path in (own_photos / "cat").iterdir():
        if split_of(digest(path)) == split:
            path.unlink()
    with pytest.raises(TrainingError) as error:
        load(own_photos, SIDE)
    assert one_line(error, f"class cat fell into the {split} split")


# Splits


def test_the_split_goes_by_the_first_digits_of_the_hash():
    at = [f"{int(share * 16**8):08x}" + 56 * "0" for share in (0, 0.0499, 0.0501, 0.0999, 0.1001, 0.9999)]
    assert [split_of(digest) for digest in at] == ["validation"] * 2 + ["calibration"] * 2 + ["train"] * 2


def test_a_twentieth_of_many_photos_falls_into_each_held_out_split():
    names = [split_of(hashlib.sha256(str(number).encode()).hexdigest()) for number in range(20_000)]
    for name in ("validation", "calibration"):
        assert abs(names.count(name) / len(names) - 0.05) < 0.005, "five standard deviations are 0.0077"


def test_the_splits_share_no_photo(photos):
    splits, _, _ = load(photos, SIDE)
    seen = [digest(path) for split in splits.values() for path in split.paths]
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize("split", COUNTS)
def test_a_photo_under_many_names_is_used_once(own_photos, split):
    before = places(own_photos)
    photo = of_split(own_photos, split, "cat")
    (own_photos / "cat" / "again").mkdir()
    for number in range(20):
        shutil.copy(photo, own_photos / "cat" / "again" / f"{number}.jpg")
    splits, tally, _ = load(own_photos, SIDE)
    assert len(tally.skipped) == 20
    assert sum(len(each.paths) for each in splits.values()) == len(before)


@pytest.mark.parametrize("split", COUNTS)
def test_copies_of_a_photo_stay_on_its_side_of_the_split(own_photos, split):
    photo = of_split(own_photos, split, "cat")
    for number in range(20):
        shutil.copy(photo, own_photos / "cat" / f"copy-{number}.jpg")
    photo.unlink()
    assert places(own_photos)[digest(own_photos / "cat" / "copy-0.jpg")] == split


def test_renaming_every_photo_moves_none_to_another_split(own_photos):
    before = places(own_photos)
    for number, path in enumerate(sorted(own_photos.rglob("*.jpg"), key=digest)):
        path.rename(path.with_name(f"renamed-{number:04d}.jpeg"))
    assert places(own_photos) == before


def test_moving_every_photo_into_subfolders_moves_none_to_another_split(own_photos):
    before = places(own_photos)
    for number, path in enumerate(sorted(own_photos.rglob("*.jpg"))):
        folder = path.parent / f"part-{number % 3}"
        folder.mkdir(exist_ok=True)
        path.rename(folder / path.name)
    assert places(own_photos) == before


def test_a_photo_more_moves_no_other_to_another_split(own_photos):
    before = places(own_photos)
    Image.new("RGB", (20, 20), "red").save(own_photos / "cat" / "0000.png")
    after = places(own_photos)
    assert before.items() < after.items()


def test_a_photo_in_both_classes_is_used_in_neither(own_photos):
    photo = of_split(own_photos, "train", "cat")
    shutil.copy(photo, own_photos / "not_cat" / "twin.jpg")
    assert digest(photo) not in places(own_photos)


def test_a_photo_in_both_classes_is_said_on_stderr(own_photos, capsys):
    shutil.copy(of_split(own_photos, "train", "cat"), own_photos / "not_cat" / "twin.jpg")
    load(own_photos, SIDE)
    assert "twin.jpg: the same photo lies in two classes" in capsys.readouterr().err


def test_a_photo_that_lies_twice_in_each_class_is_used_in_neither(own_photos):
    photo = of_split(own_photos, "validation", "cat")
    shutil.copy(photo, own_photos / "cat" / "twin.jpg")
    for name in ("a.jpg", "b.jpg"):
        shutil.copy(photo, own_photos / "not_cat" / name)
    assert digest(photo) not in places(own_photos)


def test_every_file_is_either_used_or_counted_as_skipped(own_photos):
    shutil.copy(of_split(own_photos, "train", "cat"), own_photos / "not_cat" / "twin.jpg")
    _, tally, _ = load(own_photos, SIDE)
    assert tally.used + len(tally.skipped) == len(dataset.photos(own_photos))


# The fingerprint


def test_moving_the_whole_folder_keeps_the_fingerprint(photos, own_photos):
    assert load(own_photos, SIDE)[2] == load(photos, SIDE)[2]


def test_the_same_folder_read_twice_gives_the_same_pixels_and_fingerprint(photos):
    (first, _, one), (second, _, two) = load(photos, SIDE), load(photos, SIDE)
    assert one == two
    for name in COUNTS:
        assert np.array_equal(first[name].pixels, second[name].pixels)


@pytest.mark.parametrize("split", COUNTS)
def test_a_photo_less_is_another_fingerprint(photos, own_photos, split):
    of_split(own_photos, split, "not_cat").unlink()
    assert load(own_photos, SIDE)[2] != load(photos, SIDE)[2]


def test_a_photo_of_the_other_class_is_another_fingerprint(photos, own_photos):
    photo = of_split(own_photos, "train", "not_cat")
    photo.rename(own_photos / "cat" / "moved.jpg")
    assert load(own_photos, SIDE)[2] != load(photos, SIDE)[2]
