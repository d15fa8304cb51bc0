"""Photos come in; which of them look alike goes out."""

import numpy as np
from PIL import Image

DETAIL = 16
"""Rows and columns of a fingerprint."""

ALIKE = 32
"""Fingerprints that differ in at most so many of their 256 bits are of one photo, resized or compressed anew."""


def fingerprint(image: Image.Image) -> np.ndarray:
    """What a photo looks like, whatever its size and compression: (256,) bool, whether each cell is brighter than the next.

    The difference hash of Krawetz ("Kind of like that", 2013).
    """
    small = image.convert("L").resize((DETAIL + 1, DETAIL), Image.Resampling.LANCZOS)
    cells = np.asarray(small, np.int16)
    return (cells[:, 1:] > cells[:, :-1]).ravel()


def alike(fingerprints: np.ndarray) -> list[int]:
    """For each photo the index of the first that it or its mirror image is like, or its own: `fingerprints` (n, 256) bool.

    What is taught of a photo is taught of its mirror image, too, so that neither may judge the other.

    A photo without any detail, such as one plain colour, looks like no other.
    """
    signs = fingerprints.astype(np.float32) * 2 - 1
    mirrored = -signs.reshape(len(signs), DETAIL, DETAIL)[:, :, ::-1].reshape(signs.shape)
    groups = list(range(len(signs)))
    ones = fingerprints.sum(axis=1)
    detailed = (ones > ALIKE) & (ones < fingerprints.shape[1] - ALIKE)
    for index in range(1, len(signs)):
        likeness = np.maximum(signs[:index] @ signs[index], mirrored[:index] @ signs[index])
        differences = (fingerprints.shape[1] - likeness) / 2
        earlier = np.flatnonzero((differences <= ALIKE) & detailed[:index])
        if detailed[index] and len(earlier):
            groups[index] = groups[earlier[0]]
    return groups
