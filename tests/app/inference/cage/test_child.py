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

SIZE, PIXELS, BUDGET = 2_000_000, 500_000, 1_000_000


@contextmanager
def running(monkeypatch, decoder: child.Decoder = decode.decode, lacks: str = "") -> Iterator[Callable]:
    """Decodes a photo as the process does, with `decoder`; it lacks some of its rights' limits, as `confine` says."""
    memory_file = os.memfd_create("photo")
    os.ftruncate(memory_file, SIZE)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(30)
    budgets: list[int] = []
    ends: list[BaseException | None] = []

    def confine(budget: int) -> str:
        budgets.append(budget)
        return lacks

    def run() -> None:
        try:
            child.main(decoder)
            ends.append(None)
        except BaseException as error:
            ends.append(error)
        finally:
            theirs.shutdown(socket.SHUT_RDWR)  # as the end of a process would

    monkeypatch.setattr(child, "confine", confine)
    monkeypatch.setattr(sys, "argv", ["child", *map(str, (os.dup(theirs.fileno()), memory_file, SIZE, BUDGET))])
    thread = threading.Thread(target=run)
    thread.start()
    with mmap.mmap(memory_file, SIZE) as memory:

        def decoded(data: bytes, side: int | None = None) -> messages.Decoded:
            memory[: len(data)] = data
            ours.send(messages.task(len(data), PIXELS, side))
            return messages.decoded(ours.recv(messages.LARGEST), memory, PIXELS, decode.FORMATS)

        decoded.begun = ours.recv(messages.LARGEST)
        decoded.budgets = budgets
        try:
            yield decoded
        finally:
            ours.close()
            thread.join(30)
            theirs.close()
            os.close(memory_file)
    assert ends == [None], "it ends when nobody talks to it any more"


def raising(error: BaseException) -> child.Decoder:
    def decoder(*_: object) -> decode.Photo:
        raise error

    return decoder


@pytest.mark.parametrize(("lacks", "begun"), [("", b"confined"), ("a filter", b"a filter")])
def test_it_begins_by_saying_what_it_could_not_give_up(monkeypatch, lacks, begun):
    with running(monkeypatch, lacks=lacks) as decoded:
        assert decoded.begun == begun
        assert decoded.budgets == [BUDGET]


def test_it_answers_photo_after_photo_and_refusals_between_them(monkeypatch, cat_image):
    with running(monkeypatch) as decoded:
        for kind in ("PNG", "TIFF"):
            photo = decoded(encoded(cat_image, kind))
            assert (photo.format, photo.image.tobytes()) == (kind, cat_image.tobytes())
            with pytest.raises(UnsupportedImage, match="is PDF"):
                decoded(b"%PDF-1.7")


def test_a_photo_is_made_smaller_where_that_is_asked_for(monkeypatch, cat_image):
    data = encoded(cat_image, "JPEG")
    outside = decode.decode(data, PIXELS, 50)
    with running(monkeypatch) as decoded:
        photo = decoded(data, 50)
        assert (photo.width, photo.height, photo.image.size) == (451, 300, outside.image.size) != (451, 300, (451, 300))
        assert photo.image.tobytes() == outside.image.tobytes()
        assert decoded(data).image.size == (451, 300)


def test_whether_a_photo_moves_is_told(monkeypatch, cat_image):
    moving = encoded(cat_image, "GIF", save_all=True, append_images=[cat_image.rotate(90)])
    with running(monkeypatch) as decoded:
        assert decoded(moving).animated is True
        assert decoded(encoded(cat_image, "GIF")).animated is False


@pytest.mark.parametrize(
    ("error", "answer", "says"),
    [
        (MemoryError(), Overloaded, "Not enough memory for this photo; retry shortly."),
        (ZeroDivisionError(), BrokenImage, "It cannot be decoded: ZeroDivisionError."),
        (OSError(28, "No space left on device"), BrokenImage, "It cannot be decoded: OSError."),
    ],
)
def test_what_a_decoder_raises_is_a_refusal_and_no_end(monkeypatch, error, answer, says):
    with running(monkeypatch, raising(error)) as decoded:
        for _ in range(2):
            with pytest.raises(answer) as refused:
                decoded(b"photo")
            assert str(refused.value) == says


def test_a_picture_larger_than_the_memory_that_is_shared_is_a_refusal(monkeypatch, cat_image):
    large = decode.decode(encoded(cat_image.resize((1000, 1000)), "PNG"))
    with running(monkeypatch, lambda *_: large) as decoded, pytest.raises(BrokenImage, match="cannot be decoded"):
        decoded(b"photo")


def test_without_pi_heif_it_begins_all_the_same(monkeypatch):
    monkeypatch.setitem(sys.modules, "_pi_heif", None)
    with running(monkeypatch) as decoded:
        assert decoded.begun == b"confined"


def test_the_reader_of_heic_is_there_before_no_file_can_be_opened(monkeypatch):
    pytest.importorskip("_pi_heif")
    monkeypatch.delitem(sys.modules, "_pi_heif")
    with running(monkeypatch):
        assert "_pi_heif" in sys.modules
