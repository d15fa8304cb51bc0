"""The clients that people have already, from PyPI, against the service as it runs; their packages do not fit beside ours."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.app.test_command import COMMAND
from tests.conftest import CHELSEA, ROOT, environment_of, serving

pytestmark = pytest.mark.fresh

ENVIRONMENT = ROOT / ".peers" / "clients"


@pytest.fixture(scope="module")
def python() -> Path:
    """Python with the clients of requirements/clients.txt, installed anew when that has changed."""
    return environment_of("clients.txt", ENVIRONMENT, "--no-deps")


@pytest.fixture(scope="module")
def expected(client, cat_photo, cat_image, tmp_path_factory) -> Path:
    """What the network itself says to a tensor, and /predict to the photo."""
    tensor = np.asarray(cat_image.resize((100, 100)), np.float32)[None]
    stages = client.app.state.service.networks["tutorial"].run(tensor, ["block1_relu", "probabilities"]).stages
    said = client.post("/predict?feature_maps=none", files={"file": cat_photo}).json()["probabilities"]
    path = tmp_path_factory.mktemp("expected") / "numbers.npz"
    np.savez(path, tensor=tensor, scores=np.array([said["cat"], said["not_cat"]]), **stages)
    return path


@pytest.mark.parametrize("which", ["hub", "triton", "kserve"])
def test_a_client_that_people_have_works(which, python, expected, model_dir):
    with serving(*COMMAND, model_dir=model_dir) as (_, url):
        script = ROOT / "tests" / "real_clients.py"
        done = subprocess.run([python, script, which, url, CHELSEA, expected], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
