"""Folders of photos come in; what exported networks answer to each photo, in each disguise, goes out."""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.errors import CatscopeError
from app.inference.decode import decode
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.tensor import to_tensor
from training.data.dataset import photos
from training.errors import TrainingError
from training.measuring.disguises import DISGUISES
from training.progress import Progress


@dataclass(frozen=True)
class Measured:
    """One network's answers on one set.

    `probabilities` (disguises, n, classes) are in the order of DISGUISES and of the network's classes, `labels` (n,) are
    class indices, `kinds` say what each photo shows, "" where that is not known.
    """

    probabilities: np.ndarray
    labels: np.ndarray
    paths: list[Path]
    kinds: list[str]

    @property
    def cat(self) -> np.ndarray:
        """(disguises, n) probabilities of the first class."""
        return np.asarray(self.probabilities[..., 0])

    @property
    def is_cat(self) -> np.ndarray:
        """(n,) bool: whether the photo shows the first class."""
        return np.asarray(self.labels == 0)


def measure(
    networks: list[OnnxNetwork], folder: Path, name: str, kinds: Mapping[tuple[str, str], str] | None = None
) -> list[Measured]:
    """Let each network answer each photo below `folder` in each disguise; broken photos are reported and left out.

    Args:
        networks: all of the same classes.
        folder: holds a folder for each class, or for some of them.
        name: of the set, for the progress and `kinds`.
        kinds: what photos show, by the set's name and the photo's path below its folder.

    Raises TrainingError for a folder without a photo of any class that can be read.
    """
    files = photos(folder, networks[0].contract.classes, every_class=False)
    rows: list[list[np.ndarray]] = []
    readable: list[tuple[Path, int]] = []
    progress = Progress(len(files), name, "photo")
    answers = progress.over(_answers(networks, [path for path, _ in files]))
    for file, answer in zip(files, answers, strict=True):
        if isinstance(answer, str):
            progress.say(f"skipped {file[0]}: {answer}")
            continue
        rows.append(answer)
        readable.append(file)
    if not readable:
        raise TrainingError(f"no photo below {folder} can be read")
    probabilities = np.array(rows, np.float64)  # photos, networks, disguises, classes
    labels = np.array([label for _, label in readable])
    paths = [path for path, _ in readable]
    shown = [(kinds or {}).get((name, path.relative_to(folder).as_posix()), "") for path in paths]
    return [Measured(probabilities[:, index].swapaxes(0, 1), labels, paths, shown) for index in range(len(networks))]


def pool(parts: list[Measured]) -> Measured:
    """The answers on several sets as those on one."""
    return Measured(
        np.concatenate([part.probabilities for part in parts], axis=1),
        np.concatenate([part.labels for part in parts]),
        [path for part in parts for path in part.paths],
        [kind for part in parts for kind in part.kinds],
    )


def _answers(networks: list[OnnxNetwork], paths: list[Path]) -> Iterator[list[np.ndarray] | str]:
    """For each photo the probabilities by network, (disguises, classes), or why it cannot be read; on every core."""

    def answer(path: Path) -> list[np.ndarray] | str:
        try:
            image = decode(path.read_bytes()).image
        except (CatscopeError, OSError) as error:
            return str(error)
        disguised = [guise(image) for guise in DISGUISES.values()]
        return [
            np.array([network.run(to_tensor(view, *network.contract.input_shape[:2])).probabilities for view in disguised])
            for network in networks
        ]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(paths), 256):
            yield from pool.map(answer, paths[start : start + 256])
