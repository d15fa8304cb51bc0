"""Photos with a known number in each split, and a network that was trained on them for three epochs."""

import gzip
import hashlib
import io
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from tests.training.publisher import (
    Publisher,
)
from training import fetch
from training.config import TUTORIAL
from training.data import download
from training.data.splits import split_of
from training.errors import run
from training.fetch import Source

SOURCES = {"cat": ["chelsea.png"], "not_cat": ["astronaut.png", "coffee.png", "rocket.jpg"]}
COUNTS = {"train": 24, "validation": 5, "calibration": 5}
"""Photos of each class in each split; cat has UNEVEN more for training."""
UNEVEN = 8

RECIPE = replace(TUTORIAL, epochs=3, batch_size=16, keep="last")
"""The last epoch is shipped, so that a run that went wrong after its best epoch comes out different."""


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """90x90 crops, tried until each split, which goes by the hash of a file's bytes, has what COUNTS says."""
    folder = tmp_path_factory.mktemp("training") / "photos"
    random = np.random.default_rng(11)
    for label, names in SOURCES.items():
        (folder / label).mkdir(parents=True)
        images = [Image.open(Path(skimage.data.__file__).parent / name).convert("RGB") for name in names]
        missing = Counter(COUNTS) + Counter({"train": UNEVEN if label == "cat" else 0})
        number = 0
        while missing.total():
            image = images[number % len(images)]
            number += 1
            side = int(random.integers(120, 260))
            x, y = int(random.integers(0, image.width - side)), int(random.integers(0, image.height - side))
            out = io.BytesIO()
            image.crop((x, y, x + side, y + side)).resize((90, 90)).save(out, "JPEG", quality=80)
            split = split_of(hashlib.sha256(out.getvalue()).hexdigest())
            if missing[split]:
                missing[split] -= 1
                (folder / label / f"{number:04d}.jpg").write_bytes(out.getvalue())
    return folder


@pytest.fixture
def photos_copy(photos: Path, tmp_path: Path) -> Path:
    """A copy of `photos` that a test may change."""
    return Path(shutil.copytree(photos, tmp_path / "photos"))


@pytest.fixture(scope="session")
def trained(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tutorial network trained by RECIPE, never interrupted."""
    from training.tasks.train import train

    out = tmp_path_factory.mktemp("trained") / "tutorial"
    train(RECIPE, photos, out)
    return out


@pytest.fixture(scope="session")
def exported(trained: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of `trained` that was exported."""
    from training.tasks.export import export

    folder = Path(shutil.copytree(trained, tmp_path_factory.mktemp("exported") / "tutorial"))
    export(folder, photos, count=8)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    """A running server; retries follow without a delay."""
    monkeypatch.setattr(download, "WAITS", (0.0, 0.0))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    known = Publisher()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers["Range"]
            known.ranges.append(wanted)
            if self.path in known.moved:
                self.send_response(301)
                self.send_header("Location", known.moved[self.path])
                self.end_headers()
                return
            whole = known.files[self.path]
            event, number = known.script.pop(0) if known.script else ("nothing", 0)
            self.sent = number if event == "cut" else None
            if event == "status":
                self.reply(number, b"")
            elif wanted and known.refuses_range:
                self.reply(416, b"")
            elif wanted and known.obeys_range:
                start = int(wanted.removeprefix("bytes=").removesuffix("-")) + known.shift
                self.reply(206, whole[start:], f"bytes {start}-{len(whole) - 1}/{len(whole)}")
            else:
                self.reply(200, whole)

        def reply(self, status: int, body: bytes, extent: str = "") -> None:
            compresses = known.compresses and "gzip" in self.headers["Accept-Encoding"]
            body = gzip.compress(body) if compresses else body
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if compresses or known.declares_gzip:
                self.send_header("Content-Encoding", "gzip")
            if extent:
                self.send_header("Content-Range", extent)
            self.end_headers()
            self.wfile.write(body[: self.sent])

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        known.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield known
        server.shutdown()
        thread.join()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Path]:
    """`python -m training.fetch` for a source under its own name; returns the folder it was given."""

    def call(source: Source, *options: str, folder: str = "photos") -> Path:
        out = tmp_path / folder
        monkeypatch.setitem(fetch.SOURCES, source.name, source)
        monkeypatch.setattr("sys.argv", ["fetch", source.name, "--out", str(out), *options])
        run(fetch.main)
        return out

    return call


@pytest.fixture
def exported_copy(exported, tmp_path) -> Path:
    """A copy of the exported network's folder that a test may change."""
    return Path(shutil.copytree(exported, tmp_path / "tutorial"))


@pytest.fixture(scope="module")
def few_resamples() -> Iterator[None]:
    """Values do not depend on resampling, and a thousand resamples for each figure take seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.measuring.metrics.RESAMPLES", 50)
        yield
