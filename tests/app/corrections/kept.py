"""Corrections for tests to keep."""

import socket
from datetime import UTC, datetime

from app.corrections.records import CORRECTED, UNSURE, Correction, new_id
from tests.conftest import sha256

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


def correction(
    photo: bytes = b"photo", label: str | None = "cat", network: str = "tutorial", time: datetime = NOON
) -> Correction:
    """What is right of a photo, or, without a label, that it was unsure."""
    return Correction(
        id=new_id(time),
        kind=UNSURE if label is None else CORRECTED,
        sha256=sha256(photo),
        label=label,
        network=network,
        version="1.0.0",
        verdict="unsure",
        probabilities={"cat": 0.5625, "not_cat": 0.4375},
        time=time,
        source="api",
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
