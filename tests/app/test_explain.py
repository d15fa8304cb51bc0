"""POST /explain/unit, /explain/stage and /feature-maps/{stage}, and the kernels and windows of /models, over HTTP."""

import base64
import io
import math

import numpy as np
import pytest
from PIL import Image

from app.inference.contract import load
from app.inference.network import OnnxNetwork
from app.inference.palette import DIVERGING
from tests.conftest import encoded, ready_client, sha256

TUTORIAL = [f"block{n}_{step}" for n in range(1, 6) for step in ("conv", "pool", "relu")]
TUTORIAL += ["flatten", "dense", "dense_relu", "scores", "probabilities"]
DENSE = ["flatten", "dense1", "dense1_relu", "dense2", "dense2_relu", "scores", "probabilities"]
STAGES = [("tutorial", name) for name in TUTORIAL] + [("dense", name) for name in DENSE]


def post(client, data: bytes, path: str = "/explain/unit", **query):
    return client.post(path, params=query, files={"file": ("photo.png", data, "image/png")})


def unit(client, data: bytes, stage: str, row: int = 0, column: int = 0, channel: int = 0, **query) -> dict:
    response = post(client, data, stage=stage, row=row, column=column, channel=channel, **query)
    assert response.status_code == 200, response.text
    return response.json()


def stage_of(client, data: bytes, stage: str, **query) -> dict:
    response = post(client, data, "/explain/stage", stage=stage, **query)
    assert response.status_code == 200, response.text
    return response.json()


def arrays(client, data: bytes, network: str) -> dict[str, np.ndarray]:
    return dict(np.load(io.BytesIO(post(client, data, "/feature-maps", network=network).content)))


@pytest.fixture(scope="module")
def computed(client, cat_photo) -> dict[str, dict[str, np.ndarray]]:
    """What each network computed for the cat, by network and stage."""
    return {name: arrays(client, cat_photo, name) for name in ("tutorial", "dense")}


def picture(uri: str) -> np.ndarray:
    """A PNG data URI as (height, width, RGB)."""
    head, _, body = uri.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(body))).convert("RGB"))


def places(shape: tuple[int, ...], count: int = 4) -> list[tuple[int, int, int]]:
    """The first and the last unit of a stage, and some between them."""
    shape = shape if len(shape) == 3 else (1, 1, *shape)
    random = np.random.default_rng(4)
    between = [tuple(int(random.integers(size)) for size in shape) for _ in range(count)]
    return [(0, 0, 0), tuple(size - 1 for size in shape), *between]


def planes(values: np.ndarray) -> np.ndarray:
    return values if values.ndim == 3 else values.reshape(1, 1, -1)


def test_every_stage_of_the_contracts_is_asked_about_here(model_dir):
    known = [(name, stage.name) for name in ("tutorial", "dense") for stage in load(model_dir / name).stages]
    assert known == STAGES


@pytest.mark.parametrize(("network", "stage"), STAGES)
def test_the_arithmetic_of_any_unit_comes_to_what_the_network_computed(client, cat_photo, computed, network, stage):
    for row, column, channel in places(computed[network][stage].shape):
        found = unit(client, cat_photo, stage, row, column, channel, network=network)
        assert found["relative_difference"] < 1e-4
        assert found["difference"] == abs(found["value"] - found["computed"])


@pytest.mark.parametrize(("network", "stage"), STAGES)
def test_what_the_network_computed_is_its_number_in_the_raw_array(client, cat_photo, computed, network, stage):
    for place in places(computed[network][stage].shape):
        found = unit(client, cat_photo, stage, *place, network=network)
        assert found["computed"] == float(planes(computed[network][stage])[place])


