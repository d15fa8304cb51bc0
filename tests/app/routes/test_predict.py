"""POST /predict and POST /feature-maps, with real bytes against the real application."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from app.inference.drawing.colours import DIVERGING, SEQUENTIAL
from app.inference.networks.contract import load
from tests.conftest import encoded, ready_client, sha256


def post(client, data: bytes, path: str = "/predict", **query):
    return client.post(path, params=query, files={"file": ("photo.png", data, "image/png")})


def picture(uri: str) -> Image.Image:
    head, _, body = uri.partition(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(body)))


def test_probabilities_are_of_both_classes_and_sum_to_one(client, cat_photo):
    answer = post(client, cat_photo).json()
    assert set(answer["probabilities"]) == {"cat", "not_cat"}
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-6)
    assert answer["label"] == max(answer["probabilities"], key=answer["probabilities"].get)


@pytest.mark.promise("P60")
def test_the_photo_is_described_by_its_own_bytes(client, cat_photo, described):
    assert post(client, cat_photo).json()["image"] == described


def test_a_photo_on_its_side_is_described_upright(client, cat_image):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = post(client, encoded(cat_image, "JPEG", exif=exif)).json()["image"]
    assert (image["width"], image["height"]) == (300, 451)


@pytest.mark.promise("P60")
def test_the_network_is_described_by_its_contract(client, model_dir, cat_photo):
    contract = load(model_dir / "dense")
    assert post(client, cat_photo, network="dense").json()["model"] == {
        "network": "dense",
        "version": "0.0.1",
        "precision": "float32",
        "sha256": contract.files["model.onnx"],
        "input_shape": [100, 100, 3],
    }


def test_without_a_cat_network_tutorial_answers(client, cat_photo):
    assert post(client, cat_photo).json()["model"]["network"] == "tutorial"


def test_the_settings_choose_another_default(model_dir, cat_photo):
    with ready_client(model_dir, network="dense") as client:
        assert post(client, cat_photo).json()["model"]["network"] == "dense"


def test_every_stage_is_answered_in_order_with_its_shape(client, model_dir, cat_photo):
    stages = load(model_dir / "tutorial").stages
    maps = post(client, cat_photo).json()["feature_maps"]
    assert [(m["stage"], m["kind"], tuple(m["shape"])) for m in maps] == [(s.name, s.kind, s.shape) for s in stages]


@pytest.mark.parametrize("network", ["tutorial", "dense"])
def test_the_numbers_of_a_stage_are_those_of_its_raw_array(client, cat_photo, network):
    arrays = np.load(io.BytesIO(post(client, cat_photo, "/feature-maps", network=network).content))
    for stage in post(client, cat_photo, network=network, channels=64).json()["feature_maps"]:
        values = arrays[stage["stage"]]
        assert list(values.shape) == stage["shape"]
        assert stage["min"] == pytest.approx(float(values.min()), abs=1e-5)
        assert stage["max"] == pytest.approx(float(values.max()), abs=1e-5)
        assert stage["mean"] == pytest.approx(float(values.mean()), rel=1e-3, abs=1e-5)
        assert stage["active"] == pytest.approx(float((values > 0).mean()))
        planes = values if values.ndim == 3 else values.reshape(1, 1, -1)
        strengths = [np.abs(planes[:, :, channel["index"]]).mean() for channel in stage["channels"]]
        assert strengths == sorted(strengths, reverse=True)
        assert strengths[0] == pytest.approx(np.abs(planes).mean(axis=(0, 1)).max(), rel=1e-5)
        assert stage["channels"][0]["peak"] == pytest.approx(
            float(planes[:, :, stage["channels"][0]["index"]].max()), abs=1e-5
        )


def test_a_thumbnail_shows_the_raw_values_on_the_stages_one_scale(client, cat_photo):
    arrays = np.load(io.BytesIO(post(client, cat_photo, "/feature-maps", stages="block2_relu").content))
    stage = post(client, cat_photo, stages="block2_relu").json()["feature_maps"][0]
    for channel in stage["channels"]:
        image = picture(channel["thumbnail"])
        colours = np.asarray(image.convert("RGB"), int)
        shown = np.abs(colours[:, :, None] - SEQUENTIAL.astype(int)).sum(axis=3).argmin(axis=2) / 254 * stage["max"]
        values = arrays["block2_relu"][:, :, channel["index"]]
        assert image.size == (25, 25)
        assert np.abs(shown - values).max() <= stage["max"] / 127, "a colour is at most two steps away from its value"


def test_small_thumbnails_carry_only_the_colours_that_occur_in_their_stage(client, cat_photo):
    stage = post(client, cat_photo, stages="block5_relu").json()["feature_maps"][0]
    images = [picture(channel["thumbnail"]) for channel in stage["channels"]]
    assert {image.size for image in images} == {(3, 3)}
    shown = {colour for image in images for _, colour in image.convert("RGB").getcolors()}
    for image in images:
        assert set(image.palette.colors) == shown


def test_zero_has_a_colour_of_its_own_where_values_have_both_signs(client, cat_photo):
    stage = post(client, cat_photo, stages="block1_conv").json()["feature_maps"][0]
    assert stage["min"] < 0
    pixels = np.asarray(picture(stage["channels"][0]["thumbnail"]).convert("RGB")).reshape(-1, 3)
    assert {tuple(pixel) for pixel in pixels} <= {tuple(colour) for colour in DIVERGING}
    assert DIVERGING[127].tolist() == [247, 247, 247]
    assert DIVERGING[0][2] > DIVERGING[0][0], "blue below zero"
    assert DIVERGING[254][0] > DIVERGING[254][2], "brown above"


def test_a_summary_has_numbers_and_no_thumbnails(client, cat_photo):
    maps = post(client, cat_photo, feature_maps="summary").json()["feature_maps"]
    assert len(maps) == 20
    assert all("thumbnail" not in channel for m in maps for channel in m["channels"])


def test_none_has_no_feature_maps(client, cat_photo):
    assert post(client, cat_photo, feature_maps="none").json()["feature_maps"] == []


@pytest.mark.parametrize("channels", [1, 7, 64])
def test_as_many_channels_are_shown_as_were_asked_for_or_exist(client, cat_photo, channels):
    for stage in post(client, cat_photo, feature_maps="summary", channels=channels).json()["feature_maps"]:
        assert len(stage["channels"]) == min(channels, stage["shape"][-1])


def test_only_the_stages_asked_for_are_answered_once_and_in_order(client, cat_photo):
    answer = post(client, cat_photo, stages=["flatten", "block1_relu", "flatten"]).json()
    assert [m["stage"] for m in answer["feature_maps"]] == ["block1_relu", "flatten"]


def test_thumbnails_of_all_stages_stay_under_300_kb(client, cat_photo):
    assert len(post(client, cat_photo).content) < 300_000


def test_the_heatmap_has_the_photos_aspect_ratio_and_is_translucent(client, cat_photo):
    answer = post(client, cat_photo, heatmap=True, feature_maps="none").json()
    image = picture(answer["heatmap"])
    assert image.size == (320, round(320 * 300 / 451))
    alpha = np.asarray(image.convert("RGBA"))[..., 3]
    assert 0 < alpha.min() < alpha.max() <= 0.75 * 255


@pytest.mark.parametrize("name", ["cat", "not_cat"])
def test_the_heatmap_is_of_the_class_that_is_asked_for(client, cat_photo, name):
    answer = post(client, cat_photo, feature_maps="none", heatmap_class=name).json()
    assert answer["heatmap_class"] == name
    assert answer["heatmap"] is not None


def test_the_heatmaps_of_two_classes_differ(client, cat_photo):
    one, other = (post(client, cat_photo, heatmap_class=name).json()["heatmap"] for name in ("cat", "not_cat"))
    assert one != other


def test_an_unknown_class_has_no_heatmap_and_the_known_ones_are_named(client, cat_photo):
    response = post(client, cat_photo, heatmap_class="dog")
    assert response.status_code == 422
    assert "cat, not_cat" in response.json()["detail"]


def test_there_is_no_heatmap_unless_it_is_asked_for(client, cat_photo):
    assert post(client, cat_photo, feature_maps="none").json()["heatmap"] is None


def test_raw_arrays_are_float32_of_the_pass_that_gave_the_probability(client, cat_photo):
    response = post(client, cat_photo, "/feature-maps")
    arrays = np.load(io.BytesIO(response.content))
    assert response.headers["content-type"] == "application/x-npz"
    assert {array.dtype for array in arrays.values()} == {np.dtype("float32")}
    assert float(response.headers["x-probability-cat"]) == float(arrays["probabilities"][0])
    answer = post(client, cat_photo).json()
    assert answer["probabilities"]["cat"] == float(response.headers["x-probability-cat"])


def test_raw_arrays_of_only_the_stages_asked_for(client, cat_photo):
    arrays = np.load(io.BytesIO(post(client, cat_photo, "/feature-maps", stages=["dense", "block5_relu"]).content))
    assert {name: arrays[name].shape for name in arrays} == {"dense": (128,), "block5_relu": (3, 3, 192)}


@pytest.mark.promise("P59")
def test_the_same_photo_always_gets_the_same_answer(client, cat_photo):
    answers = [post(client, cat_photo).json() | {"timings_ms": None} for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.promise("P58")
@pytest.mark.parametrize("network", ["tutorial", "dense"])
def test_the_keras_engine_gives_the_same_answers(client, model_dir, cat_photo, network):
    with ready_client(model_dir, engine="keras") as keras_client:
        ours, theirs = (post(c, cat_photo, network=network).json() for c in (client, keras_client))
    assert theirs["probabilities"] == pytest.approx(ours["probabilities"], abs=1e-5)
    for mine, other in zip(ours["feature_maps"], theirs["feature_maps"], strict=True):
        assert mine["stage"] == other["stage"]
        assert mine["mean"] == pytest.approx(other["mean"], rel=1e-3, abs=1e-4)
        assert mine["channels"][0]["index"] == other["channels"][0]["index"]
    assert theirs["model"]["sha256"] == sha256((model_dir / network / "model.keras").read_bytes())


def test_an_animation_is_distinguished_from_a_still_picture(client, cat_image):
    frames = [cat_image.convert("P"), cat_image.rotate(90).convert("P")]
    moving = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert post(client, moving, feature_maps="none").json()["image"]["animated"] is True
    assert post(client, encoded(frames[0], "GIF"), feature_maps="none").json()["image"]["animated"] is False


def test_the_heatmaps_peak_is_answered_with_it(client, cat_photo):
    assert post(client, cat_photo, feature_maps="none", heatmap=True).json()["heatmap_peak"] > 0
    assert post(client, cat_photo, feature_maps="none").json()["heatmap_peak"] is None
