"""Photos are read whole and no further than is allowed, whatever the system says of their size."""

from pathlib import Path

import pytest

from app.commands import photos
from app.errors import TooLarge


def test_a_file_is_read_to_its_last_byte_and_no_longer_than_allowed(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(bytes(range(200)))
    for max_bytes in (200, 201, 10**9):
        assert photos.read(str(path), max_bytes) == bytes(range(200))
    for max_bytes in (199, 1):
        with pytest.raises(TooLarge, match=f"larger than the {max_bytes} bytes"):
            photos.read(str(path), max_bytes)


def test_a_file_whose_size_the_system_does_not_know_is_read_too():
    path = Path("/proc/self/environ")
    assert path.stat().st_size == 0
    data = path.read_bytes()
    assert photos.read(str(path), len(data)) == data
    with pytest.raises(TooLarge):
        photos.read(str(path), len(data) - 1)
