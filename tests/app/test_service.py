"""The networks that a service finds in its store."""

import asyncio
import shutil
import time

import pytest

from app import service as services
from app.errors import NetworkError
from app.loading import Loading
from app.service import Service
from app.settings import Settings
from tests.conftest import command, ready_client


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
