"""The files of photos come in, class by class; what a network sees in each goes out."""

import hashlib
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from app.ahead import in_order
from app.errors import InvalidRequest, RequestError
from app.inference.cage.photos import decode
from app.inference.networks.engines.network import Network
from app.inference.networks.onnx.other_classes import LAST
from app.inference.tensor import to_tensor
from app.teach.alike import fingerprint

Eyes = Callable[[np.ndarray], np.ndarray]
"""What a twin in integers sees, as `Seen.integers` has it, in the network's input; see app.teach.twin."""

FEWEST_CLASSES, MOST_CLASSES = 2, 20
FEWEST, ENOUGH, MOST = 5, 20, 1000
"""Photos of a class: so many are needed, from so many on they prove something, and more are refused."""

MOST_TOGETHER = 5000
"""Photos of all classes; more would take minutes, and gigabytes."""

MOST_COMPARED = 500
"""Photos that integers see, too, so that their answers can be compared; of more, about so many are chosen at random."""

LONGEST_NAME = 60
"""Characters of a class's name."""

VERDICTS = ("unsure", "unfamiliar")
"""Beside the classes, and so no names of any."""


@dataclass(frozen=True)
class File:
    """A photo's file: its `name`, for people, and `read`, which returns its bytes or raises OSError or RequestError."""

    name: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Seen:
    """A photo as the network saw it.

    `means` are (2, channels) float32: the mean over all positions of the stage LAST, of the photo and of its mirror image;
    `looks` is its fingerprint, (256,) bool. `integers`, (channels,) float32, is the mean of the photo as the network's twin
    in integers saw it, None if that did not look.
    """

    name: str
    label: int
    sha256: str
    looks: np.ndarray
    means: np.ndarray
    integers: np.ndarray | None = None


@dataclass(frozen=True)
class Skipped:
    """A photo that is not used, and why, as a sentence."""

    name: str
    why: str


def check(classes: Mapping[str, Sequence[object]]) -> None:
    """Raise InvalidRequest for too few or too many classes or photos of one, and for a name that cannot be a class's."""
    if not FEWEST_CLASSES <= len(classes) <= MOST_CLASSES:
        raise InvalidRequest(
            f"There are {len(classes)} classes ({_listed(classes)}); from {FEWEST_CLASSES} to {MOST_CLASSES} can be taught."
        )
    seen: dict[str, str] = {}
    for name, files in classes.items():
        plain = check_name(name)
        if plain in seen:
            raise InvalidRequest(f"The classes {seen[plain]!r} and {name!r} have one name.")
        seen[plain] = name
        if not FEWEST <= len(files) <= MOST:
            raise InvalidRequest(f"Class {name} has {len(files)} photos; from {FEWEST} to {MOST} of each are needed.")
    if (together := sum(map(len, classes.values()))) > MOST_TOGETHER:
        raise InvalidRequest(f"There are {together} photos; at most {MOST_TOGETHER} can be taught at once.")


def check_name(name: str) -> str:
    """A class's name, made the same for names that people would confuse. Raises InvalidRequest for what cannot be one."""
    plain = name.strip().casefold()
    if not plain or len(name) > LONGEST_NAME or not name.isprintable() or plain in VERDICTS:
        raise InvalidRequest(
            f"{name[:80]!r} cannot be a class's name, which has 1 to {LONGEST_NAME} printable characters and is not "
            f"{' or '.join(VERDICTS)}."
        )
    return plain


def look(
    classes: Mapping[str, Sequence[File]], network: Network, max_pixels: int, threads: int, integers: Eyes | None = None
) -> Generator[Seen | Skipped]:
    """Each photo in turn, as the network sees it, and those of `compared` as its twin, `integers`, does; photos that cannot
    be read are skipped. It is to be closed, see `in_order`.
    """
    together = [(label, file) for label, files in enumerate(classes.values()) for file in files]

    def one(label: int, file: File) -> Seen | Skipped:
        try:
            return see(file.read(), file.name, label, network, max_pixels, integers, len(together))
        except RequestError as error:
            return Skipped(file.name, str(error))
        except OSError as error:
            return Skipped(file.name, f"The file cannot be read: {error.strerror or error}.")

    return in_order(lambda photo: one(*photo), together, threads)


def see(data: bytes, name: str, label: int, network: Network, max_pixels: int, integers: Eyes | None, together: int) -> Seen:
    """A photo's bytes, and its mirror image, as the network sees them; the photo is one of so many `together`. Raises what
    `decode` raises.
    """
    looks, both = views(data, network, max_pixels)
    means = np.stack([network.run(view, [LAST]).stages[LAST].mean(axis=(0, 1), dtype=np.float32) for view in both])
    sha256 = hashlib.sha256(data).hexdigest()
    return Seen(name, label, sha256, looks, means, integers(both[0]) if integers and compared(sha256, together) else None)


def compared(sha256: str, together: int) -> bool:
    """Whether integers look at this photo, of so many: the same ones always, in any order."""
    return int(sha256[-8:], 16) * together < MOST_COMPARED * 16**8


def views(data: bytes, network: Network, max_pixels: int) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """A photo's fingerprint, (256,) bool, and the network's inputs of it and of its mirror image.

    Raises what `decode` raises.
    """
    height, width, _ = network.contract.input_shape
    image = decode(data, max_pixels, max(height, width)).image
    tensor = to_tensor(image, height, width)
    return fingerprint(image), (tensor, np.ascontiguousarray(tensor[:, :, ::-1]))


def _listed(names: Mapping[str, object]) -> str:
    shown = [name[:LONGEST_NAME] for name in names][: MOST_CLASSES + 1]
    return ", ".join(shown) or "none"
