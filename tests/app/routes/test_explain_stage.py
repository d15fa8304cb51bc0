"""POST /explain/stage and /feature-maps/{stage}, and the kernels and windows of /models, over HTTP."""

import base64
import io
import math

import numpy as np
import pytest
from PIL import Image

from app.inference.drawing.colours import DIVERGING
from app.inference.networks.contract import load
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from tests.app.explaining import STAGES, picture, planes, post, refused, sample_positions, stage_of, unit
from tests.conftest import encoded


def test_the_input_is_shown_as_the_picture_that_the_network_gets(client, cat_photo, cat_image):
    answer = stage_of(client, cat_photo, "image")
    photo = np.asarray(cat_image.resize((100, 100), Image.Resampling.BILINEAR))
    assert answer["shape"] == [100, 100, 3]
    assert np.array_equal(picture(answer["picture"]), photo)


def test_only_the_input_is_shown_as_a_picture(client, cat_photo):
    assert stage_of(client, cat_photo, "block1_conv")["picture"] is None


def test_the_values_of_the_input_are_a_colour_of_the_photo(client, cat_photo, cat_image):
    plane = stage_of(client, cat_photo, "image", channel=2)["plane"]
    blue = np.asarray(cat_image.resize((100, 100), Image.Resampling.BILINEAR))[:, :, 2]
    assert np.array_equal(np.frombuffer(base64.b64decode(plane["values"]), "<f4").reshape(100, 100), blue)


def test_the_channels_of_the_input_are_drawn_red_green_and_blue(client, cat_photo):
    for channel in range(3):
        answer = stage_of(client, cat_photo, "image", channel=channel)
        drawn = picture(answer["plane"]["picture"]).astype(int)
        assert drawn.argmax(axis=2)[drawn.sum(axis=2) > 60].tolist() == [channel] * int((drawn.sum(axis=2) > 60).sum())
        assert answer["scale"] == {"bottom": 0.0, "top": 255.0}
    cell, gap = answer["sheet"]["cell"][1], answer["sheet"]["gap"]
    sheet = picture(answer["sheet"]["picture"]).astype(int)
    brightest = [sheet[:-gap, i * (cell + gap) : i * (cell + gap) + cell].sum(axis=(0, 1)).argmax() for i in range(3)]
    assert brightest == [0, 1, 2]


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
def test_every_channel_is_summarised_in_order(client, cat_photo, computed, network, stage):
    values = planes(computed[network][stage])
    answer = stage_of(client, cat_photo, stage, network=network)
    assert answer["shape"] == list(computed[network][stage].shape)
    assert [channel["peak"] for channel in answer["channels"]] == values.max(axis=(0, 1)).astype(float).tolist()
    means = values.astype(np.float64).mean(axis=(0, 1))
    assert [channel["mean"] for channel in answer["channels"]] == pytest.approx(means.tolist(), rel=1e-4, abs=1e-4)


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
    answer = stage_of(client, cat_photo, stage, network=network)
    sheet = answer["sheet"]
    height, width = sheet["cell"]
    rows = math.ceil(len(answer["channels"]) / sheet["columns"])
    shown = picture(sheet["picture"])
    assert shown.shape[:2] == (rows * (height + sheet["gap"]), sheet["columns"] * (width + sheet["gap"]))


SMALL = ["block1_conv", "block2_pool", "block3_relu", "block5_conv", "block5_relu", "flatten", "dense", "probabilities"]


