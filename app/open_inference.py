"""The Open Inference Protocol's bytes: a request comes in and becomes arrays, named arrays become an answer.

The protocol is that of KServe and Triton (github.com/kserve/open-inference-protocol). A tensor's numbers stand in the JSON,
or, with the binary tensor data extension, behind it, little-endian and row after row; the header
Inference-Header-Content-Length then says where the JSON ends.
"""

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic_core import from_json

from app.errors import InvalidRequest

INPUT = "image"
MOST_PHOTOS = 32
HEADER_LENGTH = "Inference-Header-Content-Length"
EXTENSIONS = ["binary_tensor_data"]


@dataclass(frozen=True)
class Asked:
    """One request: the photos, (n, height, width, 3) float32; which outputs, by name, all when it names none; and for each
    of them whether its numbers go behind the JSON. `id` is answered as it came.
    """

    photos: np.ndarray
    outputs: dict[str, bool]
    binary: bool
    id: str | None


def read(body: bytes, header_length: str | None, shape: tuple[int, int, int]) -> Asked:
    """Read a request for a network that takes photos of `shape`.

    Raises InvalidRequest for whatever does not fit, with what was received and what is accepted.
    """
    end = len(body)
    if header_length is not None:
        if not header_length.isdecimal() or int(header_length) > len(body):
            raise InvalidRequest(f"{HEADER_LENGTH} is {header_length[:20]!r}; the body has {len(body)} bytes.")
        end = int(header_length)
    try:
        plain = from_json(body[:end])
    except ValueError as error:
        raise InvalidRequest(f"The request is not JSON: {str(error)[:100]}.") from error
    inputs = plain.get("inputs") if isinstance(plain, dict) else None
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise InvalidRequest(f"`inputs` must hold one tensor, named {INPUT}.")
    photos = _tensor(inputs[0], body[end:], shape)
    parameters = _object(plain.get("parameters"), "parameters")
    binary = parameters.get("binary_data_output") is True
    outputs = {}
    asked = plain.get("outputs")
    if asked is not None and not isinstance(asked, list):
        raise InvalidRequest("`outputs` must be a list.")
    for wanted in asked or []:
        if not isinstance(wanted, dict) or not isinstance(wanted.get("name"), str):
            raise InvalidRequest("Each of `outputs` must have a `name`.")
        told = _object(wanted.get("parameters"), "parameters").get("binary_data", binary)
        outputs[wanted["name"]] = told is True
    identity = plain.get("id")
    if identity is not None and not isinstance(identity, str):
        raise InvalidRequest("`id` must be a string.")
    return Asked(photos, outputs, binary, identity)


def _object(found: Any, name: str) -> dict[str, Any]:
    if found is not None and not isinstance(found, dict):
        raise InvalidRequest(f"`{name}` must be an object.")
    return found or {}


def _tensor(plain: dict[str, Any], behind: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    accepted = f"accepted is {INPUT}, FP32, [n, {shape[0]}, {shape[1]}, 3] with n from 1 to {MOST_PHOTOS}, values 0..255"
    name, kind, given = plain.get("name"), plain.get("datatype"), plain.get("shape")
    sizes = list(given) if isinstance(given, list) and all(type(size) is int for size in given) else []
    if name != INPUT or kind != "FP32" or sizes[1:] != list(shape) or not 1 <= sizes[0] <= MOST_PHOTOS:
        raise InvalidRequest(f"The tensor is {str(name)[:40]}, {str(kind)[:20]}, {str(given)[:60]}; {accepted}.")
    count = math.prod(sizes)
    binary = _object(plain.get("parameters"), "parameters").get("binary_data_size")
    if binary is not None:
        if binary != 4 * count or len(behind) != 4 * count:
            raise InvalidRequest(f"The tensor's {len(behind)} bytes behind the JSON are not the {4 * count} of its shape.")
        values = np.frombuffer(behind, "<f4")
    else:
        try:
            if not isinstance(plain.get("data"), list):
                raise TypeError("no list")
            with np.errstate(over="ignore"):  # infinity is found below
                values = np.asarray(plain["data"], np.float32).reshape(-1)
        except (ValueError, TypeError, OverflowError) as error:
            raise InvalidRequest("The tensor's `data` are not numbers in a regular order.") from error
        if values.size != count:
            raise InvalidRequest(f"The tensor's `data` are {values.size} numbers, not the {count} of its shape.")
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 255:
        raise InvalidRequest(f"Some values lie outside of 0..255; {accepted}.")
    return values.reshape(sizes)


def write(network: str, version: str, asked: Asked, outputs: dict[str, np.ndarray]) -> tuple[bytes, int | None]:
    """The answer's body, and how many bytes of it are JSON when numbers stand behind it (otherwise None).

    `outputs` are float32 arrays by name, the photos first.
    """
    described, behind = [], []
    for name, values in outputs.items():
        tensor: dict[str, Any] = {"name": name, "datatype": "FP32", "shape": list(values.shape)}
        if asked.outputs.get(name, asked.binary):
            data = np.ascontiguousarray(values, "<f4").tobytes()
            tensor["parameters"] = {"binary_data_size": len(data)}
            behind.append(data)
        else:
            tensor["data"] = values.reshape(-1).tolist()
        described.append(tensor)
    answer: dict[str, Any] = {"model_name": network, "model_version": version, "outputs": described}
    if asked.id is not None:
        answer["id"] = asked.id
    head = json.dumps(answer).encode()
    return b"".join((head, *behind)), len(head) if behind else None
