"""Existing clients send requests to a running service; run by tests/test_clients.py in an environment of their own.

python real_clients.py hub|triton|kserve URL PHOTO.png EXPECTED.npz
"""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import numpy as np


def raised(kind: type, ask: Callable[[], object]) -> Any:
    """The error that asking raises. (There is no pytest in this environment.)"""
    try:
        ask()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def hub(url: str, photo: str, expected: dict[str, np.ndarray]) -> None:
    """Hugging Face's InferenceClient classifies a photo: a path, its bytes, the likelier label alone, and junk."""
    from huggingface_hub import InferenceClient
    from huggingface_hub.errors import HfHubHTTPError

    client = InferenceClient(model=f"{url}/classify")
    with open(photo, "rb") as file:
        data = file.read()
    scores = {"cat": expected["scores"][0], "not_cat": expected["scores"][1]}
    for photo_input in (photo, data):
        labels = client.image_classification(photo_input)
        assert {one.label: one.score for one in labels} == scores
        assert labels[0].score >= labels[1].score
    (one,) = client.image_classification(data, top_k=1)
    assert one.score == max(scores.values())
    assert raised(HfHubHTTPError, lambda: client.image_classification(b"junk")).response.status_code == 415


def triton(url: str, photo: str, expected: dict[str, np.ndarray]) -> None:
    """Triton's HTTP client reads metadata and any stage, in binary and in JSON, and reports errors."""
    import tritonclient.http as client
    from tritonclient.utils import InferenceServerException

    tensor = expected["tensor"]
    with client.InferenceServerClient(url.removeprefix("http://")) as asking:
        assert asking.is_server_live()
        assert asking.is_server_ready()
        assert asking.is_model_ready("tutorial")
        assert not asking.is_model_ready("lion")
        assert asking.get_server_metadata()["name"] == "catscope"
        (image_input,) = asking.get_model_metadata("tutorial")["inputs"]
        for binary in (True, False):
            image = client.InferInput(image_input["name"], list(tensor.shape), image_input["datatype"])
            image.set_data_from_numpy(tensor, binary_data=binary)
            names = ("block1_relu", "probabilities")
            requested = [client.InferRequestedOutput(name, binary_data=binary) for name in names]
            answer = asking.infer("tutorial", [image], outputs=requested, request_id="seven")
            for name in names:
                assert np.array_equal(answer.as_numpy(name)[0], expected[name]), name
            assert answer.get_response()["id"] == "seven"
        assert np.array_equal(asking.infer("tutorial", [image]).as_numpy("probabilities")[0], expected["probabilities"])
        missing = [client.InferRequestedOutput("block9")]
        error = raised(InferenceServerException, lambda: asking.infer("tutorial", [image], outputs=missing))
        assert error.message().startswith("Network tutorial has no stage block9"), error.message()


def kserve(url: str, photo: str, expected: dict[str, np.ndarray]) -> None:
    """KServe's REST client reads the same, in binary and in JSON."""
    from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

    tensor = expected["tensor"]

    async def ask() -> None:
        asking = InferenceRESTClient(RESTConfig(protocol="v2", timeout=30))
        assert await asking.is_server_live(url)
        assert await asking.is_server_ready(url)
        assert await asking.is_model_ready(url, "tutorial")
        for binary in (True, False):
            image = InferInput("image", list(tensor.shape), "FP32")
            image.set_data_from_numpy(tensor, binary_data=binary)
            request = InferRequest(model_name="tutorial", infer_inputs=[image])
            answer = await asking.infer(url, request, model_name="tutorial")
            outputs = {output.name: output.as_numpy() for output in answer.outputs}
            for name in ("block1_relu", "probabilities"):
                assert np.array_equal(outputs[name][0], expected[name]), name
        await asking.close()

    asyncio.run(ask())


if __name__ == "__main__":
    client_name, address, path, numbers = sys.argv[1:]
    with np.load(numbers) as arrays:
        {"hub": hub, "triton": triton, "kserve": kserve}[client_name](address, path, dict(arrays))
