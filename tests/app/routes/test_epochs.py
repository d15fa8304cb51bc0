"""`epoch` over HTTP: a network answers as it was while it learned, and its epochs are listed."""

import hashlib
import io
import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from app.inference.networks import epochs
from app.inference.networks.contract import load
from tests.app.explaining import post, refused, unit
from tests.app.telemetry.test_metrics import change, numbers
from tests.conftest import ROOT, ready_client

LAST = 20
ROWS = ROOT / "model" / "tutorial" / "epochs.npy"


def ask(client, data: bytes, epoch: object, path: str = "/predict", **query):
    return post(client, data, path, **({"network": "tutorial"} | query), epoch=epoch)


def probability(client, data: bytes, epoch: int) -> float:
    return ask(client, data, epoch, feature_maps="none").json()["probabilities"]["cat"]


@pytest.fixture(scope="module")
def client():
    """The service with the shipped networks."""
    with ready_client(ROOT / "model") as client:
        yield client


# What was kept


@pytest.fixture(scope="module")
def listed(client) -> dict:
    return client.get("/models/tutorial/epochs").json()


def test_the_epochs_are_listed_from_the_random_start_to_the_last(listed, client):
    assert (listed["network"], listed["version"]) == ("tutorial", client.get("/models/tutorial").json()["version"])
    assert [epoch["epoch"] for epoch in listed["epochs"]] == list(range(LAST + 1))
    assert listed["shipped"] in range(1, LAST + 1)


def test_only_what_was_measured_of_the_random_start_is_listed(listed):
    start, *others = listed["epochs"]
    assert (start["training_loss"], start["learning_rate"]) == (None, None)
    assert all(epoch["training_loss"] > 0 and epoch["learning_rate"] > 0 for epoch in others)


def test_the_list_is_what_training_recorded(listed, client):
    recorded = client.get("/models/tutorial").json()["history"]["epochs"]
    assert [epoch["loss"] for epoch in listed["epochs"][1:]] == [epoch["validation_loss"] for epoch in recorded]
    assert [epoch["accuracy"] for epoch in listed["epochs"][1:]] == [epoch["validation_accuracy"] for epoch in recorded]


def test_it_learned(listed):
    start, *_, last = listed["epochs"]
    assert start["accuracy"] < 0.65  # a guess
    assert last["accuracy"] > 0.9
    assert last["loss"] < start["loss"]


def test_all_epochs_take_at_most_25_megabytes():
    assert ROWS.stat().st_size <= 25_000_000


def test_a_network_says_whether_it_was_kept(client):
    known = {network["network"]: network["kept_epochs"] for network in client.get("/models").json()["networks"]}
    assert known == {"cat": None, "dense": None, "tutorial": LAST}
    assert client.get("/models/tutorial").json()["kept_epochs"] == LAST


def test_the_list_of_a_network_that_was_not_kept_is_not_found_and_one_that_was_is_named(client):
    refused(client.get("/models/cat/epochs"), 404, "kept was tutorial")


def test_an_unknown_network_has_no_list(client):
    assert client.get("/models/dog/epochs").status_code == 404


# Answers


def test_the_answer_names_the_epoch(client, cat_photo):
    assert ask(client, cat_photo, 3).json()["model"]["epoch"] == 3
    assert "epoch" not in post(client, cat_photo, "/predict", network="tutorial").json()["model"]


def test_the_random_start_cannot_tell_and_the_last_epoch_says_cat(client, cat_photo):
    assert abs(probability(client, cat_photo, 0) - 0.5) < 0.2
    assert probability(client, cat_photo, LAST) > 0.5


def test_the_shipped_epoch_is_the_shipped_network_bit_for_bit(listed, client, cat_photo):
    epoch = ask(client, cat_photo, listed["shipped"], "/feature-maps")
    served = post(client, cat_photo, "/feature-maps", network="tutorial")
    assert epoch.headers["X-Probabilities"] == served.headers["X-Probabilities"]
    ours, theirs = (np.load(io.BytesIO(answer.content)) for answer in (epoch, served))
    assert ours.files == theirs.files
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours.files)


def test_other_epochs_answer_differently_and_leave_nothing_behind(client, cat_photo):
    before = post(client, cat_photo, "/predict", network="tutorial").json()["probabilities"]
    seen = {probability(client, cat_photo, epoch) for epoch in (0, 5, 10)}
    assert len(seen) == 3
    assert post(client, cat_photo, "/predict", network="tutorial").json()["probabilities"] == before


