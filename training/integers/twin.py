"""An exported network and what was seen of it come in; its twin in 8-bit integers goes out, an ONNX graph.

The twin reads the photo's own bytes and answers `probabilities` alone, with the few stages that it is asked for. Activations
are unsigned, weights signed, with a scale for each filter. It differs from the usual recipe, ONNX Runtime's own
`quantize_static`, in five things; benchmarks/precision.py measures all but the last:

- Weights are scaled so that no sum of two neighbouring products overflows. CPUs without VNNI multiply unsigned activations
  with signed weights by `vpmaddubsw`, which adds two products and cuts the sum off at 32,767: 255 x (127 + 127) does not
  fit, 255 x 128 does. Halving all weights (`reduce_range`) avoids it too, and costs every filter a bit.
- Biases are corrected by the mean that rounding the weights adds to each channel (Nagel et al. 2019, "Data-free
  quantization through weight equalization and bias correction"), here from the channels' means over the photos.
- The range of an activation is the one whose squared error is smallest, not from the smallest to the largest value seen.
- The first layers stay in float where they are little of the work, see FIRST.
- Where colours are only scaled and shifted before the first convolution, the integers of the photo itself go in: nothing is
  rounded there.

The form is QDQ: a float graph with QuantizeLinear and DequantizeLinear in it, which each runtime fuses as it can.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from training.integers.layers import Layer, layers
from training.integers.observe import Seen
from training.integers.scales import LEVELS, of_activation, of_filters, rounded

LARGEST_BIAS = 2**30
"""A bias counts in steps of its filter's scale, in 32 bits; that of a dead filter would not fit otherwise."""

FEW = 8
"""A convolution that makes so many times fewer channels than it reads makes scores: next to no work, and every error in it
reaches the answer. It stays in float."""


@dataclass(frozen=True)
class Recipe:
    """How to quantize. `floats` are layers left in float, besides those that make scores; the rest are the docstring's
    points, each of which can be left out.
    """

    floats: frozenset[str] = frozenset()
    paired: bool = True
    corrected: bool = True
    fitted: bool = True
    direct: bool = True


FIRST = 3
FIRST_SHARE = 0.1
"""The first three convolutions, whose pictures are large and thin, stay in float, if they are at most so much of all work:
their integers cost half of the accuracy that integers cost, and save no time."""


def recipe(model: onnx.ModelProto, seen: dict[str, Seen]) -> Recipe:
    """The recipe for a network: see FIRST."""
    found = layers(model)
    weights = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    work = {name: math.prod(weights[layer.node.input[1]]) * seen[name].positions for name, layer in found.items()}
    first = list(found)[:FIRST]
    cheap = sum(work[name] for name in first) <= FIRST_SHARE * sum(work.values())
    return Recipe(floats=frozenset(first if cheap else ()))


def twin(
    model: onnx.ModelProto,
    seen: dict[str, Seen],
    recipe: Recipe = Recipe(),
    stages: tuple[str, ...] = (),
) -> onnx.ModelProto:
    """The network in integers. Its outputs are `probabilities` and `stages`, in float."""
    return _Writer(model, seen, recipe, ("probabilities", *stages)).written()


