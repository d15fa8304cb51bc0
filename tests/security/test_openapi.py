"""Every operation of the OpenAPI document, asked as the document says and as it does not: schemathesis checks the answers.

Much of what it makes up is no photo and names no network, so most of it would be answered 404 or 415. In many of the cases
it is therefore given a real photo and names that there are. What is wrong on purpose stays wrong.

The cases are not the same in every run: Hypothesis draws constants from the modules that happen to be loaded.
"""

import base64
import contextlib
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hypothesis
import jsonschema_rs
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis.transport.serialization import Binary

from app.corrections.records import new_id
from app.errors import NotFound
from app.main import create_app
from app.schemas import classification, tensors
from app.settings import Settings
from app.teach.jobs import Jobs, write_json
from tests.app.corrections.kept import correction
from tests.conftest import ready_client, sha256
from tests.security.fuzz_upload import photos

KEY = "alpha"
REFUSED = ["413", "415", "422"]
"""What a request that fits the document may be answered as well: the document cannot tell a photo from other bytes, nor
which stages each network has.
"""

PHOTOS = [Binary(photo) for photo in photos().values()]
PIXELS = {"name": "image", "datatype": "FP32", "shape": [1, 100, 100, 3], "data": [127] * 30_000}
NETWORKS = ("tutorial", "dense")
PHOTO = photos()["png"]
YEAR_2100 = datetime(2100, 1, 1, tzinfo=UTC)
IDS = [new_id(YEAR_2100) for _ in range(60)]
"""Of corrections that are kept, all of them of PHOTO."""
JOBS = [f"{number:013x}-5f0c33aa" for number in range(3)]
"""Of jobs whose process has ended."""
TAUGHT = ("taught-1", "taught-2")
"""Networks of the store."""


def is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except ValueError:
        return False


INFER = jsonschema_rs.validator_for(tensors.REQUEST_BODY["requestBody"]["content"]["application/json"]["schema"])
CLASSIFY = jsonschema_rs.Draft202012Validator(
    classification.REQUEST_BODY["requestBody"]["content"]["application/json"]["schema"],
    validate_formats=True,
    formats={"byte": is_base64},
)
EDITS = ('[{"stage": "scores", "channel": 1, "mute": true}]', '[{"stage": "scores", "channel": 0, "bias": 3}]', "[]")
STAGES = ("block1_conv", "block1_pool", "block1_relu", "flatten", "probabilities")
_settings = {"derandomize": True, "deadline": None, "database": None, "suppress_health_check": list(hypothesis.HealthCheck)}


class Served:
    """Stands for the application while tests are collected; there are networks to serve only when they run."""

    def __init__(self) -> None:
        self.app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":  # the networks are loaded before, and schemathesis would end the lifespan at will
            await self.app(scope, receive, send)


def document(**settings: Any) -> schemathesis.BaseSchema:
    """The application's document, asked of `app`, with hooks that make many of the cases sensible."""
    accepted = {"positive_data_acceptance": {"expected-statuses": ["2xx", "401", "404", *REFUSED]}}
    any_part = {
        "negative_data_rejection": {
            "expected-statuses": ["200", "400", "401", "404", "405", "413", "415", "422", "429", "5xx"]
        }
    }
    config = schemathesis.Config.from_dict(
        {
            "seed": 1,
            "checks": accepted,
            # Whatever is put into a part of a form arrives as bytes, and a batch's answer says which of them are not photos.
            "operations": [
                {"include-path": "/predict/batch", "checks": any_part},
                # It is also a path like /corrections/{id}, of which DELETE says that there is no such correction.
                {"include-path": "/corrections/export", "checks": {"allow_header_conformance": {"enabled": False}}},
            ],
        }
    )
    schema_with_hooks = schemathesis.openapi.from_dict(create_app(Settings(**settings)).openapi(), config=config)
    schema_with_hooks.app = Served()
    schema_with_hooks.hook("flatmap_body")(with_photo)
    schema_with_hooks.hook("flatmap_query")(with_names)
    schema_with_hooks.hook("flatmap_path_parameters")(with_names)
    return schema_with_hooks


def with_photo(context: Any, body: Any) -> st.SearchStrategy:
    """The body as it is, or with photos or pixels in place of such bytes."""
    photo = st.sampled_from(PHOTOS)
    if isinstance(body, Binary):
        return photo | st.just(body)
    if not isinstance(body, dict):
        return st.just(body)
    if isinstance(body.get("file"), Binary):
        return photo.map(lambda photo_file: {**body, "file": photo_file}) | st.just(body)
    if isinstance(body.get("files"), list) and body["files"] and all(isinstance(file, Binary) for file in body["files"]):
        return photo.map(lambda photo_file: {**body, "files": [photo_file] * min(len(body["files"]), 3)}) | st.just(body)
    if context.operation.path == "/classify" and CLASSIFY.is_valid(body):
        return photo.map(lambda photo_file: {**body, "inputs": base64.b64encode(photo_file.data).decode()}) | st.just(body)
    if context.operation.path.endswith("/infer") and INFER.is_valid(body):
        return st.just({"inputs": [PIXELS]}) | st.just(body)
    return st.just(body)


