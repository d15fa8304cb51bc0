"""One layer of anybody's network comes in, the plain layers that do the same go out: a function for each kind of layer."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

from training.errors import TrainingError
from training.importing.activation_rules import RULES, activated, weighted
from training.importing.picture_rules import PICTURE_REWRITES
from training.importing.plain_layers import PlainLayers, Scaled, Tensor


def _convolution(rewriting: PlainLayers, layer: Any, x: Tensor) -> Tensor:
    """Of every kind: each channel on its own, groups of channels, and with gaps between the cells."""
    kernel, *bias = layer.get_weights()
    channels = x.shape[-1]
    if layer.groups == channels and channels > 1:  # (height, width, 1, channels * each) to (height, width, channels, each)
        kernel = _spread(kernel.reshape(*kernel.shape[:2], channels, -1), layer.dilation_rate)
        return _each_channel(rewriting, layer, x, [kernel, *bias])
    kernel = _spread(_ungrouped(kernel, layer.groups), layer.dilation_rate)

    def make(**options: Any) -> Any:
        return layers.Conv2D(layer.filters, kernel.shape[:2], layer.strides, layer.padding, **options)

    return weighted(rewriting, layer, x, make, [kernel, *bias])


def _spread(kernel: np.ndarray, dilation: tuple[int, int]) -> np.ndarray:
    """A kernel with gaps (Yu and Koltun 2016) as the larger kernel that it is, with zeros in the gaps."""
    if set(dilation) == {1}:
        return kernel
    sizes = [(size - 1) * step + 1 for size, step in zip(kernel.shape, dilation, strict=False)]
    larger = np.zeros((*sizes, *kernel.shape[2:]), kernel.dtype)
    larger[:: dilation[0], :: dilation[1]] = kernel
    return larger


def _ungrouped(kernel: np.ndarray, groups: int) -> np.ndarray:
    """A kernel of which each group of filters reads a group of channels, with zeros for the channels that it does not."""
    each, filters = kernel.shape[2], kernel.shape[3] // groups
    if groups == 1:
        return kernel
    whole = np.zeros((*kernel.shape[:2], each * groups, filters * groups), kernel.dtype)
    for group in range(groups):
        read, written = slice(group * each, (group + 1) * each), slice(group * filters, (group + 1) * filters)
        whole[:, :, read, written] = kernel[:, :, :, written]
    return whole


def _depthwise(rewriting: PlainLayers, layer: Any, x: Tensor) -> Tensor:
    kernel, *bias = layer.get_weights()
    return _each_channel(rewriting, layer, x, [_spread(kernel, layer.dilation_rate), *bias])


def _each_channel(rewriting: PlainLayers, layer: Any, x: Tensor, weights: list[np.ndarray]) -> Tensor:
    """A depthwise convolution with a kernel (height, width, channels, each)."""
    height, width, _, each = weights[0].shape

    def make(**options: Any) -> Any:
        return layers.DepthwiseConv2D((height, width), layer.strides, layer.padding, depth_multiplier=each, **options)

    return weighted(rewriting, layer, x, make, weights)


def _separable(rewriting: PlainLayers, layer: Any, x: Tensor) -> Tensor:
    """A filter for each channel, then a mixture of the channels (Chollet 2017)."""
    each, mixed, *bias = layer.get_weights()
    each = _spread(each, layer.dilation_rate)
    depthwise = layers.DepthwiseConv2D(
        each.shape[:2],
        layer.strides,
        layer.padding,
        depth_multiplier=layer.depth_multiplier,
        name=rewriting.named(f"{layer.name}_depthwise"),
    )
    x = rewriting.add(depthwise, x, [each, np.zeros(each.shape[2] * each.shape[3])])

    def make(**options: Any) -> Any:
        return layers.Conv2D(layer.filters, 1, **options)

    return weighted(rewriting, layer, x, make, [mixed, *bias])


def _dense(rewriting: PlainLayers, layer: Any, x: Tensor) -> Tensor:
    weights = layer.get_weights()
    if len(x.shape) == 4:  # at each position: a convolution of one cell

        def at_each(**options: Any) -> Any:
            return layers.Conv2D(layer.units, 1, **options)

        return weighted(rewriting, layer, x, at_each, [weights[0][None, None], *weights[1:]])

    def make(activation: Any, **options: Any) -> Any:
        return layers.Dense(layer.units, **options)

    if isinstance(x, Scaled):  # W(fx + s) + b = (fW)x + (Ws + b)
        kernel = np.asarray(weights[0], np.float64)
        bias = weights[1] if len(weights) > 1 else 0.0
        return weighted(rewriting, layer, x.tensor, make, [kernel * x.factor[:, None], x.shift @ kernel + bias])
    return weighted(rewriting, layer, x, make, weights)


def _layer_normalised(rewriting: PlainLayers, layer: Any, x: Tensor) -> Tensor:
    """Layer normalisation (Ba et al. 2016) over the channels of each position, with a factor and a shift for each."""
    axes = layer.axis if isinstance(layer.axis, list | tuple) else [layer.axis]
    if [axis % len(x.shape) for axis in axes] != [len(x.shape) - 1]:
        raise TrainingError(f"layer {layer.name} normalises over positions; only over channels is shown here")
    weights = iter(layer.get_weights())
    gamma = next(weights) if layer.scale else np.ones(x.shape[-1])
    beta = next(weights) if layer.center else np.zeros(x.shape[-1])
    plain = layers.LayerNormalization(epsilon=layer.epsilon, name=rewriting.named(layer.name))
    return rewriting.add(plain, x, [gamma, beta])


def _rescaling(rewriting: PlainLayers, layer: Any, x: Tensor) -> Tensor:
    scale, offset = np.asarray(layer.scale, np.float64), np.asarray(layer.offset, np.float64)
    if scale.size == offset.size == 1:
        plain = layers.Rescaling(float(scale.ravel()[0]), float(offset.ravel()[0]), name=rewriting.named(layer.name))
        return rewriting.add(plain, x)
    return rewriting.channelwise(layer.name, x, scale.ravel(), offset.ravel())


def _standardised(rewriting: PlainLayers, layer: Any, x: Tensor) -> Tensor:
    mean, variance = (np.asarray(keras.ops.convert_to_numpy(w), np.float64).ravel() for w in (layer.mean, layer.variance))
    factor = 1 / np.maximum(np.sqrt(variance), keras.config.epsilon())
    if layer.invert:
        raise TrainingError(f"layer {layer.name} normalises backwards, which is not shown here")
    return rewriting.channelwise(layer.name, x, factor, -mean * factor)


def _activation(rewriting: PlainLayers, layer: Any, x: Tensor) -> Tensor:
    return activated(rewriting, layer.name, layer, x)


REWRITES: dict[type, Callable[[PlainLayers, Any, Any], Tensor]] = {
    layers.DepthwiseConv2D: _depthwise,
    layers.SeparableConv2D: _separable,
    layers.Conv2D: _convolution,
    layers.Dense: _dense,
    layers.Rescaling: _rescaling,
    layers.Normalization: _standardised,
    layers.LayerNormalization: _layer_normalised,
    **dict.fromkeys(RULES, _activation),
    **PICTURE_REWRITES,
}
"""How each kind of layer is rewritten, more special kinds first."""
