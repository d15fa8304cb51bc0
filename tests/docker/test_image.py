"""The image and the compose file, as people run them; everything that needs a Docker engine."""

import io
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import skimage.data
from PIL import Image

from app import __version__
from app.settings import Settings
from tests.docker.engine import (
    HARDENED,
    IMAGE,
    ROOT,
    compose_command,
    container,
    docker,
    free_address,
    is_ready,
    post,
    run,
    url_of,
    wait_until,
)

pytestmark = pytest.mark.docker

MOST_ADDED_BYTES = 196 * 1000 * 1000
SERVED = {"int8.onnx", "memory.npz", "model.onnx", "contract.json", "metrics.json", "history.json", "epochs.npy"}
SET_BY_IMAGE = {"CATSCOPE_HOST", "CATSCOPE_PORT", "CATSCOPE_MODEL_DIR", "CATSCOPE_ENGINE"}


def test_a_photo_gets_probabilities_that_sum_to_one(url: str, cat: bytes) -> None:
    assert sum(post(url, cat).json()["probabilities"].values()) == pytest.approx(1)


def test_a_photo_gets_feature_maps(url: str, cat: bytes) -> None:
    assert all(feature_map["channels"][0]["thumbnail"] for feature_map in post(url, cat).json()["feature_maps"])


@pytest.mark.promise("P63")
def test_a_photo_that_is_spooled_to_disk_is_answered_on_a_read_only_file_system(url: str, large_cat: bytes) -> None:
    assert post(url, large_cat).status_code == 200


@pytest.mark.promise("P68")
def test_rare_formats_are_decoded_without_rights_there_too(running: str, url: str, cat: bytes) -> None:
    """The container itself has hardly any, and a runtime might not allow a filter."""
    assert post(url, tiff(cat)).json()["image"]["format"] == "TIFF"
    decoder = docker("exec", running, "sh", "-c", "grep -l cage.child /proc/[0-9]*/cmdline | head -1").strip()
    status = {
        path: docker("exec", running, "cat", path) for path in ("/proc/1/status", decoder.replace("cmdline", "status"))
    }
    service, cage = (int(re.findall(r"Seccomp_filters:\s+(\d+)", text)[0]) for text in status.values())
    assert cage == service + 1, "its own, beside that of the container"
    assert "keeps some rights" not in run("docker", "logs", running).stderr


@pytest.mark.parametrize(
    "path",
    [
        "/docs",
        "/docs/assets/swagger-ui-bundle.js",
        "/openapi.json",
        "/models",
        "/",
        "/web/main.js",
        "/web/samples/chelsea.jpg",
    ],
)
def test_what_is_served_beside_photos_is_in_the_image(url: str, path: str) -> None:
    assert httpx2.get(url + path, trust_env=False).status_code == 200


def test_the_service_is_process_1(running: str) -> None:
    assert docker("exec", running, "cat", "/proc/1/cmdline").split("\0")[:3] == ["python", "-m", "app"]


@pytest.mark.promise("P63")
def test_the_service_is_not_root(running: str) -> None:
    user_ids = re.search(r"^Uid:\s+(.*)$", docker("exec", running, "cat", "/proc/1/status"), re.MULTILINE)
    assert user_ids
    assert user_ids[1].split() == ["10001"] * 4


@pytest.mark.parametrize("package", ["tensorflow", "keras", "onnx", "pytest", "training", "tests"])
def test_what_only_training_and_tests_need_is_not_in_the_image(running: str, package: str) -> None:
    code = f"import importlib.util; print(importlib.util.find_spec({package!r}))"
    assert docker("exec", running, "python", "-c", code) == "None"


def tiff(photo: bytes) -> bytes:
    """A photo as a TIFF file, which is decoded in a process of its own."""
    out = io.BytesIO()
    Image.open(io.BytesIO(photo)).save(out, "TIFF")
    return out.getvalue()


def test_only_the_served_files_of_the_networks_are_in_the_image(running: str) -> None:
    files = docker("exec", running, "find", "model", "-type", "f").splitlines()
    assert {Path(file).name for file in files} == SERVED


def test_nothing_that_the_service_imports_is_compiled_again(image: str, cat: bytes) -> None:
    with container("--env", "PYTHONVERBOSE=1") as name:
        wait_until(lambda: is_ready(url_of(name)), "the service is ready")
        for photo in (cat, tiff(cat)):
            assert post(url_of(name), photo).status_code == 200
        log = run("docker", "logs", name).stderr
    assert re.search(r"^# code object from '/usr/local/lib/.*\.pyc'$", log, re.MULTILINE)
    assert re.findall(r"^# code object from (/\S*\.py)$", log, re.MULTILINE) == []


