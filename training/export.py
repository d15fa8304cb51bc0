"""A trained model.keras comes in; model.onnx and contract.json, which the service runs by, go out beside it.

    python -m training.export model/tutorial --data photos
    python -m training.export flowers.keras --out model/flowers --classes daisy rose tulip --data photos

The second line imports a network that was trained elsewhere, see `training.importing.keras_import`. The export is compared
with Keras, stage by stage, on real photos below --data, and is not written when it differs.
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

from app.inference.networks.contract import Stage, name_of
from app.inference.networks.engines import session
from app.inference.networks.onnx_file import with_outputs
from app.inference.networks.pooling import LogMeanExpPooling2D
from training.config import CLASSES
from training.data.samples import samples
from training.errors import Parser, TrainingError, run, version
from training.fitting.checkpoint import replace
from training.importing import onnx_graph
from training.importing.brought import TOLERANCE, bring
from training.importing.colours import PREPROCESSED

SUFFIXES = (".keras", ".h5", ".hdf5")
"""Of networks that were trained elsewhere; other files are looked at too, and refused by name."""

AXES = {
    "shape": "height, width, channels",
    "model.onnx": {"image": "n, height, width, channels", "stages": "n, channels, height, width"},
}
"""In which order the contract and the ONNX file have a picture's axes; the service turns the file's."""

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
    layers.PReLU: "activation",
    layers.Activation: "activation",
    layers.LayerNormalization: "normalization",
    layers.Cropping2D: "cropping",
    layers.Resizing: "resizing",
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
    parser.add_argument(
        "network", type=Path, help="the folder of a network, such as model/tutorial, or your own .keras or .h5 file"
    )
    parser.add_argument("--data", required=True, type=Path, help="folder with photos to compare on")
    parser.add_argument("--photos", type=int, default=64, help="how many photos to compare on (default: 64)")
    own = parser.add_argument_group("for a .keras or .h5 file")
    own.add_argument("--out", type=Path, help="folder to write it to, such as model/flowers")
    own.add_argument("--classes", nargs="+", metavar="NAME", help="its classes, in the order of its outputs")
    own.add_argument("--version", "--network-version", default="1.0.0", type=version, help="its version (default: 1.0.0)")
    own.add_argument("--preprocess", choices=PREPROCESSED, help="the mode of keras.applications' preprocess_input before it")
    colours = "or one for each of red, green and blue"
    own.add_argument(
        "--scale", nargs="+", default=["1"], help=f"the factor on colours from 0 to 255, such as 1/255, {colours}"
    )
    own.add_argument("--offset", nargs="+", default=["0"], help=f"what is added after that, such as -1, {colours}")
    own.add_argument("--unsure", type=float, default=0.0, help="probabilities of the likelier class up to this are `unsure`")
    arguments = parser.parse_args()
    if arguments.photos < 1:
        raise TrainingError("--photos must be at least 1")
    folder, accuracy = arguments.network, None
    if _is_file_of_a_network(folder):
        if not arguments.out or not arguments.classes:
            raise TrainingError(f"{folder} needs --out and --classes")
        scale, offset = _numbers("--scale", arguments.scale), _numbers("--offset", arguments.offset)
        if arguments.preprocess and (scale, offset) != (1, 0):
            raise TrainingError("--preprocess says how colours are scaled; leave out --scale and --offset")
        accuracy = bring(
            file=folder,
            out=arguments.out,
            classes=tuple(arguments.classes),
            data=arguments.data,
            version=arguments.version,
            scale=scale,
            offset=offset,
            unsure=arguments.unsure,
            preprocess=arguments.preprocess,
        )
        folder = arguments.out
    contract = export(folder, arguments.data, arguments.photos)
    told = {name: contract[name] for name in ("network", "version", "parameters", "parity", "files")}
    if accuracy is not None:
        told["accuracy"] = {"photos": accuracy.photos, "right": accuracy.right, "share": round(accuracy.share, 3)}
    print(json.dumps(told, indent=1))


def _is_file_of_a_network(path: Path) -> bool:
    return path.is_file() or path.suffix.lower() in SUFFIXES or (path / "saved_model.pb").is_file()


def _numbers(option: str, texts: list[str]) -> float | list[float]:
    """One number, or one for each of red, green and blue."""
    try:
        numbers = [float(Fraction(text)) for text in texts]
    except (ValueError, ZeroDivisionError) as error:
        shown = " ".join(texts)
        raise TrainingError(f"{option} is {shown}; it must be a number, or a fraction such as 1/255") from error
    if len(numbers) not in (1, 3):
        raise TrainingError(f"{option} has {len(numbers)} numbers; it needs one, or one for each of red, green and blue")
    return numbers if len(numbers) == 3 else numbers[0]


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
    tensors = [tensor for tensor, _ in samples(data, count, model.input_shape[1:3], classes)]
    difference, worst = compare(model, serialized, [stage.name for stage in stages], tensors)
    if inner:
        within = [layer.name for layer in inner]
        other, stage = compare(model, with_outputs(serialized, within), within, tensors)
        if not other <= difference:
            difference, worst = other, stage
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
        "axes": AXES,
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
                cut=(layer.cropping[0][0], layer.cropping[1][0]) if kind == "cropping" else None,
                epsilon=float(layer.epsilon) if kind == "normalization" else None,
                zeros=(layer.padding[0][0], layer.padding[1][0]) if kind == "padding" else None,
            )
        )
    return stages, inner


def _source(tensor: Any) -> str:
    """The name of the layer that a tensor comes from; dropout does nothing outside training, so it is passed over."""
    layer = tensor._keras_history.operation
    return _source(layer.input) if isinstance(layer, layers.Dropout) else str(layer.name)


def _operation(layer: keras.layers.Layer) -> str | None:
    if isinstance(layer, layers.LeakyReLU | layers.PReLU):
        return "leaky_relu" if isinstance(layer, layers.LeakyReLU) else "prelu"
    if isinstance(layer, layers.Resizing):
        return str(layer.interpolation)
    if isinstance(layer, layers.Activation):
        return str(layer.activation.__name__)
    return next((name for kind, name in OPERATIONS.items() if isinstance(layer, kind)), None)


def _activation(layer: keras.layers.Layer) -> str | None:
    function = getattr(layer, "activation", None)
    return None if function in (None, keras.activations.linear) else str(function.__name__)


def compare(model: keras.Model, serialized: bytes, names: list[str], tensors: list[np.ndarray]) -> tuple[float, str]:
    """The largest difference between Keras and an ONNX export over all named layers and photos, and the layer with it."""
    tapped = keras.Model(model.input, [model.get_layer(name).output for name in names])
    exported = session(serialized)
    worst, stage = 0.0, names[-1]
    for tensor in tensors:
        pairs = zip(tapped(tensor, training=False), exported.run(names, {"image": tensor}), strict=True)
        for name, (keras_output, onnx_output) in zip(names, pairs, strict=True):
            expected = np.asarray(keras_output, np.float64)
            actual = onnx_output.transpose(0, 2, 3, 1) if onnx_output.ndim == 4 else onnx_output
            difference = float(np.abs(expected - actual).max() / max(1.0, np.abs(expected).max()))
            if np.isnan(difference):
                return difference, name
            if difference > worst:
                worst, stage = difference, name
    return worst, stage


if __name__ == "__main__":
    run(main)
