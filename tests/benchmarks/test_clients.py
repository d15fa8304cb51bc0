"""The load generators count what a server answered, and the benchmarks that use them run."""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks import clients
from tests.conftest import ROOT, environment

pytestmark = pytest.mark.skipif(bool(clients.missing()), reason=f"Debian's {' and '.join(clients.missing())} not installed")


class Alternating(BaseHTTPRequestHandler):
    """Answers 200 and 503 in turn and records the requests."""

    protocol_version = "HTTP/1.1"
    seen: list[bytes]
    turn = threading.Lock()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.turn:
            self.seen.append(body)
            status = 200 if len(self.seen) % 2 else 503
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server():
    Alternating.seen = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Alternating) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}/predict"
        serving.shutdown()


BODIES = [clients.form(b"one"), clients.form(b"two")]


def test_at_a_rate_every_request_is_sent_once_and_counted_by_its_answer(server):
    result = clients.at_rate(server, BODIES, clients.FORM, 40, 1)
    assert result["sent"] == len(Alternating.seen) == sum(result["statuses"].values()) == 40
    assert result["statuses"] == {"200": 20, "503": 20}
    assert result["broken"] == 0
    assert result["slowest_refusal_ms"] > 0
    assert set(Alternating.seen) == set(BODIES)


def test_saturation_distinguishes_answers_from_refusals(server):
    result = clients.saturate(server, BODIES, clients.FORM, 2, 1)
    assert result["refused"] == pytest.approx(result["per_second"], rel=0.3)
    assert set(Alternating.seen) == set(BODIES)


def test_requests_that_get_no_answer_are_broken():
    result = clients.at_rate("http://127.0.0.1:9/predict", BODIES, clients.FORM, 10, 0.4)
    assert (result["broken"], result["statuses"], result["p50_ms"]) == (4, {}, None)


def test_the_benchmark_of_memory_runs(tmp_path):
    out = tmp_path / "memory.json"
    command = [sys.executable, "-m", "benchmarks.memory", "--requests", "50", "--out", str(out)]
    ran = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert ran.stdout.strip().endswith("|")
    assert json.loads(out.read_text())["answered"] >= 50
