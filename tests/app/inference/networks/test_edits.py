"""Edited networks: they compute what an independent model with those weights computes, and refuse what does not fit."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from app.errors import InvalidRequest
from app.inference.networks import edits
from app.inference.networks.contract import load
from app.inference.networks.edits import Edit
from app.inference.networks.engines.keras_engine import KerasNetwork
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.networks.onnx import onnx_changes
from app.inference.tensor import to_tensor

RANDOM = np.random.default_rng(6)
OTHER_KERNEL = RANDOM.normal(0, 0.2, (3, 3, 16))


@pytest.fixture(scope="module")
def tensor(cat_image) -> np.ndarray:
    return to_tensor(cat_image, 100, 100)


@pytest.fixture(scope="module")
def tutorial(model_dir) -> OnnxNetwork:
    return OnnxNetwork(load(model_dir / "tutorial"))


@pytest.fixture(scope="module")
def dense(model_dir) -> OnnxNetwork:
    return OnnxNetwork(load(model_dir / "dense"))


def stages(network) -> list[str]:
    return [stage.name for stage in network.contract.stages]


def independent(folder, tensor: np.ndarray, change) -> dict[str, np.ndarray]:
    """Every stage of a model whose weights the onnx package changed, run as it is written, without optimizations."""
    model = onnx.load(folder / "model.onnx")
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight).copy()
        change(weight.name, values)
        weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    outputs = [output[0] for output in session.run(names, {"image": tensor})]
    return {name: o.transpose(1, 2, 0) if o.ndim == 3 else o for name, o in zip(names, outputs, strict=True)}


def without_filter(stage: str, channel: int):
    def change(name: str, values: np.ndarray) -> None:
        if name == f"{stage}/kernel":
            values[(slice(None), channel) if values.ndim == 2 else channel] = 0
        elif name == f"{stage}/bias":
            values[channel] = 0

    return change


def without_input(consumer: str, channel: int):
    def change(name: str, values: np.ndarray) -> None:
        if name == f"{consumer}/kernel":
            values[channel if values.ndim == 2 else (slice(None), channel)] = 0

    return change


def with_kernel(stage: str, channel: int, kernel: np.ndarray, bias: float):
    def change(name: str, values: np.ndarray) -> None:
        if name == f"{stage}/kernel":
            values[channel] = kernel.transpose(2, 0, 1)
        elif name == f"{stage}/bias":
            values[channel] = bias

    return change


@pytest.mark.parametrize(
    ("network", "edit", "change", "compared"),
    [
        ("tutorial", Edit("block2_conv", 7, mute=True), without_filter("block2_conv", 7), None),
        ("tutorial", Edit("block1_relu", 3, mute=True), without_input("block2_conv", 3), ["block2_conv", "probabilities"]),
        ("tutorial", Edit("block4_pool", 90, mute=True), without_input("block5_conv", 90), ["block5_conv", "probabilities"]),
        ("tutorial", Edit("flatten", 700, mute=True), without_input("dense", 700), ["dense", "probabilities"]),
        ("tutorial", Edit("dense", 5, mute=True), without_filter("dense", 5), None),
        ("tutorial", Edit("scores", 0, mute=True), without_filter("scores", 0), None),
        (
            "tutorial",
            Edit("block2_conv", 31, kernel=OTHER_KERNEL, bias=0.5),
            with_kernel("block2_conv", 31, OTHER_KERNEL, 0.5),
            None,
        ),
        ("dense", Edit("dense1_relu", 9, mute=True), without_input("dense2", 9), ["dense2", "probabilities"]),
        ("dense", Edit("dense2", 63, mute=True), without_filter("dense2", 63), None),
    ],
)
def test_an_edited_network_computes_what_a_model_with_those_weights_computes(
    model_dir, tensor, network, edit, change, compared
):
    edited = OnnxNetwork(load(model_dir / network)).edited([edit])
    expected = independent(model_dir / network, tensor, change)
    computed = edited.run(tensor, compared or stages(edited)).stages
    for name in compared or stages(edited):
        scale = np.abs(expected[name]).max()
        assert np.abs(computed[name] - expected[name]).max() <= 1e-5 * scale, name
    assert np.abs(computed["probabilities"] - expected["probabilities"]).max() <= 1e-6


def test_a_muted_channel_is_zero_without_a_sign_and_what_comes_before_it_stays(tutorial, tensor):
    plain = tutorial.run(tensor, stages(tutorial)).stages
    muted = tutorial.edited([Edit("block2_conv", 4, mute=True)]).run(tensor, stages(tutorial)).stages
    assert not muted["block2_conv"][:, :, 4].any()
    assert not np.signbit(muted["block2_conv"][:, :, 4]).any()
    others = [channel for channel in range(32) if channel != 4]
    assert np.array_equal(muted["block2_conv"][:, :, others], plain["block2_conv"][:, :, others])
    assert np.array_equal(muted["block1_relu"], plain["block1_relu"])
    assert not np.array_equal(muted["probabilities"], plain["probabilities"])


@pytest.mark.parametrize("stage", ["block1_conv", "block3_pool", "block5_relu", "flatten", "dense_relu", "scores"])
def test_a_whole_stage_can_be_muted(tutorial, tensor, stage):
    assert not tutorial.edited([Edit(stage, mute=True)]).run(tensor, [stage]).stages[stage].any()


def test_two_classes_without_scores_are_equally_likely(tutorial, tensor):
    assert tutorial.edited([Edit("scores", mute=True)]).run(tensor).probabilities.tolist() == [0.5, 0.5]


def test_a_kernel_replaced_by_itself_changes_no_bit(tutorial, tensor):
    kernel, bias = tutorial.kernel("block3_conv"), tutorial.bias("block3_conv")
    same = tutorial.edited([Edit("block3_conv", 8, kernel=kernel[..., 8], bias=float(bias[8]))])
    before, after = tutorial.run(tensor, stages(tutorial)).stages, same.run(tensor, stages(tutorial)).stages
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_edits_leave_the_network_itself_as_it_was(tutorial, tensor):
    before = tutorial.run(tensor, stages(tutorial)).stages
    tutorial.edited([Edit("block1_conv", mute=True), Edit("dense", 3, kernel=np.zeros(1728))]).run(tensor)
    after = tutorial.run(tensor, stages(tutorial)).stages
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert tutorial.kernel("dense")[:, 3].any()


def test_without_edits_the_network_itself_answers(tutorial):
    assert tutorial.edited([]) is tutorial


def test_an_edited_network_tells_its_own_weights(tutorial):
    edited = tutorial.edited([Edit("block2_conv", 31, kernel=OTHER_KERNEL), Edit("block2_conv", 2, bias=-4.0)])
    assert np.array_equal(edited.kernel("block2_conv")[..., 31], OTHER_KERNEL.astype(np.float32))
    assert np.array_equal(edited.kernel("block2_conv")[..., :31], tutorial.kernel("block2_conv")[..., :31])
    assert edited.bias("block2_conv")[2] == -4
    assert edited.bias("block2_conv")[31] == tutorial.bias("block2_conv")[31]


def test_the_same_edits_in_another_order_are_the_same_network(tutorial):
    first, second = Edit("block1_conv", 1, mute=True), Edit("scores", 1, bias=2.0)
    assert tutorial.edited([first, second]) is tutorial.edited([second, first])
    assert tutorial.edited([first]) is not tutorial.edited([first, second])


def test_only_one_edited_network_is_held(tutorial, dense):
    edited = tutorial.edited([Edit("scores", 1, bias=2.0)])
    dense.edited([Edit("scores", 1, bias=2.0)])
    assert tutorial.edited([Edit("scores", 1, bias=2.0)]) is not edited


def test_the_onnx_package_finds_no_fault_in_a_changed_model(tutorial):
    edited = tutorial.edited([Edit("block2_conv", 4, mute=True), Edit("scores", 1, mute=True), Edit("dense", 0, bias=1.0)])
    onnx.checker.check_model(onnx.load_from_string(edited.model()), full_check=True)


def test_without_changes_the_model_is_the_file(tutorial, model_dir):
    assert onnx_changes.changed((model_dir / "tutorial" / "model.onnx").read_bytes(), {}, {}) == tutorial.model()
    assert tutorial.model() == (model_dir / "tutorial" / "model.onnx").read_bytes()


def test_numbers_beyond_float32_are_refused_by_the_name_of_their_stage(tutorial, tensor):
    huge = [
        Edit(f"block{n}_conv", c, kernel=np.full((3, 3, i), 1e6)) for n, i in ((1, 3), (2, 16), (3, 32)) for c in range(8)
    ]
    huge += [Edit(f"block{n}_conv", c, kernel=np.full((3, 3, i), 1e6)) for n, i in ((4, 64), (5, 128)) for c in range(8)]
    with pytest.raises(InvalidRequest, match="numbers of stage block5_conv leave the range of float32"):
        tutorial.edited(huge).run(tensor, ["block1_conv", "block5_conv"])


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (Edit("block9_conv", 0, mute=True), "has no stage 'block9_conv'; its stages are block1_conv, block1_pool"),
        (Edit("image", 0, mute=True), "has no stage 'image'"),
        (Edit("probabilities", 0, mute=True), "the probabilities sum to 1 and cannot be changed"),
        (Edit("block1_conv", 16, mute=True), "stage block1_conv has no channel 16; its channels are 0 to 15."),
        (Edit("block1_conv", -1, mute=True), "stage block1_conv has no channel -1"),
        (Edit("block1_conv"), "it mutes nothing and has no kernel or bias of one channel."),
        (Edit("block1_conv", kernel=np.zeros((3, 3, 3))), "it mutes nothing and has no kernel or bias of one channel."),
        (Edit("block1_relu", 0, bias=1.0), "stage block1_relu is of kind relu, which has no kernel; it can be muted."),
        (
            Edit("block1_conv", 0, kernel=np.zeros((3, 3))),
            r"the kernel has the shape \[3, 3\]; one of stage block1_conv has \[3, 3, 3\]",
        ),
        (Edit("block2_conv", 0, kernel=np.zeros((3, 3, 3))), r"one of stage block2_conv has \[3, 3, 16\]"),
        (Edit("dense", 0, kernel=np.zeros((1727,))), r"the kernel has the shape \[1727\]; one of stage dense has \[1728\]"),
        (Edit("block1_conv", 0, kernel=np.full((3, 3, 3), np.inf)), "must be a finite number from -1000000 to 1000000."),
        (Edit("block1_conv", 0, kernel=np.full((3, 3, 3), np.nan)), "must be a finite number"),
        (Edit("block1_conv", 0, bias=1000001.0), "must be a finite number from -1000000 to 1000000."),
    ],
)
def test_an_edit_that_does_not_fit_is_refused_with_its_place_and_its_reason(tutorial, edit, sentence):
    with pytest.raises(InvalidRequest, match=rf"^edits\[1\]: .*{sentence}"):
        edits.changes([Edit("block5_conv", 0, mute=True), edit], tutorial.contract)


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (Edit("scores", 0), "it mutes nothing and has no kernel or bias of one channel."),
        (Edit("probabilities"), "the probabilities sum to 1 and cannot be changed; change a stage before them."),
    ],
)
def test_what_an_edit_cannot_do_is_said_in_a_sentence(tutorial, edit, says):
    with pytest.raises(InvalidRequest) as refusal:
        edits.changes([edit], tutorial.contract)
    assert str(refusal.value) == f"edits[0]: {says}"


def test_a_stage_that_is_not_there_is_named_but_not_at_length(tutorial):
    with pytest.raises(InvalidRequest, match=f"has no stage '{'x' * 80}'; its stages"):
        edits.changes([Edit("x" * 100, mute=True)], tutorial.contract)


def test_a_kernel_of_one_input_may_lack_its_last_axis(tutorial):
    contract, plain = tutorial.contract, tutorial.contract.stage("block1_conv")
    stage = replace(plain, kind="depthwise_convolution")
    contract = replace(contract, stages=tuple(stage if one is plain else one for one in contract.stages))
    height, width, inputs = contract.filter_shape(stage)
    assert inputs == 1
    numbers = np.arange(height * width).reshape(height, width)
    for kernel in (numbers, numbers[..., np.newaxis]):
        changed = edits.changes([Edit(stage.name, 0, kernel=kernel)], contract).kernels[stage.name][0]
        assert (changed.shape, changed.dtype, changed[..., 0].tolist()) == ((height, width, 1), np.float32, numbers.tolist())
    for kernel in (numbers[0], numbers.ravel()):
        with pytest.raises(InvalidRequest, match="the kernel has the shape"):
            edits.changes([Edit(stage.name, 0, kernel=kernel)], contract)


def test_numbers_are_accepted_up_to_a_million(tutorial):
    accepted = edits.changes([Edit("scores", 0, bias=1e6, kernel=np.full(128, -1e6))], tutorial.contract)
    assert accepted.biases == {"scores": {0: 1e6}}
    assert accepted.kernels["scores"][0].dtype == np.float32
    assert (accepted.kernels["scores"][0] == -1e6).all()
    for beyond in (-1000001.0, float("nan"), float("inf")):
        with pytest.raises(InvalidRequest, match="must be a finite number"):
            edits.changes([Edit("scores", 0, bias=beyond)], tutorial.contract)


def test_what_is_muted_can_be_asked(tutorial):
    changed = edits.changes([Edit("scores", 1, mute=True), Edit("block1_relu", mute=True)], tutorial.contract)
    assert [changed.mutes("scores", channel) for channel in (0, 1)] == [False, True]
    assert changed.mutes("block1_relu", 15)
    assert not changed.mutes("dense", 0)
    assert changed.muted["scores"].tolist() == [False, True]


def test_changes_that_differ_have_different_keys(tutorial):
    def key(*several: Edit) -> str:
        return edits.changes(several, tutorial.contract).key

    kernel = np.zeros(128)
    other = np.arange(128) / 1000
    ones = [
        *(Edit("scores", 0, mute=True), Edit("scores", 1, mute=True), Edit("scores", mute=True)),
        *(Edit("scores", 0, bias=0.0), Edit("scores", 0, bias=1.0), Edit("scores", 0, kernel=kernel)),
        *(Edit("scores", 0, kernel=other), Edit("scores", 0, kernel=other, bias=0.0), Edit("dense", 0, mute=True)),
    ]
    assert len({key(), *(key(one) for one in ones)}) == len(ones) + 1
    assert key() == ""
    assert len(key(ones[0])) == 64
    assert key(ones[0], ones[1]) == key(ones[1], ones[0])
    assert key(Edit("scores", 0, kernel=other)) == key(Edit("scores", 0, kernel=other.astype(np.float32)))


def test_a_stage_without_biases_gets_none(tutorial):
    contract = tutorial.contract
    dense = contract.stage("dense")
    unbiased = replace(dense, parameters=1728 * dense.shape[-1])
    bare = replace(contract, stages=tuple(unbiased if stage is dense else stage for stage in contract.stages))
    assert edits.changes([Edit("dense", 3, kernel=np.zeros(1728))], bare).count == 1
    with pytest.raises(InvalidRequest, match=r"^edits\[0\]: stage dense has no biases"):
        edits.changes([Edit("dense", 3, bias=1.0)], bare)


@pytest.mark.parametrize("second", [Edit("dense", 3, mute=True), Edit("dense", 3, bias=1.0), Edit("dense", mute=True)])
def test_a_channel_is_changed_once(tutorial, second):
    with pytest.raises(InvalidRequest, match=r"^edits\[1\]: channel 3 of stage dense is changed by edits\[0\] too"):
        edits.changes([Edit("dense", 3, kernel=np.zeros(1728)), second], tutorial.contract)


def test_64_edits_are_accepted_and_65_are_not(tutorial):
    many = [Edit("block4_conv", channel, mute=True) for channel in range(65)]
    assert edits.changes(many[:64], tutorial.contract).count == 64
    with pytest.raises(InvalidRequest, match="There are 65 edits; at most 64 are accepted"):
        edits.changes(many, tutorial.contract)


def test_keras_does_not_edit(model_dir):
    network = KerasNetwork(load(model_dir / "dense"))
    assert network.edited([]) is network
    with pytest.raises(InvalidRequest, match="by the engine onnx only; this service runs CATSCOPE_ENGINE=keras"):
        network.edited([Edit("scores", 0, mute=True)])
