"""python -m app, as a process of its own."""

import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import httpx2
import pytest

from app.settings import Settings
from tests.conftest import COMMAND, ROOT, accepts, serving
from tests.conftest import command as run


def test_help_lists_every_setting():
    text = run("--help").stdout
    for name, default, says in Settings.table():
        assert re.search(rf"{name}\s+{re.escape(says)} \(default: {re.escape(default or 'none')}\)", text)


def test_it_serves_a_photo_and_exits_with_0_on_sigterm(model_dir, cat_photo):
    with serving(*COMMAND, model_dir=model_dir) as (process, url):
        answer = httpx2.post(f"{url}/predict", files={"file": cat_photo})
        assert answer.json()["label"] in ("cat", "not_cat")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) in (0, -signal.SIGTERM)


def test_fastapis_models_are_built_late_ours_at_once_and_the_document_is_the_same():
    code = """
import hashlib, json, sys
if "late" in sys.argv:
    from app.commands import serve
    serve._import_fastapi()
from fastapi.openapi.models import OpenAPI
from app.main import create_app
from app.schemas.prediction import Prediction
print(OpenAPI.__pydantic_complete__, Prediction.__pydantic_complete__)
print(hashlib.sha256(json.dumps(create_app().openapi()).encode()).hexdigest())
"""
    late, plain = (
        subprocess.run(
            [sys.executable, "-c", code, when], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split()
        for when in ("late", "plain")
    )
    assert (late[:2], plain[:2]) == (["False", "True"], ["True", "True"])
    assert late[2] == plain[2]


def test_a_request_that_is_being_worked_on_is_finished_after_sigterm(model_dir, cat_photo):
    with (
        serving(*COMMAND, model_dir=model_dir) as (process, url),
        socket.create_connection(url[7:].split(":")) as connection,
    ):
        part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + cat_photo + b"\r\n--b--\r\n"
        head = (
            f"POST /predict?feature_maps=none HTTP/1.1\r\nHost: x\r\nContent-Length: {len(part)}\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\nExpect: 100-continue\r\n\r\n"
        )
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100"), "the service has begun to read"
        process.send_signal(signal.SIGTERM)
        for _ in range(1000):
            if not accepts(url):
                break
            time.sleep(0.01)
        connection.sendall(part)
        assert connection.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_dir": "/nowhere"}, "no network in /nowhere"),
        ({"port": "cat"}, "CATSCOPE_PORT is 'cat'"),
        ({"prot": "1"}, "CATSCOPE_PROT is not a setting"),
    ],
)
def test_a_failed_start_ends_with_one_clear_line(settings, message):
    result = run(**settings)
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_missing_default_network_stops_the_start(model_dir):
    result = run(model_dir=model_dir, network="lion")
    assert result.returncode == 1
    assert result.stderr == "error: CATSCOPE_NETWORK is lion; there are dense, tutorial\n"


def test_a_network_that_cannot_be_loaded_ends_the_process_with_the_reason(model_dir, tmp_path):
    shutil.copytree(model_dir, tmp_path / "model")
    (tmp_path / "model" / "dense" / "metrics.json").write_text("{")
    result = run(model_dir=tmp_path / "model")
    assert result.returncode == 1
    assert "metrics.json is not JSON" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_error_that_nobody_expects_while_the_networks_are_loaded_ends_the_process_and_is_logged(model_dir, tmp_path):
    shutil.copytree(model_dir, tmp_path / "model")
    (tmp_path / "model" / "dense" / "metrics.json").write_text("[" * 100_000)  # deeper than Python reads JSON
    result = run(model_dir=tmp_path / "model")
    assert result.returncode == 1
    assert "the networks cannot be loaded: RecursionError" in result.stderr
    assert "Traceback" in result.stderr


@pytest.mark.promise("P26")
def test_a_damaged_network_stops_the_start_with_one_clear_line(model_dir, tmp_path):
    shutil.copytree(model_dir, tmp_path / "model")
    (tmp_path / "model" / "dense" / "model.onnx").write_bytes(b"damaged")
    result = run(model_dir=tmp_path / "model")
    assert result.returncode == 1
    assert "its contract says" in result.stderr
    assert result.stderr.count("\n") == 1
