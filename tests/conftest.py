"""Real photos, a folder of them, and a network that was exported the real way but never trained."""

import collections
import contextlib
import hashlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import numpy as np
import pytest
import skimage.data
from fastapi.testclient import TestClient
from filelock import FileLock
from PIL import Image

from tests import slow

ROOT = Path(__file__).parent.parent
CHELSEA = Path(skimage.data.__file__).parent / "chelsea.png"
COMMAND = (sys.executable, "-m", "app")
"""Starts the service."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--wheel", type=Path, help="the wheel to test, instead of one that is built for it")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not item.nodeid.endswith(item.name):  # schemathesis gives all operations of a test its bare name
            item._id = item.parent.id.child(item.name)
    ids = collections.Counter(item.nodeid for item in items)
    twice = [nodeid for nodeid, count in ids.items() if count > 1]
    if twice:
        raise pytest.UsageError(f"pytest-xdist would run only one of the tests called {twice[0]}")
    slow.mark(items)


@pytest.fixture(scope="session")
def cat_photo() -> bytes:
    return CHELSEA.read_bytes()


@pytest.fixture(scope="session")
def described(cat_photo: bytes) -> dict[str, object]:
    """What every answer says about that photo."""
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
    if kind == "HEIC":  # the service's own reader cannot write, and Pillow knows neither
        import pillow_heif

        pillow_heif.from_pillow(image).save(out, **{"quality": 90} | options)
    else:
        image.save(out, kind, **options)
    return out.getvalue()


@pytest.fixture(scope="session")
def no_photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text file that is called a photo."""
    path = tmp_path_factory.mktemp("examples") / "no photo.jpg"
    path.write_text("no photo")
    return path


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 crops of scikit-image's photos: of the cat in cat/, of an astronaut, coffee and a rocket in not_cat/."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(3)
    sources = {"cat": ["chelsea.png"], "not_cat": ["astronaut.png", "coffee.png", "rocket.jpg"]}
    for label, names in sources.items():
        (folder / label).mkdir()
        images = [Image.open(Path(skimage.data.__file__).parent / name).convert("RGB") for name in names]
        for number in range(60):
            image = images[number % len(images)]
            side = int(random.integers(120, 260))
            x, y = int(random.integers(0, image.width - side)), int(random.integers(0, image.height - side))
            crop = image.crop((x, y, x + side, y + side)).resize((90, 90))
            crop.save(folder / label / f"{number:03d}.jpg", quality=80)
    return folder


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory, photo_folder: Path) -> Path:
    """model/ with `tutorial` and `dense`, exported the real way, with random weights from a fixed seed; `tutorial` was kept
    after two epochs, too.
    """
    return shared(tmp_path_factory, "model", lambda folder: export_untrained(folder, photo_folder))


KEPT = {
    "start": {"validation_loss": 0.7, "validation_accuracy": 0.5},
    "epochs": [
        {
            "epoch": epoch,
            "loss": 0.6,
            "validation_loss": 0.5,
            "validation_accuracy": 0.7,
            "learning_rate": 0.001,
            "seconds": 1.0,
        }
        for epoch in (1, 2)
    ],
    "shipped_epoch": 2,
}
"""What the history of a network that was kept after two epochs has more than others'."""


def export_untrained(folder: Path, photo_folder: Path) -> None:
    import keras

    from training.fitting import kept
    from training.networks import build
    from training.tasks.export import export

    keras.utils.set_random_seed(5)
    for name in ("tutorial", "dense"):
        (folder / name).mkdir()
        network = build(name)
        network.save(folder / name / "model.keras")
        history = {"network": name, "version": "0.0.1", "calibration": {"band": {"low": 0.3, "high": 0.7}}}
        if name == "tutorial":
            history |= KEPT
            shipped = kept.row(network)
            kept.write(np.stack([share * shipped for share in (0.9, 0.95, 1)]).astype(np.float16), folder / name)
        (folder / name / "history.json").write_text(json.dumps(history))
        export(folder / name, photo_folder, count=4)


@pytest.fixture(scope="session")
def twin_dir(tmp_path_factory: pytest.TempPathFactory, model_dir: Path, photo_folder: Path) -> Path:
    """The same, and `tutorial` has a twin in integers."""

    def fill(folder: Path) -> None:
        from training.tasks import integers

        shutil.copytree(model_dir, folder, dirs_exist_ok=True)
        integers.export(folder / "tutorial", photo_folder, {"crops": photo_folder})

    return shared(tmp_path_factory, "twin", fill)


def shared(factory: pytest.TempPathFactory, name: str, fill: Callable[[Path], None]) -> Path:
    """A folder that is filled once a run: pytest-xdist's workers wait for the first of them and then use the same one."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        folder = factory.mktemp(name)
        fill(folder)
        return folder
    common = factory.getbasetemp().parent
    with FileLock(common / f"{name}.lock"):
        if not (common / name).exists():
            unfinished = factory.mktemp(name)
            fill(unfinished)
            unfinished.rename(common / name)
    return common / name


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
def listening(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address of an HTTP server of this process that answers with `handler`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def serving(
    *command: str, folder: Path = ROOT, timeout_s: float = 60, **settings: object
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A separate process that serves on a free port: the process and its address, once it is ready."""
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
            os.killpg(process.pid, signal.SIGKILL)  # make starts Python as a child process
        process.wait()
        process.stderr.close()


def accepts(url: str) -> bool:
    try:
        socket.create_connection(url[7:].split(":")).close()
    except ConnectionRefusedError:
        return False
    return True


def environment(**settings: object) -> dict[str, str]:
    """This process's environment, with these settings and no other."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CATSCOPE_")}
    return inherited | {f"CATSCOPE_{name.upper()}": str(value) for name, value in settings.items()}


def command(*arguments: object, **settings: object) -> subprocess.CompletedProcess[str]:
    """What `python -m app` printed and how it ended, with these settings and no other; it listens on a free port unless one
    is given, since whoever runs the tests may have `make serve` running beside them.
    """
    return subprocess.run(
        [sys.executable, "-m", "app", *map(str, arguments)],
        env=environment(**{"port": 0} | settings),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def environment_of(requirements: str, folder: Path, *options: str, base: str | Path = sys.executable) -> Path:
    """Python of an environment of its own in `folder`, made by `base`, with the pins of that requirements file, rebuilt when it
    changes.
    """
    pins, stamp = (ROOT / "requirements" / requirements).read_text(), folder / "installed.txt"
    python = folder / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != pins:
        subprocess.run([base, "-m", "venv", "--clear", folder], check=True)
        install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes", *options, "-r"]
        subprocess.run([*install, ROOT / "requirements" / requirements], check=True)
        stamp.write_text(pins)
    return python


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