@pytest.mark.parametrize(("network", "stage"), STAGES)
def test_a_unit_is_described_as_its_network_describes_the_stage(client, cat_photo, model_dir, network, stage):
    found, known = unit(client, cat_photo, stage, network=network), load(model_dir / network).stage(stage)
    assert (found["stage"], found["kind"], tuple(found["inputs"])) == (stage, known.kind, known.inputs)
    assert (found["row"], found["column"], found["channel"]) == (0, 0, 0)


def test_a_unit_is_told_with_its_photo_and_its_network(client, cat_photo):
    found, predicted = unit(client, cat_photo, "scores"), post(client, cat_photo, "/predict").json()
    assert found["image"] == predicted["image"]
    assert found["model"] == predicted["model"]
    assert found["image"]["sha256"] == sha256(cat_photo)


CONVOLUTIONS = [f"block{n}_conv" for n in range(1, 6)]


@pytest.mark.parametrize(("stage", "inputs"), list(zip(CONVOLUTIONS, (3, 16, 32, 64, 128), strict=True)))
def test_patch_kernel_and_products_of_a_convolution_have_one_shape(client, cat_photo, stage, inputs):
    found = unit(client, cat_photo, stage)
    assert {np.shape(found[name]) for name in ("patch", "kernel", "products")} == {(3, 3, inputs)}


@pytest.mark.parametrize("stage", CONVOLUTIONS)
def test_each_product_is_an_input_times_its_weight(client, cat_photo, stage):
    found = unit(client, cat_photo, stage, 2, 3, 1)
    assert np.array_equal(np.multiply(found["patch"], found["kernel"]), found["products"])


@pytest.mark.parametrize("stage", CONVOLUTIONS)
def test_the_products_and_the_bias_add_up_to_the_sum_and_the_value(client, cat_photo, stage):
    found = unit(client, cat_photo, stage, 2, 3, 1)
    products = math.fsum(np.ravel(found["products"]))
    assert math.isclose(products, found["products_sum"], rel_tol=1e-9, abs_tol=1e-9)
    assert math.isclose(products + found["bias"], found["sum"], rel_tol=1e-9, abs_tol=1e-9)
    assert (found["value"], found["activation"]) == (found["sum"], None), "no activation, nothing is clipped"


@pytest.mark.parametrize("stage", CONVOLUTIONS)
def test_the_sums_of_the_channels_add_up_to_that_of_all_products(client, cat_photo, stage):
    found = unit(client, cat_photo, stage, 2, 3, 1)
    each = [math.fsum(np.ravel(np.array(found["products"])[:, :, i])) for i in range(len(found["channel_sums"]))]
    assert found["channel_sums"] == pytest.approx(each, rel=1e-9, abs=1e-9)
    assert math.isclose(math.fsum(found["channel_sums"]), found["products_sum"], rel_tol=1e-9, abs_tol=1e-9)


@pytest.mark.parametrize("stage", CONVOLUTIONS)
def test_the_patch_of_a_convolution_is_cut_out_of_the_stage_before(client, cat_photo, computed, stage):
    found = unit(client, cat_photo, stage, 2, 3, 1)
    assert found["window"] == {"top": 1, "left": 2, "bottom": 4, "right": 5}
    if stage != "block1_conv":
        assert np.array_equal(found["patch"], computed["tutorial"][found["inputs"][0]][1:4, 2:5])


def test_the_patch_of_the_first_convolution_is_cut_out_of_the_photo(client, cat_photo, cat_image):
    photo = np.asarray(cat_image.resize((100, 100), Image.Resampling.BILINEAR))
    assert np.array_equal(unit(client, cat_photo, "block1_conv", 50, 20)["patch"], photo[49:52, 19:22])


def test_the_kernel_is_the_one_that_keras_trained(client, cat_photo, model_dir):
    import keras

    layer = keras.saving.load_model(model_dir / "tutorial" / "model.keras").get_layer("block2_conv")
    found = unit(client, cat_photo, "block2_conv", 5, 5, 30)
    assert np.array_equal(found["kernel"], layer.get_weights()[0][:, :, :, 30])
    assert found["bias"] == float(layer.get_weights()[1][30])


