"""Which photos are decoded in a cage and which here, as the operator has chosen, and what the operator is told."""

import hashlib
import socket
import sys

import pytest

from app.errors import BrokenImage, Overloaded, TooLarge
from app.inference import decode
from app.inference.cage import photos
from app.inference.cage.messages import Decoded
from app.settings import bare
from tests.conftest import encoded

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="there are cages on Linux alone"),
    pytest.mark.usefixtures("restored"),
]


class Inside:
    """In a cage's place: it decodes here, and knows the formats of the photos that it was given."""

    seconds = 30.0

    def __init__(self):
        self.decoded: list[str] = []
        self.closed = False

    def decode(self, data: bytes, max_pixels: int, side: int | None) -> Decoded:
        photo = decode.decode(data, max_pixels, side)
        self.decoded.append(photo.format)
        return Decoded(photo.image, photo.width, photo.height, photo.format, photo.animated)

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("formats", "inside"), [("none", []), ("rare", ["TIFF", "AVIF"]), ("all", ["PNG", "TIFF", "AVIF", "GIF"])]
)
def test_the_formats_that_were_chosen_are_decoded_in_a_cage(cat_image, formats, inside):
    photos.prepare(formats, 30, bare())
    cage = Inside()
    photos.use(cage)
    for kind in ("PNG", "TIFF", "AVIF", "GIF"):
        assert photos.decode(encoded(cat_image, kind)).format == kind
    assert cage.decoded == inside


def known(photo: decode.Photo) -> dict[str, object]:
    return vars(photo) | {"image": (photo.image.size, photo.image.tobytes())}


@pytest.mark.parametrize("formats", ["none", "all"])
@pytest.mark.parametrize("side", [None, 50])
def test_what_is_known_of_a_photo_is_the_same_wherever_it_is_decoded(cat_image, formats, side):
    photos.prepare(formats, 30, bare())
    photos.use(Inside())
    moving = encoded(cat_image, "GIF", save_all=True, append_images=[cat_image.rotate(90)])
    for data in (encoded(cat_image, "JPEG"), moving):
        photo = photos.decode(data, 1_000_000, side)
        assert known(photo) == known(decode.decode(data, 1_000_000, side))
        assert (photo.size, photo.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        with pytest.raises(TooLarge, match="at most 100 "):
            photos.decode(data, 100, side)


@pytest.mark.promise("P68")
def test_a_system_without_cages_says_so(cat_image, caplog, monkeypatch):
    cage = Inside()
    photos.use(cage)
    monkeypatch.setattr(photos, "possible", lambda: "there is none for it")
    photos.prepare("rare")
    assert caplog.messages == [
        "photos are decoded in the service's own process, where a bug in a parser can end it: there is none for it"
    ]
    assert cage.closed
    assert photos.decode(encoded(cat_image, "TIFF")).format == "TIFF"
    assert cage.decoded == []


def test_a_system_without_cages_needs_to_say_nothing_where_none_is_wanted(caplog, monkeypatch):
    monkeypatch.setattr(photos, "possible", lambda: "there is none for it")
    photos.prepare()
    photos.prepare("none")
    assert caplog.messages == []


def test_a_cage_is_kept_until_another_time_is_asked_for(cat_image):
    first = Inside()
    photos.use(first)
    photos.prepare("rare", 30, bare())
    photos.decode(encoded(cat_image, "TIFF"))
    assert (first.decoded, first.closed) == (["TIFF"], False), "a reload keeps it"
    photos.prepare("rare", 7, bare())
    assert first.closed
    assert photos._cage.seconds == 7
    second = Inside()
    photos.use(second)
    photos.prepare("none", 30)
    assert second.closed


def test_a_process_begins_in_the_environment_that_was_given(cat_image):
    photos.prepare("rare", 30, {"PYTHONHOME": "/nowhere"})  # there, Python does not
    with pytest.raises(Overloaded, match="No process can be started"):
        photos.decode(encoded(cat_image, "TIFF"))


def test_a_lost_process_is_told(cat_image):
    lost: list[None] = []
    photos.prepare("rare", 30, bare(), lambda: lost.append(None))
    photo = encoded(cat_image, "TIFF")
    assert photos.decode(photo).format == "TIFF"
    assert lost == []
    photos._cage._idle[0]._talk.shutdown(socket.SHUT_RD)
    with pytest.raises(BrokenImage, match="crashed"):
        photos.decode(photo)
    assert lost == [None]
