"""POST /guises: the photo in twelve guises, and every network's answer to each."""

import base64
import io

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image, ImageOps

from app.inference.explain.guises import GUISES
from app.main import create_app
from app.settings import Settings
from tests.conftest import encoded, ready_client

NAMES = [
    "original",
    "black_and_white",
    "mirrored",
    "upside_down",
    "rotated_left",
    "rotated_right",
    "shifted",
    "zoomed_in",
    "zoomed_out",
    "dark",
    "blurred",
    "part_hidden",
]
NETWORKS = ("dense", "tutorial")


def post(client, data: bytes, path: str = "/guises", **query):
    return client.post(path, params=query, files={"file": ("photo.png", data, "image/png")})


@pytest.fixture(scope="module")
def answer(client, cat_photo) -> dict:
    response = post(client, cat_photo)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.fixture(scope="module")
def answers(client, answer) -> list[dict]:
    """The answers for the cat and for noise, to which untrained networks give sometimes one class, sometimes the other."""
    random = np.random.default_rng(6)
    noise = [Image.fromarray(random.integers(0, 256, (4, 4, 3), np.uint8)).resize((64, 48), 0) for _ in range(6)]
    return [answer, *(post(client, encoded(image, "PNG")).json() for image in noise)]


def probabilities(answer: dict, guise: str) -> dict[str, dict[str, float]]:
    networks = next(entry for entry in answer["guises"] if entry["guise"] == guise)["networks"]
    return {network: networks[network]["probabilities"] for network in networks}


def predicted(client, data: bytes) -> dict[str, dict[str, float]]:
    return {n: post(client, data, "/predict", network=n, feature_maps="none").json()["probabilities"] for n in NETWORKS}


def thumbnail(entry: dict) -> Image.Image:
    head, _, body = entry["thumbnail"].partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(body)))


def likelier(prediction: dict) -> str:
    return "cat" if prediction["probabilities"]["cat"] > prediction["probabilities"]["not_cat"] else "not_cat"


def test_the_photo_is_answered_in_all_guises_in_order(answer):
    assert [entry["guise"] for entry in answer["guises"]] == list(GUISES) == NAMES


def test_every_network_is_asked_about_every_guise(answer):
    assert {tuple(sorted(entry["networks"])) for entry in answer["guises"]} == {NETWORKS}


def test_the_original_gets_exactly_what_predict_answers(client, cat_photo, answer):
    assert probabilities(answer, "original") == predicted(client, cat_photo)


@pytest.mark.parametrize(
    ("guise", "disguised"),
    [
        ("mirrored", ImageOps.mirror),
        ("upside_down", ImageOps.flip),
        ("black_and_white", lambda image: image.convert("L").convert("RGB")),
        ("dark", lambda image: Image.fromarray(np.rint(np.asarray(image) * 0.35).astype(np.uint8))),
    ],
)
def test_a_guise_gets_exactly_what_predict_answers_to_a_photo_in_it(client, cat_image, answer, guise, disguised):
    assert probabilities(answer, guise) == predicted(client, encoded(disguised(cat_image), "PNG"))


def test_the_probabilities_of_every_guise_sum_to_one(answer):
    sums = [
        sum(prediction["probabilities"].values()) for entry in answer["guises"] for prediction in entry["networks"].values()
    ]
    assert sums == pytest.approx([1] * 24, abs=1e-6)


def test_the_label_is_the_likelier_class(answers):
    for answer in answers:
        for entry in answer["guises"]:
            assert {n: prediction["label"] for n, prediction in entry["networks"].items()} == {
                n: likelier(prediction) for n, prediction in entry["networks"].items()
            }


def test_the_verdict_is_that_of_each_networks_band(answers):
    """Both of these networks are unsure from 0.3 to 0.7."""
    for answer in answers:
        for prediction in (prediction for entry in answer["guises"] for prediction in entry["networks"].values()):
            cat = prediction["probabilities"]["cat"]
            assert prediction["verdict"] == ("unsure" if 0.3 <= cat <= 0.7 else "cat" if cat > 0.7 else "not_cat")


