"""Several versions of a network side by side: which one answers, which can be asked for, and what happens to a bad one."""

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
from app.inference.networks import contract, versions
from app.inference.networks.load import load_all
from app.settings import Settings
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


@pytest.mark.parametrize(
    "names", [["blue", "0.9", "1.0rc1", "1.0", "1.9.0", "1.10.0"], ["a", "b", "0.0.1"], ["2024.1", "2024.10"]]
)
def test_versions_sort_as_they_do_on_pypi_and_names_count_as_oldest(names):
    shuffled = names[::-1]
    assert sorted(shuffled, key=versions.sort_key) == names


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


def test_a_folder_that_is_hidden_is_no_network(versioned_dir):
    (versioned_dir / "dense").rename(versioned_dir / ".dense")
    assert versions.names([versioned_dir]) == ["tutorial"]


def test_a_folder_without_networks_is_named(tmp_path):
    with pytest.raises(NetworkError, match=f"no network in {tmp_path}: no folder there contains a contract.json"):
        versions.names([tmp_path])


def test_an_empty_folder_beside_the_first_is_none_at_all(versioned_dir, tmp_path_factory):
    assert versions.names([versioned_dir, tmp_path_factory.mktemp("taught")]) == ["dense", "tutorial"]


def test_one_network_alone_can_be_loaded_and_an_unknown_one_is_named(versioned_dir):
    assert list(load_all([versioned_dir], "onnx", only="dense").networks) == ["dense"]
    with pytest.raises(NetworkError, match="there is no network lion; there are dense, tutorial in"):
        load_all([versioned_dir], "onnx", only="lion")


def test_a_version_is_selected_by_its_name_or_the_default_is(versioned_dir):
    found = versions.catalogue([versioned_dir], lambda contract: contract.version, {})
    assert (found.select("tutorial"), found.select("tutorial", "0.9.0")) == ("0.10.0", "0.9.0")
    with pytest.raises(NetworkError, match=r"network tutorial has no version 3; it has 0\.10\.0, 0\.9\.0"):
        found.select("tutorial", "3")


@pytest.mark.parametrize(
    ("configured", "names", "default"),
    [
        ("dense", ["cat", "dense"], "dense"),
        ("", ["tutorial", "cat"], "cat"),
        ("", ["a", "tutorial"], "tutorial"),
        ("", ["b"], "b"),
    ],
)
def test_the_default_is_the_configured_one_or_the_first_of_the_known(configured, names, default):
    versions.check_default(configured, names)
    assert versions.default(configured, names) == default


def test_a_configured_default_that_is_not_there_is_named():
    with pytest.raises(NetworkError, match="CATSCOPE_NETWORK is lion; there are cat, dense"):
        versions.check_default("lion", ["cat", "dense"])


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


def test_a_pin_is_a_pair():
    assert Settings.from_environment({"CATSCOPE_VERSIONS": "cat=1.0.0, dense=2"}).pins == {"cat": "1.0.0", "dense": "2"}
    with pytest.raises(ValueError, match="CATSCOPE_VERSIONS is 'cat'; it must be pairs"):
        Settings.from_environment({"CATSCOPE_VERSIONS": "cat"})


def test_a_folders_network_is_its_name_or_the_one_above_its_version(versioned_dir):
    assert contract.load(versioned_dir / "dense").network == "dense"
    assert contract.load(versioned_dir / "tutorial" / "0.9.0").network == "tutorial"


def found(roots: list[Path], pins: dict[str, str] | None = None, only: str | None = None) -> versions.Catalogue[str]:
    """The versions by themselves, without a network's session."""
    return versions.catalogue(roots, lambda contract: contract.version, pins or {}, only)


def test_what_is_not_there_is_told_with_what_is(versioned_dir, model_dir, tmp_path_factory):
    taught = tmp_path_factory.mktemp("taught")
    shutil.copytree(model_dir / "dense", taught / "mine")
    there = f"there are dense, tutorial, mine in {versioned_dir} and {taught}"
    with pytest.raises(NetworkError) as refusal:
        found([versioned_dir, taught], {"lion": "1"})
    assert str(refusal.value) == f"CATSCOPE_VERSIONS names lion; {there}"
    with pytest.raises(NetworkError) as refusal:
        found([versioned_dir, taught], only="lion")
    assert str(refusal.value) == f"there is no network lion; {there}"


def test_every_reason_why_a_pinned_version_is_not_usable_is_told(versioned_dir):
    for version in ("0.9.0", "0.10.0"):
        spoil("contract.json", lambda data: data.replace(b'"network"', b'"network'))(versioned_dir / "tutorial" / version)
    with pytest.raises(NetworkError) as refusal:
        found([versioned_dir], {"tutorial": "0.9.0"})
    first, *reasons = str(refusal.value).split("; ")
    assert first == "CATSCOPE_VERSIONS names tutorial=0.9.0, its usable versions are none"
    assert len(reasons) == 2
    assert all(str(versioned_dir / "tutorial") in reason for reason in reasons)


def test_versions_that_are_not_what_they_say_are_refused_by_their_names(versioned_dir):
    tutorial = versioned_dir / "tutorial"
    spoil("contract.json", lambda data: data.replace(b'"0.10.0"', b'"0.9.9"'))(tutorial / "0.10.0")
    assert [str(error) for error in found([versioned_dir]).refused] == [
        f"{tutorial / '0.10.0' / 'contract.json'} declares version 0.9.9, not 0.10.0"
    ]
    shutil.rmtree(tutorial / "0.10.0")
    shutil.copytree(tutorial / "0.9.0", tutorial, dirs_exist_ok=True)
    assert [str(error) for error in found([versioned_dir]).refused] == [
        f"{tutorial} and {tutorial / '0.9.0'} are both version 0.9.0 of tutorial"
    ]


def test_a_network_that_cannot_be_made_is_passed_over(versioned_dir):
    def make(contract) -> str:
        if contract.version == "0.10.0":
            raise NetworkError("no memory")
        return contract.version

    known = versions.catalogue([versioned_dir], make, {})
    assert known.networks == {"dense": {"0.0.1": "0.0.1"}, "tutorial": {"0.9.0": "0.9.0"}}
    assert [str(error) for error in known.refused] == ["no memory"]


def test_another_folder_adds_versions_to_a_network_of_the_first(versioned_dir, model_dir, tmp_path_factory):
    learned = tmp_path_factory.mktemp("learned")
    add_version(model_dir, learned, "0.11.0")
    shutil.copytree(model_dir / "dense", learned / "a")
    assert versions.names([versioned_dir, learned]) == ["dense", "tutorial", "a"]
    assert list(found([versioned_dir, learned]).networks["tutorial"]) == ["0.11.0", "0.10.0", "0.9.0"]
    assert list(found([versioned_dir, learned], {"tutorial": "0.9.0"}).networks["tutorial"]) == ["0.9.0", "0.11.0", "0.10.0"]


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
