"""Contracts, weights and the endpoints that describe a network."""

import io
import json
import shutil

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from app.errors import NetworkError
from app.inference.networks.contract import load
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.networks.load import load_all
from app.inference.networks.onnx import onnx_file
from tests.conftest import ready_client, sha256


@pytest.fixture
def copy(model_dir, tmp_path):
    """A copy of the tutorial network that a test may damage."""
    return shutil.copytree(model_dir / "tutorial", tmp_path / "tutorial")


def test_a_contract_states_every_stage_as_the_network_has_it(model_dir):
    stages = {stage.name: stage for stage in load(model_dir / "tutorial").stages}
    conv, pool = stages["block2_conv"], stages["block2_pool"]
    assert (conv.kind, conv.shape, conv.kernel, conv.stride, conv.padding) == (
        "convolution",
        (50, 50, 32),
        (3, 3),
        (1, 1),
        "same",
    )
    assert conv.parameters == 3 * 3 * 16 * 32 + 32
    assert (pool.kind, pool.shape, pool.kernel, pool.stride, pool.padding) == (
        "pooling",
        (25, 25, 32),
        (2, 2),
        (2, 2),
        "valid",
    )
    assert (conv.inputs, pool.inputs) == (("block1_relu",), ("block2_conv",))
    assert stages["dense"].kernel is None


def test_the_chapters_order_is_kept(model_dir):
    kinds = [stage.kind for stage in load(model_dir / "tutorial").stages]
    assert kinds == ["convolution", "pooling", "relu"] * 5 + ["flatten", "dense", "relu", "dense", "probabilities"]


@pytest.mark.parametrize(
    ("cat", "verdict"),
    [(0.1, "not_cat"), (0.29, "not_cat"), (0.3, "unsure"), (0.5, "unsure"), (0.7, "unsure"), (0.71, "cat")],
)
def test_the_verdict_is_unsure_within_the_band_ends_included(model_dir, cat, verdict):
    assert load(model_dir / "tutorial").verdict({"cat": cat, "not_cat": 1 - cat}) == verdict


def test_without_a_band_no_verdict_is_unsure(copy):
    plain = json.loads((copy / "contract.json").read_text())
    plain["unsure"] = {"low": 0.5, "high": 0.5}
    (copy / "contract.json").write_text(json.dumps(plain))
    assert load(copy).verdict({"cat": 0.5, "not_cat": 0.5}) == "not_cat"
    assert load(copy).verdict({"cat": 0.501, "not_cat": 0.499}) == "cat"


def test_weights_are_those_that_the_onnx_package_reads(model_dir):
    data = (model_dir / "dense" / "model.onnx").read_bytes()
    expected = {t.name: numpy_helper.to_array(t) for t in onnx.load_from_string(data).graph.initializer}
    weights = onnx_file.read(data)
    assert weights.keys() == expected.keys()
    assert all(np.array_equal(weights[name], expected[name]) for name in expected)


@pytest.mark.parametrize("cut", [3, 1000, -1000])
def test_weights_of_a_file_that_was_cut_off_are_an_error(model_dir, cut):
    with pytest.raises(NetworkError):
        onnx_file.read((model_dir / "tutorial" / "model.onnx").read_bytes()[:cut])


def test_a_kernel_is_the_one_keras_trained(model_dir):
    import keras

    network = OnnxNetwork(load(model_dir / "tutorial"))
    layer = keras.saving.load_model(model_dir / "tutorial" / "model.keras").get_layer("block3_conv")
    kernel, bias = layer.get_weights()
    assert np.array_equal(network.kernel("block3_conv"), kernel)
    assert np.array_equal(network.bias("block3_conv"), bias)


@pytest.mark.promise("P26")
def test_a_missing_file_is_named(copy):
    (copy / "model.onnx").unlink()
    with pytest.raises(NetworkError, match=r"model\.onnx cannot be read: No such file"):
        load_all([copy.parent], "onnx")


@pytest.mark.promise("P26")
@pytest.mark.parametrize("engine", ["onnx", "keras"])
def test_a_file_that_differs_from_its_contract_is_refused_with_both_sums(copy, engine):
    file = copy / f"model.{engine}"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(
        NetworkError, match=f"has SHA-256 {sha256(file.read_bytes())}, its contract says {load(copy).files[file.name]}"
    ):
        load_all([copy.parent], engine)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"network": "x"}', "null"])
