"""A trained model.keras comes in; model.onnx and contract.json, which the service runs by, go out beside it.

    python -m training.export model/tutorial --data photos

The export is compared with Keras, stage by stage, on real photos below --data, and is not written when it differs.
"""

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from app.errors import CatscopeError
from app.inference.contract import Stage
from app.inference.decode import decode
from app.inference.network import session
from app.inference.pooling import LogMeanExpPooling2D
from app.inference.taps import with_outputs
from app.inference.tensor import to_tensor
from training import onnx_graph
from training.checkpoint import replace
from training.config import CLASSES
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
    layers.ReLU: "relu",
    layers.Add: "add",
    layers.Flatten: "flatten",
    layers.Dense: "dense",
    layers.Softmax: "probabilities",
}

OPERATIONS: dict[type, str] = {
    layers.MaxPooling2D: "max",
    layers.AveragePooling2D: "average",
    layers.GlobalAveragePooling2D: "average",
    LogMeanExpPooling2D: "log_mean_exp",
}


def main() -> None:
    """Read the command line and export."""
    parser = Parser(prog="python -m training.export", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="a network's folder, such as model/tutorial")
    parser.add_argument("--data", required=True, type=Path, help="folder with cat/ and not_cat/ to compare on")
    parser.add_argument("--photos", type=int, default=64, help="how many photos to compare on (default: 64)")
    arguments = parser.parse_args()
    if arguments.photos < 1:
        raise TrainingError("--photos must be at least 1")
    contract = export(arguments.folder, arguments.data, arguments.photos)
    print(json.dumps({name: contract[name] for name in ("network", "version", "parameters", "parity", "files")}, indent=1))


def export(folder: Path, data: Path, count: int = 64) -> dict[str, Any]:
    """Write `folder`/model.onnx and `folder`/contract.json, and return the contract.

    Raises TrainingError when there is no trained network, when a layer cannot be translated, or when the export differs
    from Keras by more than TOLERANCE; what was there before is then left as it was.
    """
    model, history = _trained(folder)
    stages, inner = describe(model)
    exported = onnx_graph.build(model, [stage.name for stage in stages])
    serialized = exported.SerializeToString(deterministic=True)
    tensors = _photos(data, count, model.input_shape[1:3])
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
        "network": folder.resolve().name,
        "architecture": history["network"],
        "version": history["version"],
        "classes": list(CLASSES),
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


def describe(model: keras.Model) -> tuple[list[Stage], list[Stage]]:
    """The stages of a network and the layers inside of stages, each in order; neither holds the input, nor layers that
    only help training.

    A layer lies inside of a stage when a later layer's name is the beginning of its own: `block3_expand` in `block3`.
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
        within = any(layer.name.startswith(f"{name}_") for name in later)
        (inner if within else stages).append(
            Stage(
                name=layer.name,
                kind=kind,
                shape=tuple(layer.output.shape[1:]),
                inputs=tuple(sources),
                parameters=layer.count_params(),
                kernel=getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None),
                stride=getattr(layer, "strides", None),
                padding=getattr(layer, "padding", None),
                activation=_activation(layer),
                operation=next((name for cls, name in OPERATIONS.items() if isinstance(layer, cls)), None),
            )
        )
    return stages, inner


def _source(tensor: Any) -> str:
    """The name of the layer that a tensor comes from; dropout does nothing outside training, so it is passed over."""
    layer = tensor._keras_history.operation
    return _source(layer.input) if isinstance(layer, layers.Dropout) else str(layer.name)


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


def _photos(data: Path, count: int, size: tuple[int, int]) -> list[np.ndarray]:
    """Up to `count` photos as the service would see them, half of each class where there are enough."""
    found = photos(data)
    step = max(1, len(found) // count)
    tensors = []
    for path, _ in found[::step]:
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
