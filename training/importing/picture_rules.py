"""A layer that rearranges or sums up pictures comes in, the plain layer that does the same goes out."""

from collections.abc import Callable
from typing import Any

from keras import layers

from training.errors import TrainingError
from training.importing.plain_layers import PlainLayers, Tensor


def _pooling(rewriting: PlainLayers, layer: Any, x: Tensor) -> Tensor:
    kind = layers.MaxPooling2D if isinstance(layer, layers.MaxPooling2D) else layers.AveragePooling2D
    return rewriting.add(kind(layer.pool_size, layer.strides, layer.padding, name=rewriting.named(layer.name)), x)


def _global(rewriting: PlainLayers, layer: Any, x: Tensor) -> Tensor:
    kind = layers.GlobalMaxPooling2D if isinstance(layer, layers.GlobalMaxPooling2D) else layers.GlobalAveragePooling2D
    if layer.keepdims:
        return _whole(rewriting, layer.name, x, largest=isinstance(layer, layers.GlobalMaxPooling2D))
    return rewriting.add(kind(name=rewriting.named(layer.name)), x)


def _whole(rewriting: PlainLayers, name: str, x: Tensor, largest: bool) -> Tensor:
    """A pooling of the whole picture that leaves a picture of one pixel."""
    kind = layers.MaxPooling2D if largest else layers.AveragePooling2D
    return rewriting.add(kind(x.shape[1:3], name=rewriting.named(name)), x)


def _padding(rewriting: PlainLayers, layer: Any, x: Tensor) -> Tensor:
    return rewriting.add(layers.ZeroPadding2D(layer.padding, name=rewriting.named(layer.name)), x)


def _add(rewriting: PlainLayers, layer: Any, x: list[Tensor]) -> Tensor:
    return rewriting.add(layers.Add(name=rewriting.named(layer.name)), x)


def _multiplication(rewriting: PlainLayers, layer: Any, x: list[Tensor]) -> Tensor:
    return rewriting.add(layers.Multiply(name=rewriting.named(layer.name)), x)


def _concatenation(rewriting: PlainLayers, layer: Any, x: list[Tensor]) -> Tensor:
    if layer.axis not in (-1, len(x[0].shape) - 1):
        raise TrainingError(f"layer {layer.name} joins pictures side by side, which is not shown here")
    return rewriting.add(layers.Concatenate(name=rewriting.named(layer.name)), x)


def _flatten(rewriting: PlainLayers, layer: Any, x: Tensor) -> Tensor:
    before = x._keras_history.operation
    pooled = isinstance(before, layers.GlobalAveragePooling2D | layers.GlobalMaxPooling2D)
    if isinstance(layer, layers.Reshape) and tuple(layer.target_shape[:2]) == (1, 1) and pooled:
        return _whole(rewriting, layer.name, before.input, largest=isinstance(before, layers.GlobalMaxPooling2D))
    if isinstance(layer, layers.Reshape) and len(layer.target_shape) != 1:
        raise TrainingError(f"layer {layer.name} reshapes to {layer.target_shape}, which is not shown here")
    return rewriting.add(layers.Flatten(name=rewriting.named(layer.name)), x) if len(x.shape) > 2 else x


def _cropping(rewriting: PlainLayers, layer: Any, x: Tensor) -> Tensor:
    return _cut(rewriting, layer.name, x, layer.cropping)


def _centre(rewriting: PlainLayers, layer: Any, x: Tensor) -> Tensor:
    """The middle of the picture; of an odd rest, Keras cuts the larger half behind it."""
    rest = [x.shape[1] - layer.height, x.shape[2] - layer.width]
    if min(rest) < 0:
        raise TrainingError(f"layer {layer.name} crops to more than the picture has, which is not shown here")
    return _cut(rewriting, layer.name, x, [(size // 2, size - size // 2) for size in rest])


def _cut(rewriting: PlainLayers, name: str, x: Tensor, cropping: Any) -> Tensor:
    if not any(map(any, cropping)):
        return x
    return rewriting.add(layers.Cropping2D(cropping, name=rewriting.named(name)), x)


def _resizing(rewriting: PlainLayers, layer: Any, x: Tensor) -> Tensor:
    _, height, width, _ = x.shape
    other_shape = height * layer.width != width * layer.height
    if layer.antialias or (other_shape and (layer.crop_to_aspect_ratio or layer.pad_to_aspect_ratio)):
        raise TrainingError(f"layer {layer.name} resizes with antialiasing, cropping or padding, which is not shown here")
    return _resized(rewriting, layer, x, layer.height, layer.width)


def _upsampling(rewriting: PlainLayers, layer: Any, x: Tensor) -> Tensor:
    return _resized(rewriting, layer, x, x.shape[1] * layer.size[0], x.shape[2] * layer.size[1])


def _resized(rewriting: PlainLayers, layer: Any, x: Tensor, height: int, width: int) -> Tensor:
    if layer.interpolation not in ("bilinear", "nearest"):
        raise TrainingError(f"layer {layer.name} resizes by {layer.interpolation}; only bilinear and nearest are shown here")
    if tuple(x.shape[1:3]) == (height, width):
        return x
    return rewriting.add(layers.Resizing(height, width, layer.interpolation, name=rewriting.named(layer.name)), x)


PICTURE_REWRITES: dict[type, Callable[[PlainLayers, Any, Any], Tensor]] = {
    layers.MaxPooling2D: _pooling,
    layers.AveragePooling2D: _pooling,
    layers.GlobalAveragePooling2D: _global,
    layers.GlobalMaxPooling2D: _global,
    layers.ZeroPadding2D: _padding,
    layers.Cropping2D: _cropping,
    layers.CenterCrop: _centre,
    layers.Resizing: _resizing,
    layers.UpSampling2D: _upsampling,
    layers.Add: _add,
    layers.Multiply: _multiplication,
    layers.Concatenate: _concatenation,
    layers.Flatten: _flatten,
    layers.Reshape: _flatten,
}
"""How each kind is rewritten."""
