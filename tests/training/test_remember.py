"""python -m training.remember draws photos evenly, and writes what the network saw in them beside it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from app.inference.decode import decode
from app.inference.networks import contract
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.tensor import to_tensor
from app.learn import memory
from app.learn.attention import attended
from tests.conftest import ROOT
from training.data.manifest import Photo
from training.tasks.remember import drawn, remember


def listed(source: str, kind: str, count: int) -> list[Photo]:
    return [Photo(Path(f"{source}-{kind}-{number}"), 0, source, kind) for number in range(count)]


def test_of_each_source_and_kind_the_same_share_is_drawn_and_at_least_one():
    photos = [*listed("a", "cat", 100), *listed("a", "dog", 10), *listed("b", "dog", 1)]
    chosen = drawn(photos, 0.2)
    assert [
        sum(photo.source == source and photo.kind == kind for photo in chosen)
        for source, kind in (("a", "cat"), ("a", "dog"), ("b", "dog"))
    ] == [20, 2, 1]
    assert drawn(list(reversed(photos)), 0.2) == chosen


@pytest.fixture(scope="module")
def remembered(tmp_path_factory, photo_folder) -> tuple[memory.Memory, OnnxNetwork, list[Photo]]:
    """What a copy of the network cat remembers; one of the photos is broken."""
    folder = tmp_path_factory.mktemp("model") / "cat"
    folder.mkdir()
    shutil.copy(ROOT / "model" / "cat" / "model.onnx", folder)
    plain = json.loads((ROOT / "model" / "cat" / "contract.json").read_text())
    plain["files"].pop(memory.FILE, None)
    (folder / "contract.json").write_text(json.dumps(plain))
    broken = tmp_path_factory.mktemp("broken") / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff")
    paths = [*sorted((photo_folder / "cat").iterdir())[:6], *sorted((photo_folder / "not_cat").iterdir())[:6]]
    photos = [Photo(path, int("not_cat" in path.parts), "a", "a") for path in paths]
    held_out = {"first": [photos[0], photos[6]], "second": [Photo(broken, 0, "a", "a"), *photos[7:10]]}
    remember(contract.load(folder), photos, held_out)
    network = OnnxNetwork(contract.load(folder))
    found = memory.load(network.contract)
    assert found is not None
    return found, network, photos


def test_the_contract_names_the_file(remembered):
    _, network, _ = remembered
    assert network.contract.verified(memory.FILE).is_file()


def test_all_photos_that_can_be_read_are_there_with_what_was_seen_in_each(remembered):
    found, network, photos = remembered
    assert found.sets.tolist() == [memory.LEARNED] * 12 + ["first"] * 2 + ["second"] * 3
    assert found.labels.tolist() == [0] * 6 + [1] * 6 + [0, 1, 1, 1, 1]
    for row, photo in ((2, photos[2]), (13, photos[6])):
        seen, scores = attended(network, to_tensor(decode(photo.path.read_bytes()).image, 384, 384))
        np.testing.assert_allclose(found.seen[row], seen, atol=found.seen.max() / memory.LEVELS)
        np.testing.assert_allclose(found.scores[row], scores, rtol=1e-2)
