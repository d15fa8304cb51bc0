"""Existing clients from PyPI against the running service; their packages conflict with ours."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import CHELSEA, COMMAND, ROOT, environment_of, serving

pytestmark = pytest.mark.fresh

ENVIRONMENT = ROOT / ".peers" / "clients"


@pytest.fixture(scope="module")
def python() -> Path:
    """Python with the clients of requirements/clients.txt, reinstalled when that file has changed."""
    return environment_of("clients.txt", ENVIRONMENT, "--no-deps")


@pytest.fixture(scope="module")
def expected(client, cat_photo, cat_image, tmp_path_factory) -> Path:
    """The network's own outputs for a tensor, and /predict's probabilities for the photo."""
    tensor = np.asarray(cat_image.resize((100, 100)), np.float32)[None]
    stages = client.app.state.service.networks["tutorial"].run(tensor, ["block1_relu", "probabilities"]).stages
    probabilities = client.post("/predict?feature_maps=none", files={"file": cat_photo}).json()["probabilities"]
    path = tmp_path_factory.mktemp("expected") / "numbers.npz"
    np.savez(path, tensor=tensor, scores=np.array([probabilities["cat"], probabilities["not_cat"]]), **stages)
    return path


@pytest.mark.parametrize("client_name", ["hub", "triton", "kserve"])
def test_an_existing_client_works(client_name, python, expected, model_dir):
    with serving(*COMMAND, model_dir=model_dir) as (_, url):
        script = ROOT / "tests" / "real_clients.py"
        result = subprocess.run(
            [python, script, client_name, url, CHELSEA, expected], capture_output=True, text=True, timeout=120
        )
    assert result.returncode == 0, result.stderr[-3000:]
