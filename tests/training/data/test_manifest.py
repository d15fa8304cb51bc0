"""`training.data.manifest`: what is read, what is left out, what is refused."""

import pytest

from training.data.manifest import Photo, mislabelled, read
from training.errors import TrainingError


def test_a_manifest_gives_the_photos_of_its_splits(tmp_path):
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("split,label,source,file\ntrain,cat,pets,cat/a.webp\nval-pets,cat,pets,cat/b.webp\n")
    assert read([manifest], tmp_path, ("train",)) == [Photo(tmp_path / "train/cat/a.webp", 0, "pets", "pets")]


def test_a_mislabelled_photo_is_left_out(tmp_path):
    manifest = tmp_path / "manifest.csv"
    wrong = next(iter(mislabelled()))
    manifest.write_text(f"split,label,source,file\ntrain2,cat,pets,{wrong}\ntrain2,cat,pets,cat/a.webp\n")
    assert len(read([manifest], tmp_path, ("train2",))) == 1


def test_a_manifest_without_a_photo_is_refused(tmp_path):
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("split,label,source,file\n")
    with pytest.raises(TrainingError, match="no photo of train"):
        read([manifest], tmp_path, ("train",))


def test_a_label_that_is_no_class_is_refused(tmp_path):
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("split,label,source,file\ntrain,dog,pets,dog/a.webp\n")
    with pytest.raises(TrainingError, match="no manifest of photos"):
        read([manifest], tmp_path)


def test_a_missing_manifest_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="no manifest of photos"):
        read([tmp_path / "manifest.csv"], tmp_path)


def test_boxes_are_read_where_they_are_known(tmp_path):
    manifest = tmp_path / "manifest.csv"
    rows = ["train,cat,pets,cat/a.webp,0.1 0.2 0.5 0.9; 0.6 0.2 0.8 0.4", "train,cat,pets,cat/b.webp,"]
    manifest.write_text("\n".join(["split,label,source,file,cats_at", *rows]))
    assert [photo.boxes for photo in read([manifest], tmp_path)] == [((0.1, 0.2, 0.5, 0.9), (0.6, 0.2, 0.8, 0.4)), ()]


def test_a_box_without_four_numbers_is_refused(tmp_path):
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("split,label,source,file,cats_at\ntrain,cat,pets,cat/a.webp,0.1 0.2 0.5\n")
    with pytest.raises(TrainingError, match="four numbers for each cat"):
        read([manifest], tmp_path)
