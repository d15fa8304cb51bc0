"""`edits` over HTTP: the answer, the audit, the maps and the heatmap of a changed network, and what is refused."""

import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from app.routes import predict
from tests.app.explaining import post, refused, stage_of, unit
from tests.app.telemetry.test_metrics import change, numbers

MUTE = [{"stage": "block1_conv", "channel": 3, "mute": True}]
TWO = [*MUTE, {"stage": "scores", "channel": 0, "bias": 0.25}]


def ask(client, data: bytes, edits: object, path: str = "/predict", **query):
    return post(client, data, path, **({"network": "tutorial"} | query), edits=json.dumps(edits))


def in_form(client, data: bytes, edits: str, path: str = "/predict", **query):
    files = {"file": ("photo.png", data, "image/png")}
    return client.post(path, params={"network": "tutorial"} | query, files=files, data={"edits": edits})


def raw(client, data: bytes, edits: object, **query) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    answer = ask(client, data, edits, "/feature-maps", **query)
    assert answer.status_code == 200, answer.text
    return dict(np.load(io.BytesIO(answer.content))), answer.headers


def test_an_edited_networks_answer_says_that_it_is_one(client, cat_photo):
    answer = ask(client, cat_photo, TWO).json()
    assert (answer["edits"], answer["model"]["edited"]) == (2, True)


@pytest.mark.parametrize("edits", [None, "[]"])
def test_an_answer_without_edits_does_not_mention_them(client, cat_photo, edits):
    answer = post(client, cat_photo, "/predict", **({"edits": edits} if edits else {})).json()
    assert "edits" not in answer
    assert "edited" not in answer["model"]


def test_a_muted_channel_moves_the_probability_and_leaves_nothing_behind(client, cat_photo):
    before = post(client, cat_photo, "/predict", network="tutorial").json()
    edited = ask(client, cat_photo, MUTE).json()
    after = post(client, cat_photo, "/predict", network="tutorial").json()
    assert edited["probabilities"] != before["probabilities"]
    assert sum(edited["probabilities"].values()) == pytest.approx(1)
    assert after["probabilities"] == before["probabilities"]


def test_only_one_edited_network_is_asked_at_a_time(client, cat_photo, monkeypatch):
    answered, second, at_once = predict.answered, threading.Event(), []

    def noted(*arguments):
        at_once.append(None)
        if len(at_once) > 1:
            second.set()
        came = second.wait(0.3)  # room for another question to come while this one has an edited network
        at_once.pop()
        assert not came
        return answered(*arguments)

    monkeypatch.setattr(predict, "answered", noted)
    edits = [[{"stage": "block1_conv", "channel": channel, "mute": True}] for channel in range(3)]
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda one: ask(client, cat_photo, one), edits))
    assert [answer.status_code for answer in answers] == [200] * 3


def test_a_muted_channel_is_zero_in_every_answer(client, cat_photo):
    arrays, headers = raw(client, cat_photo, MUTE)
    assert (headers["x-edits"], arrays["block1_conv"][:, :, 3].any(), arrays["block1_relu"][:, :, 3].any()) == (
        "1",
        False,
        False,
    )
    explained = json.loads(ask(client, cat_photo, MUTE, "/explain/stage", stage="block1_conv", channel=3).text)
    assert explained["channels"][3] == {"mean": 0.0, "peak": 0.0}
    assert explained["edits"] == 1
    predicted = ask(client, cat_photo, MUTE, stages="block1_conv", channels=16).json()
    assert {c["index"]: c["peak"] for c in predicted["feature_maps"][0]["channels"]}[3] == 0


def test_all_answers_are_those_of_one_network(client, cat_photo):
    arrays, headers = raw(client, cat_photo, TWO)
    predicted = ask(client, cat_photo, TWO).json()["probabilities"]
    assert json.loads(headers["x-probabilities"]) == predicted
    assert float(arrays["probabilities"][0]) == predicted["cat"]


def test_a_whole_stage_is_muted_and_drawn(client, cat_photo):
    edits = [{"stage": "block3_relu", "mute": True}]
    answer = ask(client, cat_photo, edits, heatmap="true").json()
    maps = {stage["stage"]: stage for stage in answer["feature_maps"]}
    assert (maps["block3_relu"]["max"], maps["block3_relu"]["active"]) == (0, 0)
    picture = ask(client, cat_photo, edits, "/feature-maps/block3_relu")
    assert (picture.headers["content-type"], picture.headers["x-edits"]) == ("image/png", "1")


