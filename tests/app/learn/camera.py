"""A camera whose photos are so blurred that the network cat misses the cats in them; and corrections of what it said."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from app.corrections.records import Correction
from app.corrections.store import Store, open_store
from app.settings import Settings
from tests.app.corrections.kept import correction
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
    return correction(photo, label, network, datetime.now(UTC))


def store_of(folder: Path, shown: list[bytes], label: str) -> Store:
    """A store in `folder` that keeps these photos, corrected to that label."""
    store = open_store(Settings(store=folder))
    for photo in shown:
        store.add(corrected(photo, label), photo)
    return store
