"""A TensorFlow.js graph model comes in, as npm packages carry it; the same network as ONNX goes out, up to one of its nodes.

It knows the operations of the one detector that benchmarks/detectors.py takes from such a package, and no others. General
converters fail on that file, since today's TensorFlow refuses the fused convolutions of its graph.
"""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from training.errors import TrainingError

OPSET = 18
AXES = {0: 0, 1: 2, 2: 3, 3: 1}
"""Where an axis of TensorFlow's (batch, height, width, channels) lies in ONNX's (batch, channels, height, width)."""

PLAIN = {"Add": "Add", "Mul": "Mul", "Relu": "Relu", "Sigmoid": "Sigmoid", "Identity": "Identity"}
CONVOLUTIONS = ("Conv2D", "_FusedConv2D", "DepthwiseConv2dNative", "FusedDepthwiseConv2dNative")


def to_onnx(path: Path, output: str) -> bytes:
    """The network of `path`, a graph model's JSON with its weights beside it, as a serialized ONNX model.

    Its only input, `image`, has the graph's own size and its axes as (1, 3, height, width); its only output is the node
    `output`. Raises TrainingError for a file that is no such model.
    """
    try:
        return bytes(_Translation(json.loads(path.read_text()), path.parent).model(output).SerializeToString())
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise TrainingError(f"{path} is no graph model that can be read: {type(error).__name__}: {error}") from error


class _Translation:
    def __init__(self, graph: dict[str, Any], folder: Path) -> None:
        self.nodes = {node["name"]: node for node in graph["modelTopology"]["node"]}
        self.weights = weights(graph["weightsManifest"], folder)
        self.made: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.input: onnx.ValueInfoProto | None = None
        self.done: set[str] = set()

    def model(self, output: str) -> onnx.ModelProto:
        self.translate(output)
        if self.input is None:
            raise ValueError(f"{output} does not depend on an image")
        out = helper.make_tensor_value_info(output, TensorProto.FLOAT, [None] * 4)
        graph = helper.make_graph(self.made, "graph_model", [self.input], [out], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
        onnx.checker.check_model(model)
        return model

    def translate(self, name: str) -> None:
        """Add a node behind all that it reads, each once."""
        if name in self.done:
            return
        self.done.add(name)
        node = self.nodes[name]
        kind = node["op"]
        inputs = node.get("input", [])
        for read in inputs:
            self.translate(read)
        if kind == "Const":
            if (
                self.weights[name].ndim == 0 and self.weights[name].dtype == np.float32
            ):  # others are added where they are used
                self.constant(name, self.weights[name])
        elif kind == "Placeholder":
            _, height, width, channels = (int(one["size"]) for one in node["attr"]["shape"]["shape"]["dim"])
            self.input = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, channels, height, width])
            self.add("Identity", ["image"], name)
        elif kind in PLAIN:
            self.add(PLAIN[kind], inputs, name)
        elif kind == "Relu6":
            low, high = (
                self.constant(f"{name}/low", np.array(0, np.float32)),
                self.constant(f"{name}/high", np.array(6, np.float32)),
            )
            self.add("Clip", [*inputs, low, high], name)
        elif kind == "Mean":
            axes = np.array([AXES[axis] for axis in self.weights[inputs[1]].tolist()])
            self.add("ReduceMean", [inputs[0], self.constant(f"{name}/axes", axes)], name, keepdims=1)
        elif kind == "ConcatV2":
            self.add("Concat", inputs[:-1], name, axis=AXES[int(self.weights[inputs[-1]]) % 4])
        elif kind == "ResizeBilinear":
            self.resize(node)
        elif kind in CONVOLUTIONS:
            self.convolve(node)
        else:
            raise ValueError(f"the operation {kind} is not known")

    def convolve(self, node: dict[str, Any]) -> None:
        """A convolution, its bias and its ReLU. A kernel is (height, width, inputs, filters) or, where each channel has its
        own, (height, width, channels, 1).
        """
        name, source, (image, kernel, *bias) = node["name"], node["attr"], node["input"]
        values, depthwise = self.weights[kernel], "Depthwise" in node["op"]
        fused = [base64.b64decode(one).decode() for one in source.get("fused_ops", {}).get("list", {}).get("s", [])]
        if fused not in ([], ["BiasAdd"], ["BiasAdd", "Relu"]) or (depthwise and values.shape[3] != 1):
            raise ValueError(f"the convolution {name} is not known")
        read = [
            image,
            self.constant(f"{name}/kernel", values.transpose(2, 3, 0, 1) if depthwise else values.transpose(3, 2, 0, 1)),
        ]
        read += [self.constant(f"{name}/bias", self.weights[one]) for one in bias]
        padding = {"SAME": "SAME_UPPER", "VALID": "VALID"}[base64.b64decode(source["padding"]["s"]).decode()]
        strides, dilations = ([int(one) for one in source[key]["list"]["i"]][1:3] for key in ("strides", "dilations"))
        settings = {"auto_pad": padding, "strides": strides, "dilations": dilations}
        convolved = f"{name}/convolved" if "Relu" in fused else name
        self.add("Conv", read, convolved, group=values.shape[2] if depthwise else 1, **settings)
        if "Relu" in fused:
            self.add("Relu", [convolved], name)

    def resize(self, node: dict[str, Any]) -> None:
        """Bilinear, as TensorFlow 1 did: an output pixel's top left corner, not its centre, is looked up."""
        name, (image, size), source = node["name"], node["input"], node["attr"]
        if source["align_corners"]["b"] or source["half_pixel_centers"]["b"]:
            raise ValueError(f"the resizing {name} is not known")
        before, after = f"{name}/before", f"{name}/after"
        sides = self.constant(f"{name}/sides", self.weights[size].astype(np.int64))
        self.add("Shape", [image], before, end=2)
        self.add("Concat", [before, sides], after, axis=0)
        self.add("Resize", [image, "", "", after], name, mode="linear", coordinate_transformation_mode="asymmetric")

    def add(self, kind: str, inputs: list[str], output: str, **settings: Any) -> None:
        self.made.append(helper.make_node(kind, inputs, [output], name=output, **settings))

    def constant(self, name: str, values: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name


def weights(manifest: list[dict[str, Any]], folder: Path) -> dict[str, np.ndarray]:
    """All arrays by name: float32 (stored so or as float16) and int32. Raises ValueError for others and short files."""
    arrays: dict[str, np.ndarray] = {}
    for group in manifest:
        stored, place = b"".join((folder / name).read_bytes() for name in group["paths"]), 0
        for one in group["weights"]:
            kind = np.dtype(one.get("quantization", one)["dtype"])
            if kind not in (np.float16, np.float32, np.int32):
                raise ValueError(f"weights of type {kind} are not known")
            count = int(np.prod(one["shape"], dtype=int))
            arrays[one["name"]] = np.frombuffer(stored, kind, count, place).reshape(one["shape"]).astype(one["dtype"])
            place += count * kind.itemsize
    return arrays
