"""POST /classify as Hugging Face's clients use it: what the body may be, and the shape of the answer."""

from typing import Any

from pydantic import BaseModel, Field
from pydantic_core import from_json

from app.errors import InvalidRequest
from app.schemas import form
from app.schemas.encoded import base64_bytes
from app.schemas.names import check_names

PARAMETERS = ("top_k", "function_to_apply")
"""Those of Hugging Face's image classification."""

REQUEST_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/octet-stream": {"schema": form.BINARY},
            "image/jpeg": {"schema": form.BINARY},
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["inputs"],
                    "properties": {
                        "inputs": {"type": "string", "format": "byte", "description": "The photo in base64"},
                        "parameters": {
                            "type": ["object", "null"],
                            "properties": {
                                "top_k": {"type": ["integer", "null"], "minimum": 1},
                                "function_to_apply": {"enum": ["softmax", None]},
                            },
                            "additionalProperties": False,
                        },
                    },
                }
            },
        },
    }
}


class LabelScore(BaseModel):
    """One label and how likely it is."""

    label: str = Field(examples=["cat"])
    score: float = Field(ge=0, le=1, examples=[0.98])


def read_json(body: bytes | bytearray) -> tuple[bytes, int | None]:
    """The photo, and the number of labels to answer, from a JSON body. Raises InvalidRequest for anything else."""
    try:
        plain = from_json(bytes(body))
    except ValueError as error:
        raise InvalidRequest(f"The body is not JSON: {str(error)[:100]}.") from error
    text = plain.get("inputs") if isinstance(plain, dict) else None
    if not isinstance(text, str):
        raise InvalidRequest("The body must be an object whose `inputs` is a photo in base64.")
    data = base64_bytes(text, "`inputs`")
    parameters = plain.get("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        raise InvalidRequest("`parameters` must be an object.")
    check_names(parameters or {}, PARAMETERS, "parameter")
    function = (parameters or {}).get("function_to_apply")
    if function not in (None, "softmax"):
        raise InvalidRequest(f"The parameter function_to_apply is {str(function)[:40]!r}; scores are those of a softmax.")
    top_k = (parameters or {}).get("top_k")
    if top_k is not None and (type(top_k) is not int or top_k < 1):
        raise InvalidRequest(f"The parameter top_k is {str(top_k)[:40]}; accepted are whole numbers from 1.")
    return data, top_k
