"""Each script in examples/ against the running service: it prints what the API answers, errors too, and retries."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from tests.conftest import CHELSEA, ROOT, environment, listening, serving

EXAMPLES = ROOT / "examples"
SCRIPTS = {
    "curl.sh": lambda photo, url, *key: ("sh", EXAMPLES / "curl.sh", photo, url, *key),
    "predict.py": lambda photo, url, *key: (
        *(sys.executable, EXAMPLES / "predict.py", photo, "--url", url),
        *(("--key", *key) if key else ()),
    ),
    "fetch.mjs": lambda photo, url, *key: ("node", EXAMPLES / "fetch.mjs", photo, url, *key),
}
NEEDS = {"curl.sh": "curl", "fetch.mjs": "node"}

every = pytest.mark.parametrize(
    "script",
    [
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                name in NEEDS and not shutil.which(NEEDS[name]), reason=f"{NEEDS.get(name)} is not installed"
            ),
        )
        for name in SCRIPTS
    ],
)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(sys.executable, "-m", "app", log_level="error") as (_, url):
        yield url


@pytest.fixture(scope="module")
def cat(url: str) -> float:
    """The probability of a cat that the service gives examples/chelsea.png."""
    photo = {"file": (EXAMPLES / "chelsea.png").read_bytes()}
    return httpx2.post(f"{url}/predict?feature_maps=none", files=photo).json()["probabilities"]["cat"]


def run(*command: object) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    return subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=60, check=False)


def ask(script: str, photo: Path, url: str, *key: str) -> subprocess.CompletedProcess[str]:
    return run(*SCRIPTS[script](photo, url, *key))


def printed_probability(result: subprocess.CompletedProcess[str]) -> float:
    """The probability of a cat that a script printed, as JSON or as a line."""
    assert result.returncode == 0, result.stderr
    return float(re.search(r'"cat":([\d.]+)|: cat, ([\d.]+)', result.stdout).expand(r"\1\2"))


def test_every_example_is_tested_here():
    scripts = {path.name for path in EXAMPLES.iterdir() if path.is_file()}
    assert scripts == {*SCRIPTS, "feature_maps.py", "fetch.html", "chelsea.png"}


@every
def test_a_script_prints_what_the_api_answers(script, url, cat):
    assert printed_probability(ask(script, EXAMPLES / "chelsea.png", url)) == pytest.approx(cat, abs=6e-5)


@every
def test_a_script_passes_on_the_services_error_for_a_file_that_is_not_a_photo(script, url, no_photo):
    result = ask(script, no_photo, url)
    assert result.returncode == 1
    assert result.stdout == ""
    assert "is text; accepted formats" in result.stderr


@every
def test_a_script_sends_the_key_that_it_is_given(script):
    with serving(sys.executable, "-m", "app", api_keys="first", log_level="error") as (_, url):
        without, with_key = (ask(script, CHELSEA, url, *key) for key in ((), ("first",)))
    assert without.returncode == 1
    assert "An API key is needed" in without.stderr
    assert printed_probability(with_key) > 0.9


@contextmanager
def busy(url: str) -> Iterator[tuple[str, list[float]]]:
    """A proxy that answers the first request as a service that is busy for a second, and hands on the others: its address,
    and when requests came.
    """
    came: list[float] = []

    class Proxy(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append(time.monotonic())
            body = self.rfile.read(int(self.headers["Content-Length"]))
            sent = {"Content-Type": self.headers["Content-Type"]}
            if len(came) == 1:
                problem = b'{"title": "Too many requests are waiting", "status": 503, "detail": "Try again soon."}'
                self.say(503, {"Content-Type": "application/problem+json", "Retry-After": "1"}, problem)
            else:
                answer = httpx2.post(url + self.path, content=body, headers=sent)
                self.say(answer.status_code, {"Content-Type": answer.headers["Content-Type"]}, answer.content)

        def say(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with listening(Proxy) as address:
        yield address, came


@every
def test_a_script_retries_after_the_seconds_that_a_busy_service_names(script, url, cat):
    with busy(url) as (address, came):
        result = ask(script, EXAMPLES / "chelsea.png", address)
    assert printed_probability(result) == pytest.approx(cat, abs=6e-5)
    assert len(came) == 2
    assert came[1] - came[0] >= 0.9


@every
def test_a_script_without_a_service_ends_with_1_and_one_line(script):
    with listening(BaseHTTPRequestHandler) as address:
        pass  # nothing listens there any more
    result = ask(script, CHELSEA, address)
    assert result.returncode == 1
    assert result.stdout == ""
    assert "onnect" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_one_broken_photo_of_many_fails_only_itself(url, no_photo):
    result = run(sys.executable, EXAMPLES / "predict.py", CHELSEA, no_photo, CHELSEA, "--url", url)
    assert result.returncode == 1
    assert [line.partition(": ")[0] for line in result.stdout.splitlines()] == [str(CHELSEA)] * 2
    assert result.stderr.startswith(f"{no_photo}: Not an image format that is read (415)")


@pytest.mark.parametrize("network", ["cat", "tutorial"])
def test_feature_maps_names_the_strongest_channels_and_draws_them(url, tmp_path, network):
    out = tmp_path / "drawn.png"
    result = run(sys.executable, EXAMPLES / "feature_maps.py", CHELSEA, "--url", url, "--network", network, "--out", out)
    assert result.returncode == 0, result.stderr
    query = {"network": network, "feature_maps": "summary", "channels": 8}
    feature_maps = httpx2.post(f"{url}/predict", params=query, files={"file": CHELSEA.read_bytes()}).json()["feature_maps"]
    lines = [
        f"{one['stage']} {'x'.join(map(str, one['shape']))} strongest: {' '.join(str(c['index']) for c in one['channels'])}"
        for one in feature_maps
        if len(one["shape"]) == 3
    ]
    assert result.stdout.splitlines() == lines
    with Image.open(out) as drawn:
        assert drawn.height > len(lines) * 100
        assert len(drawn.convert("RGB").getcolors(1 << 24)) > 1000


def test_feature_maps_says_why_it_draws_nothing(url, tmp_path):
    out = tmp_path / "drawn.png"
    for network, reason in (("dense", "No stage of dense is a picture."), ("lion", "There is no network 'lion'")):
        result = run(sys.executable, EXAMPLES / "feature_maps.py", "--url", url, "--network", network, "--out", out)
        assert result.returncode == 1
        assert reason in result.stderr
    assert not out.exists()
