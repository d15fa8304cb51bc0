"""What a network saw, as a small file: it stands for the photo in every later question, and no number changes."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from app.inference.drawing import webp
from tests.conftest import encoded, sha256

NETWORKS = ("dense", "tutorial")


def post(client, data: bytes, path: str, **query):
    response = client.post(path, params=query, files={"file": ("photo", data)})
    assert response.status_code == 200, response.text
    return response


def file_of(uri: str) -> bytes:
    head, _, body = uri.partition(",")
    assert head == "data:image/webp;base64"
    return base64.b64decode(body)


@pytest.fixture(scope="module")
def large(cat_image) -> bytes:
    """A photo of 6 megapixels, turned by its EXIF, as phones write it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    noise = np.random.default_rng(1).normal(0, 12, (2000, 3000, 3))
    pixels = np.asarray(cat_image.resize((3000, 2000)), float) + noise
    return encoded(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)), "JPEG", quality=95, exif=exif)


@pytest.fixture(scope="module")
def lines(client, large) -> list[dict]:
    response = post(client, large, "/walk", network="tutorial")
    assert response.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in response.text.splitlines()]


def test_a_prediction_brings_the_input_only_if_asked(client, cat_photo):
    assert post(client, cat_photo, "/predict").json()["input"] is None
    file = file_of(post(client, cat_photo, "/predict", input=True).json()["input"])
    assert Image.open(io.BytesIO(file)).size == (100, 100)


@pytest.mark.parametrize("network", NETWORKS)
def test_every_number_of_the_input_is_the_photos_bit_for_bit(client, large, lines, network):
    small = file_of(lines[1]["inputs"][network])
    ours, theirs = (post(client, data, "/feature-maps", network=network).content for data in (small, large))
    ours, theirs = (np.load(io.BytesIO(content)) for content in (ours, theirs))
    assert set(ours) == set(theirs)
    for stage in theirs:
        assert ours[stage].tobytes() == theirs[stage].tobytes(), stage


def test_the_first_line_of_a_walk_is_the_prediction_of_the_photo(client, large, lines):
    alone = post(client, large, "/predict", network="tutorial", feature_maps="none", heatmap=True, input=True).json()
    assert lines[0] | {"timings_ms": 0} == alone | {"timings_ms": 0}
    assert lines[0]["image"]["sha256"] == sha256(large)
    assert (lines[0]["image"]["width"], lines[0]["image"]["height"]) == (2000, 3000)


def test_the_last_line_of_a_walk_is_the_guises_of_the_photo(client, large, lines):
    assert len(lines) == 3
    assert lines[2]["guises"] == post(client, large, "/guises").json()


def test_a_walk_of_a_file_that_is_no_photo_is_refused_with_a_status(client):
    assert client.post("/walk", files={"file": b"words"}).status_code == 415


@pytest.mark.parametrize("side", [100, 384])
def test_a_lossless_file_holds_exactly_its_pixels(side):
    noise = np.random.default_rng(side).integers(0, 256, (side, side, 3), np.uint8)
    assert (np.asarray(Image.open(io.BytesIO(webp.lossless(noise))).convert("RGB")) == noise).all()
