"""A TensorFlow.js graph model becomes the same network in ONNX, or one line that says why not."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from app.inference.networks.runtime import session
from benchmarks.graph_model import to_onnx
from training.errors import TrainingError


def graph(folder: Path, **changes: str) -> Path:
    """A graph model: a 1x1 convolution with bias and ReLU6, doubled in size; its weights are float16."""
    text = {"s": base64.b64encode(b"SAME").decode()}
    shape = {"shape": {"dim": [{"size": str(one)} for one in (1, 2, 2, 3)]}}
    ones = {"list": {"i": ["1", "1", "1", "1"]}}
    fused = {"list": {"s": [base64.b64encode(b"BiasAdd").decode()]}}
    attributes = {"padding": text, "strides": ones, "dilations": ones, "fused_ops": fused}
    kinds = {"convolution": "_FusedConv2D"} | changes
    nodes = [{"name": name, "op": "Const", "attr": {}} for name in ("kernel", "bias", "size")]
    nodes += [
        {"name": "photo", "op": "Placeholder", "attr": {"shape": shape}},
        {"name": "convolution", "op": kinds["convolution"], "input": ["photo", "kernel", "bias"], "attr": attributes},
        {"name": "limited", "op": "Relu6", "input": ["convolution"], "attr": {}},
        {
            "name": "larger",
            "op": "ResizeBilinear",
            "input": ["limited", "size"],
            "attr": {"align_corners": {"b": False}, "half_pixel_centers": {"b": False}},
        },
    ]
    half = {"quantization": {"dtype": "float16"}}
    weights = [
        {"name": "kernel", "shape": [1, 1, 3, 2], "dtype": "float32"} | half,
        {"name": "bias", "shape": [2], "dtype": "float32"} | half,
        {"name": "size", "shape": [2], "dtype": "int32"},
    ]
    kernel, bias = np.float16([[1, 0], [0, 1], [0, 0]]), np.float16([0.5, -1])  # red and green
    (folder / "weights.bin").write_bytes(kernel.tobytes() + bias.tobytes() + np.int32([4, 4]).tobytes())
    manifest = [{"paths": ["weights.bin"], "weights": weights}]
    (folder / "model.json").write_text(json.dumps({"modelTopology": {"node": nodes}, "weightsManifest": manifest}))
    return folder / "model.json"


def test_a_graph_model_becomes_the_same_network_in_onnx(tmp_path):
    model = to_onnx(graph(tmp_path), "larger")
    image = np.zeros((1, 3, 2, 2), np.float32)
    image[0, 0], image[0, 1] = [[1, 2], [3, 9]], 4
    (out,) = session(model).run(None, {"image": image})
    assert out.shape == (1, 2, 4, 4)
    # Red + 0.5, limited to 6, is [[1.5, 2.5], [3.5, 6]]; between two pixels lies their mean, the last is repeated.
    assert out[0, 0, 0].tolist() == [1.5, 2.0, 2.5, 2.5]
    assert out[0, 0, :, 0].tolist() == [1.5, 2.5, 3.5, 3.5]
    assert out[0, 0, 3, 3] == 6
    assert (out[0, 1] == 3).all()  # green - 1


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"modelTopology": {"node": []}, "weightsManifest": []}'])
def test_a_file_that_is_no_graph_model_is_one_line(tmp_path, text):
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(TrainingError, match="is no graph model that can be read"):
        to_onnx(tmp_path / "model.json", "larger")


def test_an_operation_that_is_not_known_is_named(tmp_path):
    with pytest.raises(TrainingError, match="the operation Einsum is not known"):
        to_onnx(graph(tmp_path, convolution="Einsum"), "larger")


def test_weights_that_are_cut_off_are_refused(tmp_path):
    path = graph(tmp_path)
    (tmp_path / "weights.bin").write_bytes(b"12")
    with pytest.raises(TrainingError, match="is no graph model that can be read"):
        to_onnx(path, "larger")
