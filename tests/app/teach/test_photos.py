"""Files of photos are looked at in their order; those that cannot be read are said to be so, and the others are used."""

import errno
import os

import numpy as np
import pytest
from PIL import Image

from app.errors import NotFound
from app.inference.networks.contract import load
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.teach.alike import alike, fingerprint
from app.teach.photos import File, Seen, Skipped, in_order, look
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


def test_work_that_fails_is_told_where_its_turn_comes():
    done = in_order(lambda number: 1 / number, [1, 2, 0, 4], threads=2)
    assert (next(done), next(done)) == (1.0, 0.5)
    with pytest.raises(ZeroDivisionError):
        next(done)


def test_a_photo_and_its_small_copy_look_alike_and_another_does_not(cat_image):
    other = cat_image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    photos = [cat_image, other, cat_image.resize((120, 80)), Image.new("RGB", (90, 90), "red")]
    assert alike(np.stack([fingerprint(photo) for photo in photos])) == [0, 1, 0, 3]
