"""A trained model.keras comes in; model.onnx and contract.json, which the service runs by, go out beside it."""

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from app.inference.networks.contract import AXES, EPOCHS_FILE, INT8_FILE, Epoch, Stage, name_of, plain
from app.inference.networks.onnx.onnx_file import with_outputs
from app.inference.networks.pooling import LogMeanExpPooling2D
from app.inference.networks.runtime import session
from training.config import CLASSES
from training.data.samples import samples
from training.errors import TrainingError
from training.fitting.kept import row as kept_row
from training.importing import onnx_graph
from training.importing.brought import TOLERANCE
from training.outputs import replace

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
    band, kept = history["calibration"]["band"], folder / EPOCHS_FILE
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
            **({EPOCHS_FILE: hashlib.sha256(kept.read_bytes()).hexdigest()} if kept.exists() else {}),
        },
        **_epochs(folder, history, model),
        "stages": [plain(stage) for stage in stages],
        "inner": [plain(layer) for layer in inner],
    }
    part = folder / "model.onnx.part"
    part.write_bytes(serialized)
    os.replace(part, folder / "model.onnx")
    replace(folder / "contract.json", json.dumps(contract, indent=1) + "\n")
    (folder / INT8_FILE).unlink(missing_ok=True)  # the twin of another network from now on
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


def _epochs(folder: Path, history: dict[str, Any], model: keras.Model) -> dict[str, Any]:
    """What the contract says of the epochs that were kept; nothing if none was.

    Raises TrainingError if those in the folder are not this network's.
    """
    path = folder / EPOCHS_FILE
    if not path.exists():
        return {}
    rows, shipped = np.load(path, mmap_mode="r"), history["shipped_epoch"]
    if rows.shape != (len(history["epochs"]) + 1, model.count_params()) or not np.allclose(
        rows[shipped], kept_row(model), rtol=2e-3, atol=1e-6
    ):
        raise TrainingError(f"{path} is of another network than model.keras; delete it, or train again with --keep-epochs")
    start = Epoch(0, history["start"]["validation_loss"], history["start"]["validation_accuracy"])
    others = [
        Epoch(
            epoch=record["epoch"],
            loss=record["validation_loss"],
            accuracy=record["validation_accuracy"],
            training_loss=record["loss"],
            learning_rate=record["learning_rate"],
        )
        for record in history["epochs"]
    ]
    return {"epochs": [asdict(epoch) for epoch in (start, *others)], "shipped_epoch": shipped}


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
