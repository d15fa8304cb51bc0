"""An activation comes in, as a function, a layer, or a layer inside of a layer; the stage that does the same goes out."""

from typing import Any

import keras
import numpy as np
from keras import layers

from app.inference.networks import activations
from training.errors import TrainingError
from training.importing.plain_layers import PROBABILITIES, PlainLayers, Tensor, unreserved

LEAKY = 0.2
"""The slope below zero of Keras' activation `leaky_relu`; its layer LeakyReLU has one of its own."""

FUSED = {"relu": "relu", "relu6": "relu6"}
"""Activations that stay inside a convolution, as its last step."""


def activated(rewriting: PlainLayers, name: str, activation: Any, x: Tensor) -> Tensor:
    """`activation`, a function or a layer, as a stage of its own called `name`."""
    if isinstance(activation, keras.layers.Layer):
        rule = next((rule for kind, rule in RULES.items() if isinstance(activation, kind)), None)
        if rule is None:
            raise TrainingError(f"layer {name} has a {type(activation).__name__} as activation, which cannot be shown here")
        return rule(rewriting, name, activation, x)
    function = name_of(activation)
    if function == "linear":
        return x
    if function == "relu":
        return rewriting.add(layers.ReLU(name=rewriting.named(name)), x)
    if function == "softmax":
        return _softmax(rewriting, name, None, x)
    if function == "leaky_relu":
        return rewriting.add(layers.LeakyReLU(LEAKY, name=rewriting.named(name)), x)
    if function in activations.NAMES:
        return rewriting.add(layers.Activation(function, name=rewriting.named(name)), x)
    known = ", ".join(activations.NAMES)
    raise TrainingError(f"layer {name} has the activation {function}; known are relu, softmax, {known}")


def name_of(activation: Any) -> str:
    """What an activation is called: a function by its name, a layer by its class."""
    name: str = activation.name if isinstance(activation, keras.layers.Layer) else activation.__name__
    return name


def fused(activation: Any) -> str | None:
    """The activation that a convolution may keep inside of it, if this is one: relu or relu6, also where a layer says so."""
    if isinstance(activation, layers.Activation):
        return fused(activation.activation)
    if isinstance(activation, layers.ReLU):
        ceiling = {None: "relu", 6: "relu6"}.get(activation.max_value)
        return None if activation.negative_slope or activation.threshold else ceiling
    return FUSED.get(getattr(activation, "__name__", ""))


def _function(rewriting: PlainLayers, name: str, layer: Any, x: Tensor) -> Tensor:
    return activated(rewriting, name, layer.activation, x)


def _relu(rewriting: PlainLayers, name: str, layer: Any, x: Tensor) -> Tensor:
    ceiling, slope = layer.max_value, layer.negative_slope
    if layer.threshold or (ceiling not in (None, 6)) or (ceiling and slope):
        raise TrainingError(f"layer {name} is a ReLU with a threshold, or a ceiling other than 6, which is not shown here")
    if slope:
        return rewriting.add(layers.LeakyReLU(float(slope), name=rewriting.named(name)), x)
    plain = layers.ReLU(name=rewriting.named(name)) if ceiling is None else None
    return rewriting.add(plain or layers.Activation("relu6", name=rewriting.named(name)), x)


def _leaky(rewriting: PlainLayers, name: str, layer: Any, x: Tensor) -> Tensor:
    return rewriting.add(layers.LeakyReLU(float(layer.negative_slope), name=rewriting.named(name)), x)


def _slopes(rewriting: PlainLayers, name: str, layer: Any, x: Tensor) -> Tensor:
    """PReLU (He et al. 2015): a slope below zero that was learned, for each channel or each number."""
    if not layer.get_weights():
        raise TrainingError(f"layer {name} is a PReLU inside of another layer, whose slopes Keras does not save")
    plain = layers.PReLU(shared_axes=layer.shared_axes, name=rewriting.named(name))
    return rewriting.add(plain, x, [np.asarray(layer.get_weights()[0])])


def _elu(rewriting: PlainLayers, name: str, layer: Any, x: Tensor) -> Tensor:
    if layer.alpha != 1:
        raise TrainingError(f"layer {name} is an ELU with alpha {layer.alpha}; only 1 is shown here")
    return activated(rewriting, name, keras.activations.elu, x)


def _softmax(rewriting: PlainLayers, name: str, layer: Any, x: Tensor) -> Tensor:
    if len(x.shape) != 2 or (layer is not None and layer.axis not in (-1, 1)):
        raise TrainingError(f"layer {name} is a softmax of pictures; only that of the classes in the end is shown here")
    return rewriting.add(layers.Softmax(name=PROBABILITIES), x)


RULES = {
    layers.Activation: _function,
    layers.ReLU: _relu,
    layers.LeakyReLU: _leaky,
    layers.PReLU: _slopes,
    layers.ELU: _elu,
    layers.Softmax: _softmax,
}
"""How each activation layer is rewritten."""


def weighted(rewriting: PlainLayers, layer: Any, x: Tensor, make: Any, weights: list[np.ndarray]) -> Tensor:
    """A convolution or a fully connected layer, and its activation behind it where it cannot stay inside of it."""
    plain = make(activation=None, use_bias=True, name=rewriting.named(unreserved(layer.name)))
    inside = None if isinstance(plain, layers.Dense) else fused(layer.activation)
    if inside:
        plain.activation = keras.activations.get(inside)
    kernel = np.asarray(weights[0], np.float64)
    count = kernel.shape[2] * kernel.shape[3] if isinstance(plain, layers.DepthwiseConv2D) else kernel.shape[-1]
    x = rewriting.add(plain, x, [kernel, np.asarray(weights[1] if len(weights) > 1 else np.zeros(count), np.float64)])
    if not inside:
        rewriting.linear[id(x)] = plain
        x = activated(rewriting, f"{unreserved(layer.name)}_{name_of(layer.activation)}", layer.activation, x)
    return x
