"""The arithmetic of every unit of small exported networks, held to both engines.

They have what shipped networks have not: pooling with padding, averages, several filters a channel, layers without a bias.
"""

import json

import keras
import numpy as np
import pytest
from keras import layers

from app.inference.explain.audit import audit
from app.inference.networks.contract import Contract, load
from app.inference.networks.engines.keras_engine import KerasNetwork
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.networks.pooling import LogMeanExpPooling2D
from training.tasks.export import export


def every_kind():
    x = photo = keras.Input((11, 10, 3), name="image")
    x = layers.Rescaling(1 / 128, offset=-1, name="rescaled")(x)
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu6", name="halved")(x)
    left = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="depthwise")(x)
    right = layers.Conv2D(8, 2, padding="same", use_bias=False, activation="relu", name="even")(x)
    x = layers.Add(name="added")([left, right])
    x = layers.AveragePooling2D(2, padding="same", name="averaged")(x)
    x = layers.MaxPooling2D(3, strides=1, padding="same", name="highest")(x)
    x = layers.ReLU(name="relu")(x)
    x = layers.Flatten(name="flat")(x)
    x = layers.Dense(6, name="dense")(x)
    x = layers.ReLU(name="dense_relu")(x)
    x = layers.Dense(2, use_bias=False, name="scores")(x)
    return keras.Model(photo, layers.Softmax(name="probabilities")(x), name="every_kind")


def by_evidence():
    x = photo = keras.Input((17, 20, 3), name="image")
    x = layers.Rescaling(1 / 255, name="rescaled")(x)
    x = layers.Conv2D(3, 5, strides=3, name="evidence")(x)
    x = LogMeanExpPooling2D(name="pooled")(x)
    x = layers.Dense(2, name="scores")(x)
    return keras.Model(photo, layers.Softmax(name="probabilities")(x), name="by_evidence")


@pytest.fixture(scope="module", params=[every_kind, by_evidence], ids=lambda build: build.__name__)
def exported(request, tmp_path_factory, photo_folder) -> Contract:
    """A small network with random weights and biases, exported the real way."""
    folder = tmp_path_factory.mktemp("small") / request.param.__name__
    folder.mkdir()
    keras.utils.set_random_seed(11)
    random = np.random.default_rng(11)
    model = request.param()
    for layer in model.layers:
        layer.set_weights([w if w.ndim > 1 else random.normal(size=w.shape).astype(w.dtype) for w in layer.get_weights()])
    model.save(folder / "model.keras")
    history = {"network": folder.name, "version": "0", "calibration": {"band": {"low": 0.5, "high": 0.5}}}
    (folder / "history.json").write_text(json.dumps(history))
    export(folder, photo_folder, count=2)
    return load(folder)


@pytest.mark.parametrize("engine", [OnnxNetwork, KerasNetwork])
def test_every_unit_of_a_small_network_is_what_either_engine_computes(exported, engine):
    network = engine(exported)
    photo = np.random.default_rng(2).integers(0, 256, (1, *exported.input_shape)).astype(np.float32)
    values = {"image": photo[0], **network.run(photo, [stage.name for stage in exported.stages]).stages}
    for stage in exported.stages:
        for position in np.ndindex(stage.shape if len(stage.shape) == 3 else (1, 1, *stage.shape)):
            result = audit(network, stage, values, position, contributions=3)
            assert result.relative_difference < 1e-4, (stage.name, position)