def test_edits_in_the_form_count_like_those_in_the_query(client, cat_photo):
    expected = ask(client, cat_photo, TWO).json()
    answer = in_form(client, cat_photo, json.dumps(TWO)).json()
    assert answer.pop("timings_ms")
    assert answer == {name: value for name, value in expected.items() if name != "timings_ms"}


def test_edits_and_other_options_stand_in_one_form(client, cat_photo):
    files = {"file": ("photo.png", cat_photo, "image/png")}
    fields = {"edits": json.dumps(MUTE), "stage": "block1_conv", "channel": "3", "network": "tutorial"}
    answer = client.post("/explain/unit", files=files, data=fields).json()
    assert (answer["edits"], answer["muted"], answer["value"]) == (1, True, 0)


def test_the_kernel_of_a_unit_with_thirty_thousand_inputs_fits_into_the_form(client, cat_photo):
    kernel = np.random.default_rng(8).normal(0, 0.01, 30_000)
    edits = json.dumps([{"stage": "dense1", "channel": 5, "kernel": kernel.tolist(), "bias": 1.0}])
    assert len(edits) > 500_000
    answer = in_form(client, cat_photo, edits, "/explain/unit", network="dense", stage="dense1", channel=5).json()
    assert answer["contributions"][0]["weight"] == float(np.float32(kernel[answer["contributions"][0]["index"]]))
    assert (answer["bias"], answer["edits"]) == (1, 1)
    assert answer["relative_difference"] < 1e-4


def test_more_than_two_megabytes_of_edits_are_refused(client, cat_photo):
    refused(
        in_form(client, cat_photo, " " * 2_097_153), 422, "The option edits has 2097153 bytes; at most 2097152 are accepted."
    )


def test_the_audit_shows_the_kernel_that_was_sent(client, cat_photo):
    kernel = np.random.default_rng(9).normal(0, 0.1, (3, 3, 3))
    edits = [{"stage": "block1_conv", "channel": 2, "kernel": kernel.tolist(), "bias": -0.5}]
    for row, column in ((0, 0), (40, 61), (99, 99)):
        answer = ask(
            client, cat_photo, edits, "/explain/unit", stage="block1_conv", row=row, column=column, channel=2
        ).json()
        assert np.array_equal(answer["kernel"], kernel.astype(np.float32))
        assert answer["bias"] == -0.5
        assert answer["relative_difference"] < 1e-4
        assert answer["value"] == pytest.approx(np.sum(np.multiply(answer["patch"], answer["kernel"])) - 0.5)


def test_the_audit_of_a_muted_unit_says_what_it_would_have_been(client, cat_photo):
    plain = unit(client, cat_photo, "block1_conv", 40, 61, 3, network="tutorial")
    muted = ask(client, cat_photo, MUTE, "/explain/unit", stage="block1_conv", row=40, column=61, channel=3).json()
    assert (muted["muted"], muted["value"], muted["computed"], muted["difference"]) == (True, 0, 0, 0)
    assert muted["sum"] == plain["sum"] != 0
    assert "muted" not in plain


def test_the_audit_of_a_later_stage_reads_zeros(client, cat_photo):
    answer = ask(client, cat_photo, MUTE, "/explain/unit", stage="block2_conv", row=20, column=20, channel=1).json()
    assert not np.array(answer["patch"])[:, :, 3].any()
    assert np.array(answer["patch"])[:, :, [0, 1, 2, 4]].any()
    assert answer["relative_difference"] < 1e-4
    assert "muted" not in answer


def test_the_heatmap_is_that_of_the_edited_network(client, cat_photo):
    plain = post(client, cat_photo, "/predict", network="tutorial", heatmap="true").json()
    muted = ask(client, cat_photo, [{"stage": "dense_relu", "mute": True}], heatmap="true").json()
    assert plain["heatmap_peak"] > 0
    assert muted["heatmap_peak"] == 0, "nothing reaches the scores"


