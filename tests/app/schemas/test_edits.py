"""The option `edits` as a list, and the sentence for everything that it must not be."""

import json
import math

import numpy as np
import pytest

from app.errors import InvalidRequest
from app.schemas import edits

LARGEST = 2**31 - 1


def one(**members: object):
    """The edit in a list of one."""
    [edit] = edits.read(json.dumps([members]))
    return edit


def refusal(text: str | bytes) -> str:
    with pytest.raises(InvalidRequest) as refused:
        edits.read(text)
    return str(refused.value)


def of_one(**members: object) -> str:
    """What is said of that edit, the second of a list, behind its place."""
    place, said = refusal(json.dumps([{"stage": "a", "mute": True}, members])).split(": ", 1)
    assert place == "edits[1]"
    return said


def test_the_edits_come_in_their_order_from_text_or_bytes():
    text = '[{"stage": "b", "mute": true}, {"stage": "a", "channel": 1, "bias": 2}]'
    for sent in (text, text.encode()):
        assert [(e.stage, e.channel, e.mute, e.kernel, e.bias) for e in edits.read(sent)] == [
            ("b", None, True, None, None),
            ("a", 1, False, None, 2.0),
        ]
    assert edits.read("[]") == []


@pytest.mark.parametrize("channel", [None, 0, 1, LARGEST])
def test_a_stage_is_muted_whole_or_by_channel(channel):
    edit = one(stage="scores", channel=channel, mute=True)
    assert (edit.stage, edit.channel, edit.mute, edit.kernel, edit.bias) == ("scores", channel, True, None, None)
    assert edit.mute is True


def test_members_that_are_null_count_as_missing():
    edit = one(stage="scores", channel=3, mute=None, kernel=None, bias=-1)
    assert (edit.channel, edit.mute, edit.kernel, edit.bias) == (3, False, None, -1.0)
    assert edit.mute is False


@pytest.mark.parametrize("bias", [0, -3, 0.5, 2**60])
def test_a_bias_is_a_number_whole_or_not(bias):
    edit = one(stage="scores", channel=0, bias=bias)
    assert edit.bias == float(bias)
    assert isinstance(edit.bias, float)


@pytest.mark.parametrize("kernel", [[1, 2], [[0.5, 1], [2, 3]], [[[1.0]]], []])
def test_a_kernel_is_lists_of_numbers(kernel):
    edit = one(stage="scores", channel=0, kernel=kernel)
    assert edit.kernel.dtype == np.float64
    assert edit.kernel.tolist() == kernel
    assert edit.bias is None


def test_a_kernel_and_a_bias_stand_in_one_edit():
    edit = one(stage="scores", channel=0, kernel=[1], bias=2)
    assert (edit.kernel.tolist(), edit.bias) == ([1], 2)


def test_as_many_edits_as_are_accepted_are_read_and_one_more_is_refused():
    assert len(edits.read(json.dumps([{"stage": "a", "mute": True}] * 64))) == 64
    assert refusal(json.dumps([{}] * 65)) == "There are 65 edits; at most 64 are accepted."


@pytest.mark.parametrize("text", ["{", "", "[NaN]", "[Infinity]", b"\xff", "[" * 5000, '["' + "a" * 1000])
def test_what_is_not_json_is_told_with_the_parsers_reason_in_two_hundred_characters(text):
    said = refusal(text)
    reason = said.removeprefix("The option edits is not JSON: ")
    assert said != reason
    assert said.endswith(".")
    assert 2 < len(reason) <= 201


def test_the_reason_of_the_parser_is_cut_off(monkeypatch):
    def from_json(text: str, allow_inf_nan: bool) -> None:
        raise ValueError("x" * 201)

    monkeypatch.setattr(edits, "from_json", from_json)
    assert refusal("[]") == f"The option edits is not JSON: {'x' * 200}."


@pytest.mark.parametrize(
    ("plain", "kind"),
    [
        ({"stage": "scores"}, "object"),
        ([], "list"),
        ("scores", "string"),
        (True, "boolean"),
        (None, "null"),
        (3, "number"),
        (0.5, "number"),
    ],
)
def test_another_kind_of_json_is_named(plain, kind):
    if kind != "list":
        assert refusal(json.dumps(plain)) == f"The option edits is a JSON {kind}; it must be a list of edits."
    if kind != "object":
        assert refusal(json.dumps([plain])) == f"edits[0] is a JSON {kind}; it must be an object."


def test_a_member_that_is_not_known_is_told_with_the_nearest():
    assert refusal('[{"stage": "a", "chanel": 1}]') == "There is no member of edits[0] 'chanel'; did you mean channel?"
    assert refusal('[{"lion": 1}]').endswith("'lion'; known are stage, channel, mute, kernel, bias.")


@pytest.mark.parametrize("members", [{}, {"stage": None}, {"stage": 3, "mute": True}, {"stage": ["a"], "mute": True}])
def test_a_stage_is_a_name(members):
    assert of_one(**members) == "stage must be the name of a stage."


@pytest.mark.parametrize("channel", [-1, 1.5, 1.0, True, False, "1", [], 2**31])
def test_a_channel_is_a_whole_number(channel):
    assert of_one(stage="a", channel=channel, mute=True) == "channel must be a whole number, 0 or more."


@pytest.mark.parametrize("bias", ["1", True, False, [1], {}])
def test_a_bias_is_no_other_thing_than_a_number(bias):
    assert of_one(stage="a", channel=0, bias=bias) == "bias must be a number."


def test_a_bias_may_be_longer_than_a_float_only_if_it_is_not_whole():
    assert of_one(stage="a", channel=0, bias=10**400) == "bias has too many digits."
    assert edits.read('[{"stage": "a", "channel": 0, "bias": 1e999}]')[0].bias == math.inf, "refused later, by what fits"


@pytest.mark.parametrize("mute", [False, 0, 1, "true", []])
def test_mute_can_only_be_true(mute):
    assert of_one(stage="a", channel=0, mute=mute, bias=1) == (
        "mute can only be true; leave the edit out to leave the channel as it is."
    )


@pytest.mark.parametrize("besides", [{"kernel": [1]}, {"bias": 0}, {"kernel": [1], "bias": 1}])
def test_what_is_muted_is_not_changed_otherwise(besides):
    assert of_one(stage="a", channel=0, mute=True, **besides) == "it mutes and has a kernel or bias; one excludes the other."


@pytest.mark.parametrize("members", [{}, {"channel": 0}, {"mute": None, "kernel": None, "bias": None}])
def test_an_edit_changes_something(members):
    assert of_one(stage="a", **members) == "it changes nothing; it must have mute: true, a kernel or a bias."


@pytest.mark.parametrize("members", [{"kernel": [1]}, {"bias": 0}])
def test_a_kernel_and_a_bias_belong_to_a_channel(members):
    assert of_one(stage="a", **members) == "channel is missing; a kernel and a bias belong to one channel."


@pytest.mark.parametrize(
    "kernel",
    [3, 0.5, "1", True, {}, [True], [1, "2"], ["1"], [[1], [1, 2]], [None], [1, None], [10**400, 0.5]],
)
def test_a_kernel_is_no_other_thing_than_lists_of_numbers(kernel):
    assert of_one(stage="a", channel=0, kernel=kernel) == (
        "kernel must be lists of numbers, all lists of one level of equal length."
    )


def test_a_kernel_that_is_too_deep_is_none():
    deep = "[" * 100 + "1" + "]" * 100
    assert refusal(f'[{{"stage": "a", "channel": 0, "kernel": {deep}}}]').startswith("edits[0]: kernel must be lists")
