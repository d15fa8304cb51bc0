"""The limits that the service is started with are those that docs/reliability.md promises; others test what they do."""

import pytest

from app.server import body, uvicorn_setup
from app.server.connection import ConnectionLimits
from app.service import Service
from app.settings import Settings


@pytest.fixture(scope="module")
def limits() -> ConnectionLimits:
    settings = Settings(max_bytes=123)
    config = uvicorn_setup.config(settings, lambda *_: None, Service(settings))
    (given,) = config.http.args
    return given


@pytest.mark.promise("P3", "P4")
def test_a_head_may_have_64_kb_and_take_10_s(limits):
    assert (limits.max_head_bytes, limits.head_s) == (64 * 1024, 10)


@pytest.mark.promise("P4")
def test_a_body_may_take_20_s_and_a_second_more_for_each_16_kb(limits):
    assert (limits.max_bytes, limits.body_s, limits.min_bytes_per_s) == (123, 20, 16 * 1024)


@pytest.mark.promise("P5")
def test_an_answer_may_stay_unread_for_30_s(limits):
    assert limits.unread_s == 30


@pytest.mark.promise("P7")
def test_a_refused_body_is_read_for_2_s():
    assert body.DISCARD_S == 2


@pytest.mark.promise("P28")
def test_a_stop_waits_30_s_for_requests_and_1_s_on_idle_connections(limits):
    settings = Settings()
    config = uvicorn_setup.config(settings, lambda *_: None, Service(settings))
    assert (config.timeout_graceful_shutdown, limits.last_request_s) == (30, 1)
