"""A trained model.keras comes in; model.onnx and contract.json, which the service runs by, go out beside it.

    python -m training.export model/tutorial --data photos
    python -m training.export flowers.keras --out model/flowers --classes daisy rose tulip --data photos

The second line brings a network that was trained elsewhere, see `training.plain`. The export is compared with Keras, stage
by stage, on real photos below --data, and is not written when it differs.
"""

import hashlib
import json
import os
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from app.errors import CatscopeError
from app.inference.contract import Stage, name_of
from app.inference.decode import decode
from app.inference.network import session
from app.inference.pooling import LogMeanExpPooling2D
from app.inference.taps import with_outputs
from app.inference.tensor import to_tensor
from training import onnx_graph, plain
from training.checkpoint import replace
from training.config import CLASSES, check_classes
from training.dataset import photos
from training.errors import Parser, TrainingError, run

TOLERANCE = 1e-4
"""Largest difference between Keras and the export: of any value in any stage, as a fraction of the stage's largest value
or of 1, whichever is more; probabilities are thus compared as they are."""

KINDS: dict[type, str] = {
    layers.Rescaling: "rescaling",
    layers.DepthwiseConv2D: "depthwise_convolution",
    layers.Conv2D: "convolution",
    layers.MaxPooling2D: "pooling",
    layers.AveragePooling2D: "pooling",
    LogMeanExpPooling2D: "pooling",
    layers.GlobalAveragePooling2D: "pooling",
    layers.GlobalMaxPooling2D: "pooling",
    layers.ReLU: "relu",
    layers.LeakyReLU: "activation",
    layers.Activation: "activation",
    layers.ZeroPadding2D: "padding",
    layers.Concatenate: "concatenation",
    layers.Add: "add",
    layers.Multiply: "multiplication",
    layers.Flatten: "flatten",
    layers.Dense: "dense",
    layers.Softmax: "probabilities",
}

OPERATIONS: dict[type, str] = {
    layers.MaxPooling2D: "max",
    layers.GlobalMaxPooling2D: "max",
    layers.AveragePooling2D: "average",
    layers.GlobalAveragePooling2D: "average",
    LogMeanExpPooling2D: "log_mean_exp",
}


def main() -> None:
    """Read the command line and export."""
    parser = Parser(prog="python -m training.export", description=__doc__.split("\n")[0])
    parser.add_argument("network", type=Path, help="a network's folder, such as model/tutorial, or a .keras file of yours")
    parser.add_argument("--data", required=True, type=Path, help="folder with photos to compare on")
    parser.add_argument("--photos", type=int, default=64, help="how many photos to compare on (default: 64)")
    own = parser.add_argument_group("for a .keras file")
    own.add_argument("--out", type=Path, help="folder to write it to, such as model/flowers")
    own.add_argument("--classes", nargs="+", metavar="NAME", help="its classes, in the order of what it answers")
    own.add_argument("--network-version", default="1.0.0", metavar="VERSION", help="its version (default: 1.0.0)")
    own.add_argument("--scale", default="1", help="what it wants colours from 0 to 255 multiplied with, such as 1/255")
    own.add_argument("--offset", type=float, default=0.0, help="and what added then, such as -1")
    own.add_argument("--unsure", type=float, default=0.0, help="probabilities of the likelier class up to this are `unsure`")
    arguments = parser.parse_args()
    if arguments.photos < 1:
        raise TrainingError("--photos must be at least 1")
    folder = arguments.network
    if folder.suffix == ".keras":
        if not arguments.out or not arguments.classes:
            raise TrainingError(f"{folder} needs --out and --classes")
        classes, given = tuple(arguments.classes), arguments
        bring(
            folder, given.out, classes, given.data, given.network_version, _fraction(given.scale), given.offset, given.unsure
        )
        folder = arguments.out
    contract = export(folder, arguments.data, arguments.photos)
    print(json.dumps({name: contract[name] for name in ("network", "version", "parameters", "parity", "files")}, indent=1))


def _fraction(text: str) -> float:
    try:
        return float(Fraction(text))
    except (ValueError, ZeroDivisionError) as error:
        raise TrainingError(f"--scale is {text}; it must be a number, or a fraction such as 1/255") from error