class _Writer:
    """Copies a graph node by node, with integers where the recipe wants them."""

    def __init__(self, model: onnx.ModelProto, seen: dict[str, Seen], recipe: Recipe, outputs: tuple[str, ...]) -> None:
        self.model, self.seen, self.recipe, self.outputs = model, seen, recipe, outputs
        self.layers = layers(model)
        self.weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        self.chosen = {name for name, layer in self.layers.items() if not self._scores(layer)} - recipe.floats
        self.nodes: list[onnx.NodeProto] = []
        self.scales: dict[str, float] = {}
        self.integers: dict[str, str] = {}  # activations of integer layers -> the name of that version of them
        self.sent: dict[str, str] = {}  # the same of float layers, for the integer ones that read them
        self.of_sum = {layer.node.output[0]: name for name, layer in self.layers.items()}

    def written(self) -> onnx.ModelProto:
        skipped = self._photo()
        for node in self.model.graph.node:
            name = node.output[0]
            if name in skipped:
                continue
            if node.op_type == "Conv" and self.of_sum.get(name) in self.chosen:
                self._convolution(self.of_sum[name])
            elif node.op_type in ("Clip", "Relu") and name in self.chosen:
                continue  # the range of the integers cuts off
            elif node.op_type == "Sum" and any(read in self.integers for read in node.input):
                self._sum(node)
            elif node.op_type == "MaxPool" and node.input[0] in self.integers:
                self._pool(node)
            else:
                copied = onnx.NodeProto()
                copied.CopyFrom(node)
                copied.input[:] = [self.integers.get(read, read) for read in node.input]
                self.nodes.append(copied)
        for name in self.outputs:
            if name in self.integers:
                self._add("Identity", [self.integers[name]], name)
        return self._model()

    def _scores(self, layer: Layer) -> bool:
        kernel = self.weights[layer.node.input[1]]
        return not layer.depthwise and len(kernel) * FEW <= kernel.shape[1]

    def _photo(self) -> set[str]:
        """Begin with the photo's own integers. Returns the nodes, by what comes out of them, that they replace."""
        turn, *rest = self.model.graph.node[:3]
        self._add("Transpose", [turn.input[0]], f"{turn.output[0]}/integers", perm=[0, 3, 1, 2])
        if self.recipe.direct and [node.op_type for node in rest] == ["Mul", "Add"]:
            factor, shift = (self.weights[node.input[1]] for node in rest)
            zero = -shift / factor if factor.size == shift.size == 1 else np.full(1, np.nan)
            if factor.ravel()[0] > 0 and zero.ravel()[0] in range(LEVELS + 1):
                out = rest[-1].output[0]
                self._scale(out, float(factor.ravel()[0]), int(zero.ravel()[0]))
                self._add("DequantizeLinear", [f"{turn.output[0]}/integers", *self._constants(out)], f"{out}/dequantized")
                self.integers[out] = f"{out}/dequantized"
                return {turn.output[0], *(node.output[0] for node in rest)}
        self._add("Cast", [f"{turn.output[0]}/integers"], turn.output[0], to=TensorProto.FLOAT)
        return {turn.output[0]}

    def _convolution(self, name: str) -> None:
        layer = self.layers[name]
        kernel, bias = (self.weights[read].astype(np.float64) for read in layer.node.input[1:])
        reads = self._as_integers(layer.reads)
        paired = self.recipe.paired and not layer.depthwise  # depthwise kernels multiply in 16 bits
        scale = of_filters(kernel, paired)
        scale = np.maximum(scale, np.abs(bias) / self.scales[layer.reads] / LARGEST_BIAS).astype(np.float32).astype(float)
        integers = rounded(kernel, scale, paired)
        if self.recipe.corrected:
            lost = (kernel - integers * scale[:, None, None, None]).sum(axis=(2, 3))
            mean = self.seen[layer.reads].mean
            each = np.repeat(mean, len(kernel) // len(mean)) if layer.depthwise else mean  # one channel may make several
            bias = bias + (lost[:, 0] * each if layer.depthwise else lost @ each)
        of_bias = scale * self.scales[layer.reads]
        self._dequantize(f"{name}/kernel", integers, scale)
        self._dequantize(f"{name}/bias", np.round(bias / of_bias).astype(np.int32), of_bias)
        copied = onnx.NodeProto()
        copied.CopyFrom(layer.node)
        copied.input[:] = [reads, f"{name}/kernel", f"{name}/bias"]
        copied.output[:] = [f"{name}/raw"]
        self.nodes.append(copied)
        self._comes_out(name)

    def _sum(self, node: onnx.NodeProto) -> None:
        """The runtimes have an integer Add of two, and no integer Sum; of more, all but the last are added in float."""
        name = node.output[0]
        first, *others = [self._as_integers(read) for read in node.input]
        for number, other in enumerate(others[:-1]):
            self._add("Add", [first, other], f"{name}/part{number}")
            first = f"{name}/part{number}"
        self._add("Add", [first, others[-1]], f"{name}/raw")
        self._comes_out(name)

    def _pool(self, node: onnx.NodeProto) -> None:
        """The largest of some integers is one of them: it keeps their scale."""
        name, read = node.output[0], node.input[0]
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        copied.input[:], copied.output[:] = [self.integers[read]], [f"{name}/raw"]
        self.nodes.append(copied)
        self._scale(name, self.scales[read], int(self.weights[f"{read}/zero8"]))
        self._comes_out(name)

    def _as_integers(self, name: str) -> str:
        """The activation `name` after a way through integers; one that is still float is sent there now."""
        if name not in self.integers and name not in self.sent:
            self.sent[name] = f"{name}/dequantized"
            self._quantize(name, name, self.sent[name])
        return self.integers.get(name) or self.sent[name]

    def _comes_out(self, name: str) -> None:
        """What an integer layer computed, `name`/raw in the graph, as integers."""
        self._quantize(f"{name}/raw", name, f"{name}/dequantized")
        self.integers[name] = f"{name}/dequantized"

    def _quantize(self, read: str, name: str, out: str) -> None:
        if name not in self.scales:
            layer = self.layers.get(name)
            cut = (layer.low, layer.high) if layer else (-np.inf, np.inf)
            self._scale(name, *of_activation(self.seen[name], *cut, fitted=self.recipe.fitted))
        self._add("QuantizeLinear", [read, *self._constants(name)], f"{out}/integers")
        self._add("DequantizeLinear", [f"{out}/integers", *self._constants(name)], out)

    def _scale(self, name: str, scale: float, zero: int) -> None:
        self.scales[name] = scale
        self.weights |= {f"{name}/scale8": np.array(scale, np.float32), f"{name}/zero8": np.array(zero, np.uint8)}

    def _constants(self, name: str) -> list[str]:
        return [f"{name}/scale8", f"{name}/zero8"]

    def _dequantize(self, name: str, integers: np.ndarray, scale: np.ndarray) -> None:
        """Weights as integers with a scale for each filter."""
        self.weights |= {f"{name}/integers": integers, f"{name}/scale": scale.astype(np.float32)}
        self.weights[f"{name}/zero"] = np.zeros(len(scale), integers.dtype)
        self._add("DequantizeLinear", [f"{name}/integers", f"{name}/scale", f"{name}/zero"], name, axis=0)

    def _add(self, kind: str, reads: Iterable[str], out: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(kind, list(reads), [out], name=f"{out}/{kind}", **attributes))

    def _model(self) -> onnx.ModelProto:
        result = onnx.ModelProto()
        result.CopyFrom(self.model)
        graph = result.graph
        outputs = [output for output in graph.output if output.name in self.outputs]
        for part in (graph.node, graph.initializer, graph.output, graph.value_info):
            del part[:]
        graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
        graph.output.extend(outputs)
        graph.node.extend(_needed(self.nodes, self.outputs))
        made, read = {name for node in graph.node for name in node.output}, {r for node in graph.node for r in node.input}
        used = [name for name in self.weights if name in read and name not in made]
        graph.initializer.extend(numpy_helper.from_array(np.asarray(self.weights[name]), name) for name in used)
        onnx.checker.check_model(result)
        return result


def _needed(nodes: list[onnx.NodeProto], outputs: tuple[str, ...]) -> list[onnx.NodeProto]:
    """The nodes, in order, that outputs depend on."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if not wanted.isdisjoint(node.output):
            wanted |= set(node.input)
            kept.append(node)
    return kept[::-1]
