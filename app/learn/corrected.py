"""A network's corrections come in; what it sees in their photos goes out, those to learn from and those held out."""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from app.ahead import in_order
from app.corrections.records import Correction
from app.errors import RequestError
from app.inference.networks.engines.network import Network
from app.learn.attention import attended
from app.teach.alike import alike
from app.teach.photos import Eyes, Skipped, compared, views

FEWEST = 10
"""Corrections that are needed to learn from them."""

MOST = 5000
"""Of more corrections, the latest are taken; more would take minutes."""

HELD_OUT = 0.25
"""Share of the corrections that a new version does not learn from, so that they can say whether it is better."""

FEWEST_HELD_OUT = 3


@dataclass(frozen=True)
class Look:
    """A corrected photo as the network sees it, and its mirror image.

    `label` is the right class's index, `looks` its fingerprint, (256,) bool; `seen` are (2, channels) float32, what it
    attends to, and `scores` (2, classes) float32. `integers` is as in app.teach.photos.Seen.
    """

    sha256: str
    label: int
    looks: np.ndarray
    seen: np.ndarray
    scores: np.ndarray
    integers: np.ndarray | None = None


def look(
    corrections: Sequence[Correction],
    photo: Callable[[str], bytes],
    network: Network,
    max_pixels: int,
    threads: int,
    integers: Eyes | None = None,
) -> Generator[Look | Skipped]:
    """Each correction in turn; one that cannot be used is skipped. `photo` has the bytes of the photo of a SHA-256, and
    `integers` are those of the network's twin, which looks at some of the photos. It is to be closed, see `in_order`.
    """
    classes, together = network.contract.classes, len(corrections)

    def one(correction: Correction) -> Look | Skipped:
        name = f"{correction.sha256[:12]} ({correction.label})"
        if correction.label not in classes:
            return Skipped(name, f"{correction.label} is no class of {network.contract.network}.")
        twin = integers if compared(correction.sha256, together) else None
        try:
            data = photo(correction.sha256)
            return see(data, correction.sha256, classes.index(correction.label), network, max_pixels, twin)
        except RequestError as error:
            return Skipped(name, str(error))

    return in_order(one, corrections, threads)


def see(data: bytes, sha256: str, label: int, network: Network, max_pixels: int, integers: Eyes | None = None) -> Look:
    """A photo's bytes, and its mirror image, as the network sees them, and the photo as `integers` do. Raises what `decode`
    raises.
    """
    looks, both = views(data, network, max_pixels)
    seen, scores = zip(*(attended(network, view) for view in both), strict=True)
    return Look(sha256, label, looks, np.stack(seen), np.stack(scores), integers(both[0]) if integers else None)


def usable(looked_at: Iterable[Look | Skipped]) -> tuple[list[Look], list[Skipped]]:
    """The photos to use, in the order of their digests, and the others."""
    both = list(looked_at)
    skipped = [photo for photo in both if isinstance(photo, Skipped)]
    return sorted((photo for photo in both if isinstance(photo, Look)), key=lambda photo: photo.sha256), skipped


def split(photos: Sequence[Look]) -> tuple[list[Look], list[Look]]:
    """The photos to learn from, and those held out: about a quarter, always the same, as their digests say.

    Photos that look alike go the same way, by the lowest of their digests.
    """
    groups = alike(np.stack([photo.looks for photo in photos]))
    first: dict[int, str] = {}
    for photo, group in zip(photos, groups, strict=True):
        first[group] = min(photo.sha256, first.get(group, photo.sha256))
    by_digest = sorted(first, key=lambda group: first[group])
    chosen = {group for number, group in enumerate(by_digest) if number < FEWEST_HELD_OUT or _place(first[group]) < HELD_OUT}
    learn = [photo for photo, group in zip(photos, groups, strict=True) if group not in chosen]
    return learn, [photo for photo, group in zip(photos, groups, strict=True) if group in chosen]


def _place(digest: str) -> float:
    """From 0 to 1, by the SHA-256 of a photo's bytes in hex."""
    return int(digest[:8], 16) / 16**8
