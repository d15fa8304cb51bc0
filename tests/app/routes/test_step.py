"""POST /explain/step: one step of learning on the photo."""

import math

import numpy as np
import pytest

from app.schemas.explanation.steps import StepAnswer
from tests.app.explaining import post, refused
from tests.conftest import ROOT, ready_client


def ask(client, data: bytes, **query):
    asked = {"network": "tutorial", "stage": "scores", "channel": 0, "truth": "cat"} | query
    return post(client, data, "/explain/step", **asked)


def taken(client, data: bytes, **query) -> dict:
    answer = ask(client, data, **query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def as_arrays(parts: dict) -> dict[str, np.ndarray]:
    return {name: np.array(values) for name, values in parts.items()}


@pytest.fixture(scope="module")
def shipped():
    """The service with the shipped networks."""
    with ready_client(ROOT / "model") as client:
        yield client


def test_a_step_is_answered_as_the_document_says(client, cat_photo):
    answer = taken(client, cat_photo, stage="block2_conv", channel=1)
    assert answer.keys() == StepAnswer.model_fields.keys()
    StepAnswer.model_validate(answer, strict=True)
    assert (answer["stage"], answer["channel"], answer["truth"]) == ("block2_conv", 1, "cat")


@pytest.mark.parametrize(
    ("stage", "shape"), [("block1_conv", (3, 3, 3)), ("block2_conv", (3, 3, 16)), ("scores", None), ("dense", None)]
)
def test_the_weights_are_those_of_the_audit_and_move_by_the_learning_rate(client, cat_photo, stage, shape):
    answer = taken(client, cat_photo, stage=stage, channel=1, learning_rate=0.25)
    kernel, bias = as_arrays(answer["kernel"]), answer["bias"]
    assert (kernel["after"] == kernel["before"] - answer["learning_rate"] * kernel["gradient"]).all()
    assert bias["after"] == bias["before"] - answer["step"] * bias["gradient"]
    audited = post(client, cat_photo, network="tutorial", stage=stage, channel=1, contributions=1000).json()
    assert bias["before"] == audited["bias"]
    if shape:
        assert {values.shape for values in kernel.values()} == {shape}
        assert answer["kernel"]["before"] == audited["kernel"]
    else:
        assert {values.shape for values in kernel.values()} == {(len(audited["contributions"]) + audited["others"],)}
        assert all(kernel["before"][one["index"]] == one["weight"] for one in audited["contributions"])


@pytest.mark.parametrize(("stage", "rate"), [("block1_conv", 0.25 / 255**2), ("block2_conv", 0.25), ("scores", 0.25)])
def test_the_learning_rate_of_what_reads_the_image_is_that_for_colours_up_to_255(client, cat_photo, stage, rate):
    answer = taken(client, cat_photo, stage=stage, learning_rate=0.25)
    assert (answer["step"], answer["learning_rate"]) == (0.25, rate)


def test_before_the_step_it_answers_as_predict_does(client, cat_photo):
    answer, predicted = taken(client, cat_photo), post(client, cat_photo, "/predict", network="tutorial").json()
    assert answer["probabilities"]["before"] == predicted["probabilities"]
    assert (answer["image"], answer["model"]) == (predicted["image"], predicted["model"])


@pytest.mark.parametrize("truth", ["cat", "not_cat"])
@pytest.mark.parametrize("network", ["tutorial", "dense"])
def test_the_default_step_lowers_the_loss_which_is_the_logarithm_of_the_probability(shipped, cat_photo, network, truth):
    answer = taken(shipped, cat_photo, network=network, truth=truth)
    for when in ("before", "after"):
        assert answer["loss"][when] == pytest.approx(-math.log(answer["probabilities"][when][truth]), rel=1e-4)
        assert sum(answer["probabilities"][when].values()) == pytest.approx(1, abs=1e-6)
    assert answer["loss"]["after"] < answer["loss"]["before"]
    assert answer["step"] in [10.0**-power for power in range(7)]


def test_the_step_does_not_depend_on_the_filter_that_is_shown(client, cat_photo):
    answers = [taken(client, cat_photo, stage=stage, channel=2) for stage in ("block1_conv", "block3_conv", "dense")]
    assert len({(answer["step"], answer["loss"]["before"], answer["loss"]["after"]) for answer in answers}) == 1


def test_nothing_is_stored(client, cat_photo):
    before = post(client, cat_photo, "/predict", network="tutorial").json()["probabilities"]
    first, second = (taken(client, cat_photo, truth="not_cat", learning_rate=1) for _ in range(2))
    assert first == second
    assert first["probabilities"]["after"] != before
    assert post(client, cat_photo, "/predict", network="tutorial").json()["probabilities"] == before


def test_a_step_can_be_taken_from_any_epoch(shipped, cat_photo):
    query = {"stage": "block1_conv", "channel": 5}
    answer = taken(shipped, cat_photo, epoch=2, **query)
    assert answer["model"]["epoch"] == 2
    then = post(shipped, cat_photo, network="tutorial", epoch=2, **query, row=0, column=0).json()
    assert answer["kernel"]["before"] == then["kernel"]
    assert answer["loss"]["after"] < answer["loss"]["before"]
    assert answer["kernel"] != taken(shipped, cat_photo, **query)["kernel"]


def test_options_may_stand_in_the_form(client, cat_photo):
    options = {"network": "tutorial", "stage": "scores", "channel": "1", "truth": "not_cat", "learning_rate": "0.5"}
    in_form = client.post("/explain/step", files={"file": ("photo.png", cat_photo, "image/png")}, data=options)
    assert in_form.status_code == 200, in_form.text
    assert in_form.json() == ask(client, cat_photo, **options).json()


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"stage": "lion"}, "Network tutorial has no stage 'lion'; its stages are block1_conv"),
        ({"stage": "image"}, "Network tutorial has no stage 'image'"),
        ({"stage": "flatten"}, "Stage flatten is of kind flatten, which has no weights; those that have are block1_conv"),
        ({"stage": "block1_conv", "channel": 16}, "Stage block1_conv has no channel 16; its channels are 0 to 15."),
        ({"channel": -1}, "channel"),
        ({"truth": "dog"}, "Network tutorial has no class 'dog'; truth is one of cat, not_cat."),
        ({"truth": ""}, "truth is one of cat, not_cat."),
        ({"learning_rate": 0}, "learning_rate"),
        ({"learning_rate": -0.1}, "learning_rate"),
        ({"learning_rate": 1000.1}, "learning_rate"),
        ({"learning_rate": "nan"}, "learning_rate"),
        ({"learning_rate": "inf"}, "learning_rate"),
        ({"learning_rate": "fast"}, "learning_rate"),
        ({"edits": "[]"}, "There is no query parameter 'edits'"),
        ({"rate": 1}, "There is no query parameter 'rate'"),
    ],
)
def test_what_does_not_fit_is_refused(client, cat_photo, query, sentence):
    refused(ask(client, cat_photo, **query), 422, sentence)


@pytest.mark.parametrize("missing", ["stage", "channel", "truth"])
def test_what_is_needed_and_missing_is_refused_by_name(client, cat_photo, missing):
    query = {"stage": "scores", "channel": 0, "truth": "cat"}
    del query[missing]
    refused(post(client, cat_photo, "/explain/step", network="tutorial", **query), 422, missing)


def test_a_network_of_other_stages_is_refused_with_the_first_that_is_not_differentiated(shipped, cat_photo):
    answer = ask(shipped, cat_photo, network="cat", stage="stem")
    refused(answer, 422, "of network cat is of kind rescaling", "max pooling, ReLU, flatten, dense")


def test_an_unknown_network_and_what_is_no_photo_are_refused(client):
    assert ask(client, b"no photo", network="lion").status_code == 404
    assert ask(client, b"no photo").status_code == 415