def test_the_maximum_of_a_pooling_is_where_it_says_in_the_stage_before(client, cat_photo, computed):
    found = unit(client, cat_photo, "block2_pool", 7, 11, 3)
    row, column = found["maximum_at"]
    assert row in (14, 15)
    assert column in (22, 23)
    assert computed["tutorial"]["block2_conv"][row, column, 3] == found["value"] == np.max(found["patch"])
    assert found["operation"] == "max"


@pytest.mark.parametrize("stage", ["block1_relu", "dense_relu"])
def test_relu_is_told_with_the_number_that_it_got(client, cat_photo, computed, stage):
    values = computed["tutorial"]
    below = tuple(int(i) for i in np.argwhere(planes(values[stage]) == 0)[0])
    found = unit(client, cat_photo, stage, *below)
    assert found["patch"] == [[[float(planes(values[found["inputs"][0]])[below])]]]
    assert found["patch"][0][0][0] <= found["value"] == 0
    assert found["activation"] == "relu"


def test_a_flattened_number_names_where_it_comes_from(client, cat_photo, computed):
    """Number 1000 of 3 x 3 x 192: 1000 = 1 x 576 + 2 x 192 + 40."""
    found = unit(client, cat_photo, "flatten", channel=1000)
    assert found["source"] == [1, 2, 40]
    assert found["computed"] == float(computed["tutorial"]["block5_relu"][1, 2, 40])
    assert found["window"] == {"top": 1, "left": 2, "bottom": 2, "right": 3}


def test_contributions_of_a_dense_network_name_pixels_of_the_photo(client, cat_photo, cat_image):
    photo = np.asarray(cat_image.resize((100, 100), Image.Resampling.BILINEAR))
    for told in unit(client, cat_photo, "dense1", channel=5, network="dense")["contributions"]:
        assert told["value"] == photo[told["row"], told["column"], told["channel"]]
        assert told["index"] == (told["row"] * 100 + told["column"]) * 3 + told["channel"]
        assert told["product"] == told["value"] * told["weight"]


@pytest.mark.parametrize(("network", "stage"), [("tutorial", "dense"), ("dense", "dense1"), ("dense", "scores")])
def test_contributions_the_others_and_the_bias_add_up_to_the_value(client, cat_photo, network, stage):
    found = unit(client, cat_photo, stage, channel=1, network=network)
    total = math.fsum([*(told["product"] for told in found["contributions"]), found["others_sum"], found["bias"]])
    assert math.isclose(total, found["value"], rel_tol=1e-9, abs_tol=1e-9)


def test_the_contributions_told_are_the_largest_of_all(client, model_dir, cat_photo, computed):
    network = OnnxNetwork(load(model_dir / "tutorial"))
    products = computed["tutorial"]["flatten"].astype(float) * network.kernel("dense")[:, 17].astype(float)
    found = unit(client, cat_photo, "dense", channel=17, contributions=20)
    told = [abs(contribution["product"]) for contribution in found["contributions"]]
    assert told == sorted(np.abs(products).tolist(), reverse=True)[:20]
    assert found["others"] == 1728 - 20


def test_contributions_from_no_picture_have_no_place(client, cat_photo):
    told = unit(client, cat_photo, "scores")["contributions"]
    assert {(c["row"], c["column"], c["channel"]) for c in told} == {(None, None, None)}


@pytest.mark.parametrize("count", [1, 128])
def test_as_many_contributions_are_told_as_asked_and_there_are(client, cat_photo, count):
    found = unit(client, cat_photo, "scores", contributions=count)
    assert (len(found["contributions"]), found["others"]) == (count, 128 - count)


def test_more_contributions_than_inputs_tell_all_of_them(client, cat_photo):
    found = unit(client, cat_photo, "scores", contributions=1000)
    assert (len(found["contributions"]), found["others"], found["others_sum"]) == (128, 0, 0)


