"""A Keras network comes in, the same network as an ONNX graph goes out, with every stage as a named output.

It is written layer by layer, so that each node, kernel and bias carries the name of its layer and nothing is added: one
Keras layer becomes one ONNX node, and only `flatten` needs a second one, because ONNX keeps channels before rows. Stage
outputs are therefore (n, channels, height, width); `app.inference.networks.engines.onnx_engine` turns them without copying.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import onnx
from keras import layers
from onnx import TensorProto, helper, numpy_helper

from app.inference.networks.activations import SELU
from app.inference.networks.pooling import LogMeanExpPooling2D
from training.errors import TrainingError

OPSET = 21

ELEMENTWISE: dict[str, tuple[str, dict[str, float]]] = {
    "elu": ("Elu", {"alpha": 1.0}),
    "selu": ("Selu", {"alpha": SELU[0], "gamma": SELU[1]}),
    "gelu": ("Gelu", {}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "hard_sigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "hard_silu": ("HardSwish", {}),
    "softplus": ("Softplus", {}),
}
"""By Keras' name: ONNX's operator and its attributes."""


class Graph:
    """An ONNX graph under construction: nodes, weights and outputs by the names of the layers they came from."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []

    def node(self, operator: str, inputs: list[str], name: str, **attributes: Any) -> None:
        """Append a node whose only output has the node's name."""
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))

    def weight(self, name: str, values: np.ndarray) -> str:
        """Store trained numbers and return the name that nodes refer to them by."""
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name


def build(model: keras.Model, stages: list[str]) -> onnx.ModelProto:
    """The ONNX model of a functional Keras network: input `image` (n, H, W, 3) float32, outputs `stages`.

    Raises TrainingError for a layer that has no translation here.
    """
    graph = Graph()
    shape = ["n", *model.input_shape[1:]]
    graph.node("Transpose", ["image"], "image/channels_first", perm=[0, 3, 1, 2])
    named = {model.inputs[0].name: "image/channels_first"}
    for layer in model.layers:
        if isinstance(layer, layers.InputLayer):
            continue
        translate = next((f for kind, f in TRANSLATIONS.items() if isinstance(layer, kind)), None)
        if translate is None:
            raise TrainingError(f"layer {layer.name} is a {type(layer).__name__}, which has no translation to ONNX here")
        inputs = [named[tensor.name] for tensor in keras.tree.flatten(layer.input)]
        named[layer.output.name] = translate(graph, layer, inputs) or layer.name
    for name in stages:
        sizes = list(model.get_layer(name).output.shape[1:])
        sizes = [sizes[2], sizes[0], sizes[1]] if len(sizes) == 3 else sizes
        graph.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *sizes]))
    built = helper.make_graph(
        graph.nodes,
        model.name,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        graph.outputs,
        graph.weights,
    )
    opset = [helper.make_opsetid("", OPSET)]
    exported = helper.make_model(built, opset_imports=opset, ir_version=10, producer_name="catscope")
    onnx.checker.check_model(exported, full_check=True)
    return exported


def _padding(layer: Any) -> dict[str, Any]:
    """Keras' "same" puts the odd row or column of padding at the end, which ONNX calls SAME_UPPER."""
    return {"auto_pad": "SAME_UPPER" if layer.padding == "same" else "VALID"}


def _convolution(graph: Graph, layer: Any, inputs: list[str]) -> None:
    depthwise = isinstance(layer, layers.DepthwiseConv2D)
    if set(layer.dilation_rate) != {1} or (not depthwise and layer.groups != 1):
        raise TrainingError(f"layer {layer.name} is a dilated or grouped convolution, which is not translated here")
    kernel, *bias = layer.get_weights()
    if depthwise:  # (height, width, channels, filters a channel): each channel is a group of its own
        kernel = kernel.reshape(*kernel.shape[:2], 1, -1)
    weights = [graph.weight(f"{layer.name}/kernel", kernel.transpose(3, 2, 0, 1))]
    weights += [graph.weight(f"{layer.name}/bias", b) for b in bias]
    activated = layer.activation is not keras.activations.linear
    graph.node(
        "Conv",
        inputs + weights,
        f"{layer.name}/sum" if activated else layer.name,
        strides=list(layer.strides),
        kernel_shape=list(layer.kernel_size),
        dilations=[1, 1],
        group=layer.input.shape[-1] if depthwise else 1,
        **_padding(layer),
    )
    if activated:
        _activation(graph, layer, f"{layer.name}/sum")


