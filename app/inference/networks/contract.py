"""What a network promises: the folder model/<network>/ comes in, a checked `Contract` goes out.

`training.export` writes `contract.json` beside the files that it describes. It is the service's only source of knowledge
about a network.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.errors import NetworkError
from app.inference import familiarity
from app.inference.familiarity import Familiarity

EPOCHS_FILE = "epochs.npy"
"""The file with a network's weights after each epoch: (epochs + 1, parameters) float16."""

TINY = 1e-30
"""Stands for a probability of 0, which has no logarithm."""

NEAR = 0.1
"""The share of the limit within which a distance from what was taught is too near to it for integers to tell, where none was
measured.
"""

INT8_FILE = "int8.onnx"
"""The file with a network's twin in 8-bit integers."""

AXES = {
    "shape": "height, width, channels",
    "model.onnx": {"image": "n, height, width, channels", "stages": "n, channels, height, width"},
}
"""In which order the contract and the ONNX file have a picture's axes; the service turns the file's."""


@dataclass(frozen=True)
class Stage:
    """One named step of a network whose output people look at.

    - `kind`: rescaling, convolution, depthwise_convolution, pooling, relu, add, flatten, dense or probabilities; in imported
      networks also activation, multiplication, padding, cropping, resizing, normalization or concatenation
    - `shape`: (height, width, channels), or (n,) after flattening
    - `inputs`: the stages, or `image`, that it reads
    - `parameters`: the number of trained weights and biases

    The others are None where they do not apply:

    - `kernel`, `stride`: (height, width) in cells of the input; a pooling without a `kernel` covers the whole picture
    - `padding`: "same" or "valid"
    - `activation`: applied to a convolution's sums, "relu" or "relu6" (clipped to 0..6)
    - `operation`: of a pooling "max", "average" or "log_mean_exp" (the logarithm of the mean of the exponentials); of an
      activation, the function's name; of a resizing "bilinear" or "nearest"
    - `slope`: of a leaky ReLU below zero
    - `zeros`: the (rows, columns) of zeros that a padding puts before the picture
    - `cut`: the (rows, columns) that a cropping takes away before the picture
    - `epsilon`: what a normalization adds to the variance
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
    cut: tuple[int, int] | None = None
    epsilon: float | None = None


@dataclass(frozen=True)
class Epoch:
    """How good a network was after one epoch of its training; 0 is before the first.

    `loss`, the cross-entropy, and `accuracy` are those on validation photos. `training_loss` is the mean loss while it
    learned, with smoothed labels, and `learning_rate` that of its first batch; both are None before the first epoch.
    """

    epoch: int
    loss: float
    accuracy: float
    training_loss: float | None = None
    learning_rate: float | None = None


@dataclass(frozen=True)
class Int8:
    """What was measured of a network's twin in integers.

    - `margin`: how far its log odds have to be from a limit of a verdict; nearer to one, the network is asked
    - `times_as_fast`: as the network, on a CPU with VNNI; None where it was exported on another
    - `near`: the share of the limit by which a distance from what was taught has to differ from it; nearer, the network is
      asked
    """

    margin: float
    times_as_fast: float | None = None
    near: float = NEAR


@dataclass(frozen=True)
class Contract:
    """What a network promises. `network` is the name under which it is served, the name of its folder.

    `classes` are in the order of the probabilities; the networks that look for cats have `cat` and `not_cat`. `input_shape`
    is (height, width, 3): RGB from 0 to 255, stretched to that size. `unsure` is the band (low, high) of probabilities, both
    ends included, in which the verdict is "unsure". `stages` are the named steps, in order; `inner` are the layers inside
    stages that consist of several, such as `block3_expand` in `block3`. `files` maps file names to SHA-256 digests.
    `epochs` are those after which the network was kept, from 0, the random start, to the last, and `shipped_epoch` is the
    one that is served, None where none was kept, or where the file was left out to save its space. `familiarity` is what
    photos that were taught look like, None in networks that were trained. `int8` describes the twin in integers, None where
    there is none, or where its file was left out.
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
    epochs: tuple[Epoch, ...] = ()
    shipped_epoch: int | None = None
    familiarity: Familiarity | None = None
    int8: Int8 | None = None

    @property
    def last_epoch(self) -> int | None:
        """The last epoch that is kept, None if none is."""
        return self.epochs[-1].epoch if self.epochs else None

    def filter_shape(self, stage: Stage) -> tuple[int, ...]:
        """The shape of the weights of one filter of a stage that has any: (height, width, inputs), with 1 input if it is
        depthwise; (inputs,) of a fully connected unit.
        """
        before = self.stage(stage.inputs[0])
        inputs = (before.shape if before else self.input_shape)[-1]
        return (*(stage.kernel or ()), 1 if stage.kind == "depthwise_convolution" else inputs)

    def has_bias(self, stage: Stage) -> bool:
        """Whether a stage that has weights has biases, too."""
        return stage.parameters > math.prod(self.filter_shape(stage)) * stage.shape[-1]

    def stage(self, name: str) -> Stage | None:
        """The stage or inner layer of that name, or None."""
        return next((stage for stage in (*self.stages, *self.inner) if stage.name == name), None)

    def by_class(self, probabilities: Iterable[float]) -> dict[str, float]:
        """The probabilities of a pass, in the order of the classes, by class name."""
        return dict(zip(self.classes, map(float, probabilities), strict=True))

    def verdict(self, probabilities: Mapping[str, float], distance: float | None = None) -> str:
        """`unfamiliar` if the photo's `distance` from what was taught exceeds the limit; or else the likeliest class, or
        `unsure` if a probability lies in the band: with two classes that of the first, with more that of the likeliest.
        """
        if self.familiarity and distance is not None and distance > self.familiarity.limit:
            return "unfamiliar"
        low, high = self.unsure
        first, *others = self.classes
        if len(others) == 1:
            decisive, label = probabilities[first], first if probabilities[first] > 0.5 else others[0]
        else:
            label = max(probabilities, key=lambda name: probabilities[name])
            decisive = probabilities[label]
        return "unsure" if low < high and low <= decisive <= high else label

    def settled(self, probabilities: Mapping[str, float], distance: float | None = None) -> bool:
        """Whether an answer of the twin in integers is so far from all limits between verdicts, `int8.margin` in log odds,
        that the network would give the same verdict.
        """
        assert self.int8 is not None
        margin, (low, high), (first, *others) = self.int8.margin, self.unsure, self.classes
        if self.familiarity and distance is not None:
            limit = self.familiarity.limit
            if abs(distance - limit) <= self.int8.near * limit:
                return False
            if distance > limit:  # whatever the probabilities
                return True
        if len(others) == 1:
            low, high = (low, high) if low < high else (0.5, 0.5)
            return not _log_odds(low) - margin <= _log_odds(probabilities[first]) <= _log_odds(high) + margin
        second, likeliest = sorted(probabilities.values())[-2:]
        if low < high and _log_odds(likeliest) <= _log_odds(high) + margin:
            return False
        return math.log(max(likeliest, TINY)) - math.log(max(second, TINY)) > margin

    def verified(self, name: str) -> Path:
        """The path of one of the network's files, after checking its digest against the contract.

        Raises NetworkError when the file is missing or differs.
        """
        path = self.folder / name
        expected = self.files.get(name)
        if expected is None:
            raise NetworkError(f"{self.folder / 'contract.json'} names no file {name}")
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise NetworkError(f"{path} cannot be read: {error.strerror}") from error
        if digest != expected:
            raise NetworkError(f"{path} has SHA-256 {digest}, its contract says {expected}")
        return path


