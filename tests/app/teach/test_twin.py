"""What was taught gets a twin in integers where both agree, and none, with the reason, where they do not."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from app.errors import NetworkError
from app.inference.networks.contract import Contract, load
from app.inference.networks.onnx.other_classes import last_of
from app.teach.folder import write
from app.teach.photos import MOST_COMPARED, Seen, compared
from app.teach.teach import teach
from app.teach.twin import SET, Twin, compare, eyes, said
from tests.app.teach.test_teach import CLASSES, photos
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def cat() -> Contract:
    return load(ROOT / "model" / "cat")


def off(seen: list[Seen], by: float, every: int = 1) -> list[Seen]:
    """The photos, with what integers see in them: it differs in some photos in the channel that tells the classes apart."""
    random = np.random.default_rng(1)
    made = []
    for number, photo in enumerate(seen):
        integers = photo.means[0] + random.normal(0, 1e-3, photo.means.shape[1]).astype(np.float32)
        integers[0] += by * (number % every == 0)
        made.append(replace(photo, integers=integers))
    return made


def twin(seen: list[Seen], start: Contract) -> Twin:
    return compare(teach(CLASSES, seen), start)


def test_where_both_agree_the_contract_says_how_far(cat):
    made = twin(off(photos(), by=0.0), cat)
    assert made.contract["times_as_fast"] == cat.int8.times_as_fast
    assert 0.3 <= made.contract["margin"] < 1
    assert 0.03 <= made.contract["near"] < 0.1
    assert made.contract["sets"] == made.sets
    assert (made.sets[SET]["photos"], made.sets[SET]["right"], made.sets[SET]["changed"]) == (60, 60, 0)
    assert said(made.plain()).startswith("Its twin in integers changes 0 verdicts of 60, and leaves ")


def test_a_twin_that_says_something_else_is_refused(cat):
    made = twin(off(photos(), by=-40.0, every=15), cat)
    assert made.contract is None
    assert said(made.plain()).startswith("It answers in float only: integers ")
    assert made.sets[SET]["opposite_alone"] > 1


def test_a_twin_that_is_refused_is_not_written_and_the_reason_stands_in_the_metrics(cat, tmp_path):
    made = write(teach(CLASSES, off(photos(), by=-40.0, every=15)), cat, tmp_path / "mine")
    contract, metrics = (json.loads((tmp_path / "mine" / f"{name}.json").read_text()) for name in ("contract", "metrics"))
    assert "int8" not in contract
    assert contract["files"].keys() == {"model.onnx", "photos.npz"}
    assert not (tmp_path / "mine" / "int8.onnx").exists()
    assert metrics["cross_validation"]["int8"]["refused"] == made.why != ""


def test_a_twin_that_would_leave_most_photos_to_the_network_is_not_worth_it(cat):
    made = twin(off(photos(apart=2.0), by=0.0), cat)
    assert made.contract is None
    assert "would be left to the network, so integers would save too little time" in made.why
    assert made.sets[SET]["handed_over"] > 20


def test_without_the_twin_of_the_network_that_it_starts_from_there_is_none(cat):
    alone = replace(cat, int8=None)
    assert eyes(alone) is None
    assert twin(off(photos(), by=0.0), alone).why == "cat 2.0.0, from which it was taught, has no twin in integers"


def test_a_twin_of_another_kind_is_named():
    with pytest.raises(NetworkError, match="computes no head"):
        last_of((ROOT / "model" / "tutorial" / "model.onnx").read_bytes())


@pytest.mark.parametrize("known", [0, 20])
def test_without_what_integers_see_in_most_photos_there_is_none(cat, known):
    given = off(photos(), by=0.0)[:known] + photos()[known:]
    assert twin(given, cat).why == "it was not kept what integers see in its photos"


def test_of_many_photos_some_are_compared_always_the_same(cat):
    digests = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(4000)]
    assert all(compared(digest, MOST_COMPARED) for digest in digests)
    chosen = [digest for digest in digests if compared(digest, len(digests))]
    assert 0.85 * MOST_COMPARED < len(chosen) < 1.15 * MOST_COMPARED