def _activation(graph: Graph, layer: Any, source: str) -> None:
    """The activation that a layer brings along; ONNX Runtime computes it in the same step as the convolution."""
    if layer.activation is keras.activations.relu:
        graph.node("Relu", [source], layer.name)
    elif layer.activation is keras.activations.relu6:
        ends = [graph.weight(f"{layer.name}/{end}", np.array(value, np.float32)) for end, value in (("min", 0), ("max", 6))]
        graph.node("Clip", [source, *ends], layer.name)
    else:
        raise TrainingError(
            f"layer {layer.name} has the activation {layer.activation.__name__}, which is not translated here"
        )


def _rescaling(graph: Graph, layer: Any, inputs: list[str]) -> None:
    factor, offset = (np.array(value, np.float32) for value in (layer.scale, layer.offset))
    if factor.ndim or offset.ndim:
        raise TrainingError(f"layer {layer.name} rescales each channel on its own, which is not translated here")
    graph.node("Mul", [*inputs, graph.weight(f"{layer.name}/scale", factor)], f"{layer.name}/product")
    graph.node("Add", [f"{layer.name}/product", graph.weight(f"{layer.name}/offset", offset)], layer.name)


def _add(graph: Graph, layer: Any, inputs: list[str]) -> None:
    graph.node("Sum", inputs, layer.name)


def _multiply(graph: Graph, layer: Any, inputs: list[str]) -> None:
    graph.node("Mul", inputs, layer.name)


def _pooling(operator: str) -> Callable[[Graph, Any, list[str]], None]:
    def translate(graph: Graph, layer: Any, inputs: list[str]) -> None:
        sizes = {"kernel_shape": list(layer.pool_size), "strides": list(layer.strides)}
        graph.node(operator, inputs, layer.name, **sizes, **_padding(layer))

    return translate


def _relu(graph: Graph, layer: Any, inputs: list[str]) -> None:
    if layer.max_value is not None or layer.negative_slope or layer.threshold:
        raise TrainingError(f"layer {layer.name} is a ReLU with a ceiling, slope or threshold, which is not translated here")
    graph.node("Relu", inputs, layer.name)


def _elementwise(graph: Graph, layer: Any, inputs: list[str]) -> None:
    name = layer.activation.__name__
    if name == "relu6":
        ends = [graph.weight(f"{layer.name}/{end}", np.array(value, np.float32)) for end, value in (("min", 0), ("max", 6))]
        graph.node("Clip", [*inputs, *ends], layer.name)
    elif name == "silu":
        graph.node("Sigmoid", inputs, f"{layer.name}/sigmoid")
        graph.node("Mul", [*inputs, f"{layer.name}/sigmoid"], layer.name)
    elif name in ELEMENTWISE:
        operator, attributes = ELEMENTWISE[name]
        graph.node(operator, inputs, layer.name, **attributes)
    else:
        raise TrainingError(f"layer {layer.name} has the activation {name}, which is not translated here")


def _leaky_relu(graph: Graph, layer: Any, inputs: list[str]) -> None:
    graph.node("LeakyRelu", inputs, layer.name, alpha=float(layer.negative_slope))


def _slopes(graph: Graph, layer: Any, inputs: list[str]) -> None:
    alpha = layer.get_weights()[0]
    slopes = graph.weight(f"{layer.name}/slopes", alpha.transpose(2, 0, 1) if alpha.ndim == 3 else alpha)
    graph.node("PRelu", [*inputs, slopes], layer.name)


def _layer_normalization(graph: Graph, layer: Any, inputs: list[str]) -> None:
    """ONNX normalises over last axes, so channels come last for it."""
    gamma, beta = layer.get_weights()
    weights = [graph.weight(f"{layer.name}/gamma", gamma), graph.weight(f"{layer.name}/beta", beta)]
    attributes = {"axis": -1, "epsilon": float(layer.epsilon)}
    if len(layer.input.shape) == 2:
        graph.node("LayerNormalization", inputs + weights, layer.name, **attributes)
        return
    graph.node("Transpose", inputs, f"{layer.name}/channels_last", perm=[0, 2, 3, 1])
    graph.node("LayerNormalization", [f"{layer.name}/channels_last", *weights], f"{layer.name}/normal", **attributes)
    graph.node("Transpose", [f"{layer.name}/normal"], layer.name, perm=[0, 3, 1, 2])


def _cropping(graph: Graph, layer: Any, inputs: list[str]) -> None:
    (top, _), (left, _) = layer.cropping
    _, height, width, _ = layer.output.shape
    numbers = {"start": [top, left], "end": [top + height, left + width], "axes": [2, 3]}
    ends = [graph.weight(f"{layer.name}/{name}", np.array(value, np.int64)) for name, value in numbers.items()]
    graph.node("Slice", [*inputs, *ends], layer.name)


