"""Several versions of a network side by side, loaded and asked: which one answers, and what happens to a bad one."""

import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from app.errors import NetworkError
from app.inference.networks.load import load_all
from tests.conftest import ROOT, environment, ready_client


@pytest.fixture
def versioned_dir(tmp_path, model_dir) -> Path:
    """`tutorial` in 0.9.0 and 0.10.0, whose probabilities differ, beside `dense` without a version folder."""
    shutil.copytree(model_dir / "dense", tmp_path / "dense")
    add_version(model_dir, tmp_path, "0.9.0")
    add_version(model_dir, tmp_path, "0.10.0")
    return tmp_path


def add_version(model_dir: Path, versioned_dir: Path, version: str, source: str = "tutorial") -> Path:
    folder = versioned_dir / "tutorial" / version
    shutil.copytree(model_dir / source, folder)
    contract_json = json.loads((folder / "contract.json").read_text()) | {"version": version}
    (folder / "contract.json").write_text(json.dumps(contract_json))
    return folder


def served(folder: Path, pins: dict[str, str] | None = None) -> dict[str, list[str]]:
    return {name: list(by_version) for name, by_version in load_all([folder], "onnx", pins).networks.items()}


def test_the_newest_version_answers_and_numbers_count_as_numbers(versioned_dir):
    assert served(versioned_dir) == {"dense": ["0.0.1"], "tutorial": ["0.10.0", "0.9.0"]}


def test_a_pin_lets_an_older_one_answer(versioned_dir):
    assert served(versioned_dir, {"tutorial": "0.9.0"})["tutorial"] == ["0.9.0", "0.10.0"]


def spoil(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes()))