@pytest.mark.parametrize("stage", [*SMALL, "image"])
def test_a_channels_cell_of_the_sheet_shows_what_its_own_picture_shows(client, cat_photo, stage):
    answer = stage_of(client, cat_photo, stage)
    sheet, count = answer["sheet"], len(answer["channels"])
    shown, (height, width) = picture(sheet["picture"]), sheet["cell"]
    for channel in {0, 1, count // 2, count - 1}:
        top = channel // sheet["columns"] * (height + sheet["gap"])
        left = channel % sheet["columns"] * (width + sheet["gap"])
        own = picture(stage_of(client, cat_photo, stage, channel=channel)["plane"]["picture"])
        assert np.array_equal(shown[top : top + height, left : left + width], own), channel


@pytest.mark.parametrize("stage", SMALL)
def test_between_the_channels_and_behind_the_last_one_the_sheet_is_white(client, cat_photo, stage):
    answer = stage_of(client, cat_photo, stage)
    sheet, (height, width) = answer["sheet"], answer["sheet"]["cell"]
    shown = picture(sheet["picture"])
    paper = np.ones(shown.shape[:2], bool)
    for channel in range(len(answer["channels"])):
        top, left = channel // sheet["columns"] * (height + 1), channel % sheet["columns"] * (width + 1)
        paper[top : top + height, left : left + width] = False
    assert (shown[paper] == 255).all()


def test_a_channels_picture_shows_its_values_with_zero_in_the_middle_of_the_scale(client, cat_photo, computed):
    answer = stage_of(client, cat_photo, "block2_conv", channel=6)
    values = computed["tutorial"]["block2_conv"][:, :, 6].astype(float)
    colours = picture(answer["plane"]["picture"]).astype(int)
    steps = np.abs(colours[:, :, np.newaxis] - DIVERGING.astype(int)).sum(axis=3).argmin(axis=2)  # 0 to 254, zero at 127
    assert colours.shape == (50, 50, 3)
    assert np.abs((steps - 127) / 127 * answer["scale"]["top"] - values).max() <= answer["scale"]["top"] / 127 * 2


def test_an_entirely_black_photo_is_drawn_although_its_scale_has_no_extent(client):
    black = encoded(Image.new("RGB", (8, 8)), "PNG")
    assert stage_of(client, black, "flatten", network="dense")["scale"] == {"bottom": 0, "top": 1}


def test_a_stage_is_answered_with_its_photo_and_its_network(client, cat_photo):
    answer = post(client, cat_photo, "/explain/stage", stage="scores").json()
    predicted = post(client, cat_photo, "/predict", stages="scores").json()
    assert (answer["image"], answer["model"]) == (predicted["image"], predicted["model"])


@pytest.mark.parametrize("stage", ["block1_conv", "block5_relu", "flatten", "probabilities"])
def test_a_stage_can_be_fetched_as_a_picture(client, cat_photo, stage):
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
def test_a_single_filter_is_drawn_one_square_per_input_on_its_own_scale(client, model_dir, stage, across, channel):
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
        fraction = weights[row, column, source] / np.abs(weights).max()
        assert (step - 127) / 127 == pytest.approx(fraction, abs=2 / 127), "as far as colours differ"


@pytest.mark.parametrize("channel", [16, -1])
def test_422_for_a_missing_filter_names_the_existing_ones(client, channel):
    response = client.get("/models/tutorial/kernels/block1_conv", params={"channel": channel})
    refused(response, 422, f"no channel {channel}; its channels are 0 to 15")


def box(window: dict, row: int, column: int) -> dict:
    """The box that unit (row, column) sees according to `window`."""
    top, left = (window["offset"][a] + (row, column)[a] * window["step"][a] for a in range(2))
    return {"top": top, "left": left, "bottom": top + window["size"][0], "right": left + window["size"][1]}


@pytest.mark.parametrize(("network", "stage"), [(n, s) for n, s in STAGES if s != "flatten"])  # each of its numbers sees one
def test_the_windows_of_a_stage_are_those_of_its_units(client, cat_photo, network, stage):
    description = next(s for s in client.get(f"/models/{network}").json()["stages"] if s["name"] == stage)
    for row, column, channel in sample_positions(tuple(description["shape"])):
        answer = unit(client, cat_photo, stage, row, column, channel, network=network)
        assert answer["window"] == box(description["window"], row, column)


@pytest.mark.parametrize(("network", "stage"), [(n, s) for n, s in STAGES if s != "flatten"])
def test_the_receptive_fields_of_a_stage_are_those_of_its_units_within_the_photo(client, cat_photo, network, stage):
    description = next(s for s in client.get(f"/models/{network}").json()["stages"] if s["name"] == stage)
    for row, column, channel in sample_positions(tuple(description["shape"])):
        whole = box(description["receptive_field"], row, column)
        inside = {side: min(100, max(0, cell)) for side, cell in whole.items()}
        assert unit(client, cat_photo, stage, row, column, channel, network=network)["receptive_field"] == inside


def test_what_a_stage_sees_is_given_in_rows_and_columns(client):
    stages = {stage["name"]: stage for stage in client.get("/models/tutorial").json()["stages"]}
    assert stages["block2_conv"]["window"] == {"size": [3, 3], "step": [1, 1], "offset": [-1, -1]}
    assert stages["block2_conv"]["receptive_field"] == {"size": [8, 8], "step": [2, 2], "offset": [-3, -3]}
    assert stages["dense"]["receptive_field"]["step"] == [0, 0]