def load(folder: Path, network: str | None = None) -> Contract:
    """Read a folder's contract. `network` defaults to the name that `name_of` finds.

    Raises NetworkError when the contract is missing or invalid.
    """
    path = folder / "contract.json"
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        kept = EPOCHS_FILE in plain["files"] and (folder / EPOCHS_FILE).exists()
        return Contract(
            network=network or name_of(folder, plain["version"]),
            version=plain["version"],
            classes=tuple(plain["classes"]),
            input_shape=_input_shape(plain["input"]),
            unsure=(plain["unsure"]["low"], plain["unsure"]["high"]),
            parameters=plain["parameters"],
            stages=tuple(_stage(stage) for stage in plain["stages"]),
            inner=tuple(_stage(stage) for stage in plain.get("inner", [])),
            files=plain["files"],
            epochs=tuple(Epoch(**epoch) for epoch in plain["epochs"]) if kept else (),
            shipped_epoch=plain["shipped_epoch"] if kept else None,
            familiarity=_familiarity(plain),
            int8=_int8(plain, folder),
            folder=folder,
        )
    except OSError as error:
        raise NetworkError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise NetworkError(f"{path} is not a contract: {type(error).__name__} {error}") from error


def name_of(folder: Path, version: str) -> str:
    """The name under which the network in `folder` is served: model/cat/ and model/cat/1.0.0/ are both `cat`."""
    path = folder.resolve()
    return path.parent.name if path.name == version else path.name


def plain(stage: Stage) -> dict[str, Any]:
    """A stage as a contract has it."""
    return {name: value for name, value in asdict(stage).items() if value is not None}


def _input_shape(plain: dict[str, Any]) -> tuple[int, int, int]:
    if plain["resize"] != "stretch":
        raise ValueError(f"resize {plain['resize']!r} is not supported")
    height, width, channels = plain["shape"]
    return height, width, channels


def _log_odds(probability: float) -> float:
    return math.log(max(probability, TINY)) - math.log(max(1 - probability, TINY))


def _int8(plain: dict[str, Any], folder: Path) -> Int8 | None:
    if INT8_FILE not in plain["files"] or not (folder / INT8_FILE).exists():
        return None
    known = plain["int8"]
    return Int8(known["margin"], known["times_as_fast"], known.get("near", NEAR))


def _familiarity(plain: dict[str, Any]) -> Familiarity | None:
    if "unfamiliar" not in plain:
        return None
    known = familiarity.read(plain["unfamiliar"], len(plain["classes"]))
    [stage] = [stage for stage in plain["stages"] if stage["name"] == known.stage]
    if stage["shape"][-1] != len(known.centre):
        raise ValueError(f"unfamiliar: stage {known.stage} has {stage['shape'][-1]} channels, not {len(known.centre)}")
    return known


def _stage(plain: dict[str, Any]) -> Stage:
    pairs = {name: tuple(plain[name]) for name in ("kernel", "stride", "zeros", "cut") if plain.get(name)}
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
        epsilon=plain.get("epsilon"),
        **pairs,
    )
