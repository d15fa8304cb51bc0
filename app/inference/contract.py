"""What a network promises: the folder model/<network>/ comes in, a checked `Contract` goes out.

`contract.json` is written by `training.export` beside the files that it describes. Everything the service knows of a
network, it knows from here.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import NetworkError


@dataclass(frozen=True)
class Stage:
    """One named step of a network whose output people look at.

    `kind` is rescaling, convolution, depthwise_convolution, pooling, relu, add, flatten, dense or probabilities; in networks
    that people bring also activation, multiplication, padding or concatenation. `shape`
    is (height, width, channels), or (n,) where there is no picture left. `inputs` are the stages, or `image`, that it
    computes from. `parameters` counts the trained numbers. The others are None for kinds that have none: `kernel` and
    `stride` are (height, width) in steps of the input, `padding` is "same" or "valid"; `activation` is what a convolution
    applies to its sums, "relu6" (cut off below 0 and above 6); `operation` is what a pooling computes of its window, "max",
    "average" or "log_mean_exp" (the logarithm of the mean of the exponentials); a pooling without a `kernel` has one
    window, the whole picture; and which function an activation is, with the `slope` of a leaky one below zero. `zeros` are
    the (rows, columns) that a padding puts before the picture.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    inputs: tuple[str, ...]
    parameters: int
    kernel: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None
    padding: str | None = None
    activation: str | None = None
    operation: str | None = None
    slope: float | None = None
    zeros: tuple[int, int] | None = None


@dataclass(frozen=True)
class Contract:
    """A network's promise. `network` is the name under which it is served, that of its folder.

    `classes` are in the order of the probabilities; of the networks that look for a cat they are `cat` and `not_cat`.
    `input_shape` is (height, width, 3): RGB from 0 to 255, stretched to that size. `unsure` is the band (low, high) of
    probabilities, both ends included, in which the verdict is "unsure". `stages` are the steps that people follow,
    in order; `inner` are the layers inside of stages that consist of several, `block3_expand` of `block3`. `files` maps
    file names to their SHA-256.
    """

    network: str
    version: str
    classes: tuple[str, ...]
    input_shape: tuple[int, int, int]
    unsure: tuple[float, float]
    parameters: int
    stages: tuple[Stage, ...]
    files: dict[str, str]
    folder: Path
    inner: tuple[Stage, ...] = ()

    def stage(self, name: str) -> Stage | None:
        """The stage or inner layer of that name, or None."""
        return next((stage for stage in (*self.stages, *self.inner) if stage.name == name), None)

    def verdict(self, probabilities: Mapping[str, float]) -> str:
        """The likelier class, or `unsure`: of two classes when the probability of the first lies in the band, of more when
        that of the likeliest does.
        """
        low, high = self.unsure
        first, *others = self.classes
        if len(others) == 1:
            told, label = probabilities[first], first if probabilities[first] > 0.5 else others[0]
        else:
            label = max(probabilities, key=lambda name: probabilities[name])
            told = probabilities[label]
        return "unsure" if low < high and low <= told <= high else label

    def verified(self, name: str) -> Path:
        """The path of one of the network's files, after checking that its bytes are the ones the contract names.

        Raises NetworkError when the file is missing or differs.
        """
        path = self.folder / name
        expected = self.files.get(name)
        if expected is None:
            raise NetworkError(f"{self.folder / 'contract.json'} names no file {name}")
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise NetworkError(f"{path} cannot be read: {error.strerror}") from error
        if found != expected:
            raise NetworkError(f"{path} has SHA-256 {found}, its contract says {expected}")
        return path


def load(folder: Path, network: str | None = None) -> Contract:
    """Read the contract of `network`; left out, that is the folder's name, or the one above where that is the version.

    Raises NetworkError when the contract is missing or is not one.
    """
    path = folder / "contract.json"
    try:
        plain = json.loads(path.read_text())
        return Contract(
            network=network or name_of(folder, plain["version"]),
            version=plain["version"],
            classes=tuple(plain["classes"]),
            input_shape=_three(plain["input"]),
            unsure=(plain["unsure"]["low"], plain["unsure"]["high"]),
            parameters=plain["parameters"],
            stages=tuple(_stage(stage) for stage in plain["stages"]),
            inner=tuple(_stage(stage) for stage in plain.get("inner", [])),
            files=plain["files"],
            folder=folder,
        )
    except OSError as error:
        raise NetworkError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise NetworkError(f"{path} is not a contract: {type(error).__name__} {error}") from error


def name_of(folder: Path, version: str) -> str:
    """The name under which the network in `folder` is served: model/cat/ and model/cat/1.0.0/ are both `cat`."""
    place = folder.resolve()
    return place.parent.name if place.name == version else place.name


def _three(plain: dict[str, Any]) -> tuple[int, int, int]:
    if plain["resize"] != "stretch":
        raise ValueError(f"resize {plain['resize']!r} is not known here")
    height, width, channels = plain["shape"]
    return height, width, channels


def _stage(plain: dict[str, Any]) -> Stage:
    pairs = {name: tuple(plain[name]) for name in ("kernel", "stride", "zeros") if plain.get(name)}
    return Stage(
        name=plain["name"],
        kind=plain["kind"],
        shape=tuple(plain["shape"]),
        inputs=tuple(plain["inputs"]),
        parameters=plain["parameters"],
        padding=plain.get("padding"),
        activation=plain.get("activation"),
        operation=plain.get("operation"),
        slope=plain.get("slope"),
        **pairs,
    )
