"""The service on Ray Serve, on two nodes: the same answers; no request is lost by an update or, if retried, a dead node."""

import collections
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
import yaml
from PIL import Image

from benchmarks.clients import FORM
from benchmarks.start import free_port
from tests.conftest import ROOT, encoded, ready_client
from tests.deploy.ray.cluster import Cluster, ray_environment

PATIENCE_S = 60


class Serve:
    """The application of deploy/ray/serve.yaml on a cluster of two nodes, at `url`."""

    def __init__(self, python: Path, folder: Path) -> None:
        self.python, self.file = python, folder / "serve.yaml"
        self.dashboard, port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.cluster = Cluster(python, 2, self.dashboard)
        self.config = yaml.safe_load((ROOT / "deploy" / "ray" / "serve.yaml").read_text())
        self.config["proxy_location"] = "HeadOnly"  # both nodes are this machine, which has the port only once
        self.config["http_options"] |= {"host": "127.0.0.1", "port": port}
        (self.application,) = self.config["applications"]
        (self.deployment,) = self.application["deployments"]
        self.variables = self.application["runtime_env"]["env_vars"]
        self.variables["CATSCOPE_MODEL_DIR"] = str(ROOT / "model")

    def deploy(self) -> None:
        self.file.write_text(yaml.safe_dump(self.config))
        command = [self.python.parent / "serve", "deploy", "-a", f"http://127.0.0.1:{self.dashboard}", self.file]
        subprocess.run(command, check=True, capture_output=True, env=ray_environment())

    def running(self) -> dict[int, str]:
        """The replicas that answer: the node of each, by process id."""
        status = httpx2.get(f"http://127.0.0.1:{self.dashboard}/api/serve/applications/", timeout=PATIENCE_S).json()
        deployments = status["applications"].get("catscope", {}).get("deployments", {})
        replicas = deployments.get("catscope", {}).get("replicas", [])
        return {one["pid"]: one["node_id"] for one in replicas if one["state"] == "RUNNING"}

    def until(self, condition: Callable[[dict[int, str]], bool]) -> dict[int, str]:
        end = time.monotonic() + PATIENCE_S
        while not condition(replicas := self.running()):
            assert time.monotonic() < end, replicas
            time.sleep(0.2)
        return replicas


@pytest.fixture(scope="module")
def serve(python, tmp_path_factory) -> Iterator[Serve]:
    serve = Serve(python, tmp_path_factory.mktemp("serve"))
    try:
        serve.deploy()
        running = serve.until(lambda replicas: len(replicas) == 2)
        assert len(set(running.values())) == 2, "both replicas are on one node"
        yield serve
    finally:
        serve.cluster.close()


class Load:
    """Clients that send one photo after the other; a client without an answer retries, up to `tries` times in all."""

    def __init__(self, url: str, photo: bytes, tries: int, clients: int = 4) -> None:
        self.answers: collections.Counter[object] = collections.Counter()
        self.again = 0
        self._url, self._photo, self._tries = f"{url}/predict?feature_maps=none", photo, tries
        self._ended = threading.Event()
        self._clients = [threading.Thread(target=self._ask, daemon=True) for _ in range(clients)]

    def _ask(self) -> None:
        while not self._ended.is_set():
            for attempt in range(self._tries):
                self.again += attempt > 0
                answer = self._once()
                if answer == 200:
                    break
                time.sleep(0.5 * attempt)
            self.answers[answer] += 1

    def _once(self) -> object:
        try:
            return httpx2.post(self._url, files={"file": self._photo}, timeout=PATIENCE_S).status_code
        except httpx2.TransportError as error:
            return type(error).__name__

    def __enter__(self) -> "Load":
        for client in self._clients:
            client.start()
        self.until(20)
        return self

    def until(self, count: int) -> None:
        """Wait for that many more answers."""
        target = self.answers.total() + count
        while self.answers.total() < target:
            time.sleep(0.02)

    def __exit__(self, *raised: object) -> None:
        self._ended.set()
        for client in self._clients:
            client.join(PATIENCE_S)


@contextmanager
def single_process() -> Iterator[httpx2.Client]:
    client = ready_client(ROOT / "model")
    yield client
    client.close()


@pytest.mark.fresh
def test_two_nodes_answer_what_a_single_process_does(serve, cat_photo):
    with single_process() as alone:
        for query in ("feature_maps=none", "network=tutorial&heatmap=true"):
            expected = alone.post(f"/predict?{query}", files={"file": cat_photo}).json()
            for _ in range(4):  # by either replica
                answer = httpx2.post(f"{serve.url}/predict?{query}", files={"file": cat_photo}, timeout=PATIENCE_S).json()
                assert answer.pop("timings_ms")
                assert answer == {name: value for name, value in expected.items() if name != "timings_ms"}
        ours = alone.post("/predict", files={"file": b"junk"})
        theirs = httpx2.post(f"{serve.url}/predict", files={"file": b"junk"}, timeout=PATIENCE_S)
        assert (theirs.status_code, theirs.json()) == (ours.status_code, ours.json())


