"""python -m app learn, rollback and drift, with corrections of the shipped network; what was learned is served like any other."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from app.inference.networks import contract
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.learn.alone import alone
from app.main import create_app
from app.settings import Settings
from tests.app.explaining import unit
from tests.app.learn.camera import CAT, photos, store_of
from tests.conftest import ROOT, command, environment

SHOWN = 20


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """The network cat alone, so that nothing else has to be loaded."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "cat").mkdir()
    for name in ("contract.json", "model.onnx", "int8.onnx", "memory.npz", "metrics.json", "history.json"):
        shutil.copy(CAT / name, folder / "cat")
    return folder


@pytest.fixture(scope="module")
def learned(model, tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A store after learning that blurred cats are cats, and what was printed."""
    store = tmp_path_factory.mktemp("store")
    store_of(store, photos(SHOWN), "cat").close()
    return store, command("learn", model_dir=model, store=store)


@pytest.fixture(scope="module")
def client(model, learned):
    with TestClient(create_app(Settings(model_dir=model, store=learned[0]))) as client:
        while client.get("/health/ready").status_code != 200:
            time.sleep(0.05)
        yield client


def of(table: str, name: str) -> list[str]:
    """The columns of one row: photos, right before, right after, won, lost."""
    [row] = [line for line in table.splitlines() if line.startswith(name)]
    return row.removeprefix(name).split()


def test_a_better_version_is_written_and_compared_on_every_set(learned):
    store, result = learned
    assert result.returncode == 0, result.stderr
    folder = store / "networks" / "cat" / "2.1.0"
    assert str(folder) in result.stdout
    for name in ("val-pets", "val-breeds", "val-objects", "val-wild", "val-animals", "val-scenes"):
        count, before, after, won, lost = map(int, of(result.stdout, name))
        assert after == before + won - lost
        assert count == contract_count(name)
    _, before, after, _, _ = map(int, of(result.stdout, "corrections held out"))
    assert after > before


def contract_count(name: str) -> int:
    """How many photos the set has that the shipped network was measured on."""
    count: int = json.loads((CAT / "metrics.json").read_text())["sets"][name]["photos"]
    return count


def test_its_folder_has_what_a_version_needs_and_says_what_it_comes_from(learned):
    folder = learned[0] / "networks" / "cat" / "2.1.0"
    assert {path.name for path in folder.iterdir()} == {
        *("model.onnx", "int8.onnx", "corrections.npz", "contract.json", "metrics.json", "history.json")
    }
    written = json.loads((folder / "contract.json").read_text())
    assert written["started_from"]["version"] == contract.load(CAT).version
    compared = json.loads((folder / "metrics.json").read_text())["compared"]
    assert [one["name"] for one in compared][-1] == "corrections held out"


def test_only_what_it_looks_for_is_different(learned):
    before = OnnxNetwork(contract.load(CAT))
    after = OnnxNetwork(contract.load(learned[0] / "networks" / "cat" / "2.1.0"))
    assert after.contract.stages == before.contract.stages
    assert (after.kernel("likeness") != before.kernel("likeness")).any()
    for stage in ("stem", "head", "rivals_scores", "doubt", "scores"):
        np.testing.assert_array_equal(after.kernel(stage), before.kernel(stage))


def test_the_service_serves_it_beside_the_one_before(client):
    [cat] = client.get("/models").json()["networks"]
    assert (cat["version"], cat["versions"]) == ("2.1.0", ["2.1.0", "2.0.0"])
    measured = client.get("/models/cat").json()["measured"]
    assert measured[0]["photos_of"] == "held-out sets that came with it"
    assert measured[0]["photos"] == 3937


def test_it_answers_cat_where_the_one_before_did_not(client):
    def share(version: str) -> float:
        answers = [
            client.post("/predict", params={"version": version}, files={"file": photo}) for photo in photos(12, seed=9)
        ]
        return sum(answer.json()["label"] == "cat" for answer in answers) / len(answers)

    assert share("2.0.0") < 0.3
    assert share("2.1.0") > 0.7


@pytest.mark.parametrize("stage", ["likeness", "evidence", "pooled", "scores", "probabilities"])
def test_its_numbers_are_the_results_of_their_arithmetic(client, cat_photo, stage):
    answer = unit(client, cat_photo, stage, network="cat", version="2.1.0")
    assert answer["difference"] <= 1e-4 * max(1.0, abs(answer["value"]))


def test_its_twin_in_integers_learned_it_too(client):
    [photo] = photos(1, seed=9)
    probability = {}
    for version in ("2.0.0", "2.1.0"):
        for precision in ("float32", "int8"):
            query = {"version": version, "precision": precision, "feature_maps": "none"}
            answer = client.post("/predict", params=query, files={"file": photo}).json()
            assert answer["model"]["precision"] == precision
            probability[version, precision] = answer["probabilities"]["cat"]
    for precision in ("float32", "int8"):
        assert probability["2.1.0", precision] > probability["2.0.0", precision] + 0.1
    assert probability["2.1.0", "int8"] == pytest.approx(probability["2.1.0", "float32"], abs=0.1)


def test_it_has_a_heatmap(client, cat_photo):
    answer = client.post("/predict", params={"heatmap": "true", "version": "2.1.0"}, files={"file": cat_photo})
    assert answer.json()["heatmap"].startswith("data:image/png;base64,")


def test_learning_again_from_the_same_is_no_better_and_writes_nothing(model, learned):
    store, _ = learned
    result = command("learn", model_dir=model, store=store)
    assert result.returncode == 3
    assert "cat 2.1.0 stays; nothing was written" in result.stderr
    assert [path.name for path in (store / "networks" / "cat").iterdir()] == ["2.1.0"]


def test_corrections_that_the_network_knew_are_not_learned_from(model, tmp_path, photo_folder):
    sharp = [path.read_bytes() for path in sorted((photo_folder / "not_cat").iterdir())[:20]]
    store_of(tmp_path, sharp, "not_cat").close()
    result = command("learn", model_dir=model, store=tmp_path)
    assert result.returncode == 3
    assert "corrections that it did not learn from it answers" in result.stderr
    assert not (tmp_path / "networks" / "cat").exists()


def test_few_corrections_are_refused(model, tmp_path):
    store_of(tmp_path, photos(5), "cat").close()
    result = command("learn", model_dir=model, store=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert "There are 5 corrections of cat to learn from; at least 10 are needed." in result.stderr


def test_a_network_without_a_memory_is_refused(tmp_path):
    store_of(tmp_path / "store", photos(1), "cat").close()
    result = command("learn", "--network", "tutorial", store=tmp_path / "store")
    assert result.returncode == 2
    assert "tutorial 1.1.0 came without memory.npz" in result.stderr


@pytest.mark.parametrize("name", ["learn", "rollback cat", "drift"])
def test_without_a_store_there_is_nothing_to_do(name):
    result = command(*name.split())
    assert result.returncode == 2
    assert "CATSCOPE_STORE names no folder" in result.stderr


@pytest.mark.parametrize("database", ["junk", "folder"])
def test_a_store_that_cannot_be_used_is_one_line_of_the_drift_report(tmp_path, database):
    path = tmp_path / "corrections.db"
    if database == "junk":
        path.write_bytes(b"no database " * 100)
    else:
        path.mkdir()
    result = command("drift", store=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    [line] = result.stderr.splitlines()
    assert line.startswith("error: ")


def test_a_dry_run_writes_nothing(model, learned, tmp_path):
    store = shutil.copytree(learned[0], tmp_path / "store")
    shutil.rmtree(store / "networks" / "cat")
    result = command("learn", "--dry-run", model_dir=model, store=store)
    assert result.returncode == 0
    assert "2.1.0 would take the place of 2.0.0; this was a dry run, and nothing was written" in result.stdout
    assert not (store / "networks" / "cat").exists()


def test_a_version_that_was_rolled_back_never_comes_again(model, learned, tmp_path):
    store = shutil.copytree(learned[0], tmp_path / "store")
    back = command("rollback", "cat", model_dir=model, store=store)
    assert back.returncode == 0
    assert "cat 2.1.0 is set aside in" in back.stdout
    again = command("rollback", "cat", model_dir=model, store=store)
    assert again.returncode == 2
    assert "there is nothing to roll back" in again.stderr
    assert command("learn", model_dir=model, store=store).returncode == 0
    assert [path.name for path in (store / "networks" / "cat").iterdir()] == ["2.2.0"]


def held(networks: Path) -> bool:
    """Whether a process learns there."""
    try:
        with alone(networks):
            return False
    except ValueError:
        return True


def test_while_one_process_learns_another_is_refused_and_killed_it_leaves_nothing(model, tmp_path):
    store_of(tmp_path, photos(SHOWN), "cat").close()
    networks = tmp_path / "networks"
    with subprocess.Popen(
        [sys.executable, "-m", "app", "learn"], env=environment(model_dir=model, store=tmp_path), cwd=ROOT
    ) as process:
        while not held(networks):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGSTOP)
        other = command("learn", model_dir=model, store=tmp_path)
        process.kill()
    assert other.returncode == 2
    assert "another process is learning or rolling back" in other.stderr
    assert list(networks.glob("[!.]*")) == []
    assert command("learn", model_dir=model, store=tmp_path).returncode == 0


def test_the_drift_report_is_printed_and_is_json_on_request(model, learned):
    store, _ = learned
    text = command("drift", model_dir=model, store=store)
    assert text.returncode == 0
    assert f"  {SHOWN}  " in text.stdout
    report = json.loads(command("drift", "--json", "--network", "cat", model_dir=model, store=store).stdout)
    assert sum(week["kept"] for week in report["weeks"]) == SHOWN
    assert "No answers of dense are kept" in command("drift", "--network", "dense", model_dir=model, store=store).stdout
