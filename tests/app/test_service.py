"""The networks that a service finds in its store."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time

import pytest
from fastapi.testclient import TestClient

from app import service as services
from app.errors import NetworkError
from app.loading import Loading
from app.main import create_app
from app.service import Service
from app.settings import Settings
from tests.conftest import ROOT, command, ready_client


def test_an_unusable_network_in_the_store_stops_nothing(model_dir, tmp_path, cat_photo):
    shutil.copytree(model_dir / "tutorial", tmp_path / "networks" / "mine")
    (tmp_path / "networks" / "mine" / "model.onnx").write_bytes(b"damaged")
    with ready_client(model_dir, store=tmp_path) as client:
        assert [row["network"] for row in client.get("/models").json()["networks"]] == ["dense", "tutorial"]


def test_what_is_taught_elsewhere_is_served_here(model_dir, tmp_path):
    """Another replica with the same store, or a command, has added a network."""
    with ready_client(model_dir, store=tmp_path) as client:
        shutil.copytree(model_dir / "tutorial", tmp_path / "other")
        (tmp_path / "other").rename(tmp_path / "networks" / "other")
        for _ in range(200):
            names = [row["network"] for row in client.get("/models").json()["networks"]]
            if "other" in names:
                break
            time.sleep(0.1)
        assert names == ["dense", "tutorial", "other"]
        assert "block1_conv" in command("inspect", "other", model_dir=model_dir, store=tmp_path).stdout


def test_a_network_that_arrives_between_loading_and_the_first_look_is_served(model_dir, tmp_path):
    service = Service(Settings(model_dir=model_dir, store=tmp_path))

    async def arrives() -> None:
        service.open_store()
        service.load()
        shutil.copytree(model_dir / "tutorial", tmp_path / "networks" / "other")
        watching = asyncio.create_task(service.watch_store())
        for _ in range(200):
            if "other" in service.networks:
                break
            await asyncio.sleep(0.1)
        watching.cancel()

    asyncio.run(arrives())
    assert list(service.networks) == ["dense", "tutorial", "other"]


def test_what_was_begun_before_there_was_a_service_is_loaded_once(model_dir, tmp_path, monkeypatch):
    settings = Settings(model_dir=model_dir, store=tmp_path)
    service = Service(settings)
    service.begun = Loading(settings)
    shutil.copytree(model_dir / "tutorial", tmp_path / "networks" / "other")
    with monkeypatch.context() as patched:
        patched.setattr(services, "Loading", None)
        service.load()
    first = service.network("tutorial")
    assert asyncio.run(service.reload())
    assert list(service.networks) == ["dense", "tutorial", "other"]
    assert service.network("tutorial") is first


def test_a_network_that_cannot_be_loaded_beside_the_imports_stops_the_service(model_dir, tmp_path):
    copied = tmp_path / "model"
    shutil.copytree(model_dir, copied)
    settings = Settings(model_dir=copied)
    (copied / "tutorial" / "model.onnx").write_bytes(b"damaged")
    service = Service(settings)
    service.begun = Loading(settings)
    with pytest.raises(NetworkError, match=r"tutorial/model\.onnx has SHA-256"):
        service.load()


@pytest.mark.parametrize("record", ["metrics", "history"])
def test_a_record_that_cannot_be_read_is_named_and_keeps_the_previous_networks(model_dir, tmp_path, caplog, record):
    copied = tmp_path / "model"
    shutil.copytree(model_dir, copied)
    service = Service(Settings(model_dir=copied))
    service.load()
    path = copied / "dense" / f"{record}.json"
    path.unlink(missing_ok=True)
    path.mkdir()  # unlike a missing permission, this stops root, too
    with pytest.raises(NetworkError, match=rf"^{re.escape(str(path))} cannot be read: Is a directory$"):
        service.load()
    assert not asyncio.run(service.reload())
    assert caplog.messages[-1] == f"keeping the previous networks: {path} cannot be read: Is a directory"


def test_an_error_that_nobody_expects_while_the_networks_are_loaded_is_logged_and_stops_the_service(monkeypatch, caplog):
    def fail(service: Service) -> None:
        raise ZeroDivisionError("by a cat")

    monkeypatch.setattr(Service, "load", fail)
    app = create_app(Settings())
    service, stopped = app.state.service, threading.Event()
    service.stop = stopped.set
    with TestClient(app):
        assert stopped.wait(20)
    assert service.failure == "the networks cannot be loaded: ZeroDivisionError by a cat"
    [record] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.getMessage() == service.failure
    assert record.exc_info[0] is ZeroDivisionError


SAYS = """
import sys
from pathlib import Path
from app.learn.candidate import raw
from app.service import Service
from app.settings import Settings

service = Service(Settings(model_dir=Path(sys.argv[1])))
service.load()
contract = service.network("mine").contract
records = service.records[contract.folder]
print(ascii([contract.classes[0], raw(contract)["classes"][0], *(records[name]["classes"][0] for name in records)]))
"""


@pytest.mark.skipif(os.name != "posix", reason="other systems have no locale C")
def test_names_of_classes_are_read_in_utf_8_whatever_the_systems_encoding(model_dir, tmp_path):
    mine = tmp_path / "mine"
    shutil.copytree(model_dir / "tutorial", mine)
    plain = json.loads((mine / "contract.json").read_text())
    for name, record in {"contract": plain, "metrics": {}, "history": {}}.items():
        text = json.dumps(record | {"classes": ["кот", "not_cat"]}, ensure_ascii=False)
        (mine / f"{name}.json").write_text(text, encoding="utf-8")
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    said = subprocess.run(
        [sys.executable, "-c", SAYS, str(tmp_path)],
        cwd=ROOT,
        env=os.environ | ascii_only,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.stdout == ascii(["кот"] * 4) + "\n", said.stderr
