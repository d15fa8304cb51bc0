"""Real photos, a folder of them, and a network that was exported the real way but never trained."""

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from fastapi.testclient import TestClient
from PIL import Image

CHELSEA = Path(skimage.data.data_dir) / "chelsea.png"


@pytest.fixture(scope="session")
def cat_photo() -> bytes:
    return CHELSEA.read_bytes()


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


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
