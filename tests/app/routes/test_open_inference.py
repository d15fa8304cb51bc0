"""/v2, the Open Inference Protocol: what its clients send and read, byte for byte; and how bad requests are refused."""

import json

import numpy as np
import pytest

from app.inference import predict
from app.schemas.tensors import HEADER_LENGTH


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    return np.random.default_rng(3).uniform(0, 255, (2, 100, 100, 3)).astype(np.float32)


def tensor(photos: np.ndarray, **more: object) -> dict:
    return {"name": "image", "datatype": "FP32", "shape": list(photos.shape)} | more


def request_body(photos: np.ndarray, *outputs: dict, **more: object) -> dict:
    return {"inputs": [tensor(photos, data=photos.reshape(-1).tolist())], "outputs": list(outputs)} | more


def infer(client, body: dict, network: str = "tutorial"):
    return client.post(f"/v2/models/{network}/infer", json=body)


def arrays(answer) -> dict[str, np.ndarray]:
    """The outputs of an answer, whether their numbers are in the JSON or behind it."""
    length = answer.headers.get(HEADER_LENGTH)
    head = json.loads(answer.content[: int(length)] if length else answer.content)
    offset, result = int(length or 0), {}
    for output in head["outputs"]:
        assert output["datatype"] == "FP32"
        size = output.get("parameters", {}).get("binary_data_size")
        values = output["data"] if size is None else np.frombuffer(answer.content[offset : offset + size], "<f4")
        offset += size or 0
        result[output["name"]] = np.asarray(values, np.float32).reshape(output["shape"])
    assert length is None or offset == len(answer.content)
    return result


def test_every_stage_of_every_photo_is_what_the_network_computes(client, photos):
    network = client.app.state.service.networks["tutorial"]
    outputs = arrays(infer(client, request_body(photos)))
    assert list(outputs) == [stage.name for stage in network.contract.stages]
    for number, photo in enumerate(photos):
        for name, values in network.run(photo[None], list(outputs)).stages.items():
            assert np.array_equal(outputs[name][number], values), name


def test_numbers_are_sent_and_answered_behind_the_json_on_request(client, photos):
    names = ["probabilities", "block1_relu", "dense"]
    expected = arrays(infer(client, request_body(photos, *({"name": name} for name in names))))
    outputs = [{"name": name, "parameters": {"binary_data": name != "dense"}} for name in names]
    size = {"binary_data_size": photos.nbytes}
    head = json.dumps({"inputs": [tensor(photos, parameters=size)], "outputs": outputs, "id": "seven"}).encode()
    answer = client.post(
        "/v2/models/tutorial/infer", content=head + photos.tobytes(), headers={HEADER_LENGTH: str(len(head))}
    )
    result = arrays(answer)
    assert list(result) == names
    for name in names:
        assert np.array_equal(result[name], expected[name])
    body = json.loads(answer.content[: int(answer.headers[HEADER_LENGTH])])
    assert body["id"] == "seven"
    assert (body["model_name"], body["model_version"]) == ("tutorial", "0.0.1")
    assert "data" in body["outputs"][2]


def test_all_outputs_may_be_asked_for_in_binary_at_once(client, photos):
    answer = infer(client, request_body(photos, parameters={"binary_data_output": True}))
    assert answer.headers["content-type"] == "application/octet-stream"
    assert len(arrays(answer)) == len(client.app.state.service.networks["tutorial"].contract.stages)


def test_metadata_names_the_photo_and_every_stage(client):
    metadata = client.get("/v2/models/tutorial").json()
    contract = client.app.state.service.networks["tutorial"].contract
    assert metadata["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 100, 100, 3]}]
    assert [(one["name"], one["shape"]) for one in metadata["outputs"]] == [
        (s.name, [-1, *s.shape]) for s in contract.stages
    ]
    assert metadata["versions"] == ["0.0.1"]
    assert client.get("/v2/models/tutorial/versions/0.0.1").json() == metadata


def test_server_and_networks_report_that_they_are_ready(client):
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/dense/ready", "/v2/models/dense/versions/0.0.1/ready"):
        assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    "path", ["/v2/models/lion", "/v2/models/lion/ready", "/v2/models/dense/versions/9", "/v2/models/dense/versions/9/ready"]
)
def test_404_for_a_network_or_a_version_that_is_not_served(client, path):
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"] == answer.json()["detail"], "where Triton's client looks"


