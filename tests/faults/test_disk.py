"""A disk on which nothing can be written: the service needs none."""

import os
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.conftest import ROOT, encoded, serving, sha256

NO_FILES = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); "
"""A file may have 0 bytes; writing one more is an error, as on a full disk."""
SERVE = "os.execv(sys.executable, [sys.executable, '-m', 'app'])"
SIZE = 5_000_000


@pytest.fixture(scope="module")
def service(model_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("full")
    folder.chmod(0o555)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder / "nowhere"))
        patch.setenv("PYTHONPATH", str(ROOT))
        with serving(sys.executable, "-c", NO_FILES + SERVE, folder=folder, model_dir=model_dir) as (process, url):
            limits = Path(f"/proc/{process.pid}/limits").read_text()
            assert next(line for line in limits.splitlines() if line.startswith("Max file size")).split()[3:5] == ["0", "0"]
            yield url
            assert process.poll() is None
    assert list(folder.iterdir()) == []


def padded(photo: bytes) -> bytes:
    """The photo, padded after its end to SIZE bytes: it is read all the same."""
    return photo + os.urandom(SIZE - len(photo))


@pytest.mark.promise("P43")
@pytest.mark.parametrize(
    "path",
    [
        "/predict?network=tutorial&heatmap=true",
        "/feature-maps?network=tutorial",
        "/feature-maps/block1_conv?network=tutorial",
        "/guises",
    ],
)
@pytest.mark.parametrize("kind", ["BMP", "PNG with 5 MB behind it"])
def test_a_photo_of_5_mb_is_answered_though_nothing_can_be_written(service, cat_photo, cat_image, kind, path):
    photo = encoded(cat_image.resize((1300, 1300)), "BMP") if kind == "BMP" else padded(cat_photo)
    assert len(photo) >= SIZE
    answer = httpx2.post(service + path, files={"file": photo}, timeout=60)
    assert answer.status_code == 200
    if path.startswith("/predict"):
        assert answer.json()["image"]["sha256"] == sha256(photo)


def test_the_limit_really_prevents_files_from_being_written(tmp_path):
    """The other tests rely on it."""
    code = NO_FILES + "open('file', 'wb', 0).write(b'x')"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert "OSError" in result.stderr
    assert (tmp_path / "file").read_bytes() == b""