def test_a_probability_is_told_as_a_share_of_exponentials(client, cat_photo, computed):
    found = unit(client, cat_photo, "probabilities", channel=1)
    scores = [float(score) for score in computed["tutorial"]["scores"]]
    assert found["terms"] == scores
    assert found["exponentials"] == pytest.approx([math.exp(score - max(scores)) for score in scores])
    assert found["value"] == pytest.approx(found["exponentials"][1] / math.fsum(found["exponentials"]))
    assert found["activation"] == "softmax"


def test_a_unit_of_the_default_network_is_one_of_the_network_that_predicts(client, cat_photo):
    assert unit(client, cat_photo, "scores")["model"]["network"] == "tutorial"


def test_the_keras_engine_tells_the_same_arithmetic(client, model_dir, cat_photo):
    with ready_client(model_dir, engine="keras") as keras_client:
        ours, theirs = (unit(c, cat_photo, "block3_conv", 4, 20, 9) for c in (client, keras_client))
    assert theirs["kernel"] == ours["kernel"]
    assert theirs["bias"] == ours["bias"]
    assert theirs["value"] == pytest.approx(ours["value"], rel=1e-4)
    assert theirs["relative_difference"] < 1e-4


def refused(response, status: int, *said: str) -> None:
    problem = response.json()
    assert response.status_code == problem["status"] == status, problem
    assert response.headers["content-type"] == "application/problem+json"
    for part in said:
        assert part in problem["detail"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"stage": "block9_conv", "channel": 0}, "no stage 'block9_conv'; its stages are block1_conv, block1_pool"),
        ({"stage": "image", "channel": 0}, "no stage 'image'"),
        ({"stage": "block1_conv", "channel": 16}, "no channel 16; it has 16, from 0 to 15"),
        ({"stage": "block1_conv", "channel": 0, "row": 100}, "no row 100; it has 100, from 0 to 99"),
        ({"stage": "block3_pool", "channel": 0, "column": 12}, "no column 12; it has 12, from 0 to 11"),
        ({"stage": "dense", "channel": 128}, "no channel 128; it has 128, from 0 to 127"),
        ({"stage": "dense", "channel": 0, "row": 1}, "no row 1; it has 1, from 0 to 0"),
        ({"stage": "dense", "channel": 0, "row": 10**40}, "from 0 to 0"),
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
def test_422_for_a_unit_that_is_not_there_says_what_is(client, cat_photo, query, said):
    refused(post(client, cat_photo, **query), 422, said)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"stage": "block9_conv"}, "no stage 'block9_conv'; there are image, block1_conv"),
        ({"stage": "block1_conv", "channel": 16}, "no channel 16; its channels are 0 to 15"),
        ({"stage": "block1_conv", "channel": -1}, "no channel -1; its channels are 0 to 15"),
        ({"stage": "image", "channel": 3}, "no channel 3; its channels are 0 to 2"),
        ({"stage": "flatten", "channel": 1728}, "no channel 1728; its channels are 0 to 1727"),
        ({}, "stage is missing"),
    ],
)
def test_422_for_a_stage_or_channel_that_is_not_there_says_what_is(client, cat_photo, query, said):
    refused(post(client, cat_photo, "/explain/stage", **query), 422, said)


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
def test_415_for_what_is_no_photo(client, path, query):
    refused(post(client, b"a line of text", path, **query), 415, "14 bytes")


@pytest.mark.parametrize(("path", "query"), PATHS)
def test_422_for_a_missing_photo(client, path, query):
    refused(client.post(path, params=query), 422, "part file is missing")


@pytest.mark.parametrize(("path", "query"), PATHS)
def test_413_for_too_many_pixels(model_dir, cat_photo, path, query):
    with ready_client(model_dir, max_pixels=135_299) as client:
        refused(post(client, cat_photo, path, **query), 413, "451 x 300")


