"""POST /explain/effects: what muting each channel of a stage does to the answer."""

import json

import numpy as np
import pytest

from app.inference.explain.effects import MAX_CHANNELS, Stopped, effects, most_channels
from app.inference.networks.contract import load
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from tests.app.explaining import post, refused
from tests.model.shipped import MODEL


def ask(client, data: bytes, stage: str, network: str = "tutorial", **query):
    return post(client, data, "/explain/effects", stage=stage, network=network, **query)


def found(client, data: bytes, stage: str, **query) -> dict:
    answer = ask(client, data, stage, **query)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize(
    ("network", "stage"), [("tutorial", "block1_conv"), ("tutorial", "block5_relu"), ("dense", "dense2")]
)
def test_an_effect_is_what_the_answer_is_with_that_channel_muted(client, cat_photo, network, stage):
    answer = found(client, cat_photo, stage, network=network)
    for effect in [*answer["effects"][:2], answer["effects"][-1]]:
        edits = json.dumps([{"stage": stage, "channel": effect["channel"], "mute": True}])
        muted = post(client, cat_photo, "/predict", network=network, edits=edits).json()["probabilities"]
        assert effect["probabilities"] == pytest.approx(muted, abs=1e-6)


def test_every_channel_is_there_once_the_largest_change_first(client, cat_photo):
    answer = found(client, cat_photo, "block4_pool")
    assert sorted(effect["channel"] for effect in answer["effects"]) == list(range(128))
    changes = [abs(effect["change"]) for effect in answer["effects"]]
    assert changes == sorted(changes, reverse=True)
    assert changes[0] > 0


def test_a_change_is_that_of_the_answered_class(client, cat_photo):
    answer, predicted = (
        found(client, cat_photo, "block2_relu"),
        post(client, cat_photo, "/predict", network="tutorial").json(),
    )
    assert (answer["label"], answer["probabilities"]) == (predicted["label"], predicted["probabilities"])
    assert (answer["image"], answer["model"]) == (predicted["image"], predicted["model"])
    for effect in answer["effects"]:
        before, after = answer["probabilities"][answer["label"]], effect["probabilities"][answer["label"]]
        assert effect["change"] == after - before


def test_of_more_channels_than_the_limit_the_strongest_are_muted(client, cat_photo, computed):
    answer = found(client, cat_photo, "block3_conv", limit=5)
    strongest = np.argsort(-np.abs(computed["tutorial"]["block3_conv"]).mean(axis=(0, 1)))[:5]
    assert {effect["channel"] for effect in answer["effects"]} == set(strongest.tolist())
    assert answer["channels"] == 64


def test_a_channel_that_is_zero_everywhere_changes_nothing(client, cat_photo):
    edits = json.dumps([{"stage": "block1_conv", "channel": 3, "mute": True}])
    answer = found(client, cat_photo, "block1_conv", edits=edits)
    effect = next(effect for effect in answer["effects"] if effect["channel"] == 3)
    assert (effect["mean"], effect["change"], effect["probabilities"]) == (0, 0, answer["probabilities"])


def test_the_effects_of_an_edited_network_are_its_own(client, cat_photo):
    edits = [{"stage": "block1_conv", "channel": 3, "mute": True}]
    answer = found(client, cat_photo, "block2_conv", edits=json.dumps(edits))
    assert (answer["edits"], answer["model"]["edited"]) == (1, True)
    first = answer["effects"][0]
    both = json.dumps([*edits, {"stage": "block2_conv", "channel": first["channel"], "mute": True}])
    muted = post(client, cat_photo, "/predict", network="tutorial", edits=both).json()["probabilities"]
    assert first["probabilities"] == pytest.approx(muted, abs=1e-6)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"stage": "probabilities"}, "The probabilities are the answer itself; ask for a stage before them."),
        ({"stage": "lion"}, "Network tutorial has no stage 'lion'; its stages are block1_conv"),
        ({"stage": "image"}, "Network tutorial has no stage 'image'"),
        ({"stage": "scores", "limit": 0}, "limit"),
        ({"stage": "scores", "limit": MAX_CHANNELS + 1}, "limit"),
        ({"stage": "scores", "edits": "{"}, "The option edits is not JSON"),
    ],
)
def test_what_cannot_be_muted_is_refused(client, cat_photo, query, sentence):
    refused(ask(client, cat_photo, **query), 422, sentence)


def test_the_work_ends_when_nobody_waits_any_more(model_dir, cat_photo):
    network, asked = OnnxNetwork(load(model_dir / "tutorial")), iter([False, False, True])
    with pytest.raises(Stopped):
        effects(cat_photo, network, network.contract.stages[0], stopped=lambda: next(asked))
    assert list(asked) == [], "after two channels"


def test_every_channel_of_every_stage_of_the_shipped_networks_with_pictures_is_muted():
    for name in ("cat", "tutorial"):
        contract = load(MODEL / name)
        for stage in contract.stages[:-1]:
            assert most_channels(contract, stage) >= stage.shape[-1], (name, stage.name)


def test_before_the_whole_network_at_most_64_channels_are_muted():
    contract = load(MODEL / "dense")
    assert most_channels(contract, contract.stages[0]) == 64
