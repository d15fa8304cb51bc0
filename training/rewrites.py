"""One layer of anybody's network comes in, the plain layers that do the same go out: a function for each kind of layer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import layers

from training.errors import TrainingError

if TYPE_CHECKING:
    from training.plain import Rewriting

Tensor = Any
"""One of Keras's symbolic tensors."""


@dataclass(frozen=True)
class Scaled:
    """A row of numbers that wait for the fully connected layer that takes their factors and shifts in."""

    tensor: Tensor
    factor: np.ndarray
    shift: np.ndarray

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The row's."""
        shape: tuple[int | None, ...] = self.tensor.shape
        return shape


def _convolution(rewriting: "Rewriting", layer: Any, x: Tensor) -> Tensor:
    if layer.groups != 1 or set(layer.dilation_rate) != {1}:
        raise TrainingError(f"layer {layer.name} is a dilated or grouped convolution, which is not shown here")

    def make(**options: Any) -> Any:
        return layers.Conv2D(layer.filters, layer.kernel_size, layer.strides, layer.padding, **options)

    return rewriting.weighted(layer, x, make, layer.get_weights())


def _depthwise(rewriting: "Rewriting", layer: Any, x: Tensor) -> Tensor:
    if set(layer.dilation_rate) != {1}:
        raise TrainingError(f"layer {layer.name} is a dilated convolution, which is not shown here")

    def make(**options: Any) -> Any:
        multiplier = layer.depth_multiplier
        return layers.DepthwiseConv2D(
            layer.kernel_size, layer.strides, layer.padding, depth_multiplier=multiplier, **options
        )

    return rewriting.weighted(layer, x, make, layer.get_weights())


def _separable(rewriting: "Rewriting", layer: Any, x: Tensor) -> Tensor:
    """A filter for each channel, then a mixture of the channels (Chollet 2017)."""
    if set(layer.dilation_rate) != {1}:
        raise TrainingError(f"layer {layer.name} is a dilated convolution, which is not shown here")
    each, mixed, *bias = layer.get_weights()
    depthwise = layers.DepthwiseConv2D(
        layer.kernel_size,
        layer.strides,
        layer.padding,
        depth_multiplier=layer.depth_multiplier,
        name=rewriting.named(f"{layer.name}_depthwise"),
    )
    x = rewriting.add(depthwise, x, [each, np.zeros(each.shape[2] * each.shape[3])])

    def make(**options: Any) -> Any:
        return layers.Conv2D(layer.filters, 1, **options)

    return rewriting.weighted(layer, x, make, [mixed, *bias])


def _dense(rewriting: "Rewriting", layer: Any, x: Tensor) -> Tensor:
    if len(x.shape) != 2:
        raise TrainingError(f"layer {layer.name} is fully connected to each place of a picture, which is not shown here")

    def make(activation: Any, **options: Any) -> Any:
        return layers.Dense(layer.units, **options)

    weights = layer.get_weights()
    if isinstance(x, Scaled):  # W(fx + s) + b = (fW)x + (Ws + b)
        kernel = np.asarray(weights[0], np.float64)
        bias = weights[1] if len(weights) > 1 else 0.0
        return rewriting.weighted(layer, x.tensor, make, [kernel * x.factor[:, None], x.shift @ kernel + bias])
    return rewriting.weighted(layer, x, make, weights)


def _rescaling(rewriting: "Rewriting", layer: Any, x: Tensor) -> Tensor:
    scale, offset = np.asarray(layer.scale, np.float64), np.asarray(layer.offset, np.float64)
    if scale.size == offset.size == 1:
        plain = layers.Rescaling(float(scale.ravel()[0]), float(offset.ravel()[0]), name=rewriting.named(layer.name))
        return rewriting.add(plain, x)
    return rewriting.channelwise(layer.name, x, scale.ravel(), offset.ravel())


def _standardised(rewriting: "Rewriting", layer: Any, x: Tensor) -> Tensor:
    mean, variance = (np.asarray(keras.ops.convert_to_numpy(w), np.float64).ravel() for w in (layer.mean, layer.variance))
    factor = 1 / np.maximum(np.sqrt(variance), keras.config.epsilon())
    if layer.invert:
        raise TrainingError(f"layer {layer.name} normalises backwards, which is not shown here")
    return rewriting.channelwise(layer.name, x, factor, -mean * factor)


def _activation(rewriting: "Rewriting", layer: Any, x: Tensor) -> Tensor:
    return rewriting.activated(layer.name, layer.activation.__name__, x)


