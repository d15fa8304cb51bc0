"""A network, photos that it learned from, and held-out sets come in; memory.npz beside the network goes out."""

import hashlib
import json
import math
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from app.errors import CatscopeError
from app.inference.decode import decode
from app.inference.networks.contract import Contract
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.tensor import to_tensor
from app.learn.attention import attended
from app.learn.memory import FILE, LEARNED, packed
from training.data.manifest import Photo
from training.errors import TrainingError
from training.outputs import replace
from training.progress import Progress


def drawn(photos: Sequence[Photo], share: float) -> list[Photo]:
    """The same share of the photos of each source and kind, rounded up; the same ones each time."""
    groups: dict[tuple[str, str, int], list[Photo]] = {}
    for photo in photos:
        groups.setdefault((photo.source, photo.kind, photo.label), []).append(photo)
    chosen = []
    for name, members in sorted(groups.items()):
        members.sort(key=lambda photo: photo.path)
        random.Random(str(name)).shuffle(members)  # noqa: S311 - no secret depends on it
        chosen += members[: math.ceil(share * len(members))]
    return chosen


def remember(contract: Contract, learned: Sequence[Photo], held_out: Mapping[str, Sequence[Photo]]) -> Path:
    """Write memory.npz, name it in contract.json, and return its path; photos that cannot be read are left out.

    Raises TrainingError for a network that cannot be run.
    """
    try:
        network = OnnxNetwork(contract)
    except CatscopeError as error:
        raise TrainingError(str(error)) from error
    listed = [(name, photo) for name, photos in {LEARNED: learned, **held_out}.items() for photo in photos]
    sights = _seen(network, [photo for _, photo in listed])
    found = [(name, photo, sight) for (name, photo), sight in zip(listed, sights, strict=True) if sight is not None]
    data = packed(
        network.sha256,
        np.stack([seen for _, _, (seen, _) in found]),
        np.stack([scores for _, _, (_, scores) in found]),
        np.array([photo.label for _, photo, _ in found]),
        [name for name, _, _ in found],
    )
    path = contract.folder / FILE
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    plain = json.loads((contract.folder / "contract.json").read_text())
    plain["files"][FILE] = hashlib.sha256(data).hexdigest()
    os.replace(part, path)
    replace(contract.folder / "contract.json", json.dumps(plain, indent=1) + "\n")
    return path


Sight = tuple[np.ndarray, np.ndarray]
"""What a network sees in a photo, (channels,), and its scores, (classes,)."""


def _seen(network: OnnxNetwork, photos: Sequence[Photo]) -> Iterator[Sight | None]:
    """What the network sees in each photo, in their order; None where one cannot be read."""

    def see(photo: Photo) -> Sight | None:
        try:
            image = decode(photo.path.read_bytes()).image
        except (CatscopeError, OSError):
            return None
        return attended(network, to_tensor(image, *network.contract.input_shape[:2]))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from Progress(len(photos), "looking at photos", "photo").over(pool.map(see, photos))
