"""POST /explain/unit over HTTP, and what it and /explain/stage refuse."""

import math

import numpy as np
import pytest
from PIL import Image

from app.inference.networks.contract import load
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from tests.app.explaining import STAGES, planes, post, refused, sample_positions, unit
from tests.conftest import ready_client, sha256


def test_every_stage_of_the_contracts_is_asked_about_here(model_dir):
    stages = [(name, stage.name) for name in ("tutorial", "dense") for stage in load(model_dir / name).stages]
    assert stages == STAGES


@pytest.mark.parametrize(("network", "stage"), STAGES)
def test_the_arithmetic_of_any_unit_gives_what_the_network_computed(client, cat_photo, computed, network, stage):
    for row, column, channel in sample_positions(computed[network][stage].shape):
        answer = unit(client, cat_photo, stage, row, column, channel, network=network)
        assert answer["relative_difference"] < 1e-4
        assert answer["difference"] == abs(answer["value"] - answer["computed"])


@pytest.mark.parametrize(("network", "stage"), STAGES)
def test_what_the_network_computed_is_its_number_in_the_raw_array(client, cat_photo, computed, network, stage):
    for position in sample_positions(computed[network][stage].shape):
        answer = unit(client, cat_photo, stage, *position, network=network)
        assert answer["computed"] == float(planes(computed[network][stage])[position])


@pytest.mark.parametrize(("network", "stage"), STAGES)
def test_a_unit_is_described_as_its_network_describes_the_stage(client, cat_photo, model_dir, network, stage):
    answer, description = unit(client, cat_photo, stage, network=network), load(model_dir / network).stage(stage)
    assert (answer["stage"], answer["kind"], tuple(answer["inputs"])) == (stage, description.kind, description.inputs)
    assert (answer["row"], answer["column"], answer["channel"]) == (0, 0, 0)


def test_a_unit_is_answered_with_its_photo_and_its_network(client, cat_photo):
    answer, predicted = unit(client, cat_photo, "scores"), post(client, cat_photo, "/predict").json()
    assert answer["image"] == predicted["image"]
    assert answer["model"] == predicted["model"]
    assert answer["image"]["sha256"] == sha256(cat_photo)


CONVOLUTIONS = [f"block{n}_conv" for n in range(1, 6)]


@pytest.mark.parametrize(("stage", "inputs"), list(zip(CONVOLUTIONS, (3, 16, 32, 64, 128), strict=True)))
def test_patch_kernel_and_products_of_a_convolution_have_one_shape(client, cat_photo, stage, inputs):
    answer = unit(client, cat_photo, stage)
    assert {np.shape(answer[name]) for name in ("patch", "kernel", "products")} == {(3, 3, inputs)}


@pytest.mark.parametrize("stage", CONVOLUTIONS)
def test_each_product_is_an_input_times_its_weight(client, cat_photo, stage):
    answer = unit(client, cat_photo, stage, 2, 3, 1)
    assert np.array_equal(np.multiply(answer["patch"], answer["kernel"]), answer["products"])


@pytest.mark.parametrize("stage", CONVOLUTIONS)
def test_the_products_and_the_bias_add_up_to_the_sum_and_the_value(client, cat_photo, stage):
    answer = unit(client, cat_photo, stage, 2, 3, 1)
    products = math.fsum(np.ravel(answer["products"]))
    assert math.isclose(products, answer["products_sum"], rel_tol=1e-9, abs_tol=1e-9)
    assert math.isclose(products + answer["bias"], answer["sum"], rel_tol=1e-9, abs_tol=1e-9)
    assert (answer["value"], answer["activation"]) == (answer["sum"], None), "no activation, nothing is clipped"


@pytest.mark.parametrize("stage", CONVOLUTIONS)
def test_the_sums_of_the_channels_add_up_to_that_of_all_products(client, cat_photo, stage):
    answer = unit(client, cat_photo, stage, 2, 3, 1)
    sums = [math.fsum(np.ravel(np.array(answer["products"])[:, :, i])) for i in range(len(answer["channel_sums"]))]
    assert answer["channel_sums"] == pytest.approx(sums, rel=1e-9, abs=1e-9)
    assert math.isclose(math.fsum(answer["channel_sums"]), answer["products_sum"], rel_tol=1e-9, abs_tol=1e-9)


@pytest.mark.parametrize("stage", CONVOLUTIONS)
def test_the_patch_of_a_convolution_is_cut_out_of_the_stage_before(client, cat_photo, computed, stage):
    answer = unit(client, cat_photo, stage, 2, 3, 1)
    assert answer["window"] == {"top": 1, "left": 2, "bottom": 4, "right": 5}
    if stage != "block1_conv":
        assert np.array_equal(answer["patch"], computed["tutorial"][answer["inputs"][0]][1:4, 2:5])


