"""The answer of POST /feature-maps: raw arrays in NumPy's .npz format, with the probabilities in the headers."""

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from starlette.responses import Response

DESCRIPTION: dict[str, Any] = {
    "description": "One float32 array a stage, [height, width, channels] or [n]; `numpy.load` reads them",
    "content": {"application/x-npz": {"schema": {"type": "string", "format": "binary"}}},
    "headers": {
        "X-Probability-Cat": {
            "description": "The probability of a cat that the same pass gave",
            "schema": {"type": "number", "minimum": 0, "maximum": 1},
            "example": 0.9871,
        },
        "X-Probabilities": {
            "description": "The probabilities of all classes, as a JSON object",
            "schema": {"type": "string"},
            "example": '{"cat": 0.9871, "not_cat": 0.0129}',
        },
        "X-Edits": {
            "description": "How many `edits` the network had; missing where it had none",
            "schema": {"type": "integer"},
            "example": 1,
        },
    },
}
"""For the OpenAPI document."""


def response(stages: Mapping[str, np.ndarray], probabilities: dict[str, float], edits: int = 0) -> Response:
    """One float32 array per stage; the headers give the probabilities of the same pass, and the network's `edits`."""
    arrays: dict[str, Any] = {name: np.ascontiguousarray(values) for name, values in stages.items()}
    out = io.BytesIO()
    np.savez(out, **arrays)
    headers = {"X-Probabilities": json.dumps(probabilities)} | edits_header(edits)
    if "cat" in probabilities:
        headers["X-Probability-Cat"] = repr(probabilities["cat"])
    return Response(out.getvalue(), headers=headers, media_type="application/x-npz")


def edits_header(edits: int) -> dict[str, str]:
    """The header of an answer that is not JSON; none where the network had no edits."""
    return {"X-Edits": str(edits)} if edits else {}