def test_the_audit_holds_for_an_epoch(client, cat_photo):
    for epoch in (0, 7):
        for where in ({"stage": "block1_conv", "row": 40, "column": 50}, {"stage": "dense"}, {"stage": "scores"}):
            answer = unit(client, cat_photo, network="tutorial", channel=1, epoch=epoch, **where)
            assert answer["value"] == pytest.approx(answer["computed"], abs=1e-4 * max(1, abs(answer["computed"])))
            assert answer["model"]["epoch"] == epoch


def test_the_audit_uses_the_epochs_own_weights(client, cat_photo):
    kernels = [
        unit(client, cat_photo, network="tutorial", stage="block1_conv", channel=2, epoch=epoch)["kernel"]
        for epoch in (0, 7)
    ]
    first = np.load(ROWS, mmap_mode="r")[7][: 27 * 16].reshape(3, 3, 3, 16)[..., 2]
    np.testing.assert_array_equal(np.array(kernels[1], np.float32), first.astype(np.float32))
    assert kernels[0] != kernels[1]


def test_a_stage_is_explained_as_it_was(client, cat_photo):
    query = {"stage": "block2_relu", "channel": 1}
    then, now = (ask(client, cat_photo, epoch, "/explain/stage", **query).json() for epoch in (1, LAST))
    assert then["model"]["epoch"] == 1
    assert then["channels"] != now["channels"]


def test_the_heatmap_is_that_of_the_epoch(client, cat_photo):
    then, now = (ask(client, cat_photo, epoch, heatmap=True).json()["heatmap"] for epoch in (1, LAST))
    assert then != now


def test_effects_are_those_of_the_epoch(client, cat_photo):
    answer = ask(client, cat_photo, 4, "/explain/effects", stage="dense_relu", limit=3).json()
    assert answer["probabilities"]["cat"] == pytest.approx(probability(client, cat_photo, 4), abs=1e-6)


def test_an_epoch_can_be_edited(client, cat_photo):
    edit = [{"stage": "scores", "channel": 0, "bias": 50}]
    answer = ask(client, cat_photo, 0, edits=json.dumps(edit)).json()
    assert answer["probabilities"]["cat"] > 0.99
    assert answer["model"] | {"epoch": 0, "edited": True} == answer["model"]


def test_kernels_are_drawn_as_they_were(client):
    pictures = [
        client.get("/models/tutorial/kernels/block1_conv", params={} if epoch is None else {"epoch": epoch}).content
        for epoch in (0, 10, LAST, None)
    ]
    assert len({*pictures[:3]}) == 3
    assert pictures[2] == pictures[3]
    assert {Image.open(io.BytesIO(picture)).size for picture in pictures} == {Image.open(io.BytesIO(pictures[0])).size}


def test_one_units_weights_are_drawn_as_they_were(client):
    query = {"channel": 5}
    then, now = (client.get("/models/tutorial/kernels/dense", params=query | {"epoch": epoch}) for epoch in (0, LAST))
    assert (then.status_code, now.status_code) == (200, 200)
    assert then.content != now.content


def test_epoch_may_stand_in_the_form(client, cat_photo):
    files = {"file": ("photo.png", cat_photo, "image/png")}
    answer = client.post("/predict", files=files, data={"network": "tutorial", "epoch": "2"}).json()
    assert answer["model"]["epoch"] == 2


def test_several_photos_and_bare_bytes_are_answered_for_an_epoch_too(client, cat_photo):
    expected = probability(client, cat_photo, 6)
    scores = client.post("/classify", params={"network": "tutorial", "epoch": 6}, content=cat_photo).json()
    assert {score["label"]: score["score"] for score in scores}["cat"] == pytest.approx(expected, abs=1e-6)
    files = [("files", ("photo.png", cat_photo, "image/png"))]
    batch = client.post("/predict/batch", params={"network": "tutorial", "epoch": 6}, files=files)
    assert batch.status_code == 200, batch.text
    assert batch.json()["results"][0]["probabilities"]["cat"] == pytest.approx(expected, abs=1e-6)


