"""The ID of the request being answered."""

import contextvars
import re
import secrets

ID = "X-Request-ID"


request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")
"""The ID of the request being answered; the worker threads see it too."""


VALID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


def new_id() -> str:
    """An ID for a request whose client sent none: 16 hexadecimal digits."""
    return secrets.token_hex(8)
