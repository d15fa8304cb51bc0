"""How many validation photos are right comes in; whether a network has learned anything goes out."""

from typing import Any

import numpy as np

from app.teach.figures import share
from training.errors import Guessing


def validated(right: int, labels: np.ndarray) -> dict[str, Any]:
    """The accuracy on photos of the true classes `labels` (n,), of which so many are right, with its 95 % interval, and what
    answering the most frequent class would give.
    """
    figure = share(right, len(labels))
    assert figure is not None
    guess = round(float(np.bincount(labels).max() / len(labels)), 4)
    return {"photos": len(labels), "accuracy": figure.value, "low": figure.low, "high": figure.high, "guess": guess}


def check(history: dict[str, Any]) -> None:
    """Raise Guessing if the network that was written may be no better than always answering the most frequent class."""
    known = history["validation"]
    if known["low"] <= known["guess"]:
        raise Guessing(
            f"THE NETWORK MAY BE GUESSING: {known['accuracy']:.3f} of {known['photos']} validation photos are right "
            f"({known['low']:.3f} to {known['high']:.3f}), and one answer for all of them would get {known['guess']:.3f}; "
            "it was written, but needs more photos, or --network cat with --classes"
        )