def with_names(context: Any, parameters: Any) -> st.SearchStrategy:
    """Replace only values of the right type, by existing names: what is wrong on purpose stays wrong."""
    if not isinstance(parameters, dict):
        return st.just(parameters)
    replacements: dict[str, st.SearchStrategy] = {}
    for name, value in parameters.items():
        if name == "network" and isinstance(value, str) and context.operation.method == "delete":
            replacements[name] = st.sampled_from(TAUGHT)
        elif name == "network" and isinstance(value, str):
            replacements[name] = st.sampled_from(NETWORKS)
        elif name == "job" and isinstance(value, str):
            replacements[name] = st.sampled_from(JOBS)
        elif name == "version" and isinstance(value, str):
            replacements[name] = st.just("0.0.1")
        elif name == "stage" and isinstance(value, str):
            replacements[name] = st.sampled_from(STAGES)
        elif name == "stages" and isinstance(value, list) and all(isinstance(stage, str) for stage in value):
            replacements[name] = st.lists(st.sampled_from(STAGES[:3]), min_size=len(value), max_size=len(value))
        elif (name == "truth" and isinstance(value, str)) or (name == "label" and isinstance(value, str)):
            replacements[name] = st.sampled_from(("cat", "not_cat"))
        elif name in ("id", "after") and isinstance(value, str):
            replacements[name] = st.sampled_from(IDS)
        elif name == "sha256" and isinstance(value, str):
            replacements[name] = st.just(sha256(PHOTO))
        elif name == "day" and isinstance(value, str):
            replacements[name] = st.just("2100-01-01")
        elif name == "edits" and isinstance(value, str):
            replacements[name] = st.sampled_from(EDITS)
        elif name in ("row", "column", "channel") and type(value) is int and value >= 0:
            replacements[name] = st.integers(0, 2)
    return st.fixed_dictionaries(replacements).map(lambda replaced: {**parameters, **replaced}) | st.just(parameters)


schema = document()
schema_with_keys = document(api_keys=(KEY,))


@pytest.fixture(scope="module")
def served(model_dir, tmp_path_factory) -> Iterator[None]:
    kept = {"store": tmp_path_factory.mktemp("store"), "keep": "corrections"}
    schema.app.app = ready_client(model_dir, **kept).app
    schema_with_keys.app.app = ready_client(model_dir, api_keys=(KEY,), **kept).app
    for app in (schema.app.app, schema_with_keys.app.app):
        app.state.service.open_store()
    yield
    for app in (schema.app.app, schema_with_keys.app.app):
        app.state.service.workers.close()


@pytest.fixture
def statuses(served, model_dir, request) -> Iterator[Counter[int]]:
    """How often an operation gave each status; at the end it must also have succeeded at least once. Without the network
    `cat`, nothing can be taught.
    """
    services = [served.app.state.service for served in (schema.app, schema_with_keys.app)]
    fill(services[0].jobs, model_dir)
    if "DELETE /models" in request.node.name:
        for service in services:
            service.load()
    store = services[0].keeper.store
    for number, identity in enumerate(IDS):
        with contextlib.suppress(NotFound):
            store.delete(identity)
        store.add(replace(correction(PHOTO, network=f"network {number}", time=YEAR_2100), id=identity), PHOTO)
    counts: Counter[int] = Counter()
    yield counts
    print(dict(counts))
    assert any(200 <= status < 300 for status in counts) or "POST /teach" in request.node.name


def fill(jobs: Jobs, model_dir: Path) -> None:
    """Let there be JOBS and TAUGHT."""
    for job in JOBS:
        (jobs.folder / job).mkdir(exist_ok=True)
        write_json(jobs.folder / job / "job.json", {"network": "mine", "classes": {"one": [], "two": []}})
    for name in TAUGHT:
        shutil.copytree(model_dir / "dense", jobs.networks / name, dirs_exist_ok=True)


@pytest.mark.promise("P12")
@schema.parametrize()
@hypothesis.settings(max_examples=24, **_settings)
def test_every_answer_is_as_the_document_says(case, statuses):
    statuses[case.call_and_validate().status_code] += 1


@pytest.mark.promise("P50")
@schema_with_keys.parametrize()
@hypothesis.settings(max_examples=5, **_settings)
def test_what_the_document_says_needs_a_key_is_refused_without_one(case, statuses):
    statuses[case.call_and_validate(headers={"X-API-Key": KEY}).status_code] += 1


@pytest.mark.promise("P12")
@pytest.mark.soak
@schema.parametrize()
@hypothesis.settings(max_examples=1000, **_settings)
def test_a_thousand_answers_of_each_operation_are_as_the_document_says(case, statuses):
    statuses[case.call_and_validate().status_code] += 1
