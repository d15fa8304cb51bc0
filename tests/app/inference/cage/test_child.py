"""The process in the cage, run here on a thread with its rights: what it answers to each photo, and that it ends."""

import mmap
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from app.errors import BrokenImage, Overloaded, UnsupportedImage
from app.inference import decode
from app.inference.cage import child, messages
from tests.conftest import encoded

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there are cages on Linux alone")

SIZE, PIXELS = 2_000_000, 500_000


@contextmanager
def running(monkeypatch, decoder: child.Decoder = decode.decode, lacks: str = "") -> Iterator[Callable]:
    """Decodes a photo as the process does, with `decoder`; it lacks some of its rights' limits, as `confine` says."""
    memory_file = os.memfd_create("photo")
    os.ftruncate(memory_file, SIZE)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(30)
    monkeypatch.setattr(child, "confine", lambda budget: lacks or str(budget)[9:])
    monkeypatch.setattr(sys, "argv", ["child", *map(str, (theirs.detach(), memory_file, SIZE, 1_000_000))])
    thread = threading.Thread(target=child.main, args=(decoder,))
    thread.start()
    with ours, mmap.mmap(memory_file, SIZE) as memory:

        def decoded(data: bytes) -> messages.Decoded:
            memory[: len(data)] = data
            ours.send(messages.task(len(data), PIXELS, None))
            return messages.decoded(ours.recv(messages.LARGEST), memory, PIXELS, decode.FORMATS)

        decoded.begun = ours.recv(messages.LARGEST)
        yield decoded
    thread.join(30)
    os.close(memory_file)
    assert not thread.is_alive(), "it ends when nobody talks to it any more"


def raising(error: BaseException) -> child.Decoder:
    def decoder(*_: object) -> decode.Photo:
        raise error

    return decoder


@pytest.mark.parametrize(("lacks", "begun"), [("", b"confined"), ("a filter", b"a filter")])
def test_it_begins_by_saying_what_it_could_not_give_up(monkeypatch, lacks, begun):
    with running(monkeypatch, lacks=lacks) as decoded:
        assert decoded.begun == begun


def test_it_answers_photo_after_photo_and_refusals_between_them(monkeypatch, cat_image):
    with running(monkeypatch) as decoded:
        for kind in ("PNG", "TIFF"):
            photo = decoded(encoded(cat_image, kind))
            assert (photo.format, photo.image.tobytes()) == (kind, cat_image.tobytes())
            with pytest.raises(UnsupportedImage, match="is PDF"):
                decoded(b"%PDF-1.7")


@pytest.mark.parametrize(
    ("error", "answer", "says"),
    [
        (MemoryError(), Overloaded, "Not enough memory for this photo"),
        (ZeroDivisionError(), BrokenImage, "It cannot be decoded: ZeroDivisionError"),
        (OSError(28, "No space left on device"), BrokenImage, "It cannot be decoded: OSError"),
    ],
)
def test_what_a_decoder_raises_is_a_refusal_and_no_end(monkeypatch, error, answer, says):
    with running(monkeypatch, raising(error)) as decoded:
        for _ in range(2):
            with pytest.raises(answer, match=says):
                decoded(b"photo")


def test_a_picture_larger_than_the_memory_that_is_shared_is_a_refusal(monkeypatch, cat_image):
    large = decode.decode(encoded(cat_image.resize((1000, 1000)), "PNG"))
    with running(monkeypatch, lambda *_: large) as decoded, pytest.raises(BrokenImage, match="cannot be decoded"):
        decoded(b"photo")


def test_without_pi_heif_it_begins_all_the_same(monkeypatch):
    monkeypatch.setitem(sys.modules, "_pi_heif", None)
    with running(monkeypatch) as decoded:
        assert decoded.begun == b"confined"
