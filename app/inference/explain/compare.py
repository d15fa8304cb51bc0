"""A photo's bytes come in; every network's probabilities for each of its guises go out."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from app.inference.cage.photos import decode
from app.inference.decode import MAX_PIXELS, OVERSAMPLING, Photo
from app.inference.explain.guises import GUISES
from app.inference.networks.engines.network import Network
from app.inference.predict import read
from app.inference.tensor import to_tensor

MAX_SIDE = 1216
"""Pixels on the longer side of the disguised photo, four times the largest network's input. Larger photos are reduced first,
so that twelve guises of a phone's photo take no longer than those of a small one."""

THUMBNAIL_SIDE = 120
"""Pixels on the longer side of a guise's picture."""


@dataclass(frozen=True)
class GuiseResult:
    """A guise's name, a thumbnail, and by network name the class probabilities and `ForwardPass.distance`."""

    name: str
    thumbnail: Image.Image
    probabilities: dict[str, dict[str, float]]
    distances: dict[str, float | None]


def compare(
    data: bytes,
    networks: Mapping[str, Network],
    max_pixels: int = MAX_PIXELS,
    originals: Mapping[str, np.ndarray] | None = None,
) -> tuple[Photo, list[GuiseResult]]:
    """Run every network on every guise of a photo. The original takes exactly the path of `predict`; `originals` are the
    tensors that it gives, by the keys of `networks`, where somebody has them already.

    Raises what `decode` raises.
    """
    known = originals or {}
    photo = decode(data, max_pixels, int(MAX_SIDE / OVERSAMPLING))
    reduced = photo.image
    reduced.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BOX)
    results = []
    for name, guise in GUISES.items():
        image = guise(reduced)
        probabilities, distances = {}, {}
        for key, network in networks.items():
            height, width, _ = network.contract.input_shape
            if name != "original":
                tensor = to_tensor(image, height, width)
            else:
                tensor = known[key] if key in known else read(data, network, max_pixels)[1]
            result = network.run(tensor)
            probabilities[network.contract.network] = network.contract.by_class(result.probabilities)
            distances[network.contract.network] = result.distance
        small = image.copy()
        small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX)
        results.append(GuiseResult(name, small, probabilities, distances))
    return photo, results
