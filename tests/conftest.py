"""Real photos, a folder of them, and a network that was exported the real way but never trained."""

import contextlib
import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import numpy as np
import pytest
import skimage.data
from fastapi.testclient import TestClient
from PIL import Image

ROOT = Path(__file__).parent.parent
CHELSEA = Path(skimage.data.data_dir) / "chelsea.png"


@pytest.fixture(scope="session")
def cat_photo() -> bytes:
    return CHELSEA.read_bytes()


@pytest.fixture(scope="session")
def described(cat_photo: bytes) -> dict[str, object]:
    """What every answer says of that photo."""
    return {
        "width": 451,
        "height": 300,
        "format": "PNG",
        "animated": False,
        "bytes": len(cat_photo),
        "sha256": sha256(cat_photo),
    }


@pytest.fixture(scope="session")
def cat_image() -> Image.Image:
    return Image.open(CHELSEA).convert("RGB")


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 crops of scikit-image's photos: of the cat in cat/, of an astronaut, coffee and a rocket in not_cat/."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(3)
    sources = {"cat": ["chelsea.png"], "not_cat": ["astronaut.png", "coffee.png", "rocket.jpg"]}
    for label, names in sources.items():
        (folder / label).mkdir()
        images = [Image.open(Path(skimage.data.data_dir) / name).convert("RGB") for name in names]
        for number in range(60):
            image = images[number % len(images)]
            side = int(random.integers(120, 260))
            x, y = int(random.integers(0, image.width - side)), int(random.integers(0, image.height - side))
            crop = image.crop((x, y, x + side, y + side)).resize((90, 90))
            crop.save(folder / label / f"{number:03d}.jpg", quality=80)
    return folder


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory, photo_folder: Path) -> Path:
    """model/ with `tutorial` and `dense`, exported the real way, with random weights from a fixed seed."""
    import keras

    from training.export import export
    from training.networks import build

    folder = tmp_path_factory.mktemp("model")
    keras.utils.set_random_seed(5)
    for name in ("tutorial", "dense"):
        (folder / name).mkdir()
        build(name).save(folder / name / "model.keras")
        history = {"network": name, "version": "0.0.1", "calibration": {"band": {"low": 0.3, "high": 0.7}}}
        (folder / name / "history.json").write_text(json.dumps(history))
        export(folder / name, photo_folder, count=4)
    return folder


@pytest.fixture(scope="session")
def client(model_dir: Path) -> Iterator[TestClient]:
    """The service with the untrained networks, ready."""
    with ready_client(model_dir) as client:
        yield client


def ready_client(model_dir: Path, **settings: object) -> TestClient:
    from app.main import create_app
    from app.settings import Settings

    app = create_app(Settings(model_dir=model_dir, **settings))
    app.state.service.load()
    return TestClient(app)


@contextmanager
def serving(
    *command: str, folder: Path = ROOT, timeout_s: float = 60, **settings: object
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process of its own that serves on a free port: the process and its address, once it is ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        command,
        env=environment(port=port, **settings),
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(int(timeout_s / 0.05)):
            with contextlib.suppress(httpx2.TransportError):
                if httpx2.get(f"{url}/health/ready").status_code == 200:
                    break
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        yield process, url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # make starts Python as a child of its own
        process.wait()
        process.stderr.close()


def environment(**settings: object) -> dict[str, str]:
    """This process's environment, with these settings and no other."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CATSCOPE_")}
    return kept | {f"CATSCOPE_{name.upper()}": str(value) for name, value in settings.items()}


def command(*arguments: object, **settings: object) -> subprocess.CompletedProcess[str]:
    """What `python -m app` printed and how it ended, with these settings and no other."""
    return subprocess.run(
        [sys.executable, "-m", "app", *map(str, arguments)],
        env=environment(**settings),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def environment_of(requirements: str, place: Path, *options: str) -> Path:
    """Python of an environment of its own at `place` with what that file of requirements/ pins, made anew when it has changed."""
    wanted, stamp = (ROOT / "requirements" / requirements).read_text(), place / "installed.txt"
    found = place / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
        install = [found, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes", *options, "-r"]
        subprocess.run([*install, ROOT / "requirements" / requirements], check=True)
        stamp.write_text(wanted)
    return found


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
