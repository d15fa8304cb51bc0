"""What comes out of a cage is not believed."""

import json

import pytest
from PIL import Image

from app.errors import BrokenImage, Overloaded, TooLarge, UnsupportedImage
from app.inference.cage import messages
from app.inference.cage.messages import Decoded, NoSense
from app.inference.decode import FORMATS


@pytest.mark.promise("P68")
@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"[]",
        b"{}",
        b'{"refused": "SystemExit", "detail": ""}',
        b'{"done": {"width": 1, "height": 1, "format": "PNG", "animated": false, "pixels": [2000, 2000]}}',
        b'{"done": {"width": 1, "height": 1, "format": "PNG", "animated": false, "pixels": [-1, -1]}}',
        b'{"done": {"width": 1, "height": 1, "format": "PNG", "animated": false, "pixels": [1.5, 2]}}',
        b'{"done": {"width": "<b>", "height": 1, "format": "PNG", "animated": false, "pixels": [1, 1]}}',
        b'{"done": {"width": 1, "height": 1, "format": "EXE", "animated": false, "pixels": [1, 1]}}',
        b'{"done": {"width": 1, "height": 1, "format": "PNG", "animated": false, "pixels": [1]}}',
        b"\xff" * 100,
    ],
)
def test_what_no_decoder_says_is_not_believed(message):
    with pytest.raises(NoSense):
        messages.decoded(message, bytes(30), 1_000_000, FORMATS)


def test_a_refusal_is_no_longer_than_a_sentence():
    message = messages.refused(BrokenImage("x" * 100_000))
    assert len(message) < messages.LARGEST
    with pytest.raises(BrokenImage):
        messages.decoded(message, b"", 1, FORMATS)
    with pytest.raises(BrokenImage) as refused:
        messages.decoded(b'{"refused": "BrokenImage", "detail": "%s"}' % (b"y" * 1001), b"", 1, FORMATS)
    assert str(refused.value) == "y" * 1000


@pytest.mark.parametrize("kind", [BrokenImage, Overloaded, TooLarge, UnsupportedImage])
def test_a_refusal_arrives_as_it_was(kind):
    with pytest.raises(kind) as refused:
        messages.decoded(messages.refused(kind("the reason")), b"", 1, FORMATS)
    assert str(refused.value) == "the reason"


@pytest.mark.parametrize("side", [None, 224])
def test_a_task_arrives_as_it_was(side):
    message = messages.task(9, 50, side)
    assert json.loads(message) == {"size": 9, "max_pixels": 50, "side": side}
    assert messages.told(message) == (9, 50, side)


COLOURS = bytes(range(3 * 2 * 3))
"""Of two by three pixels."""


@pytest.mark.parametrize("animated", [True, False])
def test_a_photo_arrives_as_it_was(animated):
    photo = Decoded(Image.frombytes("RGB", (2, 3), COLOURS), 20, 30, "PNG", animated)
    message = messages.done(photo)
    known = {"width": 20, "height": 30, "format": "PNG", "animated": animated, "pixels": [2, 3]}
    assert json.loads(message) == {"done": known}
    arrived = messages.decoded(message, COLOURS + b"left from another photo", 6, FORMATS)
    assert (arrived.width, arrived.height, arrived.format, arrived.animated) == (20, 30, "PNG", animated)
    assert (arrived.image.mode, arrived.image.size, arrived.image.tobytes()) == ("RGB", (2, 3), COLOURS)


def answer(**changed: object) -> bytes:
    known = {"width": 1, "height": 1, "format": "PNG", "animated": False, "pixels": [2, 3]} | changed
    return json.dumps({"done": {name: value for name, value in known.items() if value != "left out"}}).encode()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"pixels": [7, 1]}, "a photo of 7 x 1 pixels"),
        ({"pixels": [3, 3]}, "a photo of 3 x 3 pixels"),
        ({"pixels": [0, 3]}, "a photo of 0 x 3 pixels"),
        ({"pixels": [3, 0]}, "a photo of 3 x 0 pixels"),
        ({"pixels": [-1, -1]}, "a photo of -1 x -1 pixels"),
        ({"pixels": [1.5, 2]}, "a photo of 1.5 x 2 pixels"),
        ({"pixels": [True, 2]}, "a photo of True x 2 pixels"),
        ({"width": 0}, "a photo of 2 x 3 pixels"),
        ({"width": "1"}, "a photo of 2 x 3 pixels"),
        ({"height": -5}, "a photo of 2 x 3 pixels"),
        ({"height": None}, "a photo of 2 x 3 pixels"),
        ({"format": "EXE"}, "a photo in the format 'EXE'"),
        ({"format": []}, "a photo in the format []"),
        ({"width": "left out"}, "'width'"),
        ({"format": "left out"}, "'format'"),
        ({"animated": "left out"}, "'animated'"),
        ({"pixels": [2, 3, 4]}, "too many values to unpack (expected 2)"),
    ],
)
def test_an_answer_is_wrong_in_one_way_and_that_is_told(changed, says):
    assert messages.decoded(answer(), COLOURS, 6, FORMATS).width == 1
    with pytest.raises(NoSense) as nonsense:
        messages.decoded(answer(**changed), COLOURS, 6, FORMATS)
    assert str(nonsense.value) == says


def test_pixels_that_are_not_there_are_none():
    with pytest.raises(NoSense, match="not enough image data"):
        messages.decoded(answer(), COLOURS[:-1], 6, FORMATS)
