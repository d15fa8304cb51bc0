"""An exported network and photos come in; the same network in 8-bit integers goes out, sensitive layers left in float.

`careful` differs from the usual recipe (`engines.usual`, ONNX Runtime's own `quantize_static`) in four things, each of
which benchmarks/precision.py measures:

- Weights are scaled so that no sum of two neighbouring products overflows. CPUs without VNNI multiply unsigned activations
  with signed weights by `vpmaddubsw`, which adds two products and cuts the sum off at 32,767: 255 x (127 + 127) does not
  fit, 255 x 128 does. Halving all weights (`reduce_range`) avoids it too, and costs every filter a bit.
- Biases are corrected by the mean that rounding the weights adds to each channel (Nagel et al. 2019, "Data-free
  quantization through weight equalization and bias correction"), here from the channels' means over the photos.
- The range of an activation is the one whose squared error is smallest, not from the smallest to the largest value seen.
- The first blocks stay in float: the integers of their large and thin pictures cost most of the accuracy and save little.

The form is QDQ: a float graph with QuantizeLinear and DequantizeLinear in it, which each runtime fuses as it can.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HEAD = ("evidence", "pooled", "scores", "probabilities")
"""One score a position and what follows: next to no work, and every error in it reaches the answer."""

BEGINNING = ("normalize", "stem")
LEVELS = 255
SAFE_PAIR = 128
"""The most that two neighbouring weights of one sign may add up to: 255 x 128 = 32,640 is below 2**15."""

LARGEST_BIAS = 2**30
"""A bias counts in steps of its filter's scale, in 32 bits; that of a dead filter would not fit otherwise."""

SAMPLE = 400
"""Values of each activation and photo that its range is chosen from."""


@dataclass(frozen=True)
class Recipe:
    """How to quantize. `floats` are layers left in float besides BEGINNING and HEAD; the rest are the docstring's points."""

    floats: frozenset[str] = frozenset()
    paired: bool = True
    corrected: bool = True
    fitted: bool = True


@dataclass(frozen=True)
class Seen:
    """What photos made of an activation: smallest and largest value, `mean` (channels,), and a `sample` of its values."""

    low: float
    high: float
    mean: np.ndarray
    sample: np.ndarray


@dataclass(frozen=True)
class Layer:
    """A convolution of the graph: its node, what it reads, whether it is depthwise, the cut-off behind it (or None)."""

    node: onnx.NodeProto
    reads: str
    depthwise: bool
    clip: onnx.NodeProto | None


def blocks(model: onnx.ModelProto, last: int) -> frozenset[str]:
    """The names of the layers of the first `last` blocks."""
    return frozenset(name for name in layers(model) for n in range(1, last + 1) if name.split("_")[0] == f"block{n}")


def layers(model: onnx.ModelProto) -> dict[str, Layer]:
    """The convolutions by the name of what comes out of them, after their cut-off."""
    clips = {node.input[0]: node for node in model.graph.node if node.op_type == "Clip"}
    collected = {}
    for node in model.graph.node:
        if node.op_type == "Conv":
            clip = clips.get(node.output[0])
            group = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
            collected[(clip or node).output[0]] = Layer(node, node.input[0], group > 1, clip)
    return collected


def observe(model: onnx.ModelProto, photos: np.ndarray) -> dict[str, Seen]:
    """Run the network in float on photos, (n, height, width, 3) uint8, and describe every activation that is a picture."""
    from app.inference.networks.runtime import session

    every = onnx.ModelProto()
    every.CopyFrom(model)
    del every.graph.output[:]
    names = [name for node in model.graph.node for name in node.output]
    every.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    runs, random = session(every.SerializeToString()), np.random.default_rng(0)
    rows: dict[str, list[tuple[float, float, np.ndarray, np.ndarray]]] = {}
    for photo in photos:
        for name, values in zip(names, runs.run(names, {"image": photo[np.newaxis].astype(np.float32)}), strict=True):
            if values.ndim == 4:
                flat = values.reshape(values.shape[1], -1)
                drawn = random.choice(flat.ravel(), SAMPLE)
                rows.setdefault(name, []).append((flat.min(), flat.max(), flat.mean(axis=1), drawn))
    collected = {}
    for name, seen in rows.items():
        lows, highs, means, samples = zip(*seen, strict=True)
        collected[name] = Seen(float(min(lows)), float(max(highs)), np.mean(means, axis=0), np.concatenate(samples))
    return collected