ONE = np.zeros((1, 100, 100, 3), np.float32)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([], "`inputs` must hold one tensor"),
        ({}, "`inputs` must hold one tensor"),
        ({"inputs": []}, "`inputs` must hold one tensor"),
        ({"inputs": [5]}, "`inputs` must hold one tensor"),
        ({"inputs": [tensor(ONE), tensor(ONE)]}, "`inputs` must hold one tensor"),
        ({"inputs": [tensor(ONE, name="x", data=[0])]}, "The tensor is x"),
        ({"inputs": [tensor(ONE, datatype="UINT8", data=[0])]}, "UINT8"),
        ({"inputs": [tensor(ONE, shape=[1, 50, 50, 3], data=[0])]}, "[1, 50, 50, 3]"),
        ({"inputs": [tensor(ONE, shape=[0, 100, 100, 3], data=[])]}, "n from 1 to 32"),
        ({"inputs": [tensor(ONE, shape=[33, 100, 100, 3], data=[0])]}, "n from 1 to 32"),
        ({"inputs": [tensor(ONE, shape=[True, 100, 100, 3], data=[0])]}, "n from 1 to 32"),
        ({"inputs": [tensor(ONE, shape="big", data=[0])]}, "big"),
        ({"inputs": [tensor(ONE)]}, "not numbers"),
        ({"inputs": [tensor(ONE, data=[0, 1])]}, "2 numbers, not the 30000"),
        ({"inputs": [tensor(ONE, data=["a"])]}, "not numbers"),
        ({"inputs": [tensor(ONE, data=[[1], [1, 2]])]}, "not numbers"),
        ({"inputs": [tensor(ONE, data={"a": 1})]}, "not numbers"),
        ({"inputs": [tensor(ONE, data=[1e300] * 30000)]}, "outside of 0..255"),
        ({"inputs": [tensor(ONE, data=[-1] * 30000)]}, "outside of 0..255"),
        ({"inputs": [tensor(ONE, data=[256] * 30000)]}, "outside of 0..255"),
        ({"inputs": [tensor(ONE, parameters={"binary_data_size": 5})]}, "bytes behind the JSON"),
        ({"inputs": [tensor(ONE, parameters=5, data=[0] * 30000)]}, "must be an object"),
        (request_body(ONE, {"name": "block9"}), "no stage block9"),
        (request_body(ONE, {"nom": "dense"}), "must have a `name`"),
        (request_body(ONE) | {"outputs": 5}, "`outputs` must be"),
        (request_body(ONE) | {"outputs": False}, "`outputs` must be"),
        (request_body(ONE) | {"id": 7}, "`id` must be"),
        (request_body(ONE) | {"parameters": []}, "must be an object"),
    ],
)
def test_422_says_what_does_not_fit(client, body, message):
    answer = client.post("/v2/models/tutorial/infer", json=body)
    assert answer.status_code == 422
    assert message in answer.json()["detail"]


@pytest.mark.parametrize("length", ["-1", "x", "99999", "5"])
def test_422_for_a_header_that_lies_about_the_json(client, length):
    answer = client.post("/v2/models/tutorial/infer", content=b'{"inputs": []}', headers={HEADER_LENGTH: length})
    assert answer.status_code == 422


def test_too_many_numbers_for_one_answer_are_refused_before_they_are_computed(client, photos, monkeypatch):
    monkeypatch.setattr(predict, "MAX_VALUES", 1000)
    monkeypatch.setattr(client.app.state.service.networks["tutorial"], "run", lambda *_: 1 / 0)
    answer = infer(client, request_body(photos))
    assert answer.status_code == 422
    assert "at most 1000 are answered at once" in answer.json()["detail"]
