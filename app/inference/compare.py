"""A photo's bytes come in; what every network says to it in each of its guises goes out."""

from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image

from app.inference.decode import MAX_PIXELS, OVERSAMPLING, Photo, decode
from app.inference.guises import GUISES
from app.inference.network import Network
from app.inference.predict import by_class, read
from app.inference.tensor import to_tensor

LARGEST = 1216
"""Pixels on the longer side of the photo that is disguised, four times the largest network's input: what is larger is
reduced first, so that twelve guises of a phone's photo take no longer than those of a small one."""

THUMBNAIL = 120
"""Pixels on the longer side of a guise's picture."""


@dataclass(frozen=True)
class Guised:
    """A guise by its name, a small picture of it, and each network's class probabilities by the network's name."""

    name: str
    thumbnail: Image.Image
    probabilities: dict[str, dict[str, float]]


def compare(data: bytes, networks: Mapping[str, Network], max_pixels: int = MAX_PIXELS) -> tuple[Photo, list[Guised]]:
    """Ask every network about every guise of a photo. The original is passed as `predict` passes it.

    Raises what `decode` raises.
    """
    photo = decode(data, max_pixels, LARGEST // OVERSAMPLING)
    reduced = photo.image
    reduced.thumbnail((LARGEST, LARGEST), Image.Resampling.BOX)
    guised = []
    for name, guise in GUISES.items():
        image = guise(reduced)
        answers = {}
        for network in networks.values():
            height, width, _ = network.contract.input_shape
            tensor = read(data, network, max_pixels)[1] if name == "original" else to_tensor(image, height, width)
            answers[network.contract.network] = by_class(network, network.run(tensor))
        small = image.copy()
        small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
        guised.append(Guised(name, small, answers))
    return photo, guised
