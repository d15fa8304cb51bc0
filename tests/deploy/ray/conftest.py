"""Ray's own environment, which the tests of this folder share."""

from pathlib import Path

import pytest

from tests.conftest import ROOT, environment_of

ENVIRONMENT = ROOT / ".peers" / "ray"


@pytest.fixture(scope="session")
def python() -> Path:
    """Python with the packages of requirements/ray.txt, reinstalled when that file has changed."""
    return environment_of("ray.txt", ENVIRONMENT)
