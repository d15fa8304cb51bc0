"""The wheel, installed as people install it, answers a photo and teaches: with pip, pipx and uvx, and from the sdist."""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from tests.app.teaching import finished, photos
from tests.conftest import ROOT, encoded, serving
from tests.release.conftest import build

pytestmark = pytest.mark.fresh

Installed = tuple[list[str], dict[str, str]]
"""A command that starts the service, and the variables that it needs."""


def environment_in(folder: Path, *packages: str | Path) -> Path:
    """A new environment with those packages."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    install = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    subprocess.run(install, check=True)
    return folder


@pytest.fixture(scope="module")
def with_pip(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment_in(tmp_path_factory.mktemp("pip") / "venv", wheel)


def by_pipx(wheel: Path, folder: Path) -> Installed:
    pipx = environment_in(folder / "venv", "pipx") / "bin" / "pipx"
    homes = {f"PIPX_{name}": str(folder / "pipx" / name) for name in ("HOME", "BIN_DIR", "MAN_DIR", "COMPLETION_DIR")}
    subprocess.run([pipx, "install", "--quiet", "--python", sys.executable, wheel], env=os.environ | homes, check=True)
    return [str(folder / "pipx" / "BIN_DIR" / "catscope"), "serve"], {}


def by_uvx(wheel: Path, folder: Path) -> Installed:
    uvx = Path(sys.executable).with_name("uvx")
    return [str(uvx), "--python", sys.executable, "--from", str(wheel), "catscope", "serve"], {
        "UV_TOOL_DIR": str(folder / "uv")
    }


@pytest.mark.parametrize("tool", ["pip", "pipx", "uvx"])
def test_it_answers_a_photo(
    tool: str,
    request: pytest.FixtureRequest,
    wheel: Path,
    elsewhere: Path,
    tmp_path: Path,
    cat_photo: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if tool == "pip":
        command, variables = [str(request.getfixturevalue("with_pip") / "bin" / "catscope"), "serve"], {}
    else:
        command, variables = {"pipx": by_pipx, "uvx": by_uvx}[tool](wheel, tmp_path)
    for name, value in ({"PYTHONPATH": str(elsewhere)} | variables).items():
        monkeypatch.setenv(name, value)
    with serving(*command, folder=elsewhere, timeout_s=300, store=tmp_path / "store") as (_, url):
        answer = httpx2.post(f"{url}/predict", files={"file": cat_photo}, timeout=60).json()
        assert answer["label"] == "cat"
        assert (
            httpx2.post(f"{url}/predict?network=tutorial&epoch=0", files={"file": cat_photo}, timeout=60).status_code == 200
        )
        tiff = encoded(Image.open(io.BytesIO(cat_photo)), "TIFF")  # is decoded in a process of its own
        assert httpx2.post(f"{url}/predict", files={"file": tiff}, timeout=60).json()["image"]["format"] == "TIFF"
        assert "<title>" in httpx2.get(url).text


def test_it_teaches_and_claims_one_name(
    with_pip: Path, elsewhere: Path, tmp_path: Path, photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = next((with_pip / "lib").glob("python3*/site-packages"))
    assert not {"app", "training", "model", "tests"} & {path.name for path in packages.iterdir()}
    monkeypatch.setenv("PYTHONPATH", str(elsewhere))
    command = [str(with_pip / "bin" / "catscope")]
    with (
        serving(*command, folder=elsewhere, store=tmp_path / "store") as (_, url),
        httpx2.Client(base_url=url, timeout=60) as client,
    ):
        job = client.post("/teach?network=mine", files=photos(photo_folder, 10)).json()["job"]
        assert finished(client, job)["state"] == "done"
        assert client.get("/models/mine").status_code == 200
    local = subprocess.run(
        [*command, "teach", photo_folder, "--out", tmp_path / "mine", "--quiet"],
        cwd=elsewhere,
        check=False,
        capture_output=True,
    )
    assert local.returncode == 0, local.stderr
    assert (tmp_path / "mine" / "model.onnx").exists()


def test_the_sdist_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    build(ROOT, tmp_path, "sdist")
    sdist = next(tmp_path.glob("*.tar.gz"))
    shutil.unpack_archive(sdist, tmp_path, filter="data")
    build(tmp_path / sdist.name.removesuffix(".tar.gz"), tmp_path / "again")
    assert (tmp_path / "again" / wheel.name).read_bytes() == wheel.read_bytes()
