"""The wheel, and where a stranger would run it: in a folder whose own packages have the names of this repository's."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT, shared


@pytest.fixture(scope="session")
def wheel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if given := request.config.getoption("--wheel"):
        return given.absolute()
    folder = shared(tmp_path_factory, "dist", lambda folder: build(ROOT, folder))
    return next(folder.glob("*.whl"))


def build(checkout: Path, folder: Path, *targets: str) -> None:
    """Build the wheel, or what `targets` name, of a checkout into a folder."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", folder]
    for target in targets or ["wheel"]:
        command += ["--target", target]
    subprocess.run(command, cwd=checkout, check=True, capture_output=True)


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """A folder for PYTHONPATH with the wheel's files."""

    def fill(folder: Path) -> None:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)

    return shared(tmp_path_factory, "site-packages", fill)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Somebody's project, with packages of these names, which end the process that imports them."""
    for name in ("app", "training", "model", "tests"):
        (tmp_path / "project" / name).mkdir(parents=True)
        (tmp_path / "project" / name / "__init__.py").write_text("raise SystemExit('this is another package')\n")
    return tmp_path / "project"
