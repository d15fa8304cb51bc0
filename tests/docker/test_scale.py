"""Replicas behind the proxy, under load: one is killed, one hangs, all are replaced, and no client notices."""

import contextlib
import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator

import httpx2
import pytest

from benchmarks import photos
from tests.docker.engine import IMAGE, at_once, docker, post, run, wait_until
from tests.docker.project import Project, address_of, configured, images
from tests.faults.clients import HANG_S, Tally, fine, load, refusal, request, send_photos, tiny

pytestmark = pytest.mark.docker

PATIENCE_S = 12
"""How long the proxy waits for a replica's answer."""

BESIDES = {(): set(), ("scale",): {"app", "proxy"}, ("observe",): {"prometheus", "grafana"}}
BESIDES[("scale", "observe")] = BESIDES[("scale",)] | BESIDES[("observe",)]


@pytest.mark.parametrize("profiles", BESIDES)
def test_a_profile_adds_its_services_to_the_one_that_is_always_there(engine: None, profiles: tuple[str, ...]) -> None:
    services = configured(*profiles)["services"]
    started = {name for name, service in services.items() if set(service.get("profiles", profiles)) <= set(profiles)}
    assert started == {"catscope"} | BESIDES[profiles]


def test_every_image_is_named_by_a_tag(engine: None) -> None:
    for service, image in images().items():
        assert re.match(r"v?\d|local$", image.rpartition(":")[2]), service


def test_the_services_own_image_is_the_one_that_was_built_here(engine: None) -> None:
    assert images()["catscope"] == images()["app"] == "catscope:local"


def test_every_image_can_be_replaced_by_one_named_by_its_digest(engine: None) -> None:
    digest = f"registry.example/x@sha256:{'5' * 64}"
    names = ("CATSCOPE", "PROXY", "PROMETHEUS", "GRAFANA")
    services = configured("scale", "observe", **{f"{name}_IMAGE": digest for name in names})["services"]
    assert {service["image"] for service in services.values()} == {digest}


@contextlib.contextmanager
def clients(url: str, cat_image, tally: Tally, each: int = 4) -> Iterator[None]:
    """Clients that keep their connections and clients that open new ones, with photos as they are on the web, tiny ones
    (`each` so many clients) and ones of several MB as phones make them. In the end every request was answered, and none with
    a refusal.
    """
    stop = threading.Event()
    large = [request(photo) for photo in photos.phone()]
    assert max(map(len, large)) > 3_000_000
    threads = [
        threading.Thread(target=send_photos, args=(url, large, tally, stop, keep_alive, False), daemon=True)
        for keep_alive in (True, False)
    ]
    for thread in threads:
        thread.start()
    try:
        with load(url, tiny(cat_image), tally, each, each):
            tally.wait_for_more(50)
            yield
            tally.wait_for_more(100)
    finally:
        stop.set()
        for thread in threads:
            thread.join(HANG_S)
    assert (tally.lost, tally.wrong, tally.refused, dict(tally.refusals)) == ([], [], 0, {})


def counted(project: Project, replica: str) -> float:
    """How many photos a replica has answered."""
    numbers = docker("exec", replica, "python", "-c", f"import urllib.request as u; print({READ}.read().decode())")
    lines = [line for line in numbers.splitlines() if line.startswith("catscope_requests_total{") and '"/predict"' in line]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


READ = "u.build_opener(u.ProxyHandler({})).open('http://localhost:8000/metrics')"


def test_every_replica_gets_its_share_of_the_photos(scaled: Project, cat_image) -> None:
    with clients(scaled.url, cat_image, Tally()):
        pass
    answered = [counted(scaled, replica) for replica in scaled.ids("app")]
    assert len(answered) == 3
    assert min(answered) > sum(answered) / 6


