"""Files of photos are looked at in their order; those that cannot be read are said to be so, and the others are used."""

import errno
import hashlib
import os
import threading
import time

import numpy as np
import pytest
from PIL import Image

from app.errors import InvalidRequest, NotFound
from app.inference.networks.contract import load
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.networks.onnx.other_classes import LAST
from app.inference.tensor import to_tensor
from app.teach import photos
from app.teach.alike import alike, fingerprint
from app.teach.photos import MOST, MOST_TOGETHER, File, Seen, Skipped, check, check_name, compared, look
from tests.conftest import ROOT


def failing(error: Exception):
    def read() -> bytes:
        raise error

    return read


@pytest.mark.parametrize(
    ("read", "why"),
    [
        (failing(OSError(errno.EIO, os.strerror(errno.EIO))), "The file cannot be read: Input/output error."),
        (failing(OSError("the network share is gone")), "The file cannot be read: the network share is gone."),
        (failing(NotFound("It is not kept any more.")), "It is not kept any more."),
        (lambda: b"%PDF-1.7", "The file of 8 bytes is PDF"),
    ],
)
def test_a_file_that_cannot_be_read_is_skipped_with_the_reason_and_the_next_is_used(cat_photo, read, why):
    network = OnnxNetwork(load(ROOT / "model" / "cat"))
    files = {"cat": [File("cat/a", read)], "dog": [File("dog/b", lambda: cat_photo)]}
    skipped, seen = look(files, network, 1_000_000, threads=1)
    assert isinstance(skipped, Skipped)
    assert (skipped.name, skipped.why[: len(why)]) == ("cat/a", why)
    assert isinstance(seen, Seen)
    assert (seen.name, seen.label, seen.looks.shape) == ("dog/b", 1, (256,))


def test_a_photo_and_its_small_copy_look_alike_and_another_does_not(cat_image):
    other = cat_image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    photos = [cat_image, other, cat_image.resize((120, 80)), Image.new("RGB", (90, 90), "red")]
    assert alike(np.stack([fingerprint(photo) for photo in photos])) == [0, 1, 0, 3]


def many(count: int, classes: int = 2) -> dict[str, range]:
    return {f"class {number}": range(count) for number in range(classes)}


@pytest.mark.parametrize(
    "classes", [many(5), many(MOST, 5), many(5, 20), many(5) | {"x" * 60: range(5)}, {"a": range(5), "A b": range(5)}]
)
def test_classes_within_the_limits_can_be_taught(classes):
    check(classes)


NAMES = ", ".join(many(5, 21))
CANNOT = "cannot be a class's name, which has 1 to 60 printable characters and is not unsure or unfamiliar."


@pytest.mark.parametrize(
    ("classes", "says"),
    [
        ({}, "There are 0 classes (none); from 2 to 20 can be taught."),
        (many(5, 1), "There are 1 classes (class 0); from 2 to 20 can be taught."),
        (many(5, 21), f"There are 21 classes ({NAMES}); from 2 to 20 can be taught."),
        (many(5, 22), f"There are 22 classes ({NAMES}); from 2 to 20 can be taught."),
        ({"y" * 99: range(5)}, f"There are 1 classes ({'y' * 60}); from 2 to 20 can be taught."),
        ({"a": range(5), "b": range(4)}, "Class b has 4 photos; from 5 to 1000 of each are needed."),
        ({"a": range(5), "b": range(MOST + 1)}, "Class b has 1001 photos; from 5 to 1000 of each are needed."),
        (many(MOST, 5) | {"more": range(5)}, f"There are {MOST_TOGETHER + 5} photos; at most 5000 can be taught at once."),
        ({"Straße": range(5), " STRASSE ": range(5)}, "The classes 'Straße' and ' STRASSE ' have one name."),
        ({"a": range(5), "": range(5)}, f"'' {CANNOT}"),
        ({"a": range(5), "Unsure": range(5)}, f"'Unsure' {CANNOT}"),
        ({"a": range(5), " unfamiliar": range(5)}, f"' unfamiliar' {CANNOT}"),
        ({"a": range(5), "b\n": range(5)}, f"'b\\n' {CANNOT}"),
        ({"a": range(5), "x" * 61: range(5)}, f"'{'x' * 61}' {CANNOT}"),
        ({"a": range(5), "x" * 99: range(5)}, f"'{'x' * 80}' {CANNOT}"),
    ],
)
def test_classes_beyond_the_limits_are_refused_with_the_limit(classes, says):
    with pytest.raises(InvalidRequest) as refused:
        check(classes)
    assert str(refused.value) == says