def test_questions_about_many_epochs_at_once_are_answered_as_one_after_the_other(client, cat_photo):
    wanted = [epoch for epoch in range(LAST + 1) for _ in range(2)]
    alone = {epoch: probability(client, cat_photo, epoch) for epoch in range(LAST + 1)}
    with ThreadPoolExecutor(6) as threads:
        together = list(threads.map(lambda epoch: probability(client, cat_photo, epoch), wanted))
    assert together == [alone[epoch] for epoch in wanted]


def test_an_epochs_answer_counts_as_no_verdict(client, cat_photo):
    ask(client, cat_photo, LAST)
    before = numbers(client)
    verdict = ask(client, cat_photo, 0).json()["verdict"]
    after = numbers(client)
    assert before.get(key := ("catscope_verdicts_total", ("network", "tutorial"), ("verdict", verdict))) == after.get(key)
    assert change(before, after, "catscope_step_seconds_count", step="decode") == 1


# What is refused


@pytest.mark.parametrize("epoch", [-1, LAST + 1, 10**12])
def test_an_epoch_that_was_not_kept_is_refused_with_those_that_were(client, cat_photo, epoch):
    refused(ask(client, cat_photo, epoch), 422, f"0 (random) to {LAST}")


@pytest.mark.parametrize("epoch", ["last", "1.5", ""])
def test_what_is_no_number_is_refused(client, cat_photo, epoch):
    assert ask(client, cat_photo, epoch).status_code == 422


@pytest.mark.parametrize("network", ["cat", "dense"])
def test_a_network_that_was_not_kept_refuses_every_epoch(client, cat_photo, network):
    refused(ask(client, cat_photo, 0, network=network), 422, "was kept after no epoch")


def test_kernels_of_an_unknown_epoch_are_refused(client):
    refused(client.get("/models/tutorial/kernels/block1_conv", params={"epoch": LAST + 1}), 422, f"to {LAST}")


def test_where_the_file_was_left_out_the_network_is_served_and_no_epoch_is(tmp_path, cat_photo):
    shutil.copytree(
        ROOT / "model" / "tutorial", tmp_path / "tutorial", ignore=shutil.ignore_patterns("epochs.npy", "*.keras")
    )
    with ready_client(tmp_path) as client:
        assert client.get("/models/tutorial").json()["kept_epochs"] is None
        assert client.get("/models/tutorial/epochs").status_code == 404
        refused(ask(client, cat_photo, 3), 422, "was kept after no epoch")
        assert post(client, cat_photo, "/predict").status_code == 200


@pytest.mark.parametrize("damage", ["overwritten", "another shape"])
def test_a_file_that_is_not_the_contracts_answers_503_and_the_network_goes_on(tmp_path, cat_photo, damage):
    folder = tmp_path / "tutorial"
    shutil.copytree(ROOT / "model" / "tutorial", folder, ignore=shutil.ignore_patterns("*.keras"))
    if damage == "another shape":
        np.save(folder / "epochs.npy", np.zeros((3, 5), np.float16))
        contract = json.loads((folder / "contract.json").read_text())
        contract["files"]["epochs.npy"] = hashlib.sha256((folder / "epochs.npy").read_bytes()).hexdigest()
        (folder / "contract.json").write_text(json.dumps(contract))
    with ready_client(tmp_path) as client:
        if damage == "overwritten":
            with (folder / "epochs.npy").open("r+b") as file:
                file.seek(10_000)
                file.write(b"nonsense")
        assert ask(client, cat_photo, 3).status_code == 503
        assert post(client, cat_photo, "/predict").status_code == 200


# In memory


def test_only_the_last_few_networks_are_held():
    contract = load(ROOT / "model" / "tutorial")
    most = epochs.HELD_WEIGHTS // contract.parameters
    assert 1 <= most < LAST
    recent, made = epochs.RecentEpochs(contract), []
    for epoch in (*range(most), 0, most, 0, 1):
        recent.get(epoch, lambda _, epoch=epoch: made.append(epoch))
    assert made == [*range(most + 1), 1], "0 was asked for again, so 1 made room"


def test_a_network_larger_than_that_holds_one_epoch(monkeypatch):
    monkeypatch.setattr(epochs, "HELD_WEIGHTS", 1)
    recent, made = epochs.RecentEpochs(load(ROOT / "model" / "tutorial")), []
    for epoch in (3, 3, 4, 3):
        recent.get(epoch, lambda _, epoch=epoch: made.append(epoch))
    assert made == [3, 4, 3]
