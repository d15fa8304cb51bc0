"""`precision`: what answers, and where the answer says so."""

import base64
import json

import numpy as np
import pytest

from app.inference.networks.contract import INT8_FILE, load
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.tensor import to_tensor
from tests.conftest import ready_client

HEADER = "X-Catscope-Precision"


@pytest.fixture(scope="module")
def client(twin_dir):
    """A service of which integers answer for `tutorial` wherever they may."""
    with ready_client(twin_dir, precision="int8", network="tutorial") as client:
        yield client


@pytest.fixture(scope="module")
def hashes(twin_dir) -> dict[str, str]:
    files = load(twin_dir / "tutorial").files
    return {"float32": files["model.onnx"], "int8": files[INT8_FILE]}


def predicted(client, photo: bytes, **query: object) -> dict:
    answer = client.post("/predict", params=query, files={"file": photo})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize(
    ("query", "speaks"),
    [
        ({"feature_maps": "none"}, "int8"),
        ({"feature_maps": "none", "precision": "auto"}, "int8"),
        ({"feature_maps": "none", "precision": "int8"}, "int8"),
        ({"feature_maps": "none", "precision": "float32"}, "float32"),
        ({"feature_maps": "none", "network": "dense"}, "float32"),
        ({"feature_maps": "none", "epoch": 1}, "float32"),
        ({"feature_maps": "none", "heatmap": True}, "float32"),
        ({"feature_maps": "none", "input": True, "precision": "int8"}, "float32"),
        ({"feature_maps": "summary", "precision": "int8"}, "float32"),
        ({"feature_maps": "thumbnails"}, "float32"),
    ],
)
def test_the_answer_says_what_answered(client, cat_photo, hashes, query, speaks):
    model = predicted(client, cat_photo, **query)["model"]
    assert model["precision"] == speaks
    if model["network"] == "tutorial":
        assert model["sha256"] == hashes[speaks]


def test_with_feature_maps_the_answer_is_the_float_network_s(client, cat_photo):
    own = predicted(client, cat_photo, feature_maps="none", precision="float32")["probabilities"]
    assert predicted(client, cat_photo, feature_maps="summary", precision="int8")["probabilities"] == own
    assert predicted(client, cat_photo, feature_maps="none")["probabilities"] != own


@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/feature-maps", "/classify", "/v2/models/dense/infer"])
def test_integers_are_refused_before_the_photo_is_read_where_there_are_none(client, path):
    query = {"precision": "int8"} | ({} if "dense" in path else {"network": "dense"})
    answer = client.post(path, params=query, content=b"")
    assert answer.status_code == 422
    assert "network dense has no twin in integers" in answer.json()["detail"]


def explained(client, photo: bytes, **query: object) -> dict:
    answer = client.post("/explain/unit", params={"channel": 0} | query, files={"file": photo})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("stage", [f"block{n}_conv" for n in range(2, 6)])
def test_the_arithmetic_of_the_twin_is_exact(client, cat_photo, hashes, stage):
    answer = explained(client, cat_photo, stage=stage, row=0, column=2, channel=3, precision="int8")
    found = answer["integers"]
    assert found["sha256"] == hashes["int8"]
    patch, kernel, products = (np.array(found[name]) for name in ("patch", "kernel", "products"))
    assert patch.shape == kernel.shape == np.shape(answer["patch"])
    assert (patch[0] == found["input_zero"]).all(), "padding"
    assert np.array_equal((patch - found["input_zero"]) * kernel, products)
    assert products.sum() == found["products_sum"] == found["accumulator"] - found["bias"]
    assert 0 <= found["byte"] == found["computed"] <= 255
    assert found["value"] == (found["byte"] - found["zero"]) * found["scale"]
    real = np.array(answer["patch"])
    assert np.abs((patch - found["input_zero"]) * found["input_scale"] - real).max() < 0.1 * max(1.0, np.abs(real).max())
    assert answer["model"]["precision"] == "float32", "the explanation itself is the float network's"


def test_a_stage_that_the_twin_computes_in_float_has_no_arithmetic_in_integers(client, cat_photo):
    assert "integers" not in explained(client, cat_photo, stage="scores", precision="int8")
    assert "integers" not in explained(client, cat_photo, stage="block2_conv")


def test_the_twin_computes_the_same_while_somebody_looks(twin_dir, cat_photo, cat_image):
    made = OnnxNetwork(load(twin_dir / "tutorial"), "int8").integers
    pixels = np.asarray(cat_image.resize((100, 100)))[None]
    before = made.run(pixels).probabilities
    layer, read, written = made.looked_at(pixels, "block2_conv")
    assert (read.dtype, written.dtype) == (np.uint8, np.uint8)
    assert (layer.kernel.dtype, layer.bias.dtype) == (np.int8, np.int32)
    opened = made._opened
    assert np.array_equal(opened.session.run(["probabilities"], {"image": pixels})[0][0], before)


def test_an_edited_network_and_one_of_another_epoch_have_no_integers(client, cat_photo):
    edits = json.dumps([{"stage": "block1_conv", "channel": 0, "mute": True}])
    for query in ({"edits": edits}, {"epoch": 1}):
        params = {"feature_maps": "none", "precision": "int8"} | query
        answer = client.post("/predict", params=params, files={"file": cat_photo})
        assert answer.status_code == 422
        assert "compute in float32" in answer.json()["detail"]
        answer = client.post(
            "/explain/unit", params={"stage": "scores", "channel": 0, "precision": "int8"} | query, files={"file": cat_photo}
        )
        assert answer.status_code == 422
        assert "compute in float32" in answer.json()["detail"]
    assert predicted(client, cat_photo, feature_maps="none", edits=edits)["model"]["precision"] == "float32"


