"""The service on every Python that it is said to run on and that this machine has, with its pinned packages."""

import shutil
import subprocess
from pathlib import Path

import httpx2
import pytest

from tests.conftest import ROOT, environment_of, serving


def interpreter(version: str) -> Path | None:
    """A Python of that version, on the path or among pyenv's."""
    found = [Path(name) for name in [shutil.which(f"python{version}")] if name]
    found += sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
    for python in found:
        says = [python, "-c", "import sys; print('{}.{}'.format(*sys.version_info))"]
        if subprocess.run(says, capture_output=True, text=True, check=False).stdout.strip() == version:
            return python
    return None


@pytest.mark.fresh
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
def test_the_service_installs_and_answers(version, cat_photo):
    base = interpreter(version)
    if base is None:
        pytest.skip(f"there is no Python {version} on this machine")
    python = environment_of("serve.txt", ROOT / ".peers" / f"python{version}", base=base)
    running = [python, "-c", "import sys; print('{}.{}'.format(*sys.version_info))"]
    assert subprocess.run(running, capture_output=True, text=True, check=True).stdout.strip() == version
    with serving(python, "-m", "app") as (_, url):
        answer = httpx2.post(f"{url}/predict", files={"file": cat_photo}, timeout=60).json()
    assert answer["label"] == "cat"