def test_the_patch_of_the_first_convolution_is_cut_out_of_the_photo(client, cat_photo, cat_image):
    photo = np.asarray(cat_image.resize((100, 100), Image.Resampling.BILINEAR))
    assert np.array_equal(unit(client, cat_photo, "block1_conv", 50, 20)["patch"], photo[49:52, 19:22])


def test_the_kernel_is_the_one_that_keras_trained(client, cat_photo, model_dir):
    import keras

    layer = keras.saving.load_model(model_dir / "tutorial" / "model.keras").get_layer("block2_conv")
    answer = unit(client, cat_photo, "block2_conv", 5, 5, 30)
    assert np.array_equal(answer["kernel"], layer.get_weights()[0][:, :, :, 30])
    assert answer["bias"] == float(layer.get_weights()[1][30])


def test_the_maximum_of_a_pooling_is_where_it_says_in_the_stage_before(client, cat_photo, computed):
    answer = unit(client, cat_photo, "block2_pool", 7, 11, 3)
    row, column = answer["maximum_at"]
    assert row in (14, 15)
    assert column in (22, 23)
    assert computed["tutorial"]["block2_conv"][row, column, 3] == answer["value"] == np.max(answer["patch"])
    assert answer["operation"] == "max"


@pytest.mark.parametrize("stage", ["block1_relu", "dense_relu"])
def test_relu_is_answered_with_its_input(client, cat_photo, computed, stage):
    values = computed["tutorial"]
    below = tuple(int(i) for i in np.argwhere(planes(values[stage]) == 0)[0])
    answer = unit(client, cat_photo, stage, *below)
    assert answer["patch"] == [[[float(planes(values[answer["inputs"][0]])[below])]]]
    assert answer["patch"][0][0][0] <= answer["value"] == 0
    assert answer["activation"] == "relu"


def test_a_flattened_number_names_where_it_comes_from(client, cat_photo, computed):
    """Number 1000 of 3 x 3 x 192: 1000 = 1 x 576 + 2 x 192 + 40."""
    answer = unit(client, cat_photo, "flatten", channel=1000)
    assert answer["source"] == [1, 2, 40]
    assert answer["computed"] == float(computed["tutorial"]["block5_relu"][1, 2, 40])
    assert answer["window"] == {"top": 1, "left": 2, "bottom": 2, "right": 3}


def test_contributions_of_a_dense_network_name_pixels_of_the_photo(client, cat_photo, cat_image):
    photo = np.asarray(cat_image.resize((100, 100), Image.Resampling.BILINEAR))
    for contribution in unit(client, cat_photo, "dense1", channel=5, network="dense")["contributions"]:
        assert contribution["value"] == photo[contribution["row"], contribution["column"], contribution["channel"]]
        assert contribution["index"] == (contribution["row"] * 100 + contribution["column"]) * 3 + contribution["channel"]
        assert contribution["product"] == contribution["value"] * contribution["weight"]


@pytest.mark.parametrize(("network", "stage"), [("tutorial", "dense"), ("dense", "dense1"), ("dense", "scores")])
def test_contributions_the_others_and_the_bias_add_up_to_the_value(client, cat_photo, network, stage):
    answer = unit(client, cat_photo, stage, channel=1, network=network)
    total = math.fsum(
        [*(contribution["product"] for contribution in answer["contributions"]), answer["others_sum"], answer["bias"]]
    )
    assert math.isclose(total, answer["value"], rel_tol=1e-9, abs_tol=1e-9)


def test_the_contributions_listed_are_the_largest_of_all(client, model_dir, cat_photo, computed):
    network = OnnxNetwork(load(model_dir / "tutorial"))
    products = computed["tutorial"]["flatten"].astype(float) * network.kernel("dense")[:, 17].astype(float)
    answer = unit(client, cat_photo, "dense", channel=17, contributions=20)
    magnitudes = [abs(contribution["product"]) for contribution in answer["contributions"]]
    assert magnitudes == sorted(np.abs(products).tolist(), reverse=True)[:20]
    assert answer["others"] == 1728 - 20


def test_contributions_that_come_from_no_picture_have_no_position(client, cat_photo):
    contributions = unit(client, cat_photo, "scores")["contributions"]
    assert {(c["row"], c["column"], c["channel"]) for c in contributions} == {(None, None, None)}


@pytest.mark.parametrize("count", [1, 128])
def test_as_many_contributions_are_listed_as_were_asked_for(client, cat_photo, count):
    answer = unit(client, cat_photo, "scores", contributions=count)
    assert (len(answer["contributions"]), answer["others"]) == (count, 128 - count)


def test_asking_for_more_contributions_than_inputs_lists_them_all(client, cat_photo):
    answer = unit(client, cat_photo, "scores", contributions=1000)
    assert (len(answer["contributions"]), answer["others"], answer["others_sum"]) == (128, 0, 0)