def test_an_unknown_precision_is_refused_with_those_that_are_known(client, cat_photo):
    answer = client.post("/predict", params={"precision": "int4"}, files={"file": cat_photo})
    assert answer.status_code == 422
    assert "float32" in answer.json()["detail"]


def test_it_may_be_a_field_of_the_form(client, cat_photo):
    fields = {"precision": "float32", "feature_maps": "none"}
    answer = client.post("/predict", data=fields, files={"file": cat_photo})
    assert answer.json()["model"]["precision"] == "float32"


def test_a_batch_is_answered_in_integers_unless_it_wants_to_see_more(client, cat_photo):
    files = [("files", cat_photo), ("files", b"no photo")]
    for query, speaks in (({}, "int8"), ({"feature_maps": "summary"}, "float32"), ({"precision": "float32"}, "float32")):
        first, second = client.post("/predict/batch", params=query, files=files).json()["results"]
        assert first["model"]["precision"] == speaks
        assert "error" in second


def test_classify_says_so_in_a_header(client, cat_photo):
    scores = {}
    for precision in ("int8", "float32"):
        answer = client.post("/classify", params={"precision": precision}, content=cat_photo)
        assert answer.headers[HEADER] == precision
        scores[precision] = {one["label"]: one["score"] for one in answer.json()}
    assert scores["int8"] == predicted(client, cat_photo, feature_maps="none")["probabilities"]
    assert scores["float32"] == predicted(client, cat_photo)["probabilities"]


def test_the_open_inference_protocol_says_so_in_a_header(client, cat_photo, cat_image, twin_dir):
    path = "/v2/models/tutorial/infer"
    height, width, _ = load(twin_dir / "tutorial").input_shape
    tensor = to_tensor(cat_image, height, width)
    expected = predicted(client, cat_photo, feature_maps="none")["probabilities"]

    def asked(data: np.ndarray | None, outputs: list[str], **query: object) -> tuple[str, dict[str, list[float]]]:
        image = {"name": "image", "datatype": "FP32", "shape": [1, height, width, 3]}
        photo = {"name": "photo", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(cat_photo).decode()]}
        given = photo if data is None else image | {"data": data.ravel().tolist()}
        body = {"inputs": [given], "outputs": [{"name": name} for name in outputs]}
        answer = client.post(path, params=query, json=body)
        assert answer.status_code == 200, answer.text
        return answer.headers[HEADER], {one["name"]: one["data"] for one in answer.json()["outputs"]}

    for data in (None, tensor):
        used, outputs = asked(data, ["probabilities"])
        assert used == "int8"
        assert outputs["probabilities"] == pytest.approx(list(expected.values()), abs=1e-6)
    assert asked(tensor, ["probabilities"], precision="float32")[0] == "float32"
    assert asked(tensor, ["probabilities", "flatten"])[0] == "float32"
    assert asked(tensor + np.float32(0.25), ["probabilities"])[0] == "float32"


def test_the_networks_say_what_can_answer_for_them(client, hashes):
    networks = {one["network"]: one for one in client.get("/models").json()["networks"]}
    assert networks["tutorial"]["precisions"] == hashes
    assert networks["tutorial"]["precision"] == "int8"
    assert networks["tutorial"]["sha256"] == hashes["float32"]
    assert list(networks["dense"]["precisions"]) == ["float32"]
    assert networks["dense"]["precision"] == "float32"


def test_by_the_setting_everything_is_answered_in_float(twin_dir, cat_photo):
    with ready_client(twin_dir, precision="float32", network="tutorial") as client:
        assert predicted(client, cat_photo, feature_maps="none")["model"]["precision"] == "float32"
        answer = client.post("/predict", params={"precision": "int8"}, files={"file": cat_photo})
        assert answer.status_code == 422
        assert "CATSCOPE_PRECISION=float32" in answer.json()["detail"]


def test_guises_take_it_and_are_answered_in_float(client, cat_photo):
    answers = {
        precision: client.post("/guises", params={"precision": precision}, files={"file": cat_photo}).json()
        for precision in ("float32", "int8")
    }
    first = answers["int8"]["guises"][0]["networks"]["tutorial"]["probabilities"]
    assert first["cat"] == pytest.approx(predicted(client, cat_photo)["probabilities"]["cat"], abs=1e-6)
    assert answers["int8"]["guises"] == answers["float32"]["guises"]


def test_one_close_photo_of_several_tensors_leaves_all_to_the_network(client, cat_image, twin_dir, monkeypatch):
    height, width, _ = load(twin_dir / "tutorial").input_shape
    tensor = to_tensor(cat_image, height, width)
    twin = client.app.state.service.networks["tutorial"].integers
    monkeypatch.setattr(twin, "alone", False)
    ran: list[int] = []
    monkeypatch.setattr(twin, "settles", lambda result: len(ran) < 2 and ran.append(1) is None)
    image = {"name": "image", "datatype": "FP32", "shape": [4, height, width, 3], "data": tensor.ravel().tolist() * 4}
    body = {"inputs": [image], "outputs": [{"name": "probabilities"}]}
    answer = client.post("/v2/models/tutorial/infer", json=body)
    assert answer.headers[HEADER] == "float32"
    assert len(answer.json()["outputs"][0]["data"]) == 8