def careful(model: onnx.ModelProto, seen: dict[str, Seen], recipe: Recipe) -> onnx.ModelProto:
    """The network in integers, its stages still its outputs, in float."""
    return _Writer(model, seen, recipe).written()


class _Writer:
    """Copies a graph node by node, with integers where the recipe wants them."""

    def __init__(self, model: onnx.ModelProto, seen: dict[str, Seen], recipe: Recipe) -> None:
        self.model, self.seen, self.recipe = model, seen, recipe
        self.layers = layers(model)
        self.weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        self.chosen = set(self.layers) - {*HEAD, *BEGINNING} - recipe.floats
        self.outputs = {output.name for output in model.graph.output}
        self.nodes: list[onnx.NodeProto] = []
        self.scales: dict[str, float] = {}
        self.integers: dict[str, str] = {}  # activations of integer layers -> the name of that version of them
        self.sent: dict[str, str] = {}  # the same of float layers, for the integer ones that read them
        self.of_sum = {layer.node.output[0]: name for name, layer in self.layers.items()}

    def written(self) -> onnx.ModelProto:
        for node in self.model.graph.node:
            name = node.output[0]
            if node.op_type == "Conv" and self.of_sum[name] in self.chosen:
                self._convolution(self.of_sum[name])
            elif node.op_type == "Clip" and name in self.chosen:
                continue  # the range of the integers, 0 to at most 6, cuts off
            elif node.op_type == "Sum" and any(read in self.integers for read in node.input):
                terms = [self._as_integers(read) for read in node.input]
                self._add("Add", terms, f"{name}/raw")  # the runtimes have an integer Add, and no integer Sum
                self._comes_out(name)
            else:
                copied = onnx.NodeProto()
                copied.CopyFrom(node)
                copied.input[:] = [self.integers.get(read, read) for read in node.input]
                self.nodes.append(copied)
        return self._model()

    def _convolution(self, name: str) -> None:
        layer = self.layers[name]
        kernel, bias = (self.weights[read].astype(np.float64) for read in layer.node.input[1:])
        reads = self._as_integers(layer.reads)
        scale = scales(kernel, paired=self.recipe.paired and not layer.depthwise)  # depthwise kernels multiply in 16 bits
        scale = np.maximum(scale, np.abs(bias) / self.scales[layer.reads] / LARGEST_BIAS).astype(np.float32).astype(float)
        integers = np.clip(np.round(kernel / scale[:, None, None, None]), -127, 127)
        if self.recipe.corrected:
            lost = (kernel - integers * scale[:, None, None, None]).sum(axis=(2, 3))
            mean = self.seen[layer.reads].mean
            bias = bias + (lost[:, 0] * mean if layer.depthwise else lost @ mean)
        of_bias = scale * self.scales[layer.reads]
        self._dequantize(f"{name}/kernel", integers.astype(np.int8), scale)
        self._dequantize(f"{name}/bias", np.round(bias / of_bias).astype(np.int32), of_bias)
        copied = onnx.NodeProto()
        copied.CopyFrom(layer.node)
        copied.input[:] = [reads, f"{name}/kernel", f"{name}/bias"]
        copied.output[:] = [f"{name}/raw"]
        self.nodes.append(copied)
        self._comes_out(name)

    def _as_integers(self, name: str) -> str:
        """The activation `name` after a way through integers; one that is still float is sent there now."""
        if name not in self.integers and name not in self.sent:
            self.sent[name] = f"{name}/dequantized"
            self._quantize(name, name, self.sent[name])
        return self.integers.get(name) or self.sent[name]

    def _comes_out(self, name: str) -> None:
        """What an integer layer computed, `name`/raw in the graph: its integers for who follows, its floats for people."""
        self._quantize(f"{name}/raw", name, f"{name}/dequantized")
        self.integers[name] = f"{name}/dequantized"
        if name in self.outputs:
            self._add("Identity", [f"{name}/dequantized"], name)

    def _quantize(self, read: str, name: str, out: str) -> None:
        if name not in self.scales:
            clipped = name in self.layers and self.layers[name].clip is not None
            low, high = bounds(self.seen[name], self.recipe.fitted)
            low, high = (0.0, min(high, 6.0)) if clipped else (low, high)
            self.scales[name] = float(np.float32((high - low) / LEVELS))
            self.weights[f"{name}/scale8"] = np.float32(self.scales[name])
            self.weights[f"{name}/zero8"] = np.uint8(round(-low / self.scales[name]))
        constants = [f"{name}/scale8", f"{name}/zero8"]
        self._add("QuantizeLinear", [read, *constants], f"{out}/integers")
        self._add("DequantizeLinear", [f"{out}/integers", *constants], out)

    def _dequantize(self, name: str, integers: np.ndarray, scale: np.ndarray) -> None:
        """Weights as integers with a scale for each filter."""
        self.weights |= {f"{name}/integers": integers, f"{name}/scale": scale.astype(np.float32)}
        self.weights[f"{name}/zero"] = np.zeros(len(scale), integers.dtype)
        self._add("DequantizeLinear", [f"{name}/integers", f"{name}/scale", f"{name}/zero"], name, axis=0)

    def _add(self, kind: str, reads: Iterable[str], out: str, **attributes: int) -> None:
        self.nodes.append(helper.make_node(kind, list(reads), [out], name=f"{out}/{kind}", **attributes))

    def _model(self) -> onnx.ModelProto:
        result = onnx.ModelProto()
        result.CopyFrom(self.model)
        made, read = {name for node in self.nodes for name in node.output}, {r for node in self.nodes for r in node.input}
        del result.graph.node[:], result.graph.initializer[:]
        result.graph.node.extend(self.nodes)
        unchanged = [name for name in self.weights if name in read and name not in made]
        result.graph.initializer.extend(numpy_helper.from_array(np.asarray(self.weights[name]), name) for name in unchanged)
        onnx.checker.check_model(result)
        return result