def test_a_probability_is_given_as_a_share_of_exponentials(client, cat_photo, computed):
    answer = unit(client, cat_photo, "probabilities", channel=1)
    scores = [float(score) for score in computed["tutorial"]["scores"]]
    assert answer["terms"] == scores
    assert answer["exponentials"] == pytest.approx([math.exp(score - max(scores)) for score in scores])
    assert answer["value"] == pytest.approx(answer["exponentials"][1] / math.fsum(answer["exponentials"]))
    assert answer["activation"] == "softmax"


def test_a_unit_of_the_default_network_is_one_of_the_network_that_predicts(client, cat_photo):
    assert unit(client, cat_photo, "scores")["model"]["network"] == "tutorial"


def test_the_keras_engine_gives_the_same_arithmetic(client, model_dir, cat_photo):
    with ready_client(model_dir, engine="keras") as keras_client:
        ours, theirs = (unit(c, cat_photo, "block3_conv", 4, 20, 9) for c in (client, keras_client))
    assert theirs["kernel"] == ours["kernel"]
    assert theirs["bias"] == ours["bias"]
    assert theirs["value"] == pytest.approx(ours["value"], rel=1e-4)
    assert theirs["relative_difference"] < 1e-4


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"stage": "block9_conv", "channel": 0}, "no stage 'block9_conv'; its stages are block1_conv, block1_pool"),
        ({"stage": "image", "channel": 0}, "no stage 'image'"),
        ({"stage": "block1_conv", "channel": 16}, "no channel 16; its channels are 0 to 15"),
        ({"stage": "block1_conv", "channel": 0, "row": 100}, "no row 100; its rows are 0 to 99"),
        ({"stage": "block3_pool", "channel": 0, "column": 12}, "no column 12; its columns are 0 to 11"),
        ({"stage": "dense", "channel": 128}, "no channel 128; its channels are 0 to 127"),
        ({"stage": "dense", "channel": 0, "row": 1}, "no row 1; its only row is 0"),
        ({"stage": "dense", "channel": 0, "row": 10**40}, "its only row is 0"),
        ({"stage": "block1_conv"}, "channel is missing"),
        ({"channel": 0}, "stage is missing"),
        ({"stage": "block1_conv", "channel": -1}, "greater than or equal to 0. Received was '-1'"),
        ({"stage": "block1_conv", "channel": 0, "row": -1}, "'-1'"),
        ({"stage": "block1_conv", "channel": 0, "column": -3}, "'-3'"),
        ({"stage": "block1_conv", "channel": "first"}, "'first'"),
        ({"stage": "dense", "channel": 0, "contributions": 0}, "greater than or equal to 1"),
        ({"stage": "dense", "channel": 0, "contributions": 1001}, "less than or equal to 1000"),
    ],
)
def test_422_for_a_missing_unit_says_what_exists(client, cat_photo, query, message):
    refused(post(client, cat_photo, **query), 422, message)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"stage": "block9_conv"}, "no stage 'block9_conv'; accepted are image, block1_conv"),
        ({"stage": "block1_conv", "channel": 16}, "no channel 16; its channels are 0 to 15"),
        ({"stage": "block1_conv", "channel": -1}, "no channel -1; its channels are 0 to 15"),
        ({"stage": "image", "channel": 3}, "no channel 3; its channels are 0 to 2"),
        ({"stage": "flatten", "channel": 1728}, "no channel 1728; its channels are 0 to 1727"),
        ({}, "stage is missing"),
    ],
)
def test_422_for_a_missing_stage_or_channel_says_what_exists(client, cat_photo, query, message):
    refused(post(client, cat_photo, "/explain/stage", **query), 422, message)


PATHS = [
    ("/explain/unit", {"stage": "block1_conv", "channel": 0}),
    ("/explain/stage", {"stage": "block1_conv"}),
    ("/feature-maps/block1_conv", {}),
]


@pytest.mark.parametrize(("path", "query"), PATHS)
def test_404_for_an_unknown_network(client, cat_photo, path, query):
    refused(post(client, cat_photo, path, network="lion", **query), 404, "'lion'", "dense, tutorial")


@pytest.mark.parametrize(("path", "query"), PATHS)
def test_422_for_a_broken_photo(client, cat_photo, path, query):
    refused(post(client, cat_photo[:5000], path, **query), 422, "PNG", "broken")


@pytest.mark.parametrize(("path", "query"), PATHS)
def test_415_for_a_file_that_is_not_a_photo(client, path, query):
    refused(post(client, b"a line of text", path, **query), 415, "14 bytes")


@pytest.mark.parametrize(("path", "query"), PATHS)
def test_422_for_a_missing_photo(client, path, query):
    refused(client.post(path, params=query), 422, "part file is missing")


@pytest.mark.parametrize(("path", "query"), PATHS)
def test_413_for_too_many_pixels(model_dir, cat_photo, path, query):
    with ready_client(model_dir, max_pixels=135_299) as client:
        refused(post(client, cat_photo, path, **query), 413, "451 x 300")
