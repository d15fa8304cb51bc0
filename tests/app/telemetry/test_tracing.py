"""Spans as OpenTelemetry's own packages send them, to a collector on a socket of this test."""

import http.server
import json
import threading

import httpx2
import pytest

from app.settings import traces_exporter, tracing_is_wanted
from tests.conftest import COMMAND, serving

trace_service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def collector():
    """The endpoint that traces are sent to, and a function that returns the spans received."""
    spans, bodies = [], []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def received() -> list:
        for path, body in bodies:
            assert path == "/v1/traces"
            request = trace_service.ExportTraceServiceRequest.FromString(body)
            spans.extend(
                (of.resource, span) for of in request.resource_spans for scope in of.scope_spans for span in scope.spans
            )
        bodies.clear()
        return spans

    yield f"http://127.0.0.1:{server.server_port}", received
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_request_is_a_span_with_its_steps_below_it_and_the_clients_above(collector, model_dir, cat_photo, monkeypatch):
    endpoint, received = collector
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "cats-of-tuesday")
    with serving(*COMMAND, model_dir=model_dir, log_format="json") as (process, url):
        headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
        answer = httpx2.post(f"{url}/predict?heatmap=true", files={"file": cat_photo}, headers=headers)
        process.terminate()
        process.wait(20)  # the remaining spans are sent now
        logged = [json.loads(line) for line in process.stderr.read().splitlines()]
    spans = [(resource, span) for resource, span in received() if span.trace_id.hex() == TRACE]
    (root,) = [span for _, span in spans if span.name == "POST /predict"]
    assert root.parent_span_id.hex() == "b7ad6b7169203331"
    attributes = {attribute.key: attribute.value for attribute in root.attributes}
    assert attributes["http.response.status_code"].int_value == 200
    assert attributes["http.route"].string_value == "/predict"
    steps = {span.name: span for _, span in spans if span.parent_span_id == root.span_id}
    assert set(steps) == set(answer.json()["timings_ms"])
    for name, milliseconds in answer.json()["timings_ms"].items():
        assert (steps[name].end_time_unix_nano - steps[name].start_time_unix_nano) / 1e6 == pytest.approx(
            milliseconds, abs=0.01
        )
    names = {attribute.key: attribute.value.string_value for attribute in spans[0][0].attributes}
    assert names["service.name"] == "cats-of-tuesday"
    assert [line["trace_id"] for line in logged if line.get("path", "").startswith("/predict")] == [TRACE]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_SERVICE_NAME": "cats"}, False),
    ],
)
def test_traces_are_sent_where_the_standard_variables_ask_for_them(environment, expected):
    assert tracing_is_wanted(environment) is expected
    assert traces_exporter(environment) in ("otlp", "console", "none")


def test_an_unknown_exporter_ends_the_start_with_one_line(model_dir, monkeypatch):
    from tests.conftest import command as run

    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "pigeon")
    result = run(model_dir=model_dir)
    assert result.returncode == 1
    assert "OTEL_TRACES_EXPORTER is 'pigeon'" in result.stderr
    assert "Traceback" not in result.stderr