def test_the_input_is_shown_as_the_picture_that_the_network_gets(client, cat_photo, cat_image):
    found = stage_of(client, cat_photo, "image")
    photo = np.asarray(cat_image.resize((100, 100), Image.Resampling.BILINEAR))
    assert found["shape"] == [100, 100, 3]
    assert np.array_equal(picture(found["picture"]), photo)


def test_only_the_input_is_shown_as_a_picture(client, cat_photo):
    assert stage_of(client, cat_photo, "block1_conv")["picture"] is None


def test_the_values_of_the_input_are_a_colour_of_the_photo(client, cat_photo, cat_image):
    plane = stage_of(client, cat_photo, "image", channel=2)["plane"]
    blue = np.asarray(cat_image.resize((100, 100), Image.Resampling.BILINEAR))[:, :, 2]
    assert np.array_equal(np.frombuffer(base64.b64decode(plane["values"]), "<f4").reshape(100, 100), blue)


@pytest.mark.parametrize(("network", "stage"), STAGES)
def test_the_values_of_a_channel_are_those_of_the_raw_array(client, cat_photo, computed, network, stage):
    values = planes(computed[network][stage])
    for channel in {0, values.shape[2] // 2, values.shape[2] - 1}:
        plane = stage_of(client, cat_photo, stage, channel=channel, network=network)["plane"]
        assert plane["index"] == channel
        numbers = np.frombuffer(base64.b64decode(plane["values"]), "<f4").reshape(values.shape[:2])
        assert np.array_equal(numbers, values[:, :, channel])


def test_without_a_channel_no_values_are_answered(client, cat_photo):
    assert stage_of(client, cat_photo, "block1_conv")["plane"] is None


@pytest.mark.parametrize(("network", "stage"), STAGES)
def test_every_channel_is_summed_up_in_order(client, cat_photo, computed, network, stage):
    values = planes(computed[network][stage])
    found = stage_of(client, cat_photo, stage, network=network)
    assert found["shape"] == list(computed[network][stage].shape)
    assert [channel["peak"] for channel in found["channels"]] == values.max(axis=(0, 1)).astype(float).tolist()
    means = values.astype(np.float64).mean(axis=(0, 1))
    assert [channel["mean"] for channel in found["channels"]] == pytest.approx(means.tolist(), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(("network", "stage"), STAGES)
def test_a_stage_has_one_scale_with_zero_on_it_that_reaches_its_largest_value(client, cat_photo, computed, network, stage):
    values = computed[network][stage]
    scale = stage_of(client, cat_photo, stage, network=network)["scale"]
    assert scale["top"] == float(np.abs(values).max())
    assert scale["bottom"] == (-scale["top"] if values.min() < 0 else 0)


def test_the_sheet_can_be_left_out(client, cat_photo):
    whole, bare = (stage_of(client, cat_photo, "block1_relu", channel=3, sheet=sheet) for sheet in (True, False))
    assert whole["sheet"]["picture"].startswith("data:image/png")
    assert bare == whole | {"sheet": None}


@pytest.mark.parametrize(("network", "stage"), [*STAGES, ("tutorial", "image")])
def test_the_sheet_has_room_for_every_channel_and_its_gap(client, cat_photo, network, stage):
    found = stage_of(client, cat_photo, stage, network=network)
    sheet = found["sheet"]
    height, width = sheet["cell"]
    rows = math.ceil(len(found["channels"]) / sheet["columns"])
    shown = picture(sheet["picture"])
    assert shown.shape[:2] == (rows * (height + sheet["gap"]), sheet["columns"] * (width + sheet["gap"]))


SMALL = ["block1_conv", "block2_pool", "block3_relu", "block5_conv", "block5_relu", "flatten", "dense", "probabilities"]


@pytest.mark.parametrize("stage", [*SMALL, "image"])
def test_a_channels_place_on_the_sheet_shows_what_its_own_picture_shows(client, cat_photo, stage):
    found = stage_of(client, cat_photo, stage)
    sheet, count = found["sheet"], len(found["channels"])
    shown, (height, width) = picture(sheet["picture"]), sheet["cell"]
    for channel in {0, 1, count // 2, count - 1}:
        top = channel // sheet["columns"] * (height + sheet["gap"])
        left = channel % sheet["columns"] * (width + sheet["gap"])
        own = picture(stage_of(client, cat_photo, stage, channel=channel)["plane"]["picture"])
        assert np.array_equal(shown[top : top + height, left : left + width], own), channel


@pytest.mark.parametrize("stage", SMALL)
def test_between_the_channels_and_behind_the_last_one_the_sheet_is_white(client, cat_photo, stage):
    found = stage_of(client, cat_photo, stage)
    sheet, (height, width) = found["sheet"], found["sheet"]["cell"]
    shown = picture(sheet["picture"])
    paper = np.ones(shown.shape[:2], bool)
    for channel in range(len(found["channels"])):
        top, left = channel // sheet["columns"] * (height + 1), channel % sheet["columns"] * (width + 1)
        paper[top : top + height, left : left + width] = False
    assert (shown[paper] == 255).all()


def test_a_channels_picture_shows_its_values_with_zero_in_the_middle_of_the_scale(client, cat_photo, computed):
    found = stage_of(client, cat_photo, "block2_conv", channel=6)
    values = computed["tutorial"]["block2_conv"][:, :, 6].astype(float)
    colours = picture(found["plane"]["picture"]).astype(int)
    steps = np.abs(colours[:, :, np.newaxis] - DIVERGING.astype(int)).sum(axis=3).argmin(axis=2)  # 0 to 254, zero at 127
    assert colours.shape == (50, 50, 3)
    assert np.abs((steps - 127) / 127 * found["scale"]["top"] - values).max() <= found["scale"]["top"] / 127 * 2


def test_a_photo_that_is_one_black_is_drawn_although_its_scale_has_no_ends(client):
    black = encoded(Image.new("RGB", (8, 8)), "PNG")
    assert stage_of(client, black, "image")["scale"] == {"bottom": 0, "top": 1}


def test_a_stage_is_told_with_its_photo_and_its_network(client, cat_photo):
    found, predicted = (post(client, cat_photo, p, stage="scores").json() for p in ("/explain/stage", "/predict"))
    assert (found["image"], found["model"]) == (predicted["image"], predicted["model"])


@pytest.mark.parametrize("stage", ["block1_conv", "block5_relu", "flatten", "probabilities"])
def test_a_stage_can_be_had_as_a_picture(client, cat_photo, stage):
    response = post(client, cat_photo, f"/feature-maps/{stage}")
    assert response.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(response.content)).format == "PNG"


def test_the_picture_of_a_stage_is_its_sheet_enlarged_over_a_legend(client, cat_photo):
    shown = np.asarray(Image.open(io.BytesIO(post(client, cat_photo, "/feature-maps/block5_relu").content)))
    sheet = picture(stage_of(client, cat_photo, "block5_relu")["sheet"]["picture"])
    times = shown.shape[1] // sheet.shape[1]
    assert times > 1
    enlarged = sheet.repeat(times, axis=0).repeat(times, axis=1)
    assert np.array_equal(shown[: len(enlarged), : enlarged.shape[1]], enlarged)
    assert len(shown) > len(enlarged), "the legend"


@pytest.mark.parametrize("stage", ["block9_conv", "image"])
def test_404_for_the_picture_of_an_unknown_stage(client, cat_photo, stage):
    refused(post(client, cat_photo, f"/feature-maps/{stage}"), 404, f"no stage '{stage}'; its stages are block1_conv")


def test_one_filter_is_a_smaller_picture_than_all_of_them(client):
    every, one = (client.get("/models/tutorial/kernels/block2_conv", params=query) for query in ({}, {"channel": 31}))
    assert one.headers["content-type"] == "image/png"
    sizes = [Image.open(io.BytesIO(response.content)).size for response in (every, one)]
    assert sizes[1][0] < sizes[0][0]
    assert sizes[1][1] < sizes[0][1]


@pytest.mark.parametrize(
    ("stage", "across", "channel"), [("block1_conv", 3, 7), ("block2_conv", 4, 0), ("block2_conv", 4, 31)]
)
def test_a_filter_alone_is_drawn_a_square_an_input_on_a_scale_of_its_own(client, model_dir, stage, across, channel):
    """3 inputs lie side by side, 16 in four rows of four; the filter's largest weight ends the scale."""
    response = client.get(f"/models/tutorial/kernels/{stage}", params={"channel": channel})
    shown = np.asarray(Image.open(io.BytesIO(response.content)), int)
    weights = OnnxNetwork(load(model_dir / "tutorial")).kernel(stage)[:, :, :, channel].astype(float)
    cell, square = 14, 3 * 14 + 7
    for row, column, source in np.ndindex(weights.shape):
        y, x = source // across * square + row * cell, source % across * square + column * cell
        pixels = shown[y : y + cell, x : x + cell].reshape(-1, 3)
        step = np.abs(DIVERGING.astype(int) - pixels[0]).sum(axis=1).argmin()
        assert (pixels == pixels[0]).all()
        place = weights[row, column, source] / np.abs(weights).max()
        assert (step - 127) / 127 == pytest.approx(place, abs=2 / 127), "as far as colours differ"


@pytest.mark.parametrize("channel", [16, -1])
def test_422_for_a_filter_that_is_not_there_says_which_are(client, channel):
    response = client.get("/models/tutorial/kernels/block1_conv", params={"channel": channel})
    refused(response, 422, f"no channel {channel}; its channels are 0 to 15")


def box(window: dict, row: int, column: int) -> dict:
    """What `window` says that unit (row, column) sees."""
    top, left = (window["offset"][a] + (row, column)[a] * window["step"][a] for a in range(2))
    return {"top": top, "left": left, "bottom": top + window["size"][0], "right": left + window["size"][1]}


@pytest.mark.parametrize(("network", "stage"), [(n, s) for n, s in STAGES if s != "flatten"])  # whose numbers see one each
def test_the_windows_of_a_stage_are_those_of_its_units(client, cat_photo, network, stage):
    known = next(s for s in client.get(f"/models/{network}").json()["stages"] if s["name"] == stage)
    for row, column, channel in places(tuple(known["shape"])):
        found = unit(client, cat_photo, stage, row, column, channel, network=network)
        assert found["window"] == box(known["window"], row, column)


@pytest.mark.parametrize(("network", "stage"), [(n, s) for n, s in STAGES if s != "flatten"])
def test_the_receptive_fields_of_a_stage_are_those_of_its_units_within_the_photo(client, cat_photo, network, stage):
    known = next(s for s in client.get(f"/models/{network}").json()["stages"] if s["name"] == stage)
    for row, column, channel in places(tuple(known["shape"])):
        whole = box(known["receptive_field"], row, column)
        inside = {side: min(100, max(0, cell)) for side, cell in whole.items()}
        assert unit(client, cat_photo, stage, row, column, channel, network=network)["receptive_field"] == inside


def test_what_a_stage_sees_is_told_in_rows_and_columns(client):
    stages = {stage["name"]: stage for stage in client.get("/models/tutorial").json()["stages"]}
    assert stages["block2_conv"]["window"] == {"size": [3, 3], "step": [1, 1], "offset": [-1, -1]}
    assert stages["block2_conv"]["receptive_field"] == {"size": [8, 8], "step": [2, 2], "offset": [-3, -3]}
    assert stages["dense"]["receptive_field"]["step"] == [0, 0]
