"""Photos as files inside of other formats: base64, or a BYTES tensor of the Open Inference Protocol, comes in; bytes go out.

In a tensor's JSON each element is a photo in base64. Behind the JSON each is preceded by its length, four bytes
little-endian, as in Triton's binary tensor data extension.
"""

import base64
import binascii
import re
from typing import Any

from app.errors import InvalidRequest

INPUT = "photo"
PREFIX = 4
"""Bytes of the length before each element."""


_DATA_URI = re.compile(r"\s*data:[^,]{0,200};base64,", re.IGNORECASE)
_SPACE = re.compile(r"[ \t\r\n]+")


def base64_bytes(text: str, what: str) -> bytes:
    """Decode base64, standard or URL-safe, with or without padding, line ends (MIME) and a data URI before it.

    Raises InvalidRequest, with `what` as the subject of its sentence, for anything else.
    """
    start = _DATA_URI.match(text)
    plain = _SPACE.sub("", text[start.end() :] if start else text).rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(f"{what} is not base64.") from error


def read(plain: dict[str, Any], behind: bytes, binary_size: Any, most: int) -> list[bytes]:
    """The photos of the tensor `plain`, whose shape is [n] or [n, 1] with n from 1 to `most`.

    `behind` are the bytes behind the JSON, `binary_size` their announced length, None where the photos are in the JSON.
    Raises InvalidRequest for anything else.
    """
    accepted = f"accepted is {INPUT}, BYTES, [n] with n from 1 to {most}, each a photo's file"
    kind, shape = plain.get("datatype"), plain.get("shape")
    sizes = list(shape) if isinstance(shape, list) and all(type(size) is int for size in shape) else []
    if kind != "BYTES" or sizes[1:] not in ([], [1]) or not sizes or not 1 <= sizes[0] <= most:
        raise InvalidRequest(f"The tensor is {INPUT}, {str(kind)[:20]}, {str(shape)[:60]}; {accepted}.")
    if binary_size is not None:
        if binary_size != len(behind):
            raise InvalidRequest(
                f"The tensor's {len(behind)} bytes behind the JSON are not the {str(binary_size)[:20]} announced."
            )
        photos = _split(behind, sizes[0])
    else:
        data = plain.get("data")
        if isinstance(data, list) and sizes[1:] and all(isinstance(row, list) for row in data):
            data = [element for row in data for element in row]
        if not isinstance(data, list) or not all(isinstance(element, str) for element in data):
            raise InvalidRequest("The tensor's `data` must be a list of photos in base64.")
        photos = [base64_bytes(element, "An element of the tensor's `data`") for element in data]
    if len(photos) != sizes[0]:
        raise InvalidRequest(f"The tensor holds {len(photos)} photos, not the {sizes[0]} of its shape.")
    return photos


def _split(behind: bytes, most: int) -> list[bytes]:
    """The elements behind the JSON, at most one more than `most`."""
    photos: list[bytes] = []
    at = 0
    while at < len(behind) and len(photos) <= most:
        end = at + PREFIX + int.from_bytes(behind[at : at + PREFIX], "little")
        if at + PREFIX > len(behind) or end > len(behind):
            raise InvalidRequest("An element behind the JSON ends early; each is preceded by its length in four bytes.")
        photos.append(behind[at + PREFIX : end])
        at = end
    return photos