@pytest.mark.promise("P34")
def test_no_request_fails_when_a_replica_is_killed_under_load(scaled: Project, cat_image) -> None:
    tally = Tally()
    killed = scaled.ids("app")[0]
    started = docker("inspect", "--format", "{{.State.StartedAt}}", killed)
    with clients(scaled.url, cat_image, tally):
        tally.signalled = time.monotonic()
        kill_9(killed)
        tally.wait_for_more(200)
    wait_until(lambda: docker("inspect", "--format", "{{.State.StartedAt}}", killed) != started, "it was started anew")
    wait_until(scaled.whole, "the replica is back")


def kill_9(container: str) -> None:
    """Kill its process, so that Docker starts another; where that is forbidden, have Docker kill and start it."""
    try:
        os.kill(int(docker("inspect", "--format", "{{.State.Pid}}", container)), signal.SIGKILL)
    except PermissionError:  # only root may kill what is in a container
        docker("kill", container)
        docker("start", container)


@pytest.mark.promise("P34")
def test_no_request_fails_when_a_replica_hangs_under_load(scaled: Project, cat_image) -> None:
    tally = Tally()
    hanging = scaled.ids("app")[1]
    with clients(scaled.url, cat_image, tally):
        tally.signalled = time.monotonic()
        docker("pause", hanging)
        try:
            wait_until(lambda: address_of(hanging) not in scaled.used(), "the proxy has seen that it hangs")
            time.sleep(max(0.0, tally.signalled + PATIENCE_S + 1 - time.monotonic()))  # by then others have its requests
        finally:
            docker("unpause", hanging)
    wait_until(scaled.whole, "the replica is back")


HALF_WAY = """
import socketserver, sys
class Replica(socketserver.StreamRequestHandler):
    def handle(self):
        asked = self.rfile.readline()
        if not asked.startswith(b"POST"):
            self.wfile.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\n{}")
            return
        print("asked", file=sys.stderr, flush=True)
        self.wfile.write(b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: 500\\r\\n\\r\\n{")
socketserver.ThreadingTCPServer(("", 8000), Replica).serve_forever()
"""


def test_no_request_fails_because_a_replica_dies_halfway_through_its_answer(scaled: Project, cat_image) -> None:
    with stand_in(scaled, HALF_WAY) as dying, clients(scaled.url, cat_image, Tally(), each=1):
        wait_until(lambda: "asked" in run("docker", "logs", dying).stderr, "it was asked")
    wait_until(scaled.whole, "it is gone")


@contextlib.contextmanager
def stand_in(scaled: Project, program: str) -> Iterator[str]:
    """A container that the proxy takes for one more replica, running that Python program."""
    joined = ("--detach", "--network", "catscope-scale_default", "--network-alias", "app", "--entrypoint", "python")
    container = docker("run", *joined, IMAGE, "-c", program)
    try:
        wait_until(lambda: address_of(container) in scaled.used(), "the proxy gives photos to it")
        yield container
    finally:
        docker("rm", "--force", container)


NOT_READY = """
import http.server, sys
class Replica(http.server.BaseHTTPRequestHandler):
    def do_GET(self):  # it was asked for its health just before it died
        self.send_response(200)
        self.end_headers()
    def do_POST(self):
        print("asked", file=sys.stderr, flush=True)
        self.rfile.read(int(self.headers["Content-Length"]))
        answer = b'{"status": 503, "detail": "It is starting."}'
        self.send_response(503)
        for header in (
            ("X-Catscope-Ready", "false"),
            ("Retry-After", "1"),
            ("Content-Type", "application/problem+json"),
            ("Content-Length", str(len(answer))),
        ):
            self.send_header(*header)
        self.end_headers()
        self.wfile.write(answer)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("", 8000), Replica).serve_forever()
"""


def test_no_request_fails_because_a_replica_that_was_started_anew_is_not_ready(scaled: Project, cat_image) -> None:
    with stand_in(scaled, NOT_READY) as starting, clients(scaled.url, cat_image, Tally(), each=1):
        wait_until(lambda: "asked" in run("docker", "logs", starting).stderr, "it was asked")
    wait_until(scaled.whole, "it is gone")


