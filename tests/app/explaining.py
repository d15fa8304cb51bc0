"""What the tests of explanations share: requests, pictures, and positions of units."""

import base64
import io

import numpy as np
from PIL import Image

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


def picture(uri: str) -> np.ndarray:
    """A PNG data URI as (height, width, RGB)."""
    head, _, body = uri.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(body))).convert("RGB"))


def sample_positions(shape: tuple[int, ...], count: int = 4) -> list[tuple[int, int, int]]:
    """The first and the last unit of a stage, and some between them."""
    shape = shape if len(shape) == 3 else (1, 1, *shape)
    random = np.random.default_rng(4)
    between = [tuple(int(random.integers(size)) for size in shape) for _ in range(count)]
    return [(0, 0, 0), tuple(size - 1 for size in shape), *between]


def planes(values: np.ndarray) -> np.ndarray:
    return values if values.ndim == 3 else values.reshape(1, 1, -1)


def refused(response, status: int, *details: str) -> None:
    problem = response.json()
    assert response.status_code == problem["status"] == status, problem
    assert response.headers["content-type"] == "application/problem+json"
    for detail in details:
        assert detail in problem["detail"]