def test_a_file_that_is_not_a_contract_is_refused(copy, text):
    (copy / "contract.json").write_text(text)
    with pytest.raises(NetworkError, match=r"contract\.json is not a contract"):
        load(copy)


def test_an_unknown_resize_is_refused_instead_of_guessed(copy):
    plain = json.loads((copy / "contract.json").read_text())
    plain["input"]["resize"] = "crop"
    (copy / "contract.json").write_text(json.dumps(plain))
    with pytest.raises(NetworkError, match="'crop' is not supported"):
        load(copy)


def test_bytes_that_are_not_a_network_are_refused_although_the_contract_names_them(copy):
    (copy / "model.onnx").write_bytes(b"not a network")
    plain = json.loads((copy / "contract.json").read_text())
    plain["files"]["model.onnx"] = sha256(b"not a network")
    (copy / "contract.json").write_text(json.dumps(plain))
    with pytest.raises(NetworkError, match="cannot be run"):
        load_all([copy.parent], "onnx")


def test_a_folder_without_networks_is_an_error(tmp_path):
    with pytest.raises(NetworkError, match="no network in"):
        load_all([tmp_path], "onnx")


def test_a_missing_default_is_an_error_however_the_service_is_started(model_dir):
    with pytest.raises(NetworkError, match="CATSCOPE_NETWORK is lion; there are dense, tutorial"):
        ready_client(model_dir, network="lion")


def test_a_models_detail_says_what_a_pooling_computes(client):
    stages = {stage["name"]: stage for stage in client.get("/models/tutorial").json()["stages"]}
    assert stages["block1_pool"]["operation"] == "max"
    assert client.get("/models/tutorial").json()["inner"] == []


def test_models_lists_what_is_served(client, model_dir):
    answer = client.get("/models").json()
    assert answer["default"] == "tutorial"
    assert [n["network"] for n in answer["networks"]] == ["dense", "tutorial"]
    dense = answer["networks"][0]
    assert dense["parameters"] == 30_000 * 128 + 128 + 128 * 64 + 64 + 64 * 2 + 2
    assert dense["unsure"] == [0.3, 0.7]


def test_a_models_detail_holds_its_stages_history_and_metrics(client, model_dir):
    answer = client.get("/models/tutorial").json()
    assert [s["name"] for s in answer["stages"]] == [s.name for s in load(model_dir / "tutorial").stages]
    assert answer["stages"][0] | {"shape": None} == {
        "name": "block1_conv",
        "kind": "convolution",
        "shape": None,
        "inputs": ["image"],
        "parameters": 448,
        "kernel": [3, 3],
        "stride": [1, 1],
        "padding": "same",
        "activation": None,
        "operation": None,
        "slope": None,
        "zeros": None,
        "cut": None,
        "epsilon": None,
        "window": {"size": [3, 3], "step": [1, 1], "offset": [-1, -1]},
        "receptive_field": {"size": [3, 3], "step": [1, 1], "offset": [-1, -1]},
    }
    assert answer["history"]["network"] == "tutorial"
    assert answer["metrics"] is None, "this network was never measured"


def test_measured_accuracy_is_shown_by_set(model_dir, tmp_path):
    shutil.copytree(model_dir / "tutorial", tmp_path / "tutorial")
    figure = {"value": 0.91, "low": 0.9, "high": 0.92, "count": 640}
    (tmp_path / "tutorial" / "metrics.json").write_text(json.dumps({"sets": {"val-pets": {"accuracy": figure}}}))
    with ready_client(tmp_path) as client:
        assert client.get("/models").json()["networks"][0]["accuracy"] == {"val-pets": 0.91}
        assert client.get("/models/tutorial").json()["metrics"]["sets"]["val-pets"]["accuracy"] == figure


def test_kernels_are_drawn_one_square_per_weight_on_one_scale(client, model_dir):
    response = client.get("/models/tutorial/kernels/block1_conv")
    assert response.headers["content-type"] == "image/png"
    picture = np.asarray(Image.open(io.BytesIO(response.content)), int)
    kernel = OnnxNetwork(load(model_dir / "tutorial")).kernel("block1_conv")
    cell, gap = 14, 7
    for row, column, channel, number in [(0, 0, 0, 0), (2, 1, 1, 5), (1, 2, 2, 15)]:
        y, x = channel * (3 * cell + gap) + row * cell, number * (3 * cell + gap) + column * cell
        square = picture[y : y + cell, x : x + cell].reshape(-1, 3)
        assert (square == square[0]).all()
        red, _, blue = square[0]
        weight = kernel[row, column, channel, number]
        assert (red > blue) == (weight > 0), "brown above zero, blue below"


