"""The option `edits` comes in, JSON in the query or the form; a list of `Edit` goes out."""

from typing import Any

import numpy as np
from pydantic_core import from_json

from app.errors import InvalidRequest
from app.inference.networks.edits import MAX_EDITS, MAX_WEIGHT, Edit
from app.schemas.names import check_names

NAME = "edits"

MEMBERS = ("stage", "channel", "mute", "kernel", "bias")

DESCRIPTION = f"""Changes of the network for this question, JSON, at most {MAX_EDITS}; nothing is stored.
Each names a `stage` and either has `mute: true`, for one `channel` or without it for all, or a `channel` with a `kernel`,
a `bias` or both. A kernel has the shape that `/explain/unit` shows; numbers are finite and at most {MAX_WEIGHT:.0f}.
In the form, as a part of this name, they may be long."""

EXAMPLES: dict[str, Any] = {
    "none": {"summary": "the network as it is", "value": None},
    "channel": {"summary": "mute a channel", "value": '[{"stage": "block1_conv", "channel": 3, "mute": true}]'},
    "stage": {"summary": "mute a whole stage", "value": '[{"stage": "head", "mute": true}]'},
    "bias": {"summary": "another bias", "value": '[{"stage": "scores", "channel": 0, "bias": 1.5}]'},
}
"""Shown by Swagger UI."""


def read(text: str | bytes) -> list[Edit]:
    """The edits in the JSON `text`, in order; whether they fit a network is not checked here.

    Raises InvalidRequest when it is not a list of objects with the members and types above.
    """
    try:
        plain = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidRequest(f"The option {NAME} is not JSON: {str(error)[:200]}.") from error
    if not isinstance(plain, list):
        raise InvalidRequest(f"The option {NAME} is a JSON {_kind(plain)}; it must be a list of edits.")
    if len(plain) > MAX_EDITS:
        raise InvalidRequest(f"There are {len(plain)} edits; at most {MAX_EDITS} are accepted.")
    return [_edit(f"{NAME}[{number}]", one) for number, one in enumerate(plain)]


def _edit(where: str, plain: Any) -> Edit:
    if not isinstance(plain, dict):
        raise InvalidRequest(f"{where} is a JSON {_kind(plain)}; it must be an object.")
    check_names(plain, MEMBERS, f"member of {where}")
    stage, channel, bias = plain.get("stage"), plain.get("channel"), plain.get("bias")
    mute, kernel = plain.get("mute"), plain.get("kernel")
    if not isinstance(stage, str):
        raise InvalidRequest(f"{where}: stage must be the name of a stage.")
    if channel is not None and not (type(channel) is int and 0 <= channel < 2**31):
        raise InvalidRequest(f"{where}: channel must be a whole number, 0 or more.")
    if bias is not None and type(bias) not in (int, float):
        raise InvalidRequest(f"{where}: bias must be a number.")
    if mute is not None and mute is not True:
        raise InvalidRequest(f"{where}: mute can only be true; leave the edit out to leave the channel as it is.")
    if mute and (kernel is not None or bias is not None):
        raise InvalidRequest(f"{where}: it mutes and has a kernel or bias; one excludes the other.")
    if not mute and kernel is None and bias is None:
        raise InvalidRequest(f"{where}: it changes nothing; it must have mute: true, a kernel or a bias.")
    if not mute and channel is None:
        raise InvalidRequest(f"{where}: channel is missing; a kernel and a bias belong to one channel.")
    return Edit(stage, channel, bool(mute), None if kernel is None else _kernel(where, kernel), _finite(where, bias))


def _kernel(where: str, plain: Any) -> np.ndarray:
    try:
        values = np.array(plain)
    except (ValueError, OverflowError):  # lists of different lengths, or too deep
        values = np.array(None)
    if values.dtype.kind not in "if" or not values.ndim:
        raise InvalidRequest(f"{where}: kernel must be lists of numbers, all lists of one level of equal length.")
    return values.astype(np.float64)


def _finite(where: str, number: float | None) -> float | None:
    """A number as a float; whole numbers may be longer than a float."""
    try:
        return None if number is None else float(number)
    except OverflowError:
        raise InvalidRequest(f"{where}: bias has too many digits.") from None


def _kind(plain: Any) -> str:
    kinds = {dict: "object", list: "list", str: "string", bool: "boolean", type(None): "null"}
    return kinds.get(type(plain), "number")
