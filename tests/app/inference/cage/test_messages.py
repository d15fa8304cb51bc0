"""What comes out of a cage is not believed."""

import pytest

from app.errors import BrokenImage
from app.inference.cage import messages
from app.inference.cage.messages import NoSense
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
