"""A network that the service taught comes in; its model.keras, which the service does without, goes out beside it."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import keras
import numpy as np

from app.errors import NetworkError
from app.inference.networks import contract
from app.inference.networks.contract import Contract
from app.inference.networks.onnx import onnx_file
from app.inference.networks.onnx.onnx_file import with_outputs
from app.inference.networks.weights import filters_last
from training.data.samples import samples
from training.errors import TrainingError
from training.importing.brought import TOLERANCE
from training.networks import cat
from training.outputs import replace
from training.tasks.export import compare


def rebuild(folder: Path, data: Path, count: int = 64) -> dict[str, Any]:
    """Write `folder`/model.keras, name it in contract.json, and return the contract.

    Raises TrainingError for a network that was not taught, or that Keras answers differently on `count` of the photos below
    `data`, by more than TOLERANCE at any stage; nothing is written then.
    """
    try:
        known = contract.load(folder)
        serialized = known.verified("model.onnx").read_bytes()
    except NetworkError as error:
        raise TrainingError(str(error)) from error
    model = filled(known, onnx_file.read(serialized))
    tensors = [tensor for tensor, _ in samples(data, count, known.input_shape[:2], known.classes)]
    stages, inner = [stage.name for stage in known.stages], [layer.name for layer in known.inner]
    difference, worst = max(
        compare(model, serialized, stages, tensors), compare(model, with_outputs(serialized, inner), inner, tensors)
    )
    if not difference <= TOLERANCE:
        raise TrainingError(f"Keras differs from the network by {difference:.2e} at stage {worst}; nothing was written")
    plain: dict[str, Any] = json.loads((folder / "contract.json").read_text())
    part = folder / "part.keras"
    model.save(part)
    plain["parity"] = {"largest_difference": difference, "stage": worst, "photos": len(tensors), "tolerance": TOLERANCE}
    plain["files"]["model.keras"] = hashlib.sha256(part.read_bytes()).hexdigest()
    os.replace(part, folder / "model.keras")
    replace(folder / "contract.json", json.dumps(plain, indent=1, ensure_ascii=False) + "\n")
    return plain


def filled(known: Contract, weights: dict[str, np.ndarray]) -> keras.Model:
    """The Keras network of a contract, with these weights by name, shaped as ONNX has them."""
    model = cat.build(side=known.input_shape[0], judges=len(known.classes), mean=True)
    names = {layer.name for layer in model.layers}
    if not {stage.name for stage in (*known.stages, *known.inner)} <= names or "pooled/places" in weights:
        raise TrainingError(f"{known.folder} was not taught by the service; training.export does not know how to build it")
    for layer in model.layers:
        if layer.get_weights():
            kernel, bias = filters_last(weights[f"{layer.name}/kernel"]), weights[f"{layer.name}/bias"]
            if isinstance(layer, keras.layers.DepthwiseConv2D):
                kernel = kernel.swapaxes(2, 3)  # Keras: (height, width, channels, filters a channel)
            layer.set_weights([kernel, bias])
    return model