def _relu(rewriting: "Rewriting", layer: Any, x: Tensor) -> Tensor:
    ceiling, slope = layer.max_value, layer.negative_slope
    if layer.threshold or (ceiling not in (None, 6)) or (ceiling and slope):
        raise TrainingError(
            f"layer {layer.name} is a ReLU with a threshold, or a ceiling other than 6, which is not shown here"
        )
    if slope:
        return rewriting.add(layers.LeakyReLU(float(slope), name=rewriting.named(layer.name)), x)
    plain = layers.ReLU(name=rewriting.named(layer.name)) if ceiling is None else None
    return rewriting.add(plain or layers.Activation("relu6", name=rewriting.named(layer.name)), x)


def _leaky(rewriting: "Rewriting", layer: Any, x: Tensor) -> Tensor:
    return rewriting.add(layers.LeakyReLU(float(layer.negative_slope), name=rewriting.named(layer.name)), x)


def _softmax(rewriting: "Rewriting", layer: Any, x: Tensor) -> Tensor:
    return rewriting.activated(layer.name, "softmax", x)


def _pooling(rewriting: "Rewriting", layer: Any, x: Tensor) -> Tensor:
    kind = layers.MaxPooling2D if isinstance(layer, layers.MaxPooling2D) else layers.AveragePooling2D
    return rewriting.add(kind(layer.pool_size, layer.strides, layer.padding, name=rewriting.named(layer.name)), x)


def _global(rewriting: "Rewriting", layer: Any, x: Tensor) -> Tensor:
    kind = layers.GlobalMaxPooling2D if isinstance(layer, layers.GlobalMaxPooling2D) else layers.GlobalAveragePooling2D
    if layer.keepdims:
        return _whole(rewriting, layer.name, x, largest=isinstance(layer, layers.GlobalMaxPooling2D))
    return rewriting.add(kind(name=rewriting.named(layer.name)), x)


def _whole(rewriting: "Rewriting", name: str, x: Tensor, largest: bool) -> Tensor:
    """A pooling of the whole picture that leaves a picture of one pixel."""
    kind = layers.MaxPooling2D if largest else layers.AveragePooling2D
    return rewriting.add(kind(x.shape[1:3], name=rewriting.named(name)), x)


def _padding(rewriting: "Rewriting", layer: Any, x: Tensor) -> Tensor:
    return rewriting.add(layers.ZeroPadding2D(layer.padding, name=rewriting.named(layer.name)), x)


def _add(rewriting: "Rewriting", layer: Any, x: list[Tensor]) -> Tensor:
    return rewriting.add(layers.Add(name=rewriting.named(layer.name)), x)


def _multiplication(rewriting: "Rewriting", layer: Any, x: list[Tensor]) -> Tensor:
    return rewriting.add(layers.Multiply(name=rewriting.named(layer.name)), x)


def _concatenation(rewriting: "Rewriting", layer: Any, x: list[Tensor]) -> Tensor:
    if layer.axis not in (-1, len(x[0].shape) - 1):
        raise TrainingError(f"layer {layer.name} joins pictures side by side, which is not shown here")
    return rewriting.add(layers.Concatenate(name=rewriting.named(layer.name)), x)


def _flatten(rewriting: "Rewriting", layer: Any, x: Tensor) -> Tensor:
    before = x._keras_history.operation
    pooled = isinstance(before, layers.GlobalAveragePooling2D | layers.GlobalMaxPooling2D)
    if isinstance(layer, layers.Reshape) and tuple(layer.target_shape[:2]) == (1, 1) and pooled:
        return _whole(rewriting, layer.name, before.input, largest=isinstance(before, layers.GlobalMaxPooling2D))
    if isinstance(layer, layers.Reshape) and len(layer.target_shape) != 1:
        raise TrainingError(f"layer {layer.name} reshapes to {layer.target_shape}, which is not shown here")
    return rewriting.add(layers.Flatten(name=rewriting.named(layer.name)), x) if len(x.shape) > 2 else x


REWRITES: dict[type, Callable[["Rewriting", Any, Any], Tensor]] = {
    layers.DepthwiseConv2D: _depthwise,
    layers.SeparableConv2D: _separable,
    layers.Conv2D: _convolution,
    layers.Dense: _dense,
    layers.BatchNormalization: _activation,  # see Rewriting._normalised
    layers.Rescaling: _rescaling,
    layers.Normalization: _standardised,
    layers.MaxPooling2D: _pooling,
    layers.AveragePooling2D: _pooling,
    layers.GlobalAveragePooling2D: _global,
    layers.GlobalMaxPooling2D: _global,
    layers.Activation: _activation,
    layers.ReLU: _relu,
    layers.LeakyReLU: _leaky,
    layers.Softmax: _softmax,
    layers.ZeroPadding2D: _padding,
    layers.Add: _add,
    layers.Multiply: _multiplication,
    layers.Concatenate: _concatenation,
    layers.Flatten: _flatten,
    layers.Reshape: _flatten,
}
"""How each kind of layer is rewritten, more special kinds first."""
