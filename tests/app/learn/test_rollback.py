"""The newest learned version is set aside, and the one before it answers again."""

import json
from pathlib import Path

import pytest

from app.errors import NetworkError
from app.inference.networks import versions
from app.learn.rollback import roll_back, set_aside


def store(folder: Path, *numbers: str) -> Path:
    """Versions of a network in a store; the first is the one that was taught, in the network's own folder."""
    source = json.loads((Path("model") / "tutorial" / "contract.json").read_text())
    for index, number in enumerate(numbers):
        place = folder / "mine" / number if index else folder / "mine"
        place.mkdir(parents=True, exist_ok=True)
        (place / "contract.json").write_text(json.dumps(source | {"network": "mine", "version": number}))
    return folder


def served(folder: Path) -> list[str]:
    return list(versions.catalogue([folder], lambda contract: contract, {}).networks["mine"])


def test_the_newest_version_is_set_aside_and_kept(tmp_path):
    folder = store(tmp_path, "1.0.0", "1.9.0", "1.10.0")
    assert served(folder) == ["1.10.0", "1.9.0", "1.0.0"]
    gone, left, aside = roll_back(folder, "mine", served(folder))
    assert (gone, left) == ("1.10.0", "1.9.0")
    assert (aside / "contract.json").is_file()
    assert served(folder) == ["1.9.0", "1.0.0"]
    assert set_aside(folder, "mine") == ["1.10.0"]


def test_versions_are_rolled_back_one_by_one_until_only_the_first_is_left(tmp_path):
    folder = store(tmp_path, "1.0.0", "1.1.0")
    roll_back(folder, "mine", served(folder))
    with pytest.raises(NetworkError, match="no version of mine was learned"):
        roll_back(folder, "mine", served(folder))
    assert served(folder) == ["1.0.0"]


def test_the_only_version_is_not_rolled_back(tmp_path):
    (tmp_path / "mine").mkdir()
    store(tmp_path, "1.0.0")
    (tmp_path / "mine" / "1.0.0").mkdir()
    (tmp_path / "mine" / "contract.json").rename(tmp_path / "mine" / "1.0.0" / "contract.json")
    with pytest.raises(NetworkError, match="is the only version of mine"):
        roll_back(tmp_path, "mine", served(tmp_path))