def test_same_says_whether_the_label_is_that_of_the_original(answers):
    seen = set()
    for answer in answers:
        first = answer["guises"][0]["networks"]
        for entry in answer["guises"]:
            for network, prediction in entry["networks"].items():
                assert prediction["same"] == (likelier(prediction) == likelier(first[network]))
                seen.add(prediction["same"])
    assert seen == {True, False}, "both occur among these photos"


def test_kept_counts_the_guises_with_the_originals_label_including_the_original(answers):
    for answer in answers:
        for network in NETWORKS:
            labels = [likelier(entry["networks"][network]) for entry in answer["guises"]]
            assert answer["kept"][network] == labels.count(labels[0])


def test_every_guise_has_a_small_picture(answer):
    for entry in answer["guises"]:
        picture = thumbnail(entry)
        picture.load()
        assert (picture.format, picture.mode) == ("JPEG", "RGB")
        assert max(picture.size) <= 120


def test_the_small_pictures_show_the_guises(cat_image, answer):
    """As closely as a JPEG of that size can: within 8 of 255 on average, while other guises are much farther away."""
    shown = {entry["guise"]: np.asarray(thumbnail(entry), float) for entry in answer["guises"]}
    small = np.asarray(cat_image.resize((120, 80), Image.Resampling.BOX), float)
    assert np.abs(shown["original"] - small).mean() < 8
    assert np.abs(shown["mirrored"] - small[:, ::-1]).mean() < 8
    assert np.abs(shown["upside_down"] - small[::-1]).mean() < 8
    assert np.abs(shown["mirrored"] - small).mean() > 16


def test_the_photo_is_described_by_its_own_bytes(described, answer):
    assert answer["image"] == described


def test_a_photo_that_is_smaller_than_a_small_picture_is_not_enlarged(client, cat_image):
    result = post(client, encoded(cat_image.resize((60, 40)), "PNG")).json()
    assert thumbnail(result["guises"][0]).size == (60, 40)


@pytest.fixture(scope="module")
def large(cat_image) -> bytes:
    return encoded(cat_image.resize((3000, 2000)), "JPEG")


def test_a_large_photos_original_gets_exactly_what_predict_answers(client, large):
    assert probabilities(post(client, large).json(), "original") == predicted(client, large)


def test_a_large_photos_guises_have_small_pictures_and_its_own_size(client, large):
    result = post(client, large).json()
    assert (result["image"]["width"], result["image"]["height"]) == (3000, 2000)
    assert {max(thumbnail(entry).size) for entry in result["guises"]} == {120}


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (5, 7)])
def test_a_photo_of_any_shape_has_guises(client, size):
    result = post(client, encoded(Image.new("RGB", size, "orange"), "PNG")).json()
    assert [entry["guise"] for entry in result["guises"]] == NAMES


def test_422_for_a_broken_photo(client, cat_photo):
    response = post(client, cat_photo[:5000])
    assert (response.status_code, response.headers["content-type"]) == (422, "application/problem+json")
    assert "broken" in response.json()["detail"]


def test_422_for_a_missing_photo(client):
    assert client.post("/guises").status_code == 422


def test_415_for_text(client):
    response = post(client, b"a line of text")
    assert (response.status_code, response.headers["content-type"]) == (415, "application/problem+json")


def test_413_for_too_many_pixels(model_dir, cat_photo):
    with ready_client(model_dir, max_pixels=135_299) as client:
        assert post(client, cat_photo).status_code == 413


def test_503_before_the_networks_are_loaded(model_dir, cat_photo):
    response = post(TestClient(create_app(Settings(model_dir=model_dir))), cat_photo)  # not entered: nothing was loaded
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert "being loaded" in response.json()["detail"]
