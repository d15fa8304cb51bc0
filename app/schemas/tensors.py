"""The Open Inference Protocol: a request becomes arrays, named arrays become an answer.

The protocol is that of KServe and Triton (github.com/kserve/open-inference-protocol). A tensor's values are in the JSON,
or, with the binary tensor data extension, after it, little-endian and row by row; the header
Inference-Header-Content-Length then gives the length of the JSON.
"""

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic_core import from_json

from app.errors import InvalidRequest
from app.schemas import encoded

INPUT = "image"
MAX_PHOTOS = 32
HEADER_LENGTH = "Inference-Header-Content-Length"
EXTENSIONS = ["binary_tensor_data"]

REQUEST_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["inputs"],
                    "properties": {
                        "id": {"type": ["string", "null"]},
                        "inputs": {"type": "array", "minItems": 1, "maxItems": 1, "items": {"type": "object"}},
                        "outputs": {"type": ["array", "null"], "items": {"type": "object"}},
                        "parameters": {"type": ["object", "null"]},
                    },
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


@dataclass(frozen=True)
class InferenceRequest:
    """One request: the photos, (n, height, width, 3) float32, or encoded, n files; `outputs`, by name (none means all), each
    with whether its values follow the JSON in binary; `binary`, the default for outputs; and `id`, which the answer repeats.
    """

    photos: np.ndarray | list[bytes]
    outputs: dict[str, bool]
    binary: bool
    id: str | None


def read(body: bytes, header_length: str | None, shape: tuple[int, int, int]) -> InferenceRequest:
    """Read a request for a network that takes photos of `shape`.

    Raises InvalidRequest for anything else, with what was received and what is accepted.
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
        raise InvalidRequest(f"`inputs` must hold one tensor, named {INPUT} or {encoded.INPUT}.")
    photos = _photos(inputs[0], body[end:], shape)
    parameters = _object(plain.get("parameters"), "parameters")
    binary = parameters.get("binary_data_output") is True
    outputs = {}
    requested = plain.get("outputs")
    if requested is not None and not isinstance(requested, list):
        raise InvalidRequest("`outputs` must be a list.")
    for output in requested or []:
        if not isinstance(output, dict) or not isinstance(output.get("name"), str):
            raise InvalidRequest("Each of `outputs` must have a `name`.")
        output_binary = _object(output.get("parameters"), "parameters").get("binary_data", binary)
        outputs[output["name"]] = output_binary is True
    identity = plain.get("id")
    if identity is not None and not isinstance(identity, str):
        raise InvalidRequest("`id` must be a string.")
    return InferenceRequest(photos, outputs, binary, identity)


def _object(value: Any, name: str) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise InvalidRequest(f"`{name}` must be an object.")
    return value or {}


def _photos(plain: dict[str, Any], behind: bytes, shape: tuple[int, int, int]) -> np.ndarray | list[bytes]:
    if plain.get("name") != encoded.INPUT:
        return _tensor(plain, behind, shape)
    return encoded.read(plain, behind, _object(plain.get("parameters"), "parameters").get("binary_data_size"), MAX_PHOTOS)


def _tensor(plain: dict[str, Any], behind: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    accepted = f"accepted is {INPUT}, FP32, [n, {shape[0]}, {shape[1]}, 3] with n from 1 to {MAX_PHOTOS}, values 0..255"
    name, kind, given = plain.get("name"), plain.get("datatype"), plain.get("shape")
    sizes = list(given) if isinstance(given, list) and all(type(size) is int for size in given) else []
    if name != INPUT or kind != "FP32" or sizes[1:] != list(shape) or not 1 <= sizes[0] <= MAX_PHOTOS:
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
            with np.errstate(over="ignore"):  # infinity is rejected below
                values = np.asarray(plain["data"], np.float32).reshape(-1)
        except (ValueError, TypeError, OverflowError) as error:
            raise InvalidRequest("The tensor's `data` are not numbers in a regular order.") from error
        if values.size != count:
            raise InvalidRequest(f"The tensor's `data` are {values.size} numbers, not the {count} of its shape.")
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 255:
        raise InvalidRequest(f"Some values lie outside of 0..255; {accepted}.")
    return values.reshape(sizes)


def write(network: str, version: str, request: InferenceRequest, outputs: dict[str, np.ndarray]) -> tuple[bytes, int | None]:
    """The answer's body, and the length of its JSON in bytes if binary values follow (otherwise None).

    `outputs` are float32 arrays by name, the photos first.
    """
    described, behind = [], []
    for name, values in outputs.items():
        tensor: dict[str, Any] = {"name": name, "datatype": "FP32", "shape": list(values.shape)}
        if request.outputs.get(name, request.binary):
            data = np.ascontiguousarray(values, "<f4").tobytes()
            tensor["parameters"] = {"binary_data_size": len(data)}
            behind.append(data)
        else:
            tensor["data"] = values.reshape(-1).tolist()
        described.append(tensor)
    answer: dict[str, Any] = {"model_name": network, "model_version": version, "outputs": described}
    if request.id is not None:
        answer["id"] = request.id
    head = json.dumps(answer).encode()
    return b"".join((head, *behind)), len(head) if behind else None