def bring(
    file: Path,
    out: Path,
    classes: tuple[str, ...],
    data: Path,
    version: str = "1.0.0",
    scale: float = 1.0,
    offset: float = 0.0,
    unsure: float = 0.0,
) -> None:
    """Write a network that was trained elsewhere to `out`, as model.keras and history.json, for `export` to go on with.

    Raises TrainingError when it holds what cannot be shown, when the plain network answers otherwise than it on photos below
    `data`, and when a network lies in `out` already.
    """
    check_classes(classes)
    if not 0 <= unsure < 1:
        raise TrainingError(f"--unsure is {unsure}; it must be a probability below 1")
    if out.exists() and any(out.iterdir()):
        raise TrainingError(f"{out} holds something already; name another folder, such as {out / version}")
    theirs = plain.load(file)
    ours, ending = plain.rewritten(theirs, len(classes), scale, offset)
    for tensor in _photos(data, 16, theirs.input_shape[1:3], classes):
        expected = np.asarray(theirs(tensor * scale + offset, training=False), np.float64)
        found = np.asarray(ours(tensor, training=False), np.float64)
        difference = plain.difference(expected, found, ending)
        if not difference <= TOLERANCE:
            raise TrainingError(
                f"in plain layers the network answers otherwise by {difference:.2e}; at most {TOLERANCE} is accepted"
            )
    low = 1 - unsure if len(classes) == 2 else 0.0
    history = {
        "network": ours.name,
        "version": version,
        "classes": classes,
        "brought": {
            "file": file.name,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "scale": scale,
            "offset": offset,
        },
        "calibration": {"band": {"low": min(low, unsure), "high": unsure}},
        "epochs": [],
    }
    out.mkdir(parents=True, exist_ok=True)
    ours.save(out / "model.keras")
    replace(out / "history.json", json.dumps(history, indent=1) + "\n")


def export(folder: Path, data: Path, count: int = 64) -> dict[str, Any]:
    """Write `folder`/model.onnx and `folder`/contract.json, and return the contract.

    Raises TrainingError when there is no trained network, when a layer cannot be translated, or when the export differs
    from Keras by more than TOLERANCE; what was there before is then left as it was.
    """
    model, history = _trained(folder)
    stages, inner = describe(model, nested="brought" not in history)
    exported = onnx_graph.build(model, [stage.name for stage in stages])
    serialized = exported.SerializeToString(deterministic=True)
    classes = tuple(history.get("classes", CLASSES))
    tensors = _photos(data, count, model.input_shape[1:3], classes)
    difference, worst = compare(model, serialized, [stage.name for stage in stages], tensors)
    if inner:
        within = [layer.name for layer in inner]
        also, place = compare(model, with_outputs(serialized, within), within, tensors)
        if not also <= difference:
            difference, worst = also, place
    if not difference <= TOLERANCE:
        raise TrainingError(
            f"the export differs from Keras by {difference:.2e} at stage {worst}; at most {TOLERANCE} is accepted, "
            "and nothing was written"
        )
    band = history["calibration"]["band"]
    contract = {
        "network": name_of(folder, history["version"]),
        "architecture": history["network"],
        "version": history["version"],
        "classes": list(classes),
        "input": {"name": "image", "shape": list(model.input_shape[1:]), "range": [0, 255], "resize": "stretch"},
        "unsure": {"low": band["low"], "high": band["high"]},
        "parameters": model.count_params(),
        "parity": {"largest_difference": difference, "stage": worst, "photos": len(tensors), "tolerance": TOLERANCE},
        "files": {
            "model.keras": hashlib.sha256((folder / "model.keras").read_bytes()).hexdigest(),
            "model.onnx": hashlib.sha256(serialized).hexdigest(),
        },
        "stages": [_plain(stage) for stage in stages],
        "inner": [_plain(layer) for layer in inner],
    }
    part = folder / "model.onnx.part"
    part.write_bytes(serialized)
    os.replace(part, folder / "model.onnx")
    replace(folder / "contract.json", json.dumps(contract, indent=1) + "\n")
    return contract


def _trained(folder: Path) -> tuple[keras.Model, dict[str, Any]]:
    for name in ("model.keras", "history.json"):
        if not (folder / name).is_file():
            raise TrainingError(f"{folder} holds no {name}; python -m training.train writes it")
    try:
        model = keras.saving.load_model(folder / "model.keras", compile=False)
        history = json.loads((folder / "history.json").read_text())
        history["calibration"]["band"]["low"]
        return model, history
    except (ValueError, OSError, KeyError) as error:
        raise TrainingError(f"{folder} cannot be read: {error}") from error


