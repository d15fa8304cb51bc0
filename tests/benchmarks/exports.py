"""Detectors that always find the same boxes, and photos of one colour for them."""

import io

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from benchmarks.boxes import CAT

SIDE = 32
CELLS = 16 + 4 + 1  # of strides 8, 16 and 32
COLUMNS = np.zeros((1, 4 + 80, CELLS), np.float32)
COLUMNS[0, :4] = 30  # corners of boxes are no confidences
COLUMNS[0, 4 + CAT, [2, 5]] = 0.25, 0.75
COLUMNS[0, 4 + CAT + 1, 9] = 0.95


def export(
    output: np.ndarray, shape: tuple = (1, 3, SIDE, SIDE), kind: int = TensorProto.FLOAT, brightness: bool = False
) -> bytes:
    """A detector that always finds these boxes, or, with `brightness`, one whose confidences are multiplied by the largest pixel."""
    nodes = [
        helper.make_node("ReduceMax", ["images"], ["largest"], keepdims=0),
        helper.make_node("Sub", ["largest", "largest"], ["zero"]),
        helper.make_node("Mul", ["boxes", "largest"], ["output"])
        if brightness
        else helper.make_node("Add", ["boxes", "zero"], ["output"]),
    ]
    given = helper.make_tensor_value_info("images", kind, shape)
    found = helper.make_tensor_value_info("output", kind, output.shape)
    boxes = numpy_helper.from_array(output.astype(helper.tensor_dtype_to_np_dtype(kind)), "boxes")
    graph = helper.make_graph(nodes, "detector", [given], [found], [boxes])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10).SerializeToString()


def jpeg(colour: int = 200, size: tuple[int, int] = (40, 20)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (colour,) * 3).save(out, "JPEG")
    return out.getvalue()
