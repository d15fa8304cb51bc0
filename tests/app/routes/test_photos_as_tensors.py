"""/v2 with photos as files, as OpenVINO Model Server and Triton's ensembles take them."""

import base64
import json
import struct

import numpy as np
import pytest

from app.schemas.tensors import HEADER_LENGTH, MAX_PHOTOS
from tests.app.routes.test_open_inference import arrays
from tests.conftest import encoded

OUTPUTS = [{"name": "probabilities"}, {"name": "block1_conv"}]


def body(data: list | None, shape: list[int], **more: object) -> dict:
    tensor = {"name": "photo", "datatype": "BYTES", "shape": shape} | more
    return {"inputs": [tensor | ({} if data is None else {"data": data})], "outputs": OUTPUTS}


def ask(client, plain: dict, behind: bytes | None = None):
    if behind is None:
        return client.post("/v2/models/tutorial/infer", json=plain)
    head = json.dumps(plain).encode()
    headers = {HEADER_LENGTH: str(len(head))}
    return client.post("/v2/models/tutorial/infer", content=head + behind, headers=headers)


@pytest.fixture
def files(cat_photo, cat_image) -> list[bytes]:
    return [cat_photo, encoded(cat_image.rotate(90, expand=True), "JPEG")]


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def behind(files: list[bytes]) -> bytes:
    return b"".join(struct.pack("<I", len(file)) + file for file in files)


@pytest.mark.parametrize("column", [False, True])
@pytest.mark.parametrize("binary", [False, True])
def test_photos_are_answered_as_predict_answers_them(client, files, column, binary):
    shape = [2, 1] if column else [2]
    if binary:
        after = behind(files)
        answer = ask(client, body(None, shape, parameters={"binary_data_size": len(after)}), after)
    else:
        texts = [text(file) for file in files]
        answer = ask(client, body([[one] for one in texts] if column else texts, shape))
    outputs = arrays(answer)
    for number, file in enumerate(files):
        whole = client.post("/predict?network=tutorial&feature_maps=none", files={"file": file}).json()
        assert outputs["probabilities"][number].tolist() == pytest.approx(list(whole["probabilities"].values()))
    assert outputs["block1_conv"].shape[0] == 2
    assert not np.array_equal(outputs["block1_conv"][0], outputs["block1_conv"][1])


@pytest.mark.parametrize(
    ("data", "shape", "message"),
    [
        (["AAAA"], [2], "holds 1 photos, not the 2"),
        (["%%%"], [1], "is not base64"),
        ([1.0], [1], "a list of photos in base64"),
        (None, [1], "a list of photos in base64"),
        (["AAAA"], [0], "accepted is photo, BYTES, [n]"),
        (["AAAA"], [1, 2], "accepted is photo, BYTES, [n]"),
        (["AAAA"], [], "accepted is photo, BYTES, [n]"),
        (["AAAA"] * (MAX_PHOTOS + 1), [MAX_PHOTOS + 1], f"n from 1 to {MAX_PHOTOS}"),
    ],
)
def test_a_tensor_that_is_no_list_of_photos_is_refused(client, data, shape, message):
    answer = ask(client, body(data, shape))
    assert (answer.status_code, message in answer.json()["error"]) == (422, True)


@pytest.mark.parametrize(
    ("after", "announced", "message"),
    [
        (b"\x04\x00\x00\x00ab", 6, "ends early"),
        (b"\x04\x00", 2, "ends early"),
        (b"\x02\x00\x00\x00ab", 7, "are not the 7 announced"),
        (b"\x00\x00\x00\x00" * 100_000, 400_000, "not the 1 of its shape"),
    ],
)
def test_lengths_that_do_not_fit_are_refused(client, after, announced, message):
    answer = ask(client, body(None, [1], parameters={"binary_data_size": announced}), after)
    assert (answer.status_code, message in answer.json()["error"]) == (422, True)


def test_a_file_that_is_no_photo_is_refused_as_everywhere(client, cat_photo):
    assert ask(client, body([text(b"no photo at all")], [1])).status_code == 415
    assert ask(client, body([text(cat_photo[:5000])], [1])).status_code == 422