def scales(kernel: np.ndarray, paired: bool) -> np.ndarray:
    """The scale of each filter of a kernel, (filters, channels, height, width): its largest weight becomes 127, or less
    where two `paired` neighbours of one sign would add up to more than SAFE_PAIR.
    """
    scale = np.abs(kernel).reshape(len(kernel), -1).max(axis=1) / 127
    if paired:
        flat = kernel.transpose(0, 2, 3, 1).reshape(len(kernel), -1)  # as the products follow one another, channels last
        flat = np.pad(flat, ((0, 0), (0, flat.shape[1] % 2)))
        first, second = flat[:, ::2], flat[:, 1::2]
        together = np.where(first * second > 0, np.abs(first + second), 0).max(axis=1)
        scale = np.maximum(scale, together / SAFE_PAIR)
    return np.maximum(scale, 1e-9)  # a filter may have died


def bounds(seen: Seen, fitted: bool) -> tuple[float, float]:
    """The range of an activation that integers stand for, 0 in it: all that was seen, or what loses least by rounding."""
    low, high = min(0.0, seen.low), max(0.0, seen.high)
    if not fitted:
        return low, high

    def error(share: float) -> float:
        step = share * (high - low) / LEVELS
        rounded = np.clip(np.round((seen.sample - share * low) / step), 0, LEVELS) * step + share * low
        return float(((rounded - seen.sample) ** 2).mean())

    best = min(np.linspace(0.3, 1, 36), key=error)
    return float(best * low), float(best * high)
