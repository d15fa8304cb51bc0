"""How often a network was right, as GET /models/{network} answers it."""

import json
import shutil

import pytest

from tests.conftest import ready_client

FIGURE = {"value": 0.91, "low": 0.86, "high": 0.94, "count": 150}


@pytest.fixture
def measured(model_dir, tmp_path):
    """What GET /models/tutorial answers under `measured`, after records were written beside the network."""
    folder = shutil.copytree(model_dir / "tutorial", tmp_path / "tutorial")
    sha256 = json.loads((folder / "contract.json").read_text())["files"]["model.onnx"]

    def answer(metrics=None, history=None):
        for name, record in (("metrics", metrics), ("history", history)):
            if record is not None:
                (folder / f"{name}.json").write_text(json.dumps({"sha256": sha256} | record))
        with ready_client(tmp_path) as client:
            return client.get("/models/tutorial").json()["measured"]

    return answer


def test_photos_of_ones_own_are_named_with_their_number_and_interval(measured):
    [own] = measured(metrics={"sets": {"mine": {"photos": 150, "accuracy": FIGURE}}})
    assert own == {"how": "test", "photos_of": "mine", "photos": 150, "accuracy": 0.91, "low": 0.86, "high": 0.94}


def test_figures_of_another_export_are_not_this_networks(measured):
    metrics = {"sha256": "0" * 64, "sets": {"mine": {"photos": 150, "accuracy": FIGURE}}}
    assert measured(metrics=metrics, history={"network": "tutorial"}) == []


def test_without_a_test_the_validation_photos_are_named_as_what_they_are(measured):
    known = {"how": "5-fold cross-validation", "photos": 60, "accuracy": 0.95, "low": 0.86, "high": 0.98, "guess": 0.33}
    [validation] = measured(history={"validation": known})
    assert validation == {
        "how": "validation",
        "photos_of": "5-fold cross-validation",
        "photos": 60,
        "accuracy": 0.95,
        "low": 0.86,
        "high": 0.98,
    }
