"""The peers, one entry each: how to start it, what to send it and how to read its answer."""

import base64
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.clients import FORM, form

VARIANTS = ("documented", "ours")
CORES = len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Peer:
    """One server.

    `command` is run from its virtual environment, with {port} for the port and `environment` set, `besides` it for a
    variant. `python` makes that environment, if it is there, instead of the Python that runs this. A photo is sent to
    `path` as `body` makes it, of `content_type`, with `headers`; `cat` reads the probability of a cat from the answer's
    JSON. `package` is the one whose version is the peer's. `pausable` says whether its processes can be paused.
    """

    name: str
    title: str
    package: str
    command: tuple[str, ...]
    path: str = "/predict"
    variants: tuple[str, ...] = VARIANTS
    environment: Mapping[str, str] = field(default_factory=dict)
    besides: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    body: Callable[[bytes], bytes] = form
    content_type: str = FORM
    headers: Mapping[str, str] = field(default_factory=dict)
    cat: Callable[[Any], float] = lambda answer: float(answer["cat"])
    requirements: str = ""
    python: str = ""
    pausable: bool = True


def _as_it_is(data: bytes) -> bytes:
    return data


def _base64_tensor(data: bytes) -> bytes:
    """A photo in the V2 protocol's JSON."""
    text = base64.b64encode(data).decode()
    tensor = {
        "name": "image",
        "shape": [1, 1],
        "datatype": "BYTES",
        "parameters": {"content_type": "base64"},
        "data": [text],
    }
    return json.dumps({"inputs": [tensor]}).encode()


_HEADER_BYTES = 256


def _binary_tensor(data: bytes) -> bytes:
    """A photo in the V2 protocol's binary form: JSON padded to a fixed length, then the number of bytes, then the bytes."""
    size = {"binary_data_size": 4 + len(data)}
    tensor = {"name": "image", "shape": [1, 1], "datatype": "BYTES", "parameters": size}
    head = json.dumps({"inputs": [tensor]}).encode().ljust(_HEADER_BYTES)
    return head + len(data).to_bytes(4, "little") + data


def _first_output(answer: dict) -> float:
    return float(answer["outputs"][0]["data"][0])


_MLSERVER = {
    "MLSERVER_HOST": "127.0.0.1",
    "MLSERVER_HTTP_PORT": "{port}",
    "MLSERVER_GRPC_PORT": "{spare}",
    "MLSERVER_METRICS_ENDPOINT": "",
    "MLSERVER_DEBUG": "false",
    "MLSERVER_PARALLEL_WORKERS": str(CORES),  # its documentation: one for each core
    "MLSERVER_MODEL_NAME": "cat",
    "MLSERVER_MODEL_IMPLEMENTATION": "benchmarks.peers.mlserver.Cat",
}

OURS = Peer(
    name="catscope",
    title="Catscope",
    package="fastapi",
    command=("python", "-m", "app"),
    path="/predict?feature_maps=none",
    variants=("ours",),
    environment={"CATSCOPE_PORT": "{port}", "CATSCOPE_LOG_LEVEL": "error"},
    cat=lambda answer: float(answer["probabilities"]["cat"]),
    requirements="requirements/serve.txt",
)

PEERS = {
    peer.name: peer
    for peer in (
        Peer(
            name="fastapi_keras",
            title="FastAPI + model.predict",
            package="keras",
            command=("uvicorn", "benchmarks.peers.fastapi_keras:app", "--port", "{port}", "--log-level", "warning"),
            variants=("documented",),
        ),
        Peer(name="litserve", title="LitServe", package="litserve", command=("python", "-m", "benchmarks.peers.litserve")),
        Peer(
            name="bentoml",
            title="BentoML",
            package="bentoml",
            command=("bentoml", "serve", "benchmarks.peers.bentoml:Cat", "--host", "127.0.0.1", "--port", "{port}"),
            environment={"BENTOML_DO_NOT_TRACK": "True"},
            body=lambda data: form(data, "images"),
            cat=lambda answer: float(answer[0]["cat"] if isinstance(answer, list) else answer["cat"]),
        ),
        Peer(
            name="ray_serve",
            title="Ray Serve",
            package="ray",
            command=("python", "-m", "benchmarks.peers.ray_serve"),
            environment={"RAY_USAGE_STATS_ENABLED": "0"},
            besides={"ours": {"RAY_SERVE_ENABLE_HA_PROXY": "1"}},
            body=_as_it_is,  # a request's body is at hand without parsing a form
            content_type="image/jpeg",
        ),
        Peer(
            name="mlserver",
            title="MLServer",
            package="mlserver",
            command=("mlserver", "start", "benchmarks/peers/requirements"),  # no model-settings.json lies there
            path="/v2/models/cat/infer",
            environment=_MLSERVER,
            besides={"documented": {"MLSERVER_MODEL_MAX_BATCH_SIZE": "8", "MLSERVER_MODEL_MAX_BATCH_TIME": "0.01"}},
            body=_base64_tensor,
            content_type="application/json",
            cat=_first_output,
        ),
        Peer(
            name="pytriton",
            title="PyTriton",
            package="nvidia-pytriton",
            command=("python", "-m", "benchmarks.peers.pytriton"),
            # Triton brings an early Python 3.11, which fails on the standard library of 3.11.7; Debian 12 has 3.11.2
            python="/usr/bin/python3",
            pausable=False,  # its watchdogs take a pause for a crash and kill it
            path="/v2/models/cat/infer",
            body=_binary_tensor,
            content_type="application/octet-stream",
            headers={"Inference-Header-Content-Length": str(_HEADER_BYTES)},
            cat=_first_output,
        ),
    )
}


def requirements(peer: Peer) -> Path:
    """The file that a peer's environment is installed from."""
    return Path(peer.requirements or f"benchmarks/peers/requirements/{peer.name}.txt")
