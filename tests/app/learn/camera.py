"""A camera whose photos are so blurred that the network cat misses the cats in them; and corrections of what it said."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from app.corrections.records import Correction, new_id
from app.corrections.store import Store, open_store
from app.settings import Settings
from tests.conftest import CHELSEA, ROOT, encoded

CAT = ROOT / "model" / "cat"


def photos(count: int, seed: int = 0) -> list[bytes]:
    """Blurred crops of Chelsea the cat."""
    whole, random = Image.open(CHELSEA).convert("RGB"), np.random.default_rng(seed)
    made = []
    for _ in range(count):
        side = int(random.integers(120, 260))
        x, y = int(random.integers(0, whole.width - side)), int(random.integers(0, whole.height - side))
        made.append(encoded(whole.crop((x, y, x + side, y + side)).filter(ImageFilter.GaussianBlur(12)), "PNG"))
    return made


def corrected(photo: bytes, label: str, network: str = "cat") -> Correction:
    time = datetime.now(UTC)
    return Correction(
        id=new_id(time),
        kind="corrected",
        sha256=hashlib.sha256(photo).hexdigest(),
        label=label,
        network=network,
        version="2.0.0",
        verdict="not_cat",
        probabilities={"cat": 0.2, "not_cat": 0.8},
        time=time,
        source="command",
    )


def store_of(folder: Path, shown: list[bytes], label: str) -> Store:
    """A store in `folder` that keeps these photos, corrected to that label."""
    store = open_store(Settings(store=folder))
    for photo in shown:
        store.add(corrected(photo, label), photo)
    return store