@pytest.mark.promise("P34")
def test_no_request_fails_while_all_replicas_are_replaced(scaled: Project, cat_image) -> None:
    tally = Tally()
    before, reserve = scaled.ids("app"), scaled.ids("catscope")
    with clients(scaled.url, cat_image, tally, each=1):
        tally.signalled = time.monotonic()
        run("deploy/rolling-restart.sh", timeout_s=300, COMPOSE_PROJECT_NAME="catscope-scale", **scaled.environment)
    after = scaled.ids("app")
    assert len(after) == 3
    assert not set(after) & set(before)
    assert scaled.ids("catscope") == reserve
    wait_until(scaled.whole, "the proxy knows the new ones")


def test_a_replica_that_does_not_become_ready_replaces_no_other(scaled: Project) -> None:
    before = scaled.ids("app")
    environment = scaled.environment | {"CATSCOPE_NETWORK": "lion", "WAIT_S": "2", "COMPOSE_PROJECT_NAME": "catscope-scale"}
    result = run("deploy/rolling-restart.sh", check=False, **environment)
    assert result.returncode == 1
    assert "CATSCOPE_NETWORK is lion" in result.stderr
    assert sorted(scaled.ids("app")) == sorted(before)


def test_clients_that_ask_when_all_are_busy_get_the_services_own_refusal(scaled: Project) -> None:
    answers = at_once(scaled.url, 150)
    assert all(fine(answer) or refusal(answer) for answer in answers)
    refused = [json.loads(answer.body) for answer in answers if answer.status == 503]
    assert refused
    assert {problem["type"] for problem in refused} == {"urn:catscope:problem:overloaded"}


def test_a_replica_sees_the_real_client_and_not_the_one_it_claims_to_be(scaled: Project, cat_photo: bytes) -> None:
    forged = {"X-Request-ID": "who-is-it", "X-Forwarded-For": "203.0.113.7"}
    answer = httpx2.post(f"{scaled.url}/predict", files={"file": cat_photo}, headers=forged, trust_env=False)
    assert answer.headers["X-Request-ID"] == "who-is-it"
    written = "".join(run("docker", "logs", replica).stderr for replica in scaled.ids("app"))
    [line] = [line for line in written.splitlines() if "who-is-it" in line]
    gateway = "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}"  # the source of this machine's own requests
    assert json.loads(line)["client"] == docker("inspect", "--format", gateway, scaled.ids("proxy")[0])


@pytest.mark.promise("P56")
def test_the_service_that_is_not_behind_the_proxy_believes_no_client(scaled: Project, cat_photo: bytes) -> None:
    forged = {"X-Request-ID": "who-is-that", "X-Forwarded-For": "203.0.113.7"}
    httpx2.post(f"{scaled.alone}/predict", files={"file": cat_photo}, headers=forged, trust_env=False)
    assert "203.0.113.7" not in run("docker", "logs", scaled.ids("catscope")[0]).stderr


def test_a_replicas_metrics_are_not_reachable_from_outside(scaled: Project) -> None:
    answer = httpx2.get(f"{scaled.url}/metrics", trust_env=False)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["status"] == 404


@pytest.mark.parametrize(("size", "problem"), [(21 << 20, "too-large"), (40 << 20, "proxy")])
def test_what_is_too_large_is_refused_by_the_service_or_before_it(scaled: Project, size: int, problem: str) -> None:
    answer = post(scaled.url, bytes(size))
    assert (answer.status_code, answer.json()["type"]) == (413, f"urn:catscope:problem:{problem}")


def test_the_reserve_answers_when_there_is_no_replica(scaled: Project, cat_photo: bytes) -> None:
    replicas = scaled.ids("app")
    docker("kill", *replicas)
    try:
        for _ in range(5):
            assert post(scaled.url, cat_photo).status_code == 200
    finally:
        docker("start", *replicas)
    wait_until(scaled.whole, "the replicas are back")