def _resizing(graph: Graph, layer: Any, inputs: list[str]) -> None:
    size = graph.weight(f"{layer.name}/size", np.array([layer.height, layer.width], np.int64))
    mode = {"bilinear": "linear", "nearest": "nearest"}[layer.interpolation]
    rounding = {"nearest_mode": "round_prefer_ceil"} if mode == "nearest" else {}
    graph.node(
        "Resize",
        [*inputs, "", "", size],
        layer.name,
        mode=mode,
        axes=[2, 3],
        coordinate_transformation_mode="half_pixel",
        **rounding,
    )


def _zero_padding(graph: Graph, layer: Any, inputs: list[str]) -> None:
    (top, bottom), (left, right) = layer.padding
    sizes = np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
    graph.node("Pad", [*inputs, graph.weight(f"{layer.name}/zeros", sizes)], layer.name)


def _concatenate(graph: Graph, layer: Any, inputs: list[str]) -> None:
    graph.node("Concat", inputs, layer.name, axis=1)


def _global_maximum(graph: Graph, layer: Any, inputs: list[str]) -> None:
    axes = graph.weight(f"{layer.name}/axes", np.array([2, 3], np.int64))
    graph.node("ReduceMax", [*inputs, axes], layer.name, keepdims=0)


def _flatten(graph: Graph, layer: Any, inputs: list[str]) -> None:
    if len(layer.input.shape) == 4:
        graph.node("Transpose", inputs, f"{layer.name}/channels_last", perm=[0, 2, 3, 1])
        inputs = [f"{layer.name}/channels_last"]
    graph.node("Flatten", inputs, layer.name)


def _log_mean_exp(graph: Graph, layer: Any, inputs: list[str]) -> None:
    axes = graph.weight(f"{layer.name}/axes", np.array([2, 3], np.int64))
    graph.node("ReduceLogSumExp", [*inputs, axes], f"{layer.name}/sum", keepdims=0)
    places = graph.weight(f"{layer.name}/places", np.array(np.log(np.prod(layer.input.shape[1:3])), np.float32))
    graph.node("Sub", [f"{layer.name}/sum", places], layer.name)


def _global_average(graph: Graph, layer: Any, inputs: list[str]) -> None:
    if layer.keepdims:
        raise TrainingError(f"layer {layer.name} keeps rows and columns of one, which is not translated here")
    axes = graph.weight(f"{layer.name}/axes", np.array([2, 3], np.int64))
    graph.node("ReduceMean", [*inputs, axes], layer.name, keepdims=0)


def _dense(graph: Graph, layer: Any, inputs: list[str]) -> None:
    if layer.activation is not keras.activations.linear:
        raise TrainingError(f"layer {layer.name} is dense with an activation, which is a layer of its own here")
    kernel, *bias = layer.get_weights()
    weights = [graph.weight(f"{layer.name}/kernel", kernel)]
    weights += [graph.weight(f"{layer.name}/bias", b) for b in bias]
    graph.node("Gemm", inputs + weights, layer.name)


def _softmax(graph: Graph, layer: Any, inputs: list[str]) -> None:
    graph.node("Softmax", inputs, layer.name, axis=-1)


def _dropout(graph: Graph, layer: Any, inputs: list[str]) -> str:
    """Dropout does nothing outside training: whoever reads it reads what it read."""
    return inputs[0]


Translation = Callable[[Graph, Any, list[str]], str | None]

TRANSLATIONS: dict[type, Translation] = {
    layers.Rescaling: _rescaling,
    layers.DepthwiseConv2D: _convolution,
    layers.Conv2D: _convolution,
    layers.Add: _add,
    layers.Multiply: _multiply,
    layers.MaxPooling2D: _pooling("MaxPool"),
    layers.AveragePooling2D: _pooling("AveragePool"),
    layers.ReLU: _relu,
    layers.LeakyReLU: _leaky_relu,
    layers.Activation: _elementwise,
    layers.PReLU: _slopes,
    layers.LayerNormalization: _layer_normalization,
    layers.ZeroPadding2D: _zero_padding,
    layers.Cropping2D: _cropping,
    layers.Resizing: _resizing,
    layers.Concatenate: _concatenate,
    layers.GlobalMaxPooling2D: _global_maximum,
    layers.GlobalAveragePooling2D: _global_average,
    LogMeanExpPooling2D: _log_mean_exp,
    layers.Flatten: _flatten,
    layers.Dense: _dense,
    layers.Softmax: _softmax,
    layers.Dropout: _dropout,
}
"""How each kind of layer is written; a function that adds no node returns the name of the tensor that stands for it."""