@pytest.mark.fresh
def test_a_ray_node_reports_that_it_is_ready(serve):
    assert httpx2.get(f"{serve.url}/health/ready").json() == {"status": "ready"}
    assert httpx2.get(f"{serve.url}/-/healthz").text == "success"


@pytest.mark.fresh
def test_a_body_that_is_too_large_is_refused_whether_it_announces_its_length_or_not(serve):
    def pieces() -> Iterator[bytes]:
        for _ in range(21 * 16):
            yield bytes(64 * 1024)

    for body in (bytes(21 * 1024 * 1024), pieces()):
        answer = httpx2.post(f"{serve.url}/predict", content=body, headers={"Content-Type": FORM}, timeout=PATIENCE_S)
        assert (answer.status_code, answer.json()["type"]) == (413, "urn:catscope:problem:too-large")


@pytest.mark.fresh
def test_deploying_with_another_setting_loses_no_request(serve, cat_photo):
    before = serve.running()
    with Load(serve.url, cat_photo, tries=1) as load:
        serve.variables["CATSCOPE_MAX_PIXELS"] = "1000000"
        serve.deploy()
        serve.until(lambda replicas: len(replicas) == 2 and not replicas.keys() & before.keys())
        load.until(20)
    assert set(load.answers) == {200}
    large = httpx2.post(
        f"{serve.url}/predict", files={"file": encoded(Image.new("RGB", (1200, 1000)), "PNG")}, timeout=PATIENCE_S
    )
    assert (large.status_code, "at most 1000000 are accepted" in large.text) == (413, True)


@pytest.mark.fresh
def test_the_networks_are_loaded_again_without_new_replicas(serve, cat_photo):
    before = serve.running()
    with Load(serve.url, cat_photo, tries=1) as load:
        serve.deployment["user_config"]["reload"] += 1
        serve.deploy()
        end = time.monotonic() + PATIENCE_S
        while reloads(serve.url) < 1:
            assert time.monotonic() < end
            time.sleep(0.1)
        serve.until(lambda replicas: replicas == before)
    assert set(load.answers) == {200}


def reloads(url: str) -> float:
    """How often the replica that happens to answer has loaded its networks again."""
    text = httpx2.get(f"{url}/metrics", timeout=PATIENCE_S).text
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("catscope_reloads_total"))


@pytest.mark.fresh
def test_a_killed_node_loses_no_request_of_a_client_that_asks_again(serve, cat_photo):
    before = serve.until(lambda replicas: len(set(replicas.values())) == 2)
    # Ray's proxy prefers the replica on its own node for as long as that accepts requests.
    with Load(serve.url, cat_photo, tries=5, clients=2 * serve.deployment["max_ongoing_requests"]) as load:
        serve.cluster.send("kill")
        serve.until(lambda replicas: len(replicas) == 2 and replicas.keys() != before.keys())
        load.until(20)
    assert set(load.answers) == {200}
    assert load.again


@pytest.fixture
def nginx(serve, tmp_path) -> Iterator[str]:
    """deploy/ray/nginx.conf before that cluster, which has one proxy only: it stands for those of both nodes."""
    program = shutil.which("nginx")
    if not program:
        pytest.skip("nginx is not installed")
    port = free_port()
    config = (ROOT / "deploy" / "ray" / "nginx.conf").read_text()
    line = next(line for line in config.splitlines() if line.strip().startswith("server 127.0.0.1:8000"))
    servers = line.replace("127.0.0.1:8000", serve.url.removeprefix("http://"))
    config = config.replace(line, f"{servers}\n{servers}").replace("listen 8080", f"listen 127.0.0.1:{port}")
    (tmp_path / "nginx.conf").write_text(f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/errors;\n{config}")
    process = subprocess.Popen([program, "-c", tmp_path / "nginx.conf", "-e", tmp_path / "errors"])
    while True:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            break
        assert process.poll() is None
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(10)


@pytest.mark.soak
def test_behind_nginx_slow_bodies_delay_nobody(serve, nginx, cat_photo):
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000000\r\n\r\n"
    with contextlib.ExitStack() as stack:
        for _ in range(8 * serve.deployment["max_ongoing_requests"]):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", int(nginx.rpartition(":")[2]))))
            connection.sendall(head + b"a little")
        answer = httpx2.post(f"{nginx}/predict?feature_maps=none", files={"file": cat_photo}, timeout=5)
        assert answer.json()["verdict"] == "cat"


@pytest.mark.soak
def test_behind_nginx_a_killed_replica_loses_no_request(serve, nginx, cat_photo):
    before = serve.until(lambda replicas: len(replicas) == 2)
    with Load(nginx, cat_photo, tries=1, clients=2 * serve.deployment["max_ongoing_requests"]) as load:
        os.kill(next(iter(before)), signal.SIGKILL)
        serve.until(lambda replicas: len(replicas) == 2 and replicas.keys() != before.keys())
        load.until(20)
    assert set(load.answers) == {200}