def test_the_image_adds_at_most_196_mb_to_its_base(image: str) -> None:
    named = re.search(r"^ARG PYTHON_IMAGE=(.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert named
    if run("docker", "image", "inspect", named[1], check=False).returncode:
        docker("pull", "--quiet", named[1])  # the base that BuildKit pulled is not visible to docker
    total, base = (int(docker("image", "inspect", "--format", "{{.Size}}", name)) for name in (image, named[1]))
    assert total - base <= MOST_ADDED_BYTES


def test_the_image_states_its_version(image: str) -> None:
    assert docker("run", "--rm", image, "--version") == f"catscope {__version__}"


def test_the_labels_say_which_release_and_commit_it_was_built_from_and_when(image: str) -> None:
    build_arguments = {
        "version": "1.2.3",
        "revision": "0123abc",
        "created": "2026-01-02T03:04:05Z",
        "source": "https://cats.example/catscope",
    }
    arguments = [part for name, value in build_arguments.items() for part in ("--build-arg", f"{name.upper()}={value}")]
    run("docker", "build", "--tag", "catscope:labelled", *arguments, ".", timeout_s=900)
    labels = json.loads(docker("image", "inspect", "--format", "{{json .Config.Labels}}", "catscope:labelled"))
    docker("image", "rm", "catscope:labelled")
    prefix = "org.opencontainers.image."
    assert {name.removeprefix(prefix) for name in labels} == {"title", "description", "licenses", *build_arguments}
    assert {name: labels[prefix + name] for name in build_arguments} == build_arguments


def test_the_versions_of_a_network_go_into_the_image_and_nothing_else_does(engine: None, tmp_path: Path) -> None:
    shutil.copy(ROOT / ".dockerignore", tmp_path)
    for folder in ("model/cat", "model/cat/1.1.0"):
        (tmp_path / folder / "mistakes").mkdir(parents=True)
        for name in (*SERVED, "model.sig", "model.keras", "mistakes/one.png"):
            (tmp_path / folder / name).write_text("x")
    build = ["docker", "build", "--output", f"type=local,dest={tmp_path / 'out'}", "--file", "-", str(tmp_path)]
    subprocess.run(
        build, input="FROM scratch\nCOPY model /model\n", text=True, check=True, env=os.environ | {"DOCKER_BUILDKIT": "1"}
    )
    files = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert files == {f"{folder}/{name}" for folder in ("model/cat", "model/cat/1.1.0") for name in (*SERVED, "model.sig")}


def test_onnx_runtime_prepares_no_telemetry(running: str) -> None:
    """If it did, it would leave an id of this machine and a database of events in its cache."""
    load = "import onnxruntime as o; o.InferenceSession('model/tutorial/model.onnx', providers=['CPUExecutionProvider'])"
    docker("exec", "--env", "XDG_CACHE_HOME=/tmp", running, "python", "-c", load)
    assert docker("exec", running, "find", "/tmp", "-type", "f") == ""


@pytest.mark.parametrize("port", ["8000", "9000"])
def test_the_health_check_finds_the_service_on_the_port_that_is_set(image: str, port: str) -> None:
    with container("--env", f"CATSCOPE_PORT={port}", "--health-interval", "1s") as name:
        wait_until(lambda: docker("inspect", "--format", "{{.State.Health.Status}}", name) == "healthy", "healthy")


def test_the_health_check_fails_while_nothing_answers(image: str) -> None:
    check = docker("image", "inspect", "--format", '{{join .Config.Healthcheck.Test "\\n"}}', image).splitlines()
    result = run("docker", "run", "--rm", *HARDENED, "--entrypoint", check[1], image, *check[2:], check=False)
    assert result.returncode == 1


def test_docker_stop_ends_the_service_with_0_within_its_grace_time(image: str) -> None:
    with container() as name:
        wait_until(lambda: is_ready(url_of(name)), "the service is ready")
        docker("stop", "--time", "10", name)  # 137 if it had to be killed
        assert docker("inspect", "--format", "{{.State.ExitCode}}", name) == "0"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--tmpfs", "/catscope/model"), "error: no network in /catscope/model"),
        (("--env", "CATSCOPE_MODEL_DIR=/nowhere"), "error: no network in /nowhere"),
        (("--env", "CATSCOPE_NETWORK=lion"), "error: CATSCOPE_NETWORK is lion"),
    ],
    ids=["empty folder", "no folder", "unknown network"],
)
def test_a_start_without_its_network_ends_with_one_line(image: str, options: tuple[str, ...], line: str) -> None:
    result = run("docker", "run", "--rm", *HARDENED, *options, image, check=False)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith(line)


def test_compose_builds_the_service_and_starts_it(composed: str, cat: bytes) -> None:
    assert post(composed, cat).status_code == 200


def test_compose_leaves_the_service_room_for_an_upload_that_is_spooled(composed: str, large_cat: bytes) -> None:
    assert post(composed, large_cat).status_code == 200


def test_compose_passes_on_every_setting_that_the_image_leaves_open() -> None:
    handed_on = re.findall(r"^  (CATSCOPE_\w+):", (ROOT / "docker-compose.yml").read_text(), re.MULTILINE)
    assert set(handed_on) == {name for name, _, _ in Settings.table()} - SET_BY_IMAGE


@pytest.fixture(scope="session")
def running(image: str) -> Iterator[str]:
    """The id of a container that is ready, shared by the tests that leave it as it is."""
    with container() as name:
        wait_until(lambda: is_ready(url_of(name)), "the service is ready")
        yield name


@pytest.fixture(scope="session")
def url(running: str) -> str:
    return url_of(running)


@pytest.fixture(scope="session")
def composed(engine: None) -> Iterator[str]:
    """The URL of the service as compose starts it, with a project's name and a port that nothing else has."""
    compose, address = (*compose_command(), "--project-name", "catscope-test"), free_address()
    try:
        run(*compose, "up", "--build", "--detach", timeout_s=900, PUBLISH=address, CATSCOPE_IMAGE=IMAGE)
        wait_until(lambda: is_ready(f"http://{address}"), "the service is ready")
        yield f"http://{address}"
    finally:
        run(*compose, "down", "--volumes", check=False)


@pytest.fixture(scope="session")
def cat() -> bytes:
    """scikit-image's photo of a cat: PNG, 451 x 300."""
    return (Path(skimage.data.__file__).parent / "chelsea.png").read_bytes()


@pytest.fixture(scope="session")
def large_cat(cat: bytes) -> bytes:
    """The same cat as a BMP of 902 x 600 pixels, 1.6 MB: more than an upload may have to stay in memory."""
    out = io.BytesIO()
    Image.open(io.BytesIO(cat)).resize((902, 600)).save(out, "BMP")
    return out.getvalue()