def test_the_evidence_of_a_heatmap_and_the_biases_add_up_to_the_scores(model_dir, cat_image):
    from app.inference.heatmap import evidence, stages_needed
    from app.inference.tensor import to_tensor

    for name in ("tutorial", "dense"):
        network = OnnxNetwork(load(model_dir / name))
        tensor = to_tensor(cat_image, 100, 100)
        stages = network.run(tensor, stages_needed(network.contract)).stages
        contributions = evidence(network, tensor, stages, "cat")
        # Each bias reaches the scores through the same slopes: without biases, the contributions alone make up the scores.
        slope, from_biases = np.array([1.0, -1.0]), 0.0
        names = [s.name for s in network.contract.stages]
        for stage in reversed(network.contract.stages[names.index("flatten") + 1 : -1]):
            if stage.kind == "dense":
                from_biases += float(network.bias(stage.name) @ slope)
                slope = network.kernel(stage.name).astype(float) @ slope
            else:
                slope = slope * (stages[stage.name] > 0)
        scores = stages["scores"].astype(float)
        assert contributions.sum() + from_biases == pytest.approx(scores[0] - scores[1], abs=1e-3)


def test_a_units_weights_are_drawn_as_the_picture_that_was_flattened(client, model_dir):
    from app.inference.drawing.colours import DIVERGING, indices

    response = client.get("/models/dense/kernels/dense1?channel=7")
    assert response.headers["content-type"] == "image/png"
    drawn = np.asarray(Image.open(io.BytesIO(response.content)).convert("RGB"))
    weights = OnnxNetwork(load(model_dir / "dense")).kernel("dense1")[:, 7].reshape(100, 100, 3)
    largest = float(np.abs(weights).max())
    for colour in range(3):  # side by side, a pixel a weight, a white column between
        shown = drawn[:100, colour * 101 : colour * 101 + 100]
        assert (shown == DIVERGING[indices(weights[..., colour], -largest, largest)]).all()


def test_a_fully_connected_stage_is_drawn_unit_by_unit(client):
    response = client.get("/models/dense/kernels/dense1")
    assert response.status_code == 422
    assert "Name one of its units, channel 0 to 127" in response.json()["detail"]


def test_a_heatmap_points_at_the_cell_that_the_network_looks_at(model_dir, cat_image):
    from app.inference.heatmap import overlay

    cells = np.zeros((3, 3))
    cells[0, 2], cells[2, 0] = 5.0, -9.0
    picture = np.asarray(Image.open(io.BytesIO(overlay(cells, 90, 60))).convert("RGBA")).astype(int)
    brightness = picture[..., :3].sum(axis=2)
    assert brightness.shape == (60, 90)
    rows, columns = np.nonzero(brightness > brightness.max() / 2)
    assert rows.max() < 30
    assert columns.min() > 50
    assert brightness[45:, :25].max() < 60, "evidence against a cat is not coloured as evidence for one"


def test_a_heatmap_can_be_told_from_any_photo_and_hides_none(model_dir):
    from app.inference.heatmap import overlay

    cells = np.zeros((6, 6))
    cells[2, 3] = 5.0
    picture = np.asarray(Image.open(io.BytesIO(overlay(cells, 120, 120))).convert("RGBA")).astype(float)
    alpha = picture[..., 3:] / 255
    assert 0 < alpha.min() <= alpha.max() <= 0.75
    for grey in (0, 90, 160, 255):
        shown = (picture[..., :3] * alpha + grey * (1 - alpha)).sum(axis=2)
        assert shown.max() - shown.min() > 255, "the lines and their dark edges differ on any photo"


def test_without_evidence_only_the_part_that_comes_closest_is_outlined(model_dir):
    from app.inference.heatmap import overlay

    cells = np.full((6, 6), -3.0)
    cells[1, 1] = -1.0
    alpha = np.asarray(Image.open(io.BytesIO(overlay(cells, 120, 120))).convert("RGBA"))[..., 3]
    rows, columns = np.nonzero(alpha)
    assert rows.size
    assert max(rows.max(), columns.max()) < 50
    assert alpha[60:, 60:].max() == 0, "nothing is dimmed"