def _plain(stage: Stage) -> dict[str, Any]:
    return {name: value for name, value in asdict(stage).items() if value is not None}


def describe(model: keras.Model, nested: bool = True) -> tuple[list[Stage], list[Stage]]:
    """The stages of a network and the layers inside of stages, each in order; neither holds the input, nor layers that
    only help training.

    A layer lies inside of a stage when a later layer's name is the beginning of its own: `block3_expand` in `block3`. Where
    names were not given with that in mind, `nested` is False, and each layer is a stage.
    """
    stages: list[Stage] = []
    inner: list[Stage] = []
    later = [layer.name for layer in model.layers]
    for layer in model.layers:
        later.remove(layer.name)
        kind = next((name for cls, name in KINDS.items() if isinstance(layer, cls)), None)
        if kind is None:
            continue
        sources = [_source(tensor) for tensor in keras.tree.flatten(layer.input)]
        within = nested and any(layer.name.startswith(f"{name}_") for name in later)
        (inner if within else stages).append(
            Stage(
                name=layer.name,
                kind=kind,
                shape=tuple(layer.output.shape[1:]),
                inputs=tuple(sources),
                parameters=layer.count_params(),
                kernel=getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None),
                stride=getattr(layer, "strides", None),
                padding=None if kind == "padding" else getattr(layer, "padding", None),
                activation=None if kind == "activation" else _activation(layer),
                operation=_operation(layer),
                slope=float(layer.negative_slope) if isinstance(layer, layers.LeakyReLU) else None,
                zeros=(layer.padding[0][0], layer.padding[1][0]) if kind == "padding" else None,
            )
        )
    return stages, inner


def _source(tensor: Any) -> str:
    """The name of the layer that a tensor comes from; dropout does nothing outside training, so it is passed over."""
    layer = tensor._keras_history.operation
    return _source(layer.input) if isinstance(layer, layers.Dropout) else str(layer.name)


def _operation(layer: keras.layers.Layer) -> str | None:
    if isinstance(layer, layers.LeakyReLU):
        return "leaky_relu"
    if isinstance(layer, layers.Activation):
        return str(layer.activation.__name__)
    return next((name for kind, name in OPERATIONS.items() if isinstance(layer, kind)), None)


def _activation(layer: keras.layers.Layer) -> str | None:
    function = getattr(layer, "activation", None)
    return None if function in (None, keras.activations.linear) else str(function.__name__)


def compare(model: keras.Model, serialized: bytes, names: list[str], tensors: list[np.ndarray]) -> tuple[float, str]:
    """The largest difference between Keras and an ONNX export over all named layers and photos, and where it was found."""
    tapped = keras.Model(model.input, [model.get_layer(name).output for name in names])
    exported = session(serialized)
    worst, place = 0.0, names[-1]
    for tensor in tensors:
        for name, truth, export in zip(
            names, tapped(tensor, training=False), exported.run(names, {"image": tensor}), strict=True
        ):
            expected = np.asarray(truth, np.float64)
            found = export.transpose(0, 2, 3, 1) if export.ndim == 4 else export
            difference = float(np.abs(expected - found).max() / max(1.0, np.abs(expected).max()))
            if np.isnan(difference):
                return difference, name
            if difference > worst:
                worst, place = difference, name
    return worst, place


def _photos(data: Path, count: int, size: tuple[int, int], classes: tuple[str, ...]) -> list[np.ndarray]:
    """Up to `count` photos as the service would see them, of each class as many where there are enough, or any where `data`
    holds no folders of classes.
    """
    if classes == CLASSES or all((data / name).is_dir() for name in classes):
        found = [path for path, _ in photos(data, classes)]
    else:
        found = sorted(path for path in data.rglob("*") if path.is_file())
    step = max(1, len(found) // count)
    tensors = []
    for path in found[::step]:
        try:
            tensors.append(to_tensor(decode(path.read_bytes()).image, *size))
        except (CatscopeError, OSError):
            continue  # training names broken photos; one less to compare on
        if len(tensors) == count:
            break
    if not tensors:
        raise TrainingError(f"no photo below {data} can be read to compare on")
    return tensors


if __name__ == "__main__":
    run(main)
