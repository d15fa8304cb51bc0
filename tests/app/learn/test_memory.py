"""memory.npz gives back what was seen, nearly, and is refused where it is damaged or of another network."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from app.errors import NetworkError
from app.inference.networks import contract
from app.learn import memory
from tests.app.learn.camera import CAT

RANDOM = np.random.default_rng(0)
SEEN = RANDOM.gamma(2.0, 0.1, (50, 12)).astype(np.float32)
SEEN[:, 3] = 0
SCORES = RANDOM.normal(size=(50, 2)).astype(np.float32)
LABELS = RANDOM.integers(0, 2, 50)
SETS = ["near"] * 20 + [memory.LEARNED] * 25 + ["far"] * 5


def network(folder: Path, seen_by: str = "f" * 64, sets: list[str] = SETS) -> contract.Contract:
    """A folder with a contract and a memory, nothing else."""
    data = memory.packed(seen_by, SEEN, SCORES, LABELS, sets)
    (folder / memory.FILE).write_bytes(data)
    plain = json.loads((CAT / "contract.json").read_text())
    plain["files"] = {"model.onnx": "f" * 64, memory.FILE: hashlib.sha256(data).hexdigest()}
    (folder / "contract.json").write_text(json.dumps(plain))
    return contract.load(folder, "cat")


@pytest.fixture
def found(tmp_path) -> memory.Memory:
    loaded = memory.load(network(tmp_path))
    assert loaded is not None
    return loaded


def test_what_was_seen_comes_back_to_a_byte_s_precision(found):
    assert (np.abs(found.seen - SEEN) <= SEEN.max(axis=0) / memory.LEVELS / 2 + 1e-6).all()
    np.testing.assert_allclose(found.scores, SCORES, atol=2e-3)
    assert found.labels.tolist() == LABELS.tolist()
    assert found.sets.tolist() == SETS


def test_what_was_learned_from_and_what_was_held_out_are_told_apart(found):
    assert found.held_out == ["far", "near"]
    assert len(found.of(memory.LEARNED).labels) == 25
    chosen = found.of("far", "near")
    assert chosen.labels.tolist() == [*LABELS[:20], *LABELS[45:]]
    assert chosen.sets.tolist() == ["near"] * 20 + ["far"] * 5


def test_a_network_without_a_memory_has_none(tmp_path):
    known = network(tmp_path)
    del known.files[memory.FILE]
    assert memory.load(known) is None


def test_the_memory_of_another_network_is_refused(tmp_path):
    with pytest.raises(NetworkError, match=r"is of another network than model\.onnx"):
        memory.load(network(tmp_path, seen_by="e" * 64))


@pytest.mark.parametrize("sets", [["near"] * 50, [memory.LEARNED] * 50], ids=["nothing learned", "nothing held out"])
def test_a_memory_of_one_kind_of_photos_is_refused(tmp_path, sets):
    with pytest.raises(NetworkError, match="must have photos that were learned from and photos that were held out"):
        memory.load(network(tmp_path, sets=sets))


def test_a_changed_file_is_refused(tmp_path):
    known = network(tmp_path)
    (tmp_path / memory.FILE).write_bytes(b"PK")
    with pytest.raises(NetworkError, match="has SHA-256"):
        memory.load(known)


def test_a_file_that_is_no_memory_is_refused(tmp_path):
    known = network(tmp_path)
    (tmp_path / memory.FILE).write_bytes(b"PK")
    known.files[memory.FILE] = hashlib.sha256(b"PK").hexdigest()
    with pytest.raises(NetworkError, match="is no memory of a network"):
        memory.load(known)


def test_accuracy_comes_with_its_interval():
    figures = memory.accuracy(np.eye(2)[LABELS], LABELS)
    assert (figures["photos"], figures["accuracy"], figures["high"]) == (50, 1.0, 1.0)
    assert 0.9 < figures["low"] < 1