def test_an_edited_networks_verdict_is_not_counted_as_the_networks(client, cat_photo):
    before = numbers(client)
    verdict = ask(client, cat_photo, MUTE).json()["verdict"]
    post(client, cat_photo, "/predict", network="tutorial")
    after = numbers(client)
    assert change(before, after, "catscope_probability_cat_count", network="tutorial") == 1
    assert change(before, after, "catscope_verdicts_total", network="tutorial", verdict=verdict) <= 1
    assert change(before, after, "catscope_step_seconds_count", step="inference") == 2


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "The option edits is not JSON: EOF while parsing"),
        ("", "The option edits is not JSON"),
        ("[NaN]", "The option edits is not JSON"),
        ("[" * 5000, "The option edits is not JSON: recursion limit exceeded"),
        ('{"stage": "scores"}', "The option edits is a JSON object; it must be a list of edits."),
        ("3", "The option edits is a JSON number; it must be a list of edits."),
        ('["scores"]', "edits[0] is a JSON string; it must be an object."),
        ("[" + ",".join(["{}"] * 65) + "]", "There are 65 edits; at most 64 are accepted."),
        ("[{}]", "edits[0]: stage must be the name of a stage."),
        ('[{"stage": "scores", "chanel": 1}]', "There is no member of edits[0] 'chanel'; did you mean channel?"),
        ('[{"stage": "scores"}]', "edits[0]: it changes nothing; it must have mute: true, a kernel or a bias."),
        ('[{"stage": "scores", "mute": false}]', "edits[0]: mute can only be true"),
        ('[{"stage": "scores", "mute": 1}]', "edits[0]: mute can only be true"),
        ('[{"stage": "scores", "channel": 1.5, "mute": true}]', "edits[0]: channel must be a whole number, 0 or more."),
        ('[{"stage": "scores", "channel": true, "mute": true}]', "edits[0]: channel must be a whole number"),
        ('[{"stage": "scores", "channel": 0, "mute": true, "bias": 1}]', "edits[0]: it mutes and has a kernel or bias"),
        ('[{"stage": "scores", "bias": 1}]', "edits[0]: channel is missing; a kernel and a bias belong to one channel."),
        ('[{"stage": "scores", "channel": 0, "bias": "1"}]', "edits[0]: bias must be a number."),
        ('[{"stage": "scores", "channel": 0, "bias": 1e999}]', "edits[0]: a weight or bias must be a finite number"),
        ('[{"stage": "scores", "channel": 0, "bias": %s}]' % ("9" * 400), "edits[0]: bias has too many digits."),
        ('[{"stage": "scores", "channel": 0, "kernel": 3}]', "edits[0]: kernel must be lists of numbers"),
        ('[{"stage": "scores", "channel": 0, "kernel": [[1], [1, 2]]}]', "all lists of one level of equal length."),
        ('[{"stage": "scores", "channel": 0, "kernel": [1, "2"]}]', "edits[0]: kernel must be lists of numbers"),
        (
            '[{"stage": "scores", "channel": 0, "kernel": []}]',
            "edits[0]: the kernel has the shape [0]; one of stage scores has [128]",
        ),
        ('[{"stage": "block1_conv", "channel": 99, "mute": true}]', "edits[0]: stage block1_conv has no channel 99"),
        ('[{"stage": "lion", "mute": true}]', "edits[0]: network tutorial has no stage 'lion'; its stages are block1_conv"),
    ],
)
def test_edits_that_are_none_are_refused_with_a_sentence(client, cat_photo, text, sentence):
    refused(post(client, cat_photo, "/predict", network="tutorial", edits=text), 422, sentence)


@pytest.mark.parametrize("path", ["/predict/batch", "/guises", "/classify"])
def test_endpoints_that_take_no_edits_say_so(client, cat_photo, path):
    answer = client.post(path, params={"edits": "[]"}, files={"files" if "batch" in path else "file": cat_photo})
    refused(answer, 422, "There is no query parameter 'edits'")


def test_a_stage_explained_with_edits_differs_from_the_networks_own(client, cat_photo):
    edited = json.loads(ask(client, cat_photo, MUTE, "/explain/stage", stage="scores").text)
    assert edited["channels"] != stage_of(client, cat_photo, "scores", network="tutorial")["channels"]
