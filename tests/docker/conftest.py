"""Three replicas behind the proxy, watched by Prometheus: docker-compose.yml with its profiles, as people start it."""

import shutil
from collections.abc import Iterator

import pytest

from tests.docker.engine import IMAGE, run, wait_until
from tests.docker.project import Project, images
from tests.docker.public import provide


@pytest.fixture(scope="session")
def engine() -> None:
    if not shutil.which("docker"):
        pytest.skip("there is no docker here")
    if run("docker", "info", check=False).returncode:
        pytest.skip("docker info fails: no engine answers")


@pytest.fixture(scope="session")
def image(engine: None) -> str:
    run("docker", "build", "--tag", IMAGE, ".", timeout_s=900)
    return IMAGE


@pytest.fixture(scope="session")
def scaled(image: str) -> Iterator[Project]:
    """The project, once the proxy gives photos to its three replicas. Grafana is left out: no package registry has it."""
    project = Project()
    for service in ("proxy", "prometheus"):
        provide(images()[service])
    try:
        project.compose("up", "--detach", "--no-build", "--scale", "app=3", "catscope", "app", "proxy", "prometheus")
        wait_until(project.listens, "the proxy listens")
        wait_until(project.whole, "the proxy gives photos to all replicas")
        yield project
    finally:
        project.compose("down", "--volumes", "--timeout", "2")