BAD = {
    "a broken contract": spoil("contract.json", lambda data: data[:100]),
    "another export": spoil("model.onnx", lambda data: data + b"x"),
    "no export": lambda folder: (folder / "model.onnx").unlink(),
    "another version's folder": spoil("contract.json", lambda data: data.replace(b'"0.10.0"', b'"0.9.9"')),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_newest_version_is_passed_over_and_the_log_says_why(versioned_dir, kind, caplog):
    BAD[kind](versioned_dir / "tutorial" / "0.10.0")
    with caplog.at_level(logging.ERROR, "catscope"), ready_client(versioned_dir) as client:
        assert client.get("/v2/models/tutorial").json()["versions"] == ["0.9.0"]
    assert "this version is not served" in caplog.text
    assert str(versioned_dir / "tutorial" / "0.10.0") in caplog.text


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_version_that_is_pinned_stops_the_start(versioned_dir, kind):
    BAD[kind](versioned_dir / "tutorial" / "0.10.0")
    with pytest.raises(
        NetworkError, match=r"CATSCOPE_VERSIONS names tutorial=0\.10\.0, its usable versions are 0\.9\.0; .*0\.10\.0"
    ):
        load_all([versioned_dir], "onnx", {"tutorial": "0.10.0"})


def test_a_network_without_any_usable_version_stops_the_start(versioned_dir):
    for version in ("0.9.0", "0.10.0"):
        (versioned_dir / "tutorial" / version / "model.onnx").unlink()
    with pytest.raises(NetworkError, match="cannot be read"):
        load_all([versioned_dir], "onnx")


def test_a_network_of_another_folder_without_any_usable_version_is_left_out(versioned_dir, model_dir, tmp_path_factory):
    other = tmp_path_factory.mktemp("taught")
    shutil.copytree(model_dir / "dense", other / "mine")
    spoil("contract.json", lambda data: data[:100])(other / "mine")
    loaded = load_all([versioned_dir, other], "onnx")
    assert list(loaded.networks) == ["dense", "tutorial"]
    assert str(other / "mine") in str(loaded.refused[0])
    with pytest.raises(NetworkError, match="mine"):
        load_all([versioned_dir, other], "onnx", only="mine")


def test_one_network_alone_can_be_loaded_and_an_unknown_one_is_named(versioned_dir):
    assert list(load_all([versioned_dir], "onnx", only="dense").networks) == ["dense"]
    with pytest.raises(NetworkError, match="there is no network lion; there are dense, tutorial in"):
        load_all([versioned_dir], "onnx", only="lion")


def test_a_version_can_lie_beside_the_networks_own_folder(versioned_dir, model_dir):
    shutil.copytree(model_dir / "tutorial", versioned_dir / "tutorial", dirs_exist_ok=True)
    assert served(versioned_dir)["tutorial"] == ["0.10.0", "0.9.0", "0.0.1"]


def test_a_duplicate_version_is_refused(versioned_dir, model_dir, caplog):
    shutil.copytree(versioned_dir / "tutorial" / "0.9.0", versioned_dir / "tutorial", dirs_exist_ok=True)
    loaded = load_all([versioned_dir], "onnx")
    assert list(loaded.networks["tutorial"]) == ["0.10.0", "0.9.0"]
    assert "are both version 0.9.0" in str(loaded.refused[0])


@pytest.mark.parametrize(
    ("pins", "message"),
    [
        (("lion=1",), "CATSCOPE_VERSIONS names lion; there are dense, tutorial"),
        (("tutorial=3",), "CATSCOPE_VERSIONS names tutorial=3, its usable versions are 0.10.0, 0.9.0"),
    ],
)
def test_a_pin_that_matches_nothing_ends_the_start_with_one_line(versioned_dir, pins, message):
    result = subprocess.run(
        [sys.executable, "-m", "app"],
        env=environment(model_dir=versioned_dir, versions=",".join(pins)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


class TestServed:
    """Over HTTP: `0.10.0` is `dense` in disguise, so that its probabilities tell which version answered."""

    @pytest.fixture
    def client(self, versioned_dir, model_dir):
        shutil.rmtree(versioned_dir / "tutorial" / "0.10.0")
        add_version(model_dir, versioned_dir, "0.10.0", "dense")
        with ready_client(versioned_dir) as client:
            yield client

    @pytest.fixture
    def ask(self, client, cat_photo):
        def ask(path: str) -> dict:
            return client.post(path, files={"file": cat_photo}).json()

        return ask

    def test_predict_answers_with_the_newest_or_with_the_one_that_is_named(self, ask):
        newest, older = ask("/predict?network=tutorial"), ask("/predict?network=tutorial&version=0.9.0")
        assert (newest["model"]["version"], older["model"]["version"]) == ("0.10.0", "0.9.0")
        assert newest["probabilities"] == ask("/predict?network=dense")["probabilities"]
        assert newest["probabilities"] != older["probabilities"]

    @pytest.mark.parametrize(
        "path", ["/predict?network=tutorial&", "/explain/unit?network=tutorial&stage=flatten&channel=0&"]
    )
    def test_a_missing_version_is_404_and_the_answer_names_the_existing_ones(self, ask, path):
        problem = ask(f"{path}version=3")
        assert problem["status"] == 404
        assert problem["detail"] == "Network tutorial is not served in version '3', but in 0.10.0, 0.9.0."

    def test_every_endpoint_takes_the_version(self, client, cat_photo):
        scores = client.post("/classify?network=tutorial&version=0.9.0", content=cat_photo).json()
        older = client.post("/predict?network=tutorial&version=0.9.0", files={"file": cat_photo}).json()
        assert {one["label"]: one["score"] for one in scores} == older["probabilities"]
        batch = client.post("/predict/batch?network=tutorial&version=0.9.0", files={"files": cat_photo}).json()
        assert batch["results"][0]["probabilities"] == older["probabilities"]
        body = {"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 100, 100, 3], "data": [99.0] * 30_000}]}
        response = client.post("/v2/models/tutorial/versions/0.9.0/infer", json=body).json()
        network = client.app.state.service.versions["tutorial"]["0.9.0"]
        expected = network.run(np.full((1, 100, 100, 3), 99, np.float32)).probabilities
        (values,) = (output["data"] for output in response["outputs"] if output["name"] == "probabilities")
        assert np.array_equal(np.array(values, np.float32), expected)
        assert response["model_version"] == "0.9.0"

    def test_models_lists_the_versions_and_describes_each(self, client):
        listed = {network["network"]: network for network in client.get("/models").json()["networks"]}
        assert listed["tutorial"]["versions"] == ["0.10.0", "0.9.0"]
        assert listed["tutorial"]["version"] == "0.10.0"
        assert client.get("/models/tutorial?version=0.9.0").json()["version"] == "0.9.0"
        assert client.get("/models/tutorial?version=0.9.0").json()["stages"][0]["name"] == "block1_conv"
        assert client.get("/models/tutorial?version=1").status_code == 404
        assert client.get("/models/tutorial/kernels/block1_conv").status_code == 404, "the newest is dense"
        assert client.get("/models/tutorial/kernels/block1_conv?version=0.9.0").status_code == 200

    def test_a_reload_finds_a_new_version_and_loses_a_removed_one(self, client, versioned_dir, model_dir):
        add_version(model_dir, versioned_dir, "0.11.0")
        shutil.rmtree(versioned_dir / "tutorial" / "0.9.0")
        assert client.portal.call(client.app.state.service.reload)
        assert client.get("/v2/models/tutorial").json()["versions"] == ["0.11.0", "0.10.0"]


def test_the_setting_rolls_back(versioned_dir, cat_photo):
    with ready_client(versioned_dir, versions=("tutorial=0.9.0",)) as client:
        response = client.post("/predict?network=tutorial", files={"file": cat_photo}).json()
        assert response["model"]["version"] == "0.9.0"
        newer_response = client.post("/predict?network=tutorial&version=0.10.0", files={"file": cat_photo}).json()
        assert newer_response["model"]["version"] == "0.10.0"