def test_a_name_is_the_same_however_it_is_written():
    assert check_name(" Große Katze ") == "grosse katze"


def test_a_photo_is_seen_as_it_is_and_in_the_mirror(cat_photo, cat_image):
    network = OnnxNetwork(load(ROOT / "model" / "cat"))
    [seen] = look({"cat": [File("a", lambda: cat_photo)]}, network, 1_000_000, threads=1)
    height, width, _ = network.contract.input_shape
    tensor = to_tensor(cat_image, height, width)
    for means, view in zip(seen.means, (tensor, tensor[:, :, ::-1]), strict=True):
        stage = network.run(np.ascontiguousarray(view), [LAST]).stages[LAST]
        assert np.array_equal(means, stage.mean(axis=(0, 1), dtype=np.float32))
    assert seen.means.dtype == np.float32
    assert seen.sha256 == hashlib.sha256(cat_photo).hexdigest()
    assert np.array_equal(seen.looks, fingerprint(cat_image))


def test_integers_see_the_photo_itself_and_not_its_mirror_image(cat_photo, cat_image):
    network = OnnxNetwork(load(ROOT / "model" / "cat"))
    height, width, _ = network.contract.input_shape
    files = {"cat": [File("a", lambda: cat_photo)]}
    [seen] = look(files, network, 1_000_000, threads=1, integers=lambda view: view)
    assert np.array_equal(seen.integers, to_tensor(cat_image, height, width))
    [without] = look(files, network, 1_000_000, threads=1)
    assert without.integers is None


@pytest.mark.parametrize(
    ("end", "together", "chosen"),
    [
        ("00000000", 5000, True),
        ("ffffffff", 500, True),
        ("ffffffff", 501, False),
        ("7fffffff", 1000, True),
        ("80000000", 1000, False),
        ("19999999", 5000, True),
        ("1999999a", 5000, False),
    ],
)
def test_integers_see_all_of_500_photos_and_a_share_of_more_that_comes_to_500(end, together, chosen):
    assert compared("f" * 56 + end, together) is chosen
    assert compared("0" * 56 + end, together) is chosen, "what comes before does not count"


def test_which_photos_integers_see_follows_from_how_many_there_are_of_all_classes(cat_photo, monkeypatch):
    """One of two is to be seen: the half whose digests end low."""
    monkeypatch.setattr(photos, "MOST_COMPARED", 1)
    network = OnnxNetwork(load(ROOT / "model" / "cat"))
    by_half: dict[bool, bytes] = {}
    for number in range(100):
        data = cat_photo + bytes([number])  # behind the picture's end
        by_half[hashlib.sha256(data).digest()[-4] < 0x80] = data
    files = {name: [File(name, lambda low=low: by_half[low])] for name, low in (("low", True), ("high", False))}
    low, high = look(files, network, 1_000_000, threads=1, integers=lambda view: view[0, 0, 0])
    assert (low.integers is None, high.integers is None) == (False, True)


def test_a_photo_of_too_many_pixels_is_skipped(cat_photo):
    network = OnnxNetwork(load(ROOT / "model" / "cat"))
    [skipped] = look({"cat": [File("a", lambda: cat_photo)]}, network, 1000, threads=1)
    assert skipped.why.startswith("The photo has 451 x 300 = 135300 pixels; at most 1000 are accepted")


def test_no_more_threads_work_than_are_asked_for(cat_photo):
    names = set()

    def read() -> bytes:
        names.add(threading.current_thread().name)
        time.sleep(0.01)
        raise OSError("unread")

    network = OnnxNetwork(load(ROOT / "model" / "cat"))
    assert len(list(look({"cat": [File("a", read)] * 20}, network, 1_000_000, threads=1))) == 20
    assert len(names) == 1


def test_a_photo_is_decoded_no_larger_than_the_network_needs_it(cat_photo, monkeypatch):
    network = OnnxNetwork(load(ROOT / "model" / "cat"))
    asked, decode = [], photos.decode

    def noted(*arguments: object) -> object:
        asked.append(arguments)
        return decode(*arguments)

    monkeypatch.setattr(photos, "decode", noted)
    photos.views(cat_photo, network, 1_000_000)
    assert asked == [(cat_photo, 1_000_000, max(network.contract.input_shape))]
